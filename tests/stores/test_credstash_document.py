"""A document in a CredStash table: one record, two requests, and the table's ways of failing."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import load
from django_kms_secrets.backends.base import ABSENT
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.config import read_config
from django_kms_secrets.exceptions import (
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    VersionConflict,
)
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

from .light import light_credstash
from .test_secretsmanager import NOT_DOCUMENTS, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_kms_secrets.backends.base import BaseStore

    from ..server.embedded import EmbeddedAWS
    from .conftest import Account, Clock

DOCUMENT = "notes/production"
PLACE = "CredStash document notes/production in CredStash table credential-store in ap-northeast-2"
READ = {"dynamodb.Query": 1, "trentservice.Decrypt": 1}
WRITE = {
    "dynamodb.Query": 2,
    "trentservice.Decrypt": 1,
    "trentservice.GenerateDataKey": 1,
    "dynamodb.PutItem": 1,
}


@pytest.fixture
def records(credstash_store: CredStashStore) -> CredStashStore:
    """The records of the table, of which the document is one."""
    return credstash_store


@pytest.fixture
def document(records: CredStashStore) -> Iterator[CredStashStore]:
    """The document, set up and open."""
    with CredStashStore(document=DOCUMENT) as store:
        store.setup()
        yield store


def values(store: BaseStore, name: str = "KEY") -> dict[str, str]:
    return {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}


def texts(store: BaseStore) -> dict[str, str]:
    return {name: str(secret.value) for name, secret in store.get_many(None).items()}


def uses(store: Any) -> list[Callable[[], Any]]:
    return [
        lambda: store.get("A"),
        lambda: store.get_many(None),
        lambda: store.get_many(["A"]),
        lambda: store.get_stages("A"),
        lambda: store.list_secrets(),
        lambda: store.history("A"),
        lambda: store.put("A", "x"),
        lambda: store.put("A", "x", expected=ABSENT),
        lambda: store.put_version("A", "x", version="9"),
        lambda: store.put_many({"A": "x"}),
        lambda: store.delete("A"),
        lambda: store.stage("A", "x"),
        lambda: store.promote("A"),
        lambda: store.unstage("A"),
        lambda: store.retire("A"),
        lambda: store.rollback("A", PREVIOUS),
    ]


# Requests


@pytest.mark.parametrize("count", [1, 20, 300])
@pytest.mark.parametrize("make", [CredStashStore, light_credstash], ids=["boto3", "light"])
def test_any_number_of_names_is_read_in_two_requests(
    document: Any, aws: EmbeddedAWS, count: int, make: Callable[..., Any]
) -> None:
    """All of them, some, one, and a listing; without boto3 too."""
    wanted = {f"NAME_{number:03}": f"value {number}" for number in range(count)}
    document.put_many(wanted)
    with make(document=DOCUMENT) as store:
        for read in (
            lambda: store.get_many(None),
            lambda: store.get_many(list(wanted)),
            lambda: store.get_many(["NAME_000", "MISSING"]),
            lambda: store.get("NAME_000"),
            lambda: store.list_secrets(),
        ):
            with aws.counted() as requests:
                read()
            assert requests == READ
        assert texts(store) == wanted


def test_settings_read_a_document_in_two_requests(document: Any, aws: EmbeddedAWS) -> None:
    document.put_many({"A": "1", "B": "2"})
    with aws.counted() as requests:
        secrets = load(f"credstash://?document={DOCUMENT}&names=A,B")
        assert (secrets["A"], secrets["B"]) == ("1", "2")
    assert requests == READ


def test_stages_cost_two_queries_and_a_decrypt_for_each_version(
    document: Any, aws: EmbeddedAWS
) -> None:
    document.put("KEY", "one")
    with aws.counted() as requests:
        document.get_stages("KEY")
    assert requests == {"dynamodb.Query": 2, "trentservice.Decrypt": 2}


def test_a_write_costs_a_read_and_three_requests_for_any_number_of_names(
    document: Any, aws: EmbeddedAWS
) -> None:
    for write in (
        lambda: document.put("A", "1"),
        lambda: document.put_many({f"NAME_{number}": "x" for number in range(100)}),
        lambda: document.put_version("A", "2", comment="note"),
        lambda: document.rotate("A", "3", expected=document.get("A").version),
        lambda: document.delete("A"),
    ):
        with aws.counted() as requests:
            write()
        assert requests - aws_read(requests) == WRITE


def aws_read(requests: Any) -> Any:
    """The read of what a rotation expects, if there was one."""
    return type(requests)(READ if requests["trentservice.Decrypt"] == 2 else {})


def test_a_document_is_never_looked_for_by_a_scan(document: Any, aws: EmbeddedAWS) -> None:
    """A role that may only query this one name can do everything."""
    with aws.counted() as requests:
        document.put("A", "one")
        document.stage("A", "two")
        document.promote("A")
        document.retire("A")
        document.reencrypt(document.to_reencrypt(), lambda *_: None)
        document.prune(document.to_reencrypt(), lambda *_: None)
        for check in document.checks(None):
            check.look()
    assert "dynamodb.Scan" not in requests


# One record


def test_a_document_is_one_record_and_others_are_not_in_it(document: Any, records: Any) -> None:
    records.put("OTHER", "x")
    document.put_many({"A": "1", "database": '{"user": "app", "password": "planted"}'})
    document.put("database.password", "hunter2")
    assert json.loads(records.get(DOCUMENT).value) == {
        "A": "1",
        "database": {"user": "app", "password": "hunter2"},
    }
    assert set(texts(document)) == {"A", "database"}
    assert {entry.name for entry in records.list_secrets()} == {"OTHER", DOCUMENT}


def test_a_document_has_one_history_for_all_its_names(document: Any) -> None:
    document.put("A", "1")
    document.put_version("B", "2", comment="why")
    last = document.put_version("A", "3", version="40")
    assert (last.name, last.version) == ("A", f"{40:019}")
    assert [(e.name, e.version, e.stages, e.comment) for e in document.history("A")] == [
        ("A", f"{1:019}", (), ""),
        ("A", f"{2:019}", (), ""),
        ("A", f"{3:019}", (PREVIOUS,), "why"),
        ("A", f"{40:019}", (CURRENT,), ""),
    ]
    assert document.put("A", "4").version == f"{41:019}"
    with pytest.raises(VersionConflict, match="would not be the newest") as caught:
        document.put_version("A", "5", version="40")
    assert caught.value.names == ("A",)
    with pytest.raises(SecretsError, match="is not a number"):
        document.put_version("A", "5", version="next")


def test_a_name_that_has_gone_is_not_found_for_a_rollback(document: Any) -> None:
    """Its old value is in an old document; nobody wrote at the same time."""
    old = document.put("A", "1").version
    document.delete("A")
    with pytest.raises(SecretNotFound) as caught:
        document.rollback("A", old)
    assert caught.value.names == ("A",)
    assert texts(document) == {}


def test_setup_makes_the_document_and_needs_the_key_for_it(aws: EmbeddedAWS) -> None:
    with CredStashStore(document=DOCUMENT) as store:
        with pytest.raises(StoreNotReady, match="there is no KMS key") as caught:
            store.setup()
        assert "--create-key" in caught.value.hint
        assert store.setup_key() is True
        assert store.setup() is True
        assert store.setup() is False
        store.put("A", "1")
        assert store.setup() is False
        assert texts(store) == {"A": "1"}


def test_a_table_that_takes_longer_than_a_request_may_is_waited_for(
    aws: EmbeddedAWS, clock: Clock
) -> None:
    """The document's own time begins when the table is there."""

    def creating(operation: str, _: object) -> None:
        if operation == "CreateTable":
            clock.pass_by(61)

    with CredStashStore(document=DOCUMENT, timeout=60) as store:
        store.setup_key()
        aws.faults.append(creating)
        assert store.setup() is True
        assert texts(store) == {}


def test_a_document_that_is_not_there_is_an_error_that_says_how_to_make_it(records: Any) -> None:
    """Names that have a default would get it silently if a wrong document were an empty one."""
    with CredStashStore(document=DOCUMENT) as store:
        for use in uses(store):
            with pytest.raises(StoreNotReady) as caught:
                use()
            assert caught.value.message == f"there is no {PLACE}"
            assert caught.value.hint == (
                "`secrets setup` creates it; or check document, table and region_name"
            )
            assert caught.value.__context__ is None


def test_without_its_table_it_is_the_table_that_is_not_there(aws: EmbeddedAWS) -> None:
    with CredStashStore(document=DOCUMENT) as store, pytest.raises(StoreNotReady) as caught:
        store.get_many(None)
    assert caught.value.message == "there is no CredStash table credential-store in ap-northeast-2"


@pytest.mark.parametrize("text", NOT_DOCUMENTS)
def test_what_is_no_json_object_is_an_error_without_its_text(
    document: Any, records: Any, text: str
) -> None:
    records.put(DOCUMENT, text)
    for use in uses(document):
        with pytest.raises(SecretIntegrityError) as caught:
            use()
        assert caught.value.message.startswith(f"the {PLACE} is not a JSON object")
        assert caught.value.hint == (
            "write one, or leave document out of OPTIONS for records that are single values"
        )
        assert "planted" not in str(caught.value)
    assert records.get(DOCUMENT).value == text


@pytest.mark.parametrize(
    "text, reason",
    [
        ('["planted"]', ""),
        ('{"A": "planted", "A": "2"}', ": not valid JSON (more than once: A)"),
        ('{"A": NaN}', ": not valid JSON (NaN is not JSON)"),
        ('{"A": 1e400}', ": not valid JSON (a number too long to read)"),
        ('{"A": ' + "9" * 5000 + "}", ": not valid JSON (a number too long to read)"),
        ('{"A": planted}', ": not valid JSON (line 1, column 7: Expecting value)"),
    ],
)
def test_why_a_document_is_no_json_object_is_said(
    document: Any, records: Any, text: str, reason: str
) -> None:
    """Some of it is an object to other parsers: names and places help, values are not shown."""
    records.put(DOCUMENT, text)
    with pytest.raises(SecretIntegrityError) as caught:
        document.get("A")
    assert caught.value.message == f"the {PLACE} is not a JSON object{reason}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "kept",
    [
        '"mine"',
        "null",
        "5",
        '{"PENDING": "mine"}',
        '{"PENDING": {"A": 1}}',
        '{"PREVIOUS": {}, "OTHER": {}}',
    ],
)
def test_what_others_keep_under_the_reserved_name_is_not_dropped(
    document: Any, records: Any, kept: str
) -> None:
    """It is read past, and no write takes it away."""
    text = f'{{"A": "1", "django-kms-secrets": {kept}}}'
    records.put(DOCUMENT, text)
    assert texts(document) == {"A": "1"}
    for write in (
        lambda: document.put("A", "2"),
        lambda: document.delete("A"),
        lambda: document.stage("A", "2"),
    ):
        with pytest.raises(SecretsError, match="was not written here and would be lost") as caught:
            write()
        assert caught.value.names == ("django-kms-secrets",)
    assert records.get(DOCUMENT).value == text


def test_numbers_that_would_be_rounded_are_not_written(document: Any, records: Any) -> None:
    """A float has not all digits; what equals it is written, spelt as JSON spells it here."""
    text = '{"A": "1", "N": 1234567890.12345678901, "T": {"x": [1e-400]}, "F": 1.10, "Z": -0}'
    records.put(DOCUMENT, text)
    with pytest.raises(SecretsError, match="would be rounded, in N, T; nothing") as caught:
        document.put("A", "2")
    assert caught.value.names == ("N", "T")
    assert records.get(DOCUMENT).value == text
    document.put_many({"N": "1234567890.12345678901", "T.x": "[]"})
    document.put("A", "2")
    assert json.loads(records.get(DOCUMENT).value) == {
        "A": "2",
        "N": "1234567890.12345678901",
        "T": {"x": []},
        "F": 1.1,
        "Z": 0,
    }


def test_a_number_that_was_rounded_can_become_another_number(document: Any, records: Any) -> None:
    records.put(DOCUMENT, '{"N": 0.12345678901234567890123}')
    document.put("N", "1.5")
    assert records.get(DOCUMENT).value == '{"N": 1.5}'


def test_a_version_that_sorts_after_all_says_what_works_on_a_document(
    document: Any, records: Any, account: Account
) -> None:
    """`secrets delete NOTES` is nothing that a document's names know, so the hint says where."""
    document.put("A", "1")
    account.put_item(account.items()[-1], version={"S": "5"})
    with pytest.raises(VersionConflict, match="sorts after it") as caught:
        document.put("A", "2")
    hint = caught.value.hint
    assert f"`secrets delete {DOCUMENT}` with document left out of OPTIONS" in hint
    before = texts(document)
    records.delete(DOCUMENT)
    assert document.setup() is True
    document.put_many(before)
    assert texts(document) == before


def test_a_rollback_to_the_current_version_writes_nothing(document: Any) -> None:
    """However its number is spelt; the previous value would be lost by it."""
    document.put("A", "one")
    current = document.put("A", "two").version
    for version in (current, str(int(current)), CURRENT):
        with pytest.raises(VersionConflict, match="is the current one"):
            document.rollback("A", version)
    assert values(document, "A") == {CURRENT: "two", PREVIOUS: "one"}
    document.stage("A", "three")
    document.promote("A")
    document.rollback("A", PREVIOUS)
    assert values(document, "A") == {CURRENT: "two", PREVIOUS: "three"}


def test_a_damaged_document_says_how_to_reach_its_versions(document: Any, account: Account) -> None:
    """Whoever writes a name reads the document first, so the way on is past the document."""
    account.put_item(account.item(DOCUMENT), hmac={"B": b"0" * 64})
    for use in uses(document):
        with pytest.raises(SecretIntegrityError, match="notes/production version") as caught:
            use()
        assert "`secrets put notes/production @FILE` writes a new one" in caught.value.hint
        assert caught.value.names == (DOCUMENT,)
        assert caught.value.__context__ is None


# Compare and set


@pytest.mark.parametrize("at", ["Decrypt", "GenerateDataKey", "PutItem"])
def test_a_writer_who_came_between_is_a_conflict_and_keeps_what_was_written(
    document: Any, records: Any, aws: EmbeddedAWS, at: str
) -> None:
    for use, names in (
        (lambda: document.put("A", "planted"), ("A",)),
        (lambda: document.put_many({"C": "planted", "A": "planted"}), ("A", "C")),
        (lambda: document.delete("A"), ("A",)),
        (lambda: document.stage("A", "planted"), ("A",)),
    ):
        document.put("A", "old")
        interrupt(aws, at, lambda: records.put(DOCUMENT, '{"B": "theirs"}'))
        with pytest.raises(VersionConflict, match="nothing was stored") as caught:
            use()
        assert caught.value.names == names
        assert "planted" not in str(caught.value)
        assert caught.value.__context__ is None
        assert records.get(DOCUMENT).value == '{"B": "theirs"}'


def test_a_write_whose_answer_was_lost_is_no_conflict(
    document: Any, account: Account, aws: EmbeddedAWS, impatient: list[float]
) -> None:
    """botocore repeats it, and its condition then fails on the very same record."""
    done: list[str] = []

    def stored_and_lost(operation: str, body: Any) -> tuple[int, str] | None:
        if operation != "PutItem" or done:
            return None
        done.append(operation)
        # On the wire bytes are base64; the client takes them as they are.
        tag = {"B": base64.b64decode(body["Item"]["hmac"]["B"])}
        account.put_item(body["Item"], hmac=tag)
        return 500, "InternalServerError"

    aws.faults.append(stored_and_lost)
    assert document.put("A", "x").version == f"{2:019}"
    assert texts(document) == {"A": "x"}


def test_one_limit_holds_for_all_that_a_write_asks(document: Any, aws: EmbeddedAWS) -> None:
    """The read and the write are one operation: neither is late by itself, both together are."""

    def slow(operation: str, _: object) -> None:
        if operation in {"Decrypt", "GenerateDataKey"}:
            time.sleep(1.0)

    aws.faults.append(slow)
    with (
        CredStashStore(document=DOCUMENT, timeout=1.5) as store,
        pytest.raises(StoreUnavailable, match=r"1\.5 s"),
    ):
        store.put("A", "x")
    aws.faults.clear()
    assert texts(document) == {}


def test_a_document_too_large_for_an_item_is_refused_unsent(
    document: Any, aws: EmbeddedAWS
) -> None:
    """DynamoDB takes 400 KB of an item; what is sealed is a third larger than the text."""
    document.put("A", "x" * 150_000)
    with aws.counted() as requests, pytest.raises(SecretsError) as caught:
        document.put("B", "planted" * 25_000)
    assert "dynamodb.PutItem" not in requests
    assert caught.value.message.startswith("notes/production makes an item of 4")
    assert caught.value.message.endswith(" bytes; DynamoDB takes 409,600")
    assert "leave document out of OPTIONS" in caught.value.hint
    assert caught.value.names == ("B",)
    assert type(caught.value) is SecretsError
    assert set(texts(document)) == {"A"}


# Stages of the whole record


def test_a_record_that_was_staged_is_pending_for_its_names(document: Any, records: Any) -> None:
    """Another reader of the format may promote it: every host has to honour what is in it."""
    document.put_many({"KEY": "one", "OTHER": "x"})
    records.stage(DOCUMENT, '{"KEY": "two", "OTHER": "x"}')
    assert values(document) == {PENDING: "two", CURRENT: "one"}
    assert document.get("KEY", version=PENDING).value == "two"
    with pytest.raises(VersionConflict, match=r"the whole of .* was staged as one") as caught:
        document.promote("KEY")
    assert caught.value.hint == "wait for it, or `secrets rotate KEY --abandon` drops it"
    records.promote(DOCUMENT)
    assert values(document) == {CURRENT: "two", PREVIOUS: "one"}
    records.stage(DOCUMENT, '{"KEY": "three", "OTHER": "x"}')
    document.unstage("KEY")
    assert values(document) == {CURRENT: "two", PREVIOUS: "one"}
    with pytest.raises(SecretNotFound):
        document.unstage("KEY")


def test_a_previous_version_that_is_no_document_does_not_stop_a_site(
    records: Any, caplog: pytest.LogCaptureFixture
) -> None:
    records.put(DOCUMENT, "planted")
    records.put(DOCUMENT, '{"KEY": "one"}')
    secrets = load(f"credstash://?document={DOCUMENT}")
    assert secrets.fallbacks("KEY") == []
    assert "the previous version does not count: the CredStash document" in caplog.text
    assert "planted" not in caplog.text
    with CredStashStore(document=DOCUMENT) as store:
        store.stage("KEY", "two")
        assert values(store) == {PENDING: "two", CURRENT: "one"}


def test_a_leaf_of_a_tree_goes_through_its_stages(document: Any, records: Any) -> None:
    """The rules are those of every document; the record has what credstash would show."""
    document.put("app", '{"KEY": "one", "OTHER": "x"}')
    document.stage("app.KEY", "two")
    assert values(document, "app.KEY") == {PENDING: "two", CURRENT: "one"}
    assert json.loads(records.get(DOCUMENT).value) == {
        "app": {"KEY": "one", "OTHER": "x"},
        "django-kms-secrets": {"PENDING": {"app.KEY": "two"}},
    }
    document.promote("app.KEY")
    assert values(document, "app.KEY") == {CURRENT: "two", PREVIOUS: "one"}
    document.retire("app.KEY")
    assert json.loads(records.get(DOCUMENT).value) == {"app": {"KEY": "two", "OTHER": "x"}}


# Contexts and keys


def test_a_bound_document_opens_under_its_own_name_only(aws: EmbeddedAWS, account: Account) -> None:
    with CredStashStore(document=DOCUMENT, bind_to_name=True) as store:
        store.setup_key()
        store.setup()
        store.put("A", "1")
        (_, newest) = account.items()
        account.put_item(newest, name={"S": "notes/test"})
        assert texts(store) == {"A": "1"}
    with (
        CredStashStore(document="notes/test", bind_to_name=True) as copied,
        pytest.raises(DecryptionError),
    ):
        copied.get_many(None)


def test_a_document_is_reencrypted_whole_and_pruned(document: Any, account: Account) -> None:
    document.put("KEY", "one")
    document.stage("KEY", "two")
    document.promote("KEY")
    before = values(document)
    options = document.options_to_reencrypt(key_id=None, context={"env": "live"}, bind_to_name=True)
    assert document.to_reencrypt() == [DOCUMENT]
    done: dict[str, bool] = {}
    with CredStashStore(document=DOCUMENT, **options) as store:
        assert values(store) == before, "read with the former context"
        store.reencrypt([DOCUMENT], done.__setitem__)
        assert done == {DOCUMENT: True}
        assert values(store) == before
        store.prune([DOCUMENT], done.__setitem__)
        assert values(store) == before
        assert len(account.items()) == 2
    del options["former_context"]
    with CredStashStore(document=DOCUMENT, **options) as store:
        assert values(store) == before


@pytest.mark.parametrize("write", ["put", "rotate"])
def test_a_value_that_leaked_is_gone_after_the_steps_that_the_guide_has(
    document: Any, records: Any, write: str
) -> None:
    """A new value, retired, written once more, pruned: no version that is left has the old one."""
    document.put("A", "leaked")
    if write == "put":
        document.put("A", "fresh")
    else:
        document.rotate("A", "fresh", expected=document.get("A").version)
    document.retire("A")
    document.put("A", "fresh")
    document.prune([DOCUMENT], lambda *_: None)
    left = {records.get(DOCUMENT, version=e.version).value for e in records.history(DOCUMENT)}
    assert left == {'{"A": "fresh"}'}


def test_every_digest_seals_a_document(document: Any, account: Account) -> None:
    with CredStashStore(document=DOCUMENT, digest="SHA512") as store:
        store.put("A", "1")
    assert [item["digest"]["S"] for item in account.items()] == ["SHA256", "SHA512"]
    assert texts(document) == {"A": "1"}


# OPTIONS


def test_a_document_or_a_prefix_one_of_them() -> None:
    with pytest.raises(SecretsError, match="takes document or prefix, not both") as caught:
        CredStashStore(document=DOCUMENT, prefix="notes/")
    assert "one record per name" in caught.value.hint
    CredStashStore(document=DOCUMENT, prefix="")


@pytest.mark.parametrize("name", [" ", "a\n", 5])
def test_a_document_has_a_name_that_a_secret_can_have(name: Any) -> None:
    with pytest.raises(SecretsError, match="is not a name for a secret"):
        CredStashStore(document=name)


def test_a_url_names_the_document() -> None:
    store = read_config(f"credstash://table?document={DOCUMENT}&region_name=eu-west-1").make_store()
    assert store.place == f"CredStash document {DOCUMENT} in CredStash table table in eu-west-1"


@pytest.mark.parametrize("url", ["credstash://?document=", "credstash://table?document=&names=A"])
def test_an_empty_document_in_a_url_is_not_the_whole_table(url: str) -> None:
    """It is what a variable leaves that the shell does not have."""
    with pytest.raises(SecretsError, match="document in the credstash:// URL is empty"):
        read_config(url)


# Beside Secrets Manager


def test_both_documents_say_the_same_to_the_same_steps(document: Any) -> None:
    """What can be seen of a document does not depend on where it is kept."""
    with SecretsManagerStore(secret_id=DOCUMENT) as other:
        other.setup()
        for ours, theirs in zip(story(document), story(other), strict=True):
            assert ours == theirs


def story(store: Any) -> list[Any]:
    """What a document answers to many steps, without versions, dates and places."""
    steps: list[Callable[[], Any]] = [
        lambda: store.put_many({"A": "1", "tree": '{"x": [1, null], "y": "z"}', "EMPTY": ""}),
        lambda: store.stage("A", "2"),
        lambda: store.stage("A", "3"),
        lambda: store.list_secrets(),
        lambda: values(store, "A"),
        lambda: store.promote("A"),
        lambda: store.promote("A"),
        lambda: store.put("tree.y", "w"),
        lambda: values(store, "tree.y"),
        lambda: store.rollback("tree.y", PREVIOUS),
        lambda: store.retire("A"),
        lambda: store.retire("A"),
        lambda: store.unstage("A"),
        lambda: store.stage("MISSING", "x"),
        lambda: store.put("django-kms-secrets", "x"),
        lambda: store.put("A", "4", expected=ABSENT),
        lambda: store.get("A", version="0"),
        lambda: store.get("MISSING"),
        lambda: store.delete("tree.x"),
        lambda: store.rollback("tree.x", PREVIOUS),
        lambda: store.delete("MISSING"),
        lambda: store.history("A"),
        lambda: sorted(texts(store).items()),
        lambda: store.ages(store.list_secrets()),
    ]
    return [told(step, store.place) for step in steps]


def told(step: Callable[[], Any], place: str) -> Any:
    try:
        found = step()
    except SecretsError as exc:
        message = exc.message.replace(place, "PLACE")
        return type(exc), message.partition(" is at version ")[0], exc.hint, exc.names
    if isinstance(found, dict):
        return [
            (name, getattr(value, "rotated", value), getattr(value, "exact", None))
            for name, value in found.items()
        ]
    if hasattr(found, "stages"):
        return found.name, found.stages
    if isinstance(found, list) and found and hasattr(found[0], "stages"):
        return [(entry.name, entry.stages) for entry in found]
    return found
