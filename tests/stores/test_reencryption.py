"""Re-encryption of a CredStash table and of Secrets Manager: other keys, the same secrets."""

from __future__ import annotations

import base64
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_kms_secrets import load
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.credstash.records import Contexts
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.config import read_config
from django_kms_secrets.deadline import POOL_SIZE, Deadline, run_all
from django_kms_secrets.exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    VersionConflict,
)
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..server.embedded import EmbeddedAWS, Refusal
    from .conftest import Account

Item = dict[str, Any]

TABLE = "credential-store"
PENDING_VERSION = "00000000000000000-1"
WRITES = {"PutItem", "TransactWriteItems", "DeleteItem", "UpdateItem", "BatchWriteItem"}


def number(version: int) -> str:
    return f"{version:019}"


@pytest.fixture
def store(credstash_store: CredStashStore) -> CredStashStore:
    """The store as it is configured until now."""
    return credstash_store


@pytest.fixture
def new_key(store: CredStashStore, account: Account) -> str:
    """The ARN of another KMS key, ``alias/new``."""
    with CredStashStore(key_id="alias/new") as other:
        other.setup_key()
    return arn(account, "alias/new")


def arn(account: Account, key_id: str) -> str:
    return str(account.kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"])


def changed(**options: Any) -> CredStashStore:
    """The store with which a table is re-encrypted; under the new key unless told otherwise."""
    return CredStashStore(**{"key_id": "alias/new", **options})


def reencrypt(target: Any, *names: str) -> dict[str, bool]:
    """Re-encrypt some names, or all; gives what became of each."""
    return told(target, target.reencrypt, *names)


def prune(target: Any, *names: str) -> dict[str, bool]:
    return told(target, target.prune, *names)


def told(target: Any, work: Callable[..., None], *names: str) -> dict[str, bool]:
    outcomes: dict[str, bool] = {}
    work(names or target.to_reencrypt(), outcomes.__setitem__)
    return outcomes


def stages(store: Any, name: str) -> dict[str, str]:
    return {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}


def versions(account: Account, name: str) -> list[str]:
    return [item["version"]["S"] for item in account.items() if item["name"]["S"] == name]


def opened_by(account: Account, item: Item, context: dict[str, str] | None = None) -> str:
    """The ARN of the KMS key that opens an item's data key, past our store."""
    blob = base64.b64decode(item["key"]["S"])
    reply = account.kms.decrypt(CiphertextBlob=blob, EncryptionContext=context or {})
    return str(reply["KeyId"])


def in_use(account: Account, name: str) -> list[Item]:
    """The items of the two newest versions of a name, and of the pending one."""
    items = [item for item in account.items() if item["name"]["S"] == name]
    pending = [item for item in items if item["version"]["S"] == PENDING_VERSION]
    return [item for item in items if item not in pending][-2:] + pending


def disable(aws: EmbeddedAWS, account: Account, key_id: str) -> None:
    """moto goes on decrypting with a disabled key; KMS does not."""
    key = arn(account, key_id).rpartition("/")[2]

    def fault(operation: str, body: Item) -> Refusal | None:
        if operation == "Decrypt" and base64.b64decode(body["CiphertextBlob"]).startswith(
            key.encode()
        ):
            return 400, "DisabledException"
        return None

    aws.faults.append(fault)


def before(aws: EmbeddedAWS, at: str, act: Callable[[], object]) -> None:
    """Let somebody else act just before the next request of an operation."""

    def fault(operation: str, _: object) -> None:
        if operation == at:
            aws.faults.remove(fault)
            act()

    aws.faults.append(fault)


def rotating(store: CredStashStore, name: str = "SECRET_KEY") -> None:
    """A secret in the middle of its second rotation: of each stage one, and an older one."""
    for value in ("oldest", "old", "now"):
        store.put(name, value)
    store.stage(name, "next")


def no_key_seals_two(account: Account) -> bool:
    keys = [item["key"]["S"] for item in account.items()]
    return len(keys) == len(set(keys))


# Another KMS key


def test_every_version_in_use_is_under_the_new_key_and_no_value_changes(store, account, new_key):
    rotating(store)
    store.put("SINGLE", "x")
    store.put("EMPTY", "")
    store.put("TEXT", "pässwörd-中文-🔑\n")
    before = {name: secret.value for name, secret in store.get_many(None).items()}
    with changed() as target:
        assert reencrypt(target) == dict.fromkeys(before, True)
    assert {name: secret.value for name, secret in store.get_many(None).items()} == before
    for name in before:
        # What is not in use is where it was: of a secret with one version that is the old record.
        newest = in_use(account, name) if name == "SECRET_KEY" else in_use(account, name)[-1:]
        assert {opened_by(account, item) for item in newest} == {new_key}, name
    assert no_key_seals_two(account)


def test_a_rotation_under_way_is_where_it_was(store, new_key):
    """The previous key is still honoured, the pending one still accepted; both go on."""
    rotating(store)
    before = stages(store, "SECRET_KEY")
    assert before == {PENDING: "next", CURRENT: "now", PREVIOUS: "old"}
    fallbacks = load("credstash://").fallbacks("SECRET_KEY")
    with changed() as target:
        reencrypt(target)
        assert stages(target, "SECRET_KEY") == before
    assert stages(store, "SECRET_KEY") == before
    assert load("credstash://").fallbacks("SECRET_KEY") == fallbacks == ["next", "old"]
    store.promote("SECRET_KEY")
    assert stages(store, "SECRET_KEY") == {CURRENT: "next", PREVIOUS: "now"}
    store.retire("SECRET_KEY")
    assert stages(store, "SECRET_KEY") == {CURRENT: "next"}


def test_versions_are_only_added(store, account, new_key):
    """What was there stays as it was, so that a host in the middle of a read finds it."""
    rotating(store)
    before = {item["version"]["S"]: item for item in account.items()}
    with changed() as target:
        reencrypt(target)
    after = {item["version"]["S"]: item for item in account.items()}
    assert [*after] == [PENDING_VERSION, *map(number, range(1, 6))]
    assert {v: i for v, i in after.items() if v in before and v != PENDING_VERSION} == {
        v: i for v, i in before.items() if v != PENDING_VERSION
    }
    assert after[PENDING_VERSION]["key"] != before[PENDING_VERSION]["key"]


def test_comments_stay_and_the_digest_is_that_of_the_options(store, account, new_key):
    store.put_version("NAME", "one", comment="the first")
    store.put_version("NAME", "two", comment="the second")
    store.put("NAME_2", "x")
    with changed(digest="SHA512") as target:
        reencrypt(target)
    listed = [(entry.version, entry.comment) for entry in store.history("NAME")]
    assert listed[2:] == [(number(3), "the first"), (number(4), "the second")]
    assert [item["digest"]["S"] for item in in_use(account, "NAME")] == ["SHA512"] * 2
    assert "comment" not in in_use(account, "NAME_2")[-1]
    assert store.get("NAME").value == "two"


def test_done_again_it_writes_nothing(store, aws, new_key):
    rotating(store)
    store.put("SINGLE", "x")
    with changed() as target:
        assert reencrypt(target) == {"SECRET_KEY": True, "SINGLE": True}
        with aws.counted() as requests:
            assert reencrypt(target) == {"SECRET_KEY": False, "SINGLE": False}
    assert {name for name in requests if name.partition(".")[2] in WRITES} == set()


def test_what_was_written_meanwhile_under_the_old_key_is_found_the_next_time(
    store, account, new_key
):
    store.put_many({"A": "1", "B": "2"})
    with changed() as target:
        reencrypt(target)
        store.put("A", "3")
        store.stage("B", "4")
        assert reencrypt(target) == {"A": True, "B": True}
    for name in ("A", "B"):
        assert {opened_by(account, item) for item in in_use(account, name)} == {new_key}
    assert stages(store, "A") == {CURRENT: "3", PREVIOUS: "1"}
    assert load("credstash://").fallbacks("B") == ["4"]


def test_only_the_names_that_are_given(store, account, new_key):
    store.put_many({"A": "1", "B": "2"})
    with changed() as target:
        assert target.to_reencrypt() == ["A", "B"]
        assert reencrypt(target, "B") == {"B": True}
    assert versions(account, "A") == [number(1)]
    assert versions(account, "B") == [number(1), number(2)]


def test_no_names_are_no_work(store, aws, new_key):
    with changed() as target, aws.counted() as requests:
        target.reencrypt([], print)
        target.prune([], print)
    assert not requests


def test_under_a_prefix_only_what_is_under_it(store, account, new_key):
    store.put_many({"NAME": "x", "notes/NAME": "y"})
    with changed(prefix="notes/", bind_to_name=True, former_context={}) as target:
        assert reencrypt(target) == {"NAME": True}
        assert target.get("NAME").value == "y"
        assert prune(target) == {"NAME": True}
    assert versions(account, "NAME") == [number(1)]
    (item,) = [item for item in account.items() if item["name"]["S"] == "notes/NAME"]
    bound = {"name": "notes/NAME", "version": number(2)}
    assert opened_by(account, item, bound) == new_key


@pytest.mark.parametrize(
    "prepare, written, again",
    [
        # Query, Decrypt, Query for version -1; GenerateDataKey, Decrypt, transaction, Query.
        (lambda store: store.put("NAME", "x"), 8, 4),
        # One more of Decrypt, GenerateDataKey, Decrypt, Query for the previous version …
        (lambda store: [store.put("NAME", "x"), store.put("NAME", "y")], 12, 5),
        # … and for the pending one.
        (lambda store: rotating(store, "NAME"), 16, 6),
    ],
    ids=["current", "and previous", "and pending"],
)
def test_requests_of_a_secret(store, aws, new_key, prepare, written, again):
    """7 requests, and 4 more for each further version in use; 3, and 1 more, if it was done.

    Beside them there is one GenerateDataKey for the whole run, which tells the ARN of the key.
    (Done again, a secret whose only version was re-encrypted has a previous version that has to be
    looked at: 1 more.)
    """
    prepare(store)
    with changed() as target:
        with aws.counted() as requests:
            reencrypt(target, "NAME")
        assert requests.total() == written, requests
        assert requests["dynamodb.TransactWriteItems"] == 1
        with aws.counted() as requests:
            reencrypt(target, "NAME")
        assert requests.total() == again + (written == 8), requests


# What does not open


def test_a_previous_version_that_does_not_open_is_left_behind_with_a_warning(
    store, account, new_key, caplog
):
    """Nobody can honour it, so the current one is re-encrypted alone."""
    store.put("NAME", "one")
    account.put_item(account.item("NAME"), contents={"S": "*"})
    store.put("NAME", "two")
    with changed() as target:
        assert reencrypt(target) == {"NAME": True}
    assert versions(account, "NAME") == [number(1), number(2), number(3)]
    assert stages(store, "NAME") == {CURRENT: "two", PREVIOUS: "two"}
    assert load("credstash://").fallbacks("NAME") == []
    assert "the previous version does not count: NAME version" in caplog.text


def test_a_previous_version_whose_key_is_denied_is_an_error_and_nothing_is_written(
    store, account, aws, new_key
):
    """A host may be allowed what we are not, and still honour it: it would lose it silently."""
    store.put("NAME", "one")
    with CredStashStore(key_id="alias/third") as other:
        other.setup_key()
        third = arn(account, "alias/third").rpartition("/")[2].encode()
        other.put("NAME", "two")
    store.put("NAME", "three")

    def denied(operation: str, body: Item) -> Refusal | None:
        mine = operation == "Decrypt" and base64.b64decode(body["CiphertextBlob"]).startswith(third)
        return (400, "AccessDeniedException") if mine else None

    aws.faults.append(denied)
    for work in (reencrypt, prune):
        with changed() as target, pytest.raises(AccessDenied) as caught:
            work(target)
        assert caught.value.names == ("NAME",)
        assert number(2) in caught.value.message
    assert versions(account, "NAME") == [number(1), number(2), number(3)]


def test_a_damaged_record_is_named_and_the_others_are_done(store, account, new_key):
    store.put_many({"A": "1", "B": "planted-value", "C": "3", "D": "planted-value"})
    account.put_item(account.item("B"), contents={"S": "*"})
    account.put_item(account.item("D"), hmac=None)
    outcomes: dict[str, bool] = {}
    with changed() as target:
        with pytest.raises(SecretIntegrityError) as caught:
            target.reencrypt(target.to_reencrypt(), outcomes.__setitem__)
        assert caught.value.names == ("B", "D")
        assert "2 secrets of " in caught.value.message
        assert "were not re-encrypted" in caught.value.message
        assert "planted" not in str(caught.value)
        assert outcomes == {"A": True, "C": True}
        account.put_item(account.item("B"), version={"S": number(9)})
        store.delete("B")
        store.put_many({"B": "2"})
        store.delete("D")
        assert reencrypt(target) == {"A": False, "B": True, "C": False}


def test_a_name_that_is_not_there_is_an_error_and_the_others_are_done(store, account, new_key):
    store.put("A", "1")
    with changed() as target, pytest.raises(SecretNotFound) as caught:
        reencrypt(target, "NOPE", "A")
    assert caught.value.names == ("NOPE",)
    assert caught.value.hint == "`secrets keys` lists what is there"
    assert versions(account, "A") == [number(1), number(2)]


def test_a_version_that_cannot_be_counted_on_is_named_and_the_others_are_done(
    store, account, new_key
):
    """What credstash 1.12 stored unpadded sorts last: a new version would never be read."""
    for name, version in (("UNPADDED", "2"), ("WORD", "abc".rjust(19, "0"))):
        store.put(name, "x")
        account.put_item(account.item(name), version={"S": version})
    store.put("GOOD", "x")
    with changed() as target, pytest.raises(VersionConflict) as caught:
        reencrypt(target)
    assert caught.value.names == ("UNPADDED", "WORD")
    assert "UNPADDED version 0000000000000000003 would not be the newest" in caught.value.message
    assert "which is no number" in caught.value.message
    assert "`secrets delete " in caught.value.hint
    assert versions(account, "UNPADDED") == [number(1), "2"]
    assert versions(account, "GOOD") == [number(1), number(2)]


def test_without_the_new_key_nothing_is_written(store, account):
    store.put("A", "1")
    with (
        changed(key_id="alias/none") as target,
        pytest.raises(StoreNotReady, match="there is no KMS key alias/none"),
    ):
        reencrypt(target)
    assert versions(account, "A") == [number(1)]


def test_a_new_record_that_cannot_be_opened_is_not_written(store, account, aws, new_key):
    """Who may encrypt under the new key and not decrypt would lock everybody out."""
    store.put("A", "1")
    new = new_key.rpartition("/")[2].encode()

    def denied(operation: str, body: Item) -> Refusal | None:
        mine = operation == "Decrypt" and base64.b64decode(body["CiphertextBlob"]).startswith(new)
        return (400, "AccessDeniedException") if mine else None

    aws.faults.append(denied)
    with changed() as target, pytest.raises(AccessDenied):
        reencrypt(target)
    assert versions(account, "A") == [number(1)]


# Others who write


def test_a_writer_in_the_middle_is_a_conflict_and_the_others_are_done(store, account, aws, new_key):
    store.put_many({"A": "1", "B": "2", "C": "3"})

    def fault(operation: str, body: Item) -> None:
        written = [entry.get("Put") for entry in body.get("TransactItems", ())]
        if any(put and put["Item"]["name"]["S"] == "B" for put in written):
            aws.faults.remove(fault)
            store.put("B", "somebody else's")

    aws.faults.append(fault)
    with changed() as target:
        with pytest.raises(VersionConflict) as caught:
            reencrypt(target)
        assert caught.value.names == ("B",)
        assert stages(store, "B") == {CURRENT: "somebody else's", PREVIOUS: "2"}
        assert versions(account, "B") == [number(1), number(2)]
        assert reencrypt(target) == {"A": False, "B": True, "C": False}
    assert stages(store, "B") == {CURRENT: "somebody else's", PREVIOUS: "2"}


@pytest.mark.parametrize(
    "act, left",
    [
        (lambda store: store.delete("SECRET_KEY"), {}),
        (
            lambda store: (store.unstage("SECRET_KEY"), store.retire("SECRET_KEY")),
            {CURRENT: "now"},
        ),
        (lambda store: store.unstage("SECRET_KEY"), {CURRENT: "now", PREVIOUS: "old"}),
        (lambda store: store.promote("SECRET_KEY"), {CURRENT: "next", PREVIOUS: "now"}),
    ],
    ids=["delete", "abandon and retire", "abandon", "promote"],
)
def test_what_somebody_drops_in_the_middle_does_not_come_back(store, aws, new_key, act, left):
    """A retired key may have leaked: it must not be honoured again."""
    rotating(store)
    before(aws, "TransactWriteItems", lambda: act(store))
    with changed() as target, pytest.raises(VersionConflict) as caught:
        reencrypt(target)
    assert caught.value.names[:1] == ("SECRET_KEY",)
    assert stages(store, "SECRET_KEY") == left


def test_a_retired_previous_version_alone_does_not_come_back(store, aws, new_key):
    store.put("KEY", "leaked")
    store.put("KEY", "now")
    before(aws, "TransactWriteItems", lambda: store.retire("KEY"))
    with changed() as target, pytest.raises(VersionConflict):
        reencrypt(target)
    assert stages(store, "KEY") == {CURRENT: "now"}


def test_a_deleted_secret_does_not_come_back(store, account, aws, new_key):
    store.put("KEY", "x")
    before(aws, "TransactWriteItems", lambda: store.delete("KEY"))
    with changed() as target, pytest.raises(VersionConflict):
        reencrypt(target)
    assert account.items() == []


def test_a_lost_answer_is_no_second_write(store, account, aws, impatient, new_key):
    """The repetition carries the same token, so DynamoDB answers it and writes nothing."""
    rotating(store)
    aws.unanswered.add("TransactWriteItems")
    with changed() as target, aws.counted() as requests:
        assert reencrypt(target) == {"SECRET_KEY": True}
    assert requests["dynamodb.TransactWriteItems"] == 2
    assert versions(account, "SECRET_KEY") == [PENDING_VERSION, *map(number, range(1, 6))]
    assert no_key_seals_two(account)


def test_what_is_stored_and_is_not_what_was_written_is_an_error(store, account, aws, new_key):
    """…and the old version, which is still there, is named as the way back."""
    store.put("KEY", "hunter2")

    def tamper(operation: str, _: object) -> None:
        if operation == "Query" and len(account.items()) == 2:
            aws.faults.remove(tamper)
            account.put_item(account.items()[1], contents={"S": "AAAA"})

    aws.faults.append(tamper)
    with changed() as target, pytest.raises(SecretIntegrityError) as caught:
        reencrypt(target)
    assert caught.value.names == ("KEY",)
    assert "is not what it was when it is read back" in caught.value.message
    assert "hunter2" not in str(caught.value)


# Pruning


def test_prune_keeps_what_is_in_use_and_deletes_the_rest_oldest_first(store, account, aws, new_key):
    rotating(store)
    store.put_many({"SINGLE": "x", "SAME": "x"})
    store.put("SAME", "x")
    deleted = []
    with changed() as target:
        reencrypt(target)
        aws.faults.append(
            lambda operation, body: (
                deleted.append((body["Key"]["name"]["S"], body["Key"]["version"]["S"]))
                if operation == "DeleteItem"
                else None
            )
        )
        expected = {name: stages(store, name) for name in ("SECRET_KEY", "SINGLE", "SAME")}
        assert prune(target) == {"SECRET_KEY": True, "SINGLE": True, "SAME": True}
        assert [v for n, v in deleted if n == "SECRET_KEY"] == [number(1), number(2), number(3)]
        assert versions(account, "SECRET_KEY") == [PENDING_VERSION, number(4), number(5)]
        assert versions(account, "SINGLE") == [number(2)]
        assert versions(account, "SAME") == [number(3)]
        assert stages(store, "SECRET_KEY") == expected["SECRET_KEY"]
        assert stages(store, "SINGLE") == {CURRENT: "x"}
        assert prune(target) == {"SECRET_KEY": False, "SINGLE": False, "SAME": False}


@pytest.mark.parametrize("moment", ["before it lists the versions", "before it deletes one"])
def test_prune_does_not_touch_what_is_written_meanwhile(store, aws, new_key, moment):
    for value in ("1", "2", "3"):
        store.put("A", value)
    if "lists" in moment:  # what is in use is known by then
        before(aws, "Decrypt", lambda: before(aws, "Query", lambda: store.put("A", "4")))
    else:
        before(aws, "DeleteItem", lambda: store.put("A", "4"))
    with CredStashStore() as target:
        prune(target)
    assert stages(store, "A") == {CURRENT: "4", PREVIOUS: "3"}


def test_prune_keeps_a_previous_version_whose_key_is_disabled(store, account, aws, new_key):
    """It is no fallback now; the key may be enabled again."""
    store.put("NAME", "one")
    with changed() as target:
        target.put("NAME", "two")
        disable(aws, account, "alias/credstash")
        assert reencrypt(target) == {"NAME": False}
        assert prune(target) == {"NAME": False}
    aws.faults.clear()
    assert stages(store, "NAME") == {CURRENT: "two", PREVIOUS: "one"}


def test_after_prune_everything_works_without_the_old_key(store, account, aws, new_key, caplog):
    rotating(store)
    store.put_many({"A": "1", "B": "2"})
    with changed() as target:
        reencrypt(target)
        prune(target)
    disable(aws, account, "alias/credstash")
    secrets = load("credstash://?key_id=alias/new")
    assert dict(secrets) == {"SECRET_KEY": "now", "A": "1", "B": "2"}
    assert secrets.fallbacks("SECRET_KEY") == ["next", "old"]
    assert secrets.fallbacks("A") == []
    with changed() as target:
        target.promote("SECRET_KEY")
        target.rollback("SECRET_KEY", PREVIOUS)
        for entry in target.list_secrets():
            target.get(entry.name, version=entry.version)
    assert caplog.text == ""


def test_without_prune_what_is_in_use_works_without_the_old_key(
    store, account, aws, new_key, caplog
):
    """The record that was re-encrypted is now the one before, and cannot be read: no fallback."""
    store.put("SINGLE", "x")
    with changed() as target:
        reencrypt(target)
    disable(aws, account, "alias/credstash")
    secrets = load("credstash://?key_id=alias/new")
    assert secrets["SINGLE"] == "x"
    assert secrets.fallbacks("SINGLE") == []
    assert "the previous version does not count: SINGLE version" in caplog.text


def test_an_old_key_that_is_disabled_too_early_is_an_error_that_names_all(
    store, account, aws, new_key
):
    store.put_many({"A": "1", "B": "2"})
    disable(aws, account, "alias/credstash")
    with changed() as target, pytest.raises(DecryptionError) as caught:
        reencrypt(target)
    assert caught.value.names == ("A", "B")
    assert caught.value.hint == "enable the key or cancel its deletion"


# Ends in the middle


def sequence(store: CredStashStore, aws: EmbeddedAWS) -> int:
    """How many requests one secret's re-encryption and pruning are."""
    rotating(store, "MODEL")
    with changed() as target, aws.counted() as requests:
        reencrypt(target, "MODEL")
        prune(target, "MODEL")
    store.delete("MODEL")
    return requests.total()


def test_a_failure_at_any_request_leaves_all_or_nothing_and_is_made_up_for(
    store, account, aws, new_key
):
    """At each request of the sequence the service denies; then a rerun finishes."""
    for at in range(sequence(store, aws)):
        rotating(store)
        values = stages(store, "SECRET_KEY")
        count = [at]

        def fault(operation: str, _: object, count: list[int] = count) -> Refusal | None:
            count[0] -= 1
            return (400, "AccessDeniedException") if count[0] == -1 else None

        aws.faults.append(fault)
        with changed() as target:
            with pytest.raises(AccessDenied):
                [work(target, "SECRET_KEY") for work in (reencrypt, prune)]
            aws.faults.clear()
            assert stages(store, "SECRET_KEY") == values, at
            under = {opened_by(account, item) for item in in_use(account, "SECRET_KEY")}
            assert len(under) == 1, at
            reencrypt(target, "SECRET_KEY")
            prune(target, "SECRET_KEY")
        assert stages(store, "SECRET_KEY") == values, at
        assert len(versions(account, "SECRET_KEY")) == 3, at
        store.delete("SECRET_KEY")


def test_a_service_that_goes_away_ends_the_run_and_a_rerun_finishes(
    store, account, aws, impatient, new_key
):
    store.put_many({f"NAME_{index:02}": str(index) for index in range(30)})
    left = [20]

    def fault(operation: str, _: object) -> Refusal | None:
        left[0] -= operation == "TransactWriteItems"
        return (500, "InternalServerError") if left[0] < 0 else None

    aws.faults.append(fault)
    with changed() as target:
        with pytest.raises(StoreUnavailable):
            reencrypt(target)
        wait_for_threads()
        aws.faults.clear()
        before = len(account.items()) - 30
        assert 0 < before < 30
        assert sum(reencrypt(target).values()) == 30 - before
    assert len(account.items()) == 60
    assert {name: s.value for name, s in store.get_many(None).items()} == {
        f"NAME_{index:02}": str(index) for index in range(30)
    }


def wait_for_threads() -> None:
    """Until what was under way when a run ended is over."""
    for thread in threading.enumerate():
        if thread.name == "kms-secrets":
            thread.join()


def test_after_ctrl_c_no_other_secret_is_begun():
    """Those that are under way are atomic; a process that goes on must not go on with the rest."""
    begun, gate = [], threading.Event()

    class Interrupted(Deadline):
        def remaining(self) -> float:
            while len(begun) < POOL_SIZE:
                time.sleep(0.01)
            raise KeyboardInterrupt

    def task() -> None:
        begun.append(1)
        gate.wait(10)

    with pytest.raises(KeyboardInterrupt):
        run_all([task] * 100, deadline=Interrupted(10), services=())
    gate.set()
    wait_for_threads()
    assert len(begun) == POOL_SIZE


# Contexts


def test_another_context_is_read_before_during_and_after(store, account):
    """With former_context a host reads both; without it only what is re-encrypted."""
    store.put_many({"A": "1", "B": "2"})
    context = {"env": "production"}
    with (
        CredStashStore(context=context, former_context={}) as host,
        CredStashStore(context=context) as strict,
    ):
        assert {n: s.value for n, s in host.get_many(None).items()} == {"A": "1", "B": "2"}
        assert reencrypt(host, "A") == {"A": True}
        assert {n: s.value for n, s in host.get_many(None).items()} == {"A": "1", "B": "2"}
        assert strict.get("A").value == "1"
        with pytest.raises(DecryptionError):
            strict.get("B")
        with pytest.raises(DecryptionError):
            store.get("A")
        assert reencrypt(host) == {"A": False, "B": True}
        assert prune(host) == {"A": True, "B": True}
        assert {n: s.value for n, s in strict.get_many(None).items()} == {"A": "1", "B": "2"}
    for item in account.items():
        opened_by(account, item, context)


def test_writes_use_the_new_context_from_the_start(store, account):
    store.put("A", "1")
    with CredStashStore(context={"env": "production"}, former_context={}) as host:
        host.put("A", "2")
        host.stage("A", "3")
    old, new, pending = (
        next(item for item in account.items() if item["version"]["S"] == version)
        for version in (number(1), number(2), PENDING_VERSION)
    )
    opened_by(account, old)
    opened_by(account, new, {"env": "production"})
    opened_by(account, pending, {"env": "production"})


@pytest.mark.parametrize("bound", [False, True])
def test_former_records_are_read_bound_or_not(aws, store, bound):
    with CredStashStore(context={"env": "old"}, bind_to_name=bound) as writer:
        writer.put("A", "1")
        writer.put("A", "2")
        writer.stage("A", "3")
    for binding in (False, True):
        with CredStashStore(
            context={"env": "new"}, bind_to_name=binding, former_context={"env": "old"}
        ) as host:
            assert stages(host, "A") == {PENDING: "3", CURRENT: "2", PREVIOUS: "1"}


def test_a_context_and_a_key_at_once(store, account, new_key):
    rotating(store)
    values = stages(store, "SECRET_KEY")
    with changed(context={"a": "1"}, bind_to_name=True, former_context={}) as target:
        assert reencrypt(target) == {"SECRET_KEY": True}
        assert reencrypt(target) == {"SECRET_KEY": False}
    with changed(context={"a": "1"}, bind_to_name=True) as host:
        assert stages(host, "SECRET_KEY") == values
    for item in in_use(account, "SECRET_KEY"):
        bound = {"a": "1", "name": "SECRET_KEY", "version": item["version"]["S"]}
        assert opened_by(account, item, bound) == new_key


@given(
    context=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=2),
    former=st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=2),
    bind=st.booleans(),
    prefix=st.sampled_from(["", "notes/"]),
)
@settings(max_examples=50)
def test_a_record_is_read_with_what_it_is_written_with_first_and_nothing_twice(
    context, former, bind, prefix
):
    contexts = Contexts(context, bind, former, prefix)
    own, *others = contexts.to_read("NAME", number(1))
    assert own == contexts.of("NAME", number(1))
    assert (own == context) is not bind
    assert (own.get("name"), own.get("version")) == (
        (f"{prefix}NAME", number(1)) if bind else (None, None)
    )
    assert all(other != own for other in others)
    assert len(others) <= 2
    if former is None:
        assert not others
    else:
        for other in (former, {**former, "name": f"{prefix}NAME", "version": number(1)}):
            assert other in (own, *others)


# Records bound to their name


@pytest.fixture(params=[False, True], ids=["unbound", "bound"])
def planted(request: pytest.FixtureRequest, store: CredStashStore) -> Iterator[CredStashStore]:
    """A store with two secrets, one of which has two versions; its records bound or not."""
    with CredStashStore(bind_to_name=request.param) as store:
        store.put_many({"A": "planted-a", "B": "planted-b"})
        store.put("B", "planted-newer")
        yield store


def moved(account: Account, source: tuple[str, int], to: tuple[str, int]) -> None:
    """What somebody who may write to the table can do: a row under another name or version."""
    item = next(
        item
        for item in account.items()
        if (item["name"]["S"], item["version"]["S"]) == (source[0], number(source[1]))
    )
    account.put_item(item, name={"S": to[0]}, version={"S": number(to[1])})


@pytest.mark.parametrize(
    "source, to, shown",
    [
        (("B", 2), ("A", 1), "planted-newer"),
        (("B", 1), ("A", 2), "planted-b"),
        (("B", 1), ("B", 3), "planted-b"),
        (("A", 1), ("NEW", 1), "planted-a"),
    ],
    ids=["swapped", "under another name", "an old version replayed", "a new name"],
)
def test_a_row_that_was_moved_opens_only_if_it_is_not_bound(planted, account, source, to, shown):
    """Unbound it opens as what it is not: the known weakness of the format."""
    moved(account, source, to)
    reads = (lambda: planted.get(to[0]), lambda: planted.get_many(None)[to[0]])
    if not planted.bind_to_name:
        assert [read().value for read in reads] == [shown, shown]
        return
    for read in reads:
        with pytest.raises(DecryptionError) as caught:
            read()
        assert caught.value.names == (to[0],)
        assert f"{to[0]} version {number(to[1])} in " in caught.value.message
        assert "planted" not in str(caught.value)


def test_while_former_context_is_given_unbound_records_still_open_anywhere(store, account):
    """Binding protects only once former_context is taken out: that is why it has to be."""
    store.put_many({"A": "planted-a", "B": "planted-b"})
    item_of_b = account.item("B")
    with CredStashStore(bind_to_name=True, former_context={}) as host:
        reencrypt(host)
        account.put_item(item_of_b, name={"S": "A"}, version={"S": number(3)})
        assert host.get("A").value == "planted-b"
    with CredStashStore(bind_to_name=True) as host, pytest.raises(DecryptionError):
        host.get("A")


def test_a_pending_value_is_bound_too_and_is_promoted(store, account):
    with CredStashStore(bind_to_name=True) as bound:
        bound.put_many({"A": "1", "B": "2"})
        bound.stage("A", "planted")
        (pending,) = [item for item in account.items() if item["version"]["S"] == PENDING_VERSION]
        account.put_item(pending, name={"S": "B"})
        with pytest.raises(DecryptionError):
            bound.promote("B")
        bound.unstage("B")
        bound.promote("A")
        assert stages(bound, "A") == {CURRENT: "planted", PREVIOUS: "1"}
        assert stages(bound, "B") == {CURRENT: "2"}


@pytest.mark.parametrize("key", ["name", "version"])
def test_a_bound_context_has_name_and_version_of_its_own(key):
    with pytest.raises(SecretsError) as caught:
        CredStashStore(bind_to_name=True, context={key: "x"})
    assert caught.value.message == (
        "with bind_to_name the encryption context has name and version of its own"
    )
    assert caught.value.hint == 'take them out of OPTIONS["context"]'
    assert CredStashStore(context={key: "x"}).context == {key: "x"}


@pytest.mark.parametrize(
    "url, bound, former",
    [
        ("credstash://", False, None),
        ("credstash://?bind_to_name=true&former_context.env=x", True, {"env": "x"}),
        ("credstash://?bind_to_name=true&former_context=", True, {}),
        ("credstash://?bind_to_name=false", False, None),
    ],
)
def test_spellings_in_a_url(url, bound, former):
    store = read_config(url).make_store()
    assert isinstance(store, CredStashStore)
    assert (store.bind_to_name, store.former_context) == (bound, former)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bind_to_name": "yes"}, "bind_to_name is neither true nor false"),
        ({"bind_to_name": None}, "bind_to_name is neither true nor false"),
        ({"former_context": "env"}, "the former encryption context is not a dict of non-empty"),
        ({"former_context": {"env": ""}}, "the former encryption context is not a dict"),
        ({"former_context": {"env": 1}}, "the former encryption context is not a dict"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(SecretsError, match=message):
        CredStashStore(**options)


# The options that a change takes


@pytest.mark.parametrize(
    "options, wanted, changes",
    [
        ({}, {"key_id": "alias/new"}, {"key_id": "alias/new"}),
        ({}, {"key_id": "alias/credstash"}, {}),
        ({}, {"context": {"a": "1"}}, {"context": {"a": "1"}, "former_context": {}}),
        ({"context": {"a": "1"}}, {"context": {}}, {"context": {}, "former_context": {"a": "1"}}),
        ({"context": {"a": "1"}}, {"context": {"a": "1"}}, {}),
        (
            {"context": {"a": "1"}},
            {"bind_to_name": True},
            {"bind_to_name": True, "former_context": {"a": "1"}},
        ),
        ({"bind_to_name": "true"}, {"bind_to_name": True}, {}),
        (
            {"bind_to_name": "true"},
            {"bind_to_name": False},
            {"bind_to_name": False, "former_context": {}},
        ),
        # In the middle of a change the OPTIONS have it already.
        ({"context": {"a": "1"}, "former_context": {}}, {"context": {"a": "1"}}, {}),
        ({"context": {"a": "1"}, "former_context": {}}, {"key_id": "k"}, {"key_id": "k"}),
    ],
)
def test_what_has_to_change_for_another_key_context_or_binding(options, wanted, changes):
    """Only what differs; another context or binding also needs the one that was there."""
    asked = {"key_id": None, "context": None, "bind_to_name": None, **wanted}
    assert CredStashStore(**options).options_to_reencrypt(**asked) == changes


def test_a_change_of_context_does_not_begin_before_the_last_one_is_over(store):
    """A record may still be under the first one, and a store knows one former context."""
    store = CredStashStore(context={"a": "1"}, former_context={"a": "0"})
    for wanted in ({"context": {"a": "planted"}}, {"bind_to_name": True}):
        asked = {"key_id": None, "context": None, "bind_to_name": None, **wanted}
        with pytest.raises(SecretsError, match="the change before this one is not over") as caught:
            store.options_to_reencrypt(**asked)
        assert "former_context" in caught.value.hint
        assert "planted" not in str(caught.value)


# Secrets Manager


@pytest.fixture(params=["document", "named"])
def managed(request: pytest.FixtureRequest, aws: EmbeddedAWS) -> SecretsManagerStore:
    """Secrets Manager, either way, with a secret at every stage."""
    store: SecretsManagerStore = request.getfixturevalue(request.param)
    store.put("KEY", "one")
    store.put("KEY", "two")
    store.stage("KEY", "three")
    return store


def under(store: SecretsManagerStore, key_id: str) -> SecretsManagerStore:
    return SecretsManagerStore(
        secret_id=store.secret_id, prefix=None if store.secret_id else store.prefix, key_id=key_id
    )


def described(store: SecretsManagerStore, account: Account) -> dict[str, Any]:
    known: dict[str, Any] = account.secretsmanager.describe_secret(
        SecretId=store.secret_id or f"{store.prefix}KEY"
    )
    return known


def test_secrets_manager_changes_the_key_and_no_value_or_stage(managed, account, new_key):
    values, labels = stages(managed, "KEY"), described(managed, account)["VersionIdsToStages"]
    assert values == {PENDING: "three", CURRENT: "two", PREVIOUS: "one"}
    with under(managed, "alias/new") as target:
        assert [*reencrypt(target).values()] == [True]
    known = described(managed, account)
    assert known["KmsKeyId"] == "alias/new"
    assert known["VersionIdsToStages"] == labels
    assert stages(managed, "KEY") == values


def test_secrets_manager_is_asked_twice_for_each(managed, aws, new_key):
    """DescribeSecret and UpdateSecret; DescribeSecret alone, if it is done."""
    with under(managed, new_key) as target:
        names = target.to_reencrypt()
        for expected in ({"DescribeSecret": 1, "UpdateSecret": 1}, {"DescribeSecret": 1}):
            with aws.counted() as requests:
                target.reencrypt(names, lambda *_: None)
            assert requests == {f"secretsmanager.{name}": n for name, n in expected.items()}


def test_a_key_is_known_by_its_id_and_its_arn_and_an_alias_may_have_moved(managed, new_key):
    """What an alias named when it was used is not known, so with an alias it is done again."""
    key = new_key.rpartition("/")[2]
    for key_id, done in (
        (key, True),
        (new_key, False),
        (key, False),
        (key[1:], True),  # a part of an id is another id
        (new_key, True),
        (new_key, False),
        ("alias/new", True),
        ("alias/new", True),
        (new_key, True),
    ):
        with under(managed, key_id) as target:
            assert [*reencrypt(target).values()] == [done], key_id


def test_without_a_key_secrets_manager_does_nothing(managed, aws):
    with aws.counted() as requests, pytest.raises(SecretsError) as caught:
        managed.reencrypt(["KEY"], lambda *_: None)
    assert caught.value.hint == "give --key-id"
    assert not requests


def test_a_document_is_one_and_a_prefix_is_many(document, named):
    document.put_many({"A": "1", "B": "2"})
    named.put_many({"A": "1", "B": "2"})
    assert document.to_reencrypt() == ["notes/production"]
    # `named` begins with the document's name and a slash, which is not the document.
    assert named.to_reencrypt() == ["A", "B"]


def test_what_secrets_manager_denies_for_one_does_not_stop_the_others(named, aws, account, new_key):
    named.put_many({"A": "1", "B": "2", "C": "3"})
    aws.faults.append(
        lambda operation, body: (
            (400, "AccessDeniedException")
            if operation == "UpdateSecret" and body["SecretId"].endswith("B")
            else None
        )
    )
    outcomes: dict[str, bool] = {}
    with under(named, new_key) as target:
        with pytest.raises(AccessDenied) as caught:
            target.reencrypt(["A", "B", "C"], outcomes.__setitem__)
        assert caught.value.names == ("B",)
        assert caught.value.message.startswith(f"not re-encrypted in {named.place}:\n  B: ")
        assert caught.value.hint == ("allow secretsmanager:UpdateSecret to this role or user")
        assert outcomes == {"A": True, "C": True}
        aws.faults.clear()
        assert reencrypt(target) == {"A": False, "B": True, "C": False}


@pytest.mark.parametrize("wanted", [{"context": {}}, {"bind_to_name": False}])
def test_secrets_manager_has_a_context_of_its_own(managed, wanted):
    asked = {"key_id": "alias/new", "context": None, "bind_to_name": None, **wanted}
    with pytest.raises(SecretsError, match="has an encryption context of its own") as caught:
        managed.options_to_reencrypt(**asked)
    assert caught.value.hint == "only the KMS key can: --key-id"
    only_key = {**asked, "context": None, "bind_to_name": None}
    assert managed.options_to_reencrypt(**only_key) == {"key_id": "alias/new"}
