"""The CredStash store: what it writes, what it reads of others, and what it refuses."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import envelope
from django_kms_secrets.backends.base import ABSENT
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.credstash.table import Table
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
from django_kms_secrets.types import CURRENT, PREVIOUS

from ..server.limits import _item_size, violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..server.embedded import EmbeddedAWS
    from .conftest import Account

Item = dict[str, Any]

FIRST, SECOND, THIRD = (f"{number:019}" for number in (1, 2, 3))


@pytest.fixture
def store(credstash_store: CredStashStore) -> CredStashStore:
    return credstash_store


# What is written


def test_an_item_has_the_types_and_the_widths_of_the_format(store, account):
    store.put_version("NAME", "hunter2", comment="a note")
    item = account.item("NAME")
    assert {name: next(iter(typed)) for name, typed in item.items()} == {
        "name": "S",
        "version": "S",
        "key": "S",
        "contents": "S",
        "hmac": "B",
        "digest": "S",
        "comment": "S",
    }
    assert item["version"]["S"] == FIRST
    assert len(FIRST) == 19
    assert item["digest"]["S"] == "SHA256"
    assert item["comment"]["S"] == "a note"
    tag = item["hmac"]["B"]
    assert len(tag) == 64
    assert tag == bytes.fromhex(tag.decode()).hex().encode()


def test_no_comment_is_no_attribute_and_an_empty_value_is_empty_contents(store, account):
    store.put("NAME", "")
    item = account.item("NAME")
    assert "comment" not in item
    assert item["contents"]["S"] == ""


@pytest.mark.parametrize("digest", envelope.DIGESTS)
def test_every_digest_of_the_format_can_be_written_and_read(store, account, digest):
    with CredStashStore(digest=digest) as other:
        other.put("NAME", "hunter2")
    assert account.item("NAME")["digest"]["S"] == digest
    assert store.get("NAME").value == "hunter2"
    assert store.get_many(None)["NAME"].value == "hunter2"


def test_no_data_key_ever_seals_two_records(store, account, aws):
    """The format's counter is fixed: two records under one key would be a two-time pad."""
    values = {f"NAME_{number}": "the same value" for number in range(7)}
    with aws.counted() as requests:
        store.put_many(values)
        for name in ("NAME_0", "NAME_1", "NEW", "NEW"):
            store.put(name, "the same value")
        store.put_version("NEW", "the same value")
    items = account.items()
    assert len(items) == requests["trentservice.GenerateDataKey"] == len(values) + 5
    assert len({item["key"]["S"] for item in items}) == len(items)
    assert len({item["contents"]["S"] for item in items}) == len(items)


def test_the_encryption_context_is_sent_with_every_request_for_a_key(store, aws):
    bodies = []
    aws.faults.append(lambda operation, body: bodies.append((operation, body)))
    context = {"env": "test", "app": "notes"}
    with CredStashStore(context=context) as other:
        other.put("A", "x")
        other.put_many({"B": "y"})
        other.get_many(None)
    sent = [
        (operation, body["EncryptionContext"])
        for operation, body in bodies
        if operation in {"GenerateDataKey", "Decrypt"}
    ]
    assert sorted(operation for operation, _ in sent) == ["Decrypt"] * 2 + ["GenerateDataKey"] * 2
    assert all(given == context for _, given in sent)


def test_a_data_key_is_64_bytes_of_the_key_of_the_options(store, aws, account):
    bodies = []
    aws.faults.append(lambda operation, body: bodies.append((operation, body)))
    with CredStashStore(key_id="alias/another") as other:
        other.setup_key()
        other.put("A", "x")
    (asked,) = [body for operation, body in bodies if operation == "GenerateDataKey"]
    assert asked["KeyId"] == "alias/another"
    assert asked["NumberOfBytes"] == 64


def test_a_record_under_another_key_is_read_without_its_name(store):
    """Like credstash, Decrypt is sent no KeyId: any key that may be used is accepted."""
    with CredStashStore(key_id="alias/another") as other:
        other.setup_key()
        other.put("A", "x")
    assert store.get("A").value == "x"


def test_a_version_of_the_writers_choice_and_its_comment(store):
    store.put("NAME", "one")
    put = store.put_version("NAME", "seven", version="7", comment="skipped some")
    assert put.version == f"{7:019}"
    assert store.get("NAME").value == "seven"
    assert store.put("NAME", "eight").version == f"{8:019}"
    listed = [(entry.version, entry.comment) for entry in store.history("NAME")]
    assert listed == [(FIRST, ""), (f"{7:019}", "skipped some"), (f"{8:019}", "")]
    for spelling in ("7", "007", f"{7:019}"):
        assert store.get("NAME", version=spelling).value == "seven"


@pytest.mark.parametrize("version", ["1", "2", "0000000000000000002", "0"])
def test_a_version_that_would_not_be_the_newest_is_refused(store, account, version):
    store.put("NAME", "one")
    store.put("NAME", "two")
    with pytest.raises(VersionConflict) as caught:
        store.put_version("NAME", "planted-value", version=version)
    assert caught.value.message == (
        f"NAME version {int(version):019} would not be the newest in {store.place}: "
        f"{SECOND} sorts after it"
    )
    assert caught.value.hint == "leave the version out for the next number"
    assert caught.value.names == ("NAME",)
    assert len(account.items()) == 2


@pytest.mark.parametrize("version", ["abc", "-1", "1.0", " 1", "٣", "1e3"])
def test_a_version_that_is_no_number_is_refused(store, account, version):
    with pytest.raises(SecretsError, match="of NAME is not a number") as caught:
        store.put_version("NAME", "planted-value", version=version)
    assert caught.value.hint == "leave it out for the next"
    assert account.items() == []


# Reading what others wrote


def one_line(text: str) -> str:
    """Base64 as some writers break it."""
    return "\n".join(text[start : start + 8] for start in range(0, len(text), 8)) + "\n"


LEGACY: dict[str, Callable[[Item], Item]] = {
    "hmac as text, as Python 2 wrote it": lambda item: {"hmac": {"S": item["hmac"]["B"].decode()}},
    "hmac in upper case": lambda item: {"hmac": {"B": item["hmac"]["B"].upper()}},
    "no digest, as before 1.12": lambda _: {"digest": None},
    "line breaks in base64": lambda item: {
        "key": {"S": one_line(item["key"]["S"])},
        "contents": {"S": one_line(item["contents"]["S"])},
    },
    "attributes of others": lambda _: {
        "ttl": {"N": "5"},
        "tags": {"SS": ["a"]},
        "nested": {"M": {"null": {"NULL": True}}},
    },
}


@pytest.mark.parametrize("change", LEGACY.values(), ids=LEGACY)
def test_what_other_writers_wrote_is_read(store, account, change):
    store.put("NAME", "hunter2")
    item = account.item("NAME")
    account.put_item(item, **change(item))
    assert store.get("NAME").value == "hunter2"
    assert store.get("NAME", version="1").value == "hunter2"
    assert store.get_many(None)["NAME"].value == "hunter2"
    assert store.get_many(["NAME"])["NAME"].value == "hunter2"
    assert store.put("NAME", "next").version == SECOND


OTHER_TYPES = {
    "a number": {"N": "5"},
    "bytes": {"B": b"x"},
    "a list": {"L": [{"S": "x"}]},
    "a set": {"SS": ["x"]},
    "a map": {"M": {"x": {"S": "x"}}},
    "true": {"BOOL": True},
    "null": {"NULL": True},
    "nothing": None,
}


@pytest.mark.parametrize("typed", OTHER_TYPES.values(), ids=OTHER_TYPES)
@pytest.mark.parametrize("attribute", ["key", "contents", "hmac", "digest"])
def test_an_attribute_that_is_no_text_is_an_error_that_names_the_secret(
    store, account, attribute, typed
):
    """…whatever type DynamoDB has it in; and no operation ends in anything else."""
    store.put("NAME", "hunter2")
    store.stage("NAME", "staged")
    for item in account.items():
        account.put_item(item, **{attribute: typed})
    legacy = (attribute, typed) == ("digest", None)
    for use in (
        lambda: store.get("NAME"),
        lambda: store.get_many(None),
        lambda: store.get_stages("NAME"),
        lambda: store.reencrypt(["NAME"], lambda *_: None),
        lambda: store.promote("NAME"),
    ):
        with contextlib.nullcontext() if legacy else pytest.raises(SecretIntegrityError) as caught:
            use()
        if not legacy:
            assert caught.value.names == ("NAME",)
            assert caught.value.hint
    store.delete("NAME")


def test_a_staged_record_without_its_data_key_is_named(store, account):
    """It cannot be taken back: what the deletion depends on is missing."""
    store.put("NAME", "hunter2")
    store.stage("NAME", "staged")
    account.put_item(account.items()[0], key=None)
    with pytest.raises(SecretIntegrityError, match="'key' is missing or no text") as caught:
        store.unstage("NAME")
    assert caught.value.names == ("NAME",)


@pytest.mark.parametrize("typed", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_a_comment_that_is_no_text_is_none(store, account, typed):
    store.put("NAME", "hunter2")
    account.put_item(account.item("NAME"), comment=typed)
    (entry,) = store.list_secrets()
    assert entry.comment == ("5" if typed == {"N": "5"} else "")
    assert store.get("NAME").value == "hunter2"


def test_sha1_is_read_under_its_other_name(store, account):
    with CredStashStore(digest="SHA") as other:
        other.put("NAME", "hunter2")
    account.put_item(account.item("NAME"), digest={"S": "SHA1"})
    assert store.get("NAME").value == "hunter2"


@pytest.fixture
def unpadded(store: CredStashStore, account: Account) -> None:
    """Two versions, and one that credstash 1.12 or older stored as it was typed."""
    store.put("NAME", "one")
    item = account.item("NAME")
    store.put("NAME", "three")
    account.put_item(item, version={"S": "2"})


def test_an_unpadded_version_is_the_newest_and_is_warned_about(store, unpadded, caplog):
    for read in (
        lambda: store.get("NAME"),
        lambda: store.get_many(None)["NAME"],
        lambda: store.get_many(["NAME"])["NAME"],
    ):
        caplog.clear()
        secret = read()
        assert (secret.value, secret.version) == ("one", "2")
        ((logger, level, message),) = caplog.record_tuples
        assert (logger, level) == ("django_kms_secrets", logging.WARNING)
        assert message == (
            f"NAME version 2 in {store.place} is not padded to 19 digits, so it sorts after "
            "every newer version; delete it and put it again"
        )


def test_an_unpadded_version_is_found_as_it_is_spelt_before_the_padded_one(store, unpadded):
    assert store.get("NAME", version="2").value == "one"
    assert store.get("NAME", version=SECOND).value == "three"
    assert store.get("NAME", version="1").value == "one"
    assert [entry.version for entry in store.history("NAME")] == [FIRST, SECOND, "2"]


def test_nothing_is_written_after_an_unpadded_version_before_it_is_deleted(
    store, unpadded, account
):
    """A padded version would be reported as stored, and never be read."""
    for put in (
        lambda: store.put("NAME", "planted-value"),
        lambda: store.put_many({"OTHER": "x", "NAME": "planted-value"}),
    ):
        with pytest.raises(VersionConflict) as caught:
            put()
        assert caught.value.message == (
            f"NAME version {THIRD} would not be the newest in {store.place}: 2 sorts after it"
        )
        assert caught.value.hint == "`secrets delete NAME`, then put it again"
    assert len(account.items()) == 3
    store.delete("NAME")
    assert account.items() == []
    assert store.put("NAME", "again").version == FIRST


def test_a_version_that_is_no_number_is_read_and_not_counted_on(store, account):
    """credstash takes ``-v abc``, and cannot read it back."""
    store.put("NAME", "hunter2")
    version = "abc".rjust(19, "0")
    account.put_item(account.item("NAME"), version={"S": version})
    assert store.get("NAME").version == version
    assert store.get("NAME", version="abc").value == "hunter2"
    assert store.get_many(None)["NAME"].version == version
    with pytest.raises(VersionConflict) as caught:
        store.put("NAME", "planted-value")
    assert caught.value.message == (
        f"the newest version of NAME in {store.place} is {version!r}, which is no number"
    )
    assert caught.value.hint == "`secrets delete NAME`, then put it again"


# Damage and tampering


def flipped(text: str) -> str:
    """Base64 of the same bytes, with one bit of the first turned over."""
    data = bytearray(base64.b64decode(text))
    data[0] ^= 1
    return base64.b64encode(data).decode()


MISMATCH = "the stored HMAC does not match the stored contents"
DAMAGE: dict[str, tuple[Callable[[Item, Item], Item], str]] = {
    "contents changed": (lambda a, _: {"contents": {"S": flipped(a["contents"]["S"])}}, MISMATCH),
    "contents cut": (lambda a, _: {"contents": {"S": a["contents"]["S"][:-4]}}, MISMATCH),
    "contents emptied": (lambda *_: {"contents": {"S": ""}}, MISMATCH),
    "contents of another": (lambda _, b: {"contents": b["contents"]}, MISMATCH),
    "contents and hmac of another": (
        lambda _, b: {"contents": b["contents"], "hmac": b["hmac"]},
        MISMATCH,
    ),
    "key of another": (lambda _, b: {"key": b["key"]}, MISMATCH),
    "hmac of another": (lambda _, b: {"hmac": b["hmac"]}, MISMATCH),
    "hmac cut": (lambda a, _: {"hmac": {"B": a["hmac"]["B"][:-2]}}, MISMATCH),
    "hmac of zeros": (lambda *_: {"hmac": {"B": b"0" * 64}}, MISMATCH),
    "hmac empty": (lambda *_: {"hmac": {"S": ""}}, MISMATCH),
    "hmac raw": (lambda *_: {"hmac": {"B": bytes(32)}}, "'hmac' is missing or is not hex"),
    "hmac gone": (lambda *_: {"hmac": None}, "'hmac' is missing or is not hex"),
    "another digest": (lambda *_: {"digest": {"S": "SHA512"}}, MISMATCH),
    "an unknown digest": (lambda *_: {"digest": {"S": "none"}}, "its digest is none of SHA, SHA1"),
    "a digest that is a number": (
        lambda *_: {"digest": {"N": "256"}},
        "its digest is none of SHA, SHA1",
    ),
    "contents gone": (lambda *_: {"contents": None}, "'contents' is missing or is not text"),
    "contents no base64": (lambda *_: {"contents": {"S": "*"}}, "'contents' is not base64"),
    "contents binary": (
        lambda a, _: {"contents": {"B": base64.b64decode(a["contents"]["S"])}},
        "'contents' is missing or is not text",
    ),
    "key gone": (lambda *_: {"key": None}, "'key' is missing or is not text"),
    "key no base64": (lambda *_: {"key": {"S": "*"}}, "'key' is not base64"),
}


@pytest.mark.parametrize("change, reason", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_an_error_that_names_the_secret(store, account, change, reason):
    store.put_many({"NAME": "planted-value", "OTHER": "planted-too"})
    item, other = account.item("NAME"), account.item("OTHER")
    account.put_item(item, **change(item, other))
    for read in (
        lambda: store.get("NAME"),
        lambda: store.get_many(None),
        lambda: store.get_many(["OTHER", "NAME"]),
    ):
        with pytest.raises(SecretIntegrityError) as caught:
            read()
        error = caught.value
        assert error.names == ("NAME",)
        assert error.message.startswith(f"NAME version {FIRST} in {store.place}: ")
        assert reason in error.message
        assert error.hint == (
            "the record was damaged or tampered with; `secrets history` lists older versions, "
            "`secrets put` writes a new one"
        )
        assert "planted" not in str(error)
        assert error.__context__ is None
    assert store.get("OTHER").value == "planted-too"


def sealed(account: Account, plaintext: bytes) -> dict[str, Any]:
    """The attributes of a record whose plaintext is no text, as other languages' writers can."""
    reply = account.kms.generate_data_key(KeyId="alias/credstash", NumberOfBytes=64)
    record = envelope.seal(
        plaintext, data_key=reply["Plaintext"], encrypted_key=reply["CiphertextBlob"]
    )
    return {
        name: {"B" if isinstance(value, bytes) else "S": value}
        for name, value in envelope.encode(record).items()
    }


@pytest.mark.parametrize("plaintext", [b"planted\xff", b"\xc3", b"\xed\xa0\x80", b"\xff\xfep\0"])
def test_a_plaintext_that_is_no_text_is_an_error_without_the_plaintext(store, account, plaintext):
    account.put_item({"name": {"S": "NAME"}, "version": {"S": FIRST}, **sealed(account, plaintext)})
    with pytest.raises(SecretIntegrityError, match="its contents are not UTF-8 text") as caught:
        store.get("NAME")
    assert caught.value.names == ("NAME",)
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None, "the codec's error carries the bytes"


def test_an_unreadable_old_version_does_not_stand_in_the_way_of_the_newest(store, account):
    store.put("NAME", "one")
    account.put_item(account.item("NAME"), contents={"S": "*"})
    store.put("NAME", "two")
    assert store.get("NAME").value == "two"
    assert store.get_many(None)["NAME"].value == "two"
    with pytest.raises(SecretIntegrityError):
        store.get("NAME", version=PREVIOUS)


# Keys and contexts


@pytest.mark.parametrize(
    "context, listed",
    [({}, "empty"), ({"env": "planted"}, "env"), ({"env": "test", "app": "planted"}, "app, env")],
)
def test_another_context_is_an_error_that_lists_its_names_and_no_values(store, context, listed):
    with CredStashStore(context={"env": "test"}) as writer:
        writer.put("NAME", "planted-value")
    with CredStashStore(context=context) as reader:
        for read in (lambda: reader.get("NAME"), lambda: reader.get_many(None)):
            with pytest.raises(DecryptionError) as caught:
                read()
            assert caught.value.names == ("NAME",)
            assert caught.value.message == (
                f"NAME version {FIRST} in {reader.place}: KMS would not decrypt its data key"
            )
            assert caught.value.hint == (
                'the encryption context must be the one it was written with (OPTIONS["context"] '
                f"is now: {listed}), and kms_region_name the region of its key"
            )
            assert "planted" not in str(caught.value)


def test_the_order_of_a_context_does_not_matter(store):
    with CredStashStore(context={"a": "1", "b": "2"}) as writer:
        writer.put("NAME", "x")
    with CredStashStore(context={"b": "2", "a": "1"}) as reader:
        assert reader.get("NAME").value == "x"


@pytest.mark.parametrize(
    "code", ["DisabledException", "KMSInvalidStateException", "NotFoundException"]
)
def test_a_key_that_was_disabled_or_deleted_is_an_error_in_reading(store, aws, code):
    """moto goes on decrypting with a disabled key; KMS does not."""
    store.put("NAME", "planted-value")
    aws.faults.append(lambda operation, _: (400, code) if operation == "Decrypt" else None)
    for read in (lambda: store.get("NAME"), lambda: store.get_many(None)):
        with pytest.raises(DecryptionError) as caught:
            read()
        assert caught.value.names == ("NAME",)
        assert caught.value.message == (
            f"NAME version {FIRST} in {store.place}: "
            "its KMS key is disabled, will be deleted or is gone"
        )
        assert caught.value.hint == "enable the key or cancel its deletion"


@pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException"])
def test_a_key_that_was_disabled_is_an_error_in_writing(store, aws, account, code):
    aws.faults.append(lambda operation, _: (400, code) if operation == "GenerateDataKey" else None)
    with pytest.raises(StoreNotReady) as caught:
        store.put("NAME", "x")
    assert caught.value.message == (
        f"the KMS key alias/credstash at KMS at {aws.endpoint} is disabled or will be deleted"
    )
    assert caught.value.hint == ("enable it, cancel its deletion, or set key_id to another key")
    assert account.items() == []


def test_a_key_that_is_not_there_is_an_error_that_says_how_to_make_it(store, account, aws):
    with CredStashStore(key_id="alias/none") as other:
        with pytest.raises(StoreNotReady) as caught:
            other.put("NAME", "x")
        assert caught.value.message == f"there is no KMS key alias/none at KMS at {aws.endpoint}"
        assert caught.value.hint == (
            "`secrets setup --create-key` creates it; or check key_id and the region"
        )
        with pytest.raises(StoreNotReady):
            other.put_many({"A": "x", "B": "y"})
        assert account.items() == []
        assert other.setup_key() is True
        assert other.setup_key() is False
        other.put("NAME", "x")


def test_a_key_by_its_id_is_not_created(store, account):
    with (
        CredStashStore(key_id="00000000-0000-0000-0000-000000000000") as other,
        pytest.raises(StoreNotReady, match="there is no KMS key"),
    ):
        other.setup_key()
    assert len(account.kms.list_keys()["Keys"]) == 1


def test_every_secret_that_cannot_be_opened_is_named_in_one_error(store, account):
    store.put_many(dict.fromkeys(("A", "B", "C", "D"), "planted-value"))
    with CredStashStore(context={"env": "test"}) as other:
        other.put("B", "planted-value")
    account.put_item(account.item("C"), contents={"S": "*"})
    account.put_item(account.item("D"), hmac=None)
    for read in (lambda: store.get_many(None), lambda: store.get_many(["D", "C", "B", "A"])):
        with pytest.raises((DecryptionError, SecretIntegrityError)) as caught:
            read()
        error = caught.value
        assert error.names == ("B", "C", "D")
        first, *reasons = error.message.splitlines()
        assert first == f"3 secrets of {store.place} cannot be opened:"
        assert sorted(line.split()[0] for line in reasons) == ["B", "C", "D"]
        assert "KMS would not decrypt its data key" in error.message
        assert "'contents' is not base64" in error.message
        assert "'hmac' is missing or is not hex" in error.message
        assert "planted" not in str(error)
    assert store.get_many(["A"])["A"].value == "planted-value"


def test_every_secret_whose_key_is_denied_is_named_in_one_error(store, aws):
    store.put_many({"A": "x", "B": "y"})
    aws.faults.append(
        lambda operation, _: (400, "AccessDeniedException") * (operation == "Decrypt")
    )
    with pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.names == ("A", "B")
    assert "KMS denies the use of its key" in caught.value.message
    assert caught.value.hint.startswith("allow kms:Decrypt on the key, for this encryption context")


# Sizes and transactions


def test_the_largest_item_is_sent_and_one_byte_more_is_refused_unsent(store, aws):
    sent = []

    def stored(operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """moto counts a binary attribute as its base64, and would refuse the largest."""
        if operation != "PutItem":
            return None
        sent.append(violation(operation, body) or _item_size(body["Item"]))
        return 200, {}

    aws.faults.append(stored)
    store.put("N", "")
    largest = "x" * ((400 * 1024 - sent.pop()) // 4 * 3)
    store.put("N", largest)
    (size,) = sent
    assert 0 <= 400 * 1024 - size < 4
    for put in (
        lambda: store.put("N", largest + "x"),
        lambda: store.put_many({"A": "small", "N": largest + "x"}),
    ):
        with aws.counted() as requests, pytest.raises(SecretsError) as caught:
            put()
        assert caught.value.names == ("N",)
        assert caught.value.message == (
            f"N makes an item of {size + 4:,} bytes; DynamoDB takes 409,600"
        )
        assert "S3" in caught.value.hint
        assert [name for name in requests if "Put" in name or "Write" in name] == []


def test_three_hundred_thousand_bytes_come_back(store):
    store.put("LARGE", "x" * 300_000)
    assert store.get("LARGE").value == "x" * 300_000


@pytest.fixture
def quick(aws: EmbeddedAWS) -> None:
    """Look-ups and data keys without moto, which takes most of a second for a hundred of them."""

    def answer(operation: str, _: object) -> tuple[int, dict[str, Any]] | None:
        if operation == "Query":
            return 200, {"Items": [], "Count": 0, "ScannedCount": 0}
        if operation == "GenerateDataKey":
            key, blob = (base64.b64encode(os.urandom(64)).decode() for _ in range(2))
            return 200, {"Plaintext": key, "CiphertextBlob": blob, "KeyId": "key"}
        return None

    aws.faults.append(answer)


def test_two_hundred_and_fifty_names_are_written_in_three_transactions(store, aws, account, quick):
    values = {f"NAME_{number:03}": str(number) for number in range(250)}
    with aws.counted() as requests:
        put = store.put_many(values)
    assert requests["dynamodb.TransactWriteItems"] == 3
    assert requests["dynamodb.PutItem"] == 0
    assert requests["trentservice.GenerateDataKey"] == 250
    assert [entry.name for entry in put] == [*values]
    assert [item["name"]["S"] for item in account.items()] == [*values]


def test_large_values_are_cut_into_transactions_by_their_weight(store, aws):
    """4 MB a transaction: the guard of the tests refuses more, as AWS does."""
    values = {f"NAME_{number}": "x" * 290_000 for number in range(12)}
    with aws.counted() as requests:
        store.put_many(values)
    assert requests["dynamodb.TransactWriteItems"] == 2
    assert len(store.get_many(None)) == 12


def test_a_failure_half_way_says_what_was_stored_before_it(store, aws, account, quick):
    values = {f"NAME_{number:03}": "planted-value" for number in range(150)}
    transactions = []

    def second_fails(operation: str, body: object) -> tuple[int, str] | None:
        if operation == "TransactWriteItems":
            transactions.append(body)
            if len(transactions) == 2:
                return 400, "AccessDeniedException"
        return None

    aws.faults.append(second_fails)
    with pytest.raises(AccessDenied) as caught:
        store.put_many(values)
    assert caught.value.message.endswith(
        "; but stored before that: " + ", ".join(name for name in values if name < "NAME_100")
    )
    assert caught.value.hint.endswith("`secrets copy` again writes only the rest")
    assert len(account.items()) == 100
    assert "planted" not in str(caught.value)


def test_what_was_stored_before_an_interruption_is_in_the_log(
    store, aws, account, quick, monkeypatch, caplog
):
    """As by Ctrl-C: it stays what it is, and says nothing itself."""
    put_all, transactions = Table.put_all, []

    def second_is_interrupted(table: Table, items: object) -> None:
        transactions.append(items)
        if len(transactions) == 2:
            raise KeyboardInterrupt
        put_all(table, items)

    monkeypatch.setattr(Table, "put_all", second_is_interrupted)
    values = {f"NAME_{number:03}": "planted-value" for number in range(103)}
    with pytest.raises(KeyboardInterrupt):
        store.put_many(values)
    assert len(account.items()) == 100
    stored = ", ".join(name for name in values if name < "NAME_100")
    assert f"interrupted; stored before that: {stored}\n" in caplog.text
    assert "planted" not in caplog.text


def test_a_removal_that_fails_says_what_was_stored_and_deleted_before_it(store, aws):
    store.put_many({"A": "1", "B": "1", "C": "1"})
    deletions = []

    def second_fails(operation: str, body: object) -> tuple[int, str] | None:
        if operation == "DeleteItem":
            deletions.append(body)
            if len(deletions) == 2:
                return 400, "AccessDeniedException"
        return None

    aws.faults.append(second_fails)
    with pytest.raises(AccessDenied) as caught:
        store.apply({"D": "planted-value"}, ["A", "B", "C"])
    assert caught.value.message.endswith("; but stored before that: D; deleted before that: A")
    assert store.get_many(None).keys() == {"B", "C", "D"}
    assert "planted" not in str(caught.value)


def test_a_removal_that_is_interrupted_says_so_in_the_log(store, monkeypatch, caplog):
    store.put_many({"A": "1", "B": "1"})
    delete = CredStashStore.delete

    def second_is_interrupted(store: CredStashStore, name: str) -> None:
        if name == "B":
            raise KeyboardInterrupt
        delete(store, name)

    monkeypatch.setattr(CredStashStore, "delete", second_is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.apply({}, ["A", "B"])
    assert "interrupted; deleted before that: A\n" in caplog.text


def interrupt(aws: EmbeddedAWS, at: str, act: Callable[[], object]) -> None:
    """Let somebody else act just before the next request of an operation."""

    def fault(operation: str, _: object) -> None:
        if operation == at:
            aws.faults.remove(fault)
            act()

    aws.faults.append(fault)


def test_a_writer_who_came_between_is_a_conflict_and_nothing_is_stored(store, aws, account):
    store.put("NAME", "one")
    item = account.item("NAME")

    def somebody_else() -> None:
        account.put_item(item, version={"S": SECOND})

    interrupt(aws, "PutItem", somebody_else)
    # somebody_else itself sends a PutItem, after the fault has taken itself away
    with pytest.raises(VersionConflict) as caught:
        store.put("NAME", "planted-value")
    assert caught.value.message == (
        f"somebody else wrote to {store.place} at the same time: NAME; nothing was stored"
    )
    assert caught.value.hint == "look at `secrets history`, then try again"
    assert caught.value.names == ("NAME",)
    assert store.get("NAME").value == "one"


def test_a_writer_who_came_between_cancels_the_whole_transaction(store, aws, account):
    store.put("B", "one")
    item = account.item("B")
    interrupt(aws, "TransactWriteItems", lambda: account.put_item(item, version={"S": SECOND}))
    with pytest.raises(VersionConflict) as caught:
        store.put_many({"A": "planted", "B": "planted", "C": "planted"})
    assert caught.value.names == ("B",)
    assert "at the same time: B; nothing was stored" in caught.value.message
    assert {entry.name for entry in store.list_secrets()} == {"B"}


@pytest.mark.parametrize("store_put", ["put", "put_version"])
def test_a_write_whose_answer_was_lost_is_no_conflict(store, aws, account, impatient, store_put):
    """botocore repeats it, and DynamoDB refuses it then: it is there already."""
    sent = []

    def lose_the_answer(operation: str, body: dict[str, Any]) -> tuple[int, str] | None:
        if operation != "PutItem":
            return None
        sent.append(body)
        if len(sent) > 1:
            return None
        item = body["Item"] | {"hmac": {"B": base64.b64decode(body["Item"]["hmac"]["B"])}}
        aws.faults.remove(lose_the_answer)
        account.put_item(item)
        aws.faults.append(lose_the_answer)
        return 500, "InternalServerError"

    aws.faults.append(lose_the_answer)
    put = getattr(store, store_put)("NAME", "hunter2")
    assert len(sent) == 2
    assert put.version == FIRST
    assert store.get("NAME").value == "hunter2"
    assert len(account.items()) == 1


def test_a_write_that_was_overtaken_is_a_conflict_that_says_so(store, aws, account):
    """It would be reported as stored, and not be what is read."""
    store.put("NAME", "one")
    item = account.item("NAME")
    queries = []

    def after_the_write(operation: str, body: object) -> None:
        if operation == "Query":
            queries.append(body)
            if len(queries) == 2:
                account.put_item(item, version={"S": THIRD})

    aws.faults.append(after_the_write)
    with pytest.raises(VersionConflict) as caught:
        store.put("NAME", "planted")
    assert caught.value.message == (
        f"NAME version {SECOND} was stored in {store.place}, but somebody else stored {THIRD} at "
        "the same time, which is newer"
    )
    assert caught.value.names == ("NAME",)


def test_a_transaction_cancelled_for_another_reason_says_the_reason(store, aws):
    reply = {
        "__type": "TransactionCanceledException",
        "Message": "planted-value",
        "CancellationReasons": [{"Code": "None"}, {"Code": "ThrottlingError"}],
    }
    aws.faults.append(lambda operation, _: (400, reply) if "Transact" in operation else None)
    with pytest.raises(StoreUnavailable) as caught:
        store.put_many({"A": "x", "B": "y"})
    assert caught.value.message == (
        f"TransactWriteItems was cancelled by DynamoDB at {aws.endpoint} (ThrottlingError); "
        "nothing was stored"
    )
    assert caught.value.hint == "try again"


def test_versions_are_deleted_oldest_first_so_that_no_old_one_becomes_current(store, aws):
    """Whoever reads while a deletion is cut short sees the newest value, or none."""
    for value in ("one", "two", "three"):
        store.put("NAME", value)
    deleted = []

    def third_fails(operation: str, body: dict[str, Any]) -> tuple[int, str] | None:
        if operation == "DeleteItem":
            deleted.append(body["Key"]["version"]["S"])
            if len(deleted) == 3:
                return 400, "AccessDeniedException"
        return None

    aws.faults.append(third_fails)
    with pytest.raises(AccessDenied):
        store.delete("NAME")
    assert deleted == [FIRST, SECOND, THIRD]
    aws.faults.clear()
    assert store.get("NAME").value == "three"
    assert [entry.version for entry in store.history("NAME")] == [THIRD]


# The table


def test_a_table_that_is_not_there_is_an_error_that_says_how_to_make_it(aws):
    with CredStashStore(table="none") as store:
        store.setup_key()
        for use in (
            lambda: store.get("A"),
            lambda: store.get("A", version="1"),
            lambda: store.get_many(None),
            lambda: store.get_many(["A"]),
            lambda: store.list_secrets(),
            lambda: store.history("A"),
            lambda: store.put("A", "x"),
            lambda: store.put("A", "x", expected=ABSENT),
            lambda: store.put_many({"A": "x"}),
            lambda: store.delete("A"),
        ):
            with pytest.raises(StoreNotReady) as caught:
                use()
            assert caught.value.message == "there is no CredStash table none in ap-northeast-2"
            assert caught.value.hint == "`secrets setup` creates it; or check table and region_name"


def test_the_table_is_made_as_credstash_makes_it_but_billed_on_demand(store, account):
    table = account.dynamodb.describe_table(TableName="credential-store")["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "name", "KeyType": "HASH"},
        {"AttributeName": "version", "KeyType": "RANGE"},
    ]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_setup_waits_until_the_table_is_active(aws, account, monkeypatch):
    """A new table takes some seconds, in which every write would be refused."""
    states = ["CREATING", "UPDATING"]

    def not_yet(operation: str, _: object) -> tuple[int, dict[str, Any]] | None:
        if operation == "DescribeTable" and "dynamodb.CreateTable" in aws.requests and states:
            return 200, {"Table": {"TableStatus": states.pop(0)}}
        return None

    pauses = []
    monkeypatch.setattr("django_kms_secrets.backends.credstash.table.time.sleep", pauses.append)
    aws.faults.append(not_yet)
    with CredStashStore() as store:
        assert store.setup() is True
    assert states == []
    assert pauses == [0.5, 0.5]


def test_setup_of_two_at_once_is_no_error_and_only_one_created_the_table(aws, account):
    def somebody_else() -> None:
        with CredStashStore() as other:
            assert other.setup() is True

    with CredStashStore() as store:
        interrupt(aws, "CreateTable", somebody_else)
        assert store.setup() is False
        assert store.get_many(None) == {}


# Options


def test_the_table_is_the_option_else_the_variable_else_credstashs_default(monkeypatch):
    assert CredStashStore().table == "credential-store"
    monkeypatch.setenv("CREDSTASH_DEFAULT_TABLE", "from-the-variable")
    assert CredStashStore().table == "from-the-variable"
    assert CredStashStore(table="given").table == "given"


@pytest.mark.parametrize("context", [{"env": ""}, {"": "x"}, {"env": 5}, {5: "x"}, {"env": None}])
def test_a_context_that_kms_would_refuse_is_refused(context):
    with pytest.raises(SecretsError, match="is not a dict of non-empty strings") as caught:
        CredStashStore(context=context)
    assert "?context.env=production" in caught.value.hint


@pytest.mark.parametrize("digest", ["SHA1", "sha256", "", "BLAKE2"])
def test_a_digest_that_not_every_reader_knows_is_refused(digest):
    with pytest.raises(SecretsError, match="is not one of SHA, SHA224, SHA256, SHA384") as caught:
        CredStashStore(digest=digest)
    assert caught.value.hint.startswith("leave it out for SHA256")


def test_kms_may_live_in_another_region(store, account, aws):
    with CredStashStore(kms_region_name="us-east-1") as other:
        with pytest.raises(StoreNotReady, match="there is no KMS key"):
            other.put("A", "x")
        other.setup_key()
        other.put("A", "x")
        assert other.get("A").value == "x"
    # What KMS answers for a key that it does not have.
    with pytest.raises(AccessDenied) as caught:
        store.get("A")
    assert "kms_region_name is not the key's region" in caught.value.hint


def test_places_name_table_region_and_prefix(aws):
    store = CredStashStore(prefix="notes/")
    assert store.place == "CredStash table credential-store in the default region under notes/"
    with store:
        assert store.place == "CredStash table credential-store in ap-northeast-2 under notes/"
    assert store.place == "CredStash table credential-store in ap-northeast-2 under notes/"


def test_a_comment_is_listed_for_its_own_version_only(store):
    store.put_version("A", "x", comment="first")
    store.put("A", "y")
    comments = {entry.stages: entry.comment for entry in store.list_secrets()}
    assert comments == {(PREVIOUS,): "first", (CURRENT,): ""}


def test_listing_asks_neither_for_contents_nor_for_keys(store, aws):
    store.put("A", "x")
    bodies = []
    aws.faults.append(lambda operation, body: bodies.append((operation, body)))
    store.list_secrets()
    store.history("A")
    assert [operation for operation, _ in bodies] == ["Scan", "Query"]
    for _, body in bodies:
        assert set(body["ExpressionAttributeNames"].values()) == {"name", "version", "comment"}


def test_every_read_of_the_table_is_consistent(store, aws):
    """What was just written is what is read, also by another process."""
    store.put("A", "x")
    store.put("A", "y")
    bodies = []
    aws.faults.append(lambda operation, body: bodies.append((operation, body)))
    store.get("A")
    store.get("A", version="1")
    store.get("A", version=PREVIOUS)
    store.get_many(None)
    store.get_many(["A"])
    store.put("A", "z")
    store.list_secrets()
    store.history("A")
    store.delete("A")
    reads = [body for operation, body in bodies if operation in {"Query", "Scan", "GetItem"}]
    assert len(reads) == 11, "one more for the exact spelling of a version"
    assert all(body.get("ConsistentRead") for body in reads)


def test_a_name_that_was_deleted_meanwhile_is_left_out(store, aws, account):
    store.put_many({"A": "x", "B": "y"})
    item = account.item("B")
    key = {"name": item["name"], "version": item["version"]}

    def somebody_else() -> None:
        account.dynamodb.delete_item(TableName="credential-store", Key=key)

    interrupt(aws, "Query", somebody_else)
    found = store.get_many(["B"])
    assert found == {}
    with pytest.raises(SecretNotFound):
        store.get("B")
