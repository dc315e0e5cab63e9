"""credstash writes and we read; we write and credstash reads; each starts some 0.7 s of Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.envelope import DIGESTS
from django_kms_secrets.exceptions import (
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    StoreNotReady,
    VersionConflict,
)
from django_kms_secrets.types import CURRENT, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_kms_secrets.types import Secret

VALUES = {
    "plain": "hunter2",
    "empty": "",
    "blocks": "0123456789abcdef0123456789abcdef!",  # 33 bytes, three blocks of the counter
    "one_block": "0123456789abcdef",
    "unicode": "pässwörd-中文-🔑",
    "lines": "-----BEGIN KEY-----\nMIIE\r\n-----END KEY-----\n",
    "quotes": 'it\'s "quoted" \\ `so` $HOME',
    "spaces": "  both ends  ",
    "control": "\x01\x1f\x7f\t",
    "tree": '{"user": "app", "ports": [1, 2]}',
    "long": "x" * 100_000,
    "name/with.dots-and@more": "x",
}


def texts(secrets: Mapping[str, Secret]) -> dict[str, str]:
    return {name: secret.value for name, secret in secrets.items()}


# credstash writes, we read


def test_a_table_of_credstash_is_read_whole(store, credstash, tmp_path):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(VALUES))
    said = credstash("putall", f"@{path}").stdout
    assert said.splitlines() == [f"{name} has been stored" for name in VALUES]
    assert texts(store.get_many(None)) == VALUES
    assert texts(store.get_many([*VALUES, "missing"])) == VALUES
    assert store.get("plain").version == "0" * 19, "putall of credstash begins at 0"
    assert store.put("plain", "next").version == f"{1:019}"
    assert credstash("get", "plain").stdout == "next\n"


def test_every_digest_of_credstash_is_read(store, credstash):
    for digest in DIGESTS:
        credstash("put", digest, f"value of {digest}", "-d", digest)
    assert texts(store.get_many(None)) == {digest: f"value of {digest}" for digest in DIGESTS}


def test_versions_of_credstash_are_read_and_continued(store, credstash):
    credstash("put", "name", "five", "-v", "5", "-c", "a comment")
    credstash("put", "name", "-", "-a", stdin="six")
    assert store.get("name").value == "six"
    assert store.get("name", version=PREVIOUS).value == "five"
    for spelling in ("5", f"{5:019}"):
        assert store.get("name", version=spelling).value == "five"
    assert [(entry.version, entry.comment) for entry in store.history("name")] == [
        (f"{5:019}", "a comment"),
        (f"{6:019}", ""),
    ]
    assert store.put("name", "seven").version == f"{7:019}"
    assert credstash("get", "name").stdout == "seven\n"
    assert credstash("get", "name", "-v", "6").stdout == "six\n"
    credstash("put", "name", "eight", "-a")
    assert store.get("name").value == "eight"


def test_a_version_of_credstash_that_is_no_number_is_read_and_by_neither_continued(
    store, credstash
):
    credstash("put", "name", "hunter2", "-v", "abc")
    assert store.get("name").version == "abc".rjust(19, "0")
    assert store.get("name", version="abc").value == "hunter2"
    said = credstash("put", "name", "next", "-a", code=1).stderr
    assert "Can not autoincrement version. The current version: " in said
    with pytest.raises(VersionConflict, match="which is no number"):
        store.put("name", "next")


def test_a_context_of_credstash_is_needed_to_read(store, credstash):
    credstash("put", "name", "hunter2", "env=test", "app=notes")
    with CredStashStore(context={"app": "notes", "env": "test"}) as reader:
        assert reader.get("name").value == "hunter2"
        assert texts(reader.get_many(None)) == {"name": "hunter2"}
    for context in ({}, {"env": "test"}, {"env": "test", "app": "other"}):
        with CredStashStore(context=context) as reader:
            with pytest.raises(DecryptionError, match="KMS would not decrypt its data key"):
                reader.get_many(None)


def test_the_table_of_the_variable_is_the_one_of_credstash(credstash, monkeypatch):
    monkeypatch.setenv("CREDSTASH_DEFAULT_TABLE", "another-table")
    with CredStashStore() as store:
        store.setup_key()
        credstash("setup")
        credstash("put", "name", "hunter2")
        assert store.get("name").value == "hunter2"
        assert "another-table" in store.place


# We write, credstash reads


def test_our_table_is_read_whole_by_credstash(store, credstash):
    store.put_many(VALUES)
    store.put("plain", "changed")
    expected = VALUES | {"plain": "changed"}
    assert json.loads(credstash("getall", "-f", "json").stdout) == expected
    for name in ("blocks", "unicode", "lines", "empty"):
        read = credstash("get", "-n", name).stdout
        assert read == VALUES[name].replace("\r\n", "\n"), "text mode translates line ends"
    assert credstash("get", "plain", "-v", "1").stdout == "hunter2\n"


def test_every_digest_and_prefix_of_ours_is_read_by_credstash(store, credstash):
    for digest in DIGESTS:
        with CredStashStore(digest=digest, prefix="notes/") as writer:
            writer.put(digest, f"value of {digest}")
    assert json.loads(credstash("getall", "-f", "json").stdout) == {
        f"notes/{digest}": f"value of {digest}" for digest in DIGESTS
    }


def test_our_listing_is_that_of_credstash(store, credstash):
    store.put_version("b", "x", comment="a comment")
    store.put("b", "y")
    store.put_version("a", "z", version="41")
    listed = [line.split() for line in credstash("list").stdout.splitlines()]
    assert [(line[0], line[3], " ".join(line[6:])) for line in listed] == [
        (entry.name, entry.version, entry.comment) for entry in store.list_secrets()
    ]
    assert credstash("keys").stdout.split() == ["a", "b"]
    assert [entry.stages for entry in store.list_secrets()] == [
        (CURRENT,),
        (PREVIOUS,),
        (CURRENT,),
    ]


def test_a_context_of_ours_is_needed_by_credstash(store, credstash):
    with CredStashStore(context={"env": "test", "app": "notes"}) as writer:
        writer.put("name", "hunter2")
    assert credstash("get", "name", "app=notes", "env=test").stdout == "hunter2\n"
    said = credstash("get", "name", "env=other", code=1).stderr
    assert said.strip() == (
        "KMS ERROR: Could not decrypt hmac key with KMS. The encryption context provided may not "
        "match the one used when the credential was stored."
    )


def test_our_next_version_is_refused_to_credstash_and_its_to_us(store, credstash):
    """Versions are immutable for both."""
    store.put("name", "ours")
    said = credstash("put", "name", "theirs", code=1).stderr
    assert "ConditionalCheckFailedException" in said
    credstash("put", "name", "theirs", "-v", "2")
    with pytest.raises(VersionConflict, match="would not be the newest"):
        store.put_version("name", "ours", version="2")
    assert store.get("name").value == "theirs"


# Both


def test_each_serves_on_what_the_other_set_up(credstash):
    assert "Table has been created" in credstash("setup").stdout
    with CredStashStore() as store:
        store.setup_key()
        assert store.setup() is False
        store.put("name", "ours")
    assert credstash("get", "name").stdout == "ours\n"


def test_credstash_serves_on_what_we_set_up(store, credstash):
    assert credstash("setup").stdout.strip() == "Credential Store table already exists"
    credstash("put", "name", "theirs")
    assert store.get("name").value == "theirs"


def test_each_deletes_what_the_other_wrote(store, credstash):
    store.put_many({"name": "x", "other": "y"})
    store.put("name", "z")
    credstash("delete", "name")
    assert texts(store.get_many(None)) == {"other": "y"}
    with pytest.raises(SecretNotFound):
        store.get("name")
    credstash("put", "name", "theirs", "-a")
    store.delete("name")
    said = credstash("get", "name", code=1).stderr
    assert said.strip() == "Item {'name': 'name'} couldn't be found."


def test_tampering_is_noticed_by_both(store, credstash, aws):
    credstash("put", "theirs", "hunter2")
    store.put("ours", "hunter2")
    client = boto3.client("dynamodb")
    items = client.scan(TableName="credential-store")["Items"]
    contents = {item["name"]["S"]: item["contents"] for item in items}
    for item in items:
        other = "ours" if item["name"]["S"] == "theirs" else "theirs"
        item["contents"] = contents[other]
        client.put_item(TableName="credential-store", Item=item)
    client.close()
    for name in ("ours", "theirs"):
        said = credstash("get", name, code=1).stderr
        assert "INTEGRITY ERROR: Computed HMAC on %s does not match stored HMAC" in said
        with pytest.raises(SecretIntegrityError, match="the stored HMAC does not match") as caught:
            store.get(name)
        assert caught.value.names == (name,)


def test_a_missing_key_and_a_missing_version_are_errors_of_both(store, credstash):
    said = credstash("put", "name", "x", "-k", "alias/none", code=1).stderr
    assert "KMS ERROR: Could not generate key using KMS key alias/none" in said
    with (
        CredStashStore(key_id="alias/none") as other,
        pytest.raises(StoreNotReady, match="there is no KMS key alias/none"),
    ):
        other.put("name", "x")
    store.put("name", "x")
    said = credstash("get", "name", "-v", "99", code=1).stderr
    assert said.strip() == f"Item {{'name': 'name', 'version': '{99:019}'}} couldn't be found."
    with pytest.raises(SecretNotFound, match="name has no version 99 in "):
        store.get("name", version="99")
