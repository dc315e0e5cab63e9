"""The real credstash 1.17.1 command is the referee of its format, in both directions."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import boto3
import pytest

from django_kms_secrets import DecryptionError, SecretIntegrityError, SecretNotFound
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.envelope import DIGESTS

SCRIPT = Path(sys.executable).parent / "credstash"

#: What breaks other writers: other alphabets, more than one block of the cipher, quotes, line ends.
VALUES = {
    "plain": "hunter2",
    "empty": "",
    "blocks": "0123456789abcdef0123456789abcdef!",
    "unicode": "pässwörd-中文-🔑",
    "quotes": 'it\'s a "quote" and a \\backslash\\ and $HOME `id`',
    "lines": "-----BEGIN KEY-----\nabc\r\n\tdef\n-----END KEY-----\n",
    "tree": '{"database": {"password": "x", "port": 5432}}',
    "dotted.name/with-signs": "x" * 5000,
}


@pytest.fixture
def credstash(aws, tmp_path):
    """Run the referee in an empty directory; gives its finished process."""
    directory = tmp_path / "referee"
    directory.mkdir()

    def run(*arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            cwd=directory,
            input=stdin.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr.decode()
        return done

    return run


@pytest.fixture
def store(aws):
    with CredStashStore() as opened:
        opened.setup_key()
        opened.setup()
        yield opened


def with_options(store: CredStashStore, **options) -> CredStashStore:
    other = CredStashStore(**options)
    other.open()
    return other


def test_it_is_the_release_that_the_format_is_described_of():
    assert metadata.version("credstash") == "1.17.1"


def test_a_table_that_it_set_up_is_served_by_us(aws, credstash):
    assert b"Table has been created" in credstash("setup").stdout
    with CredStashStore() as store:
        assert store.setup() is False
        store.setup_key()
        credstash("put", "KEY", "-", stdin="value")
        assert store.get("KEY").value == "value"


def test_a_table_that_we_set_up_is_served_by_it(store, credstash):
    assert b"already exists" in credstash("setup").stdout
    credstash("put", "KEY", "-", stdin="value")
    assert credstash("get", "-n", "KEY").stdout == b"value"


def test_what_it_writes_we_read(store, credstash, tmp_path):
    """Every value to the character, one at a time and all at once."""
    source = tmp_path / "values.json"
    source.write_text(json.dumps(VALUES), "utf-8")
    credstash("putall", f"@{source}", "-v", "1")
    assert {name: store.get(name).value for name in VALUES} == VALUES
    assert {name: read.value for name, read in store.get_many(None).items()} == VALUES
    assert {name: read.value for name, read in store.get_many(VALUES).items()} == VALUES


def test_what_we_write_it_reads(store, credstash):
    """Every value to the character, one at a time and all at once."""
    store.put_many(VALUES)
    assert json.loads(credstash("getall", "-f", "json").stdout) == VALUES
    for name in ("unicode", "lines", "empty"):
        assert credstash("get", "-n", name).stdout.decode() == VALUES[name]


@pytest.mark.parametrize("digest", DIGESTS)
def test_every_digest_in_both_directions(store, credstash, digest):
    credstash("put", "theirs", "-", "-d", digest, stdin=VALUES["unicode"])
    assert store.get("theirs").value == VALUES["unicode"]
    ours = with_options(store, digest=digest)
    ours.put("ours", VALUES["unicode"])
    ours.close()
    assert credstash("get", "-n", "ours").stdout.decode() == VALUES["unicode"]


def test_encryption_contexts_in_both_directions(store, credstash):
    """With the same context both read it; with another one, or none, both refuse."""
    bound = with_options(store, context={"env": "production", "app": "notes"})
    credstash("put", "theirs", "-", "app=notes", "env=production", stdin="value")
    bound.put("ours", "value")
    assert bound.get("theirs").value == "value"
    same = ("env=production", "app=notes")
    assert credstash("get", "-n", "ours", *same).stdout == b"value"
    for name in ("ours", "theirs"):
        with pytest.raises(DecryptionError, match="KMS would not decrypt"):
            store.get(name)
        refused = credstash("get", name, code=1)
        assert b"encryption context provided may not match" in refused.stderr
    bound.close()


def test_versions_in_both_directions(store, credstash):
    credstash("put", "KEY", "-", stdin="one")
    assert store.put("KEY", "two").version == "0000000000000000002"
    credstash("put", "-a", "KEY", "-", stdin="three")
    store.put_version("KEY", "seven", version="7")
    for version, value in (("1", "one"), ("2", "two"), ("3", "three"), ("7", "seven")):
        assert store.get("KEY", version=version).value == value
        assert credstash("get", "-n", "KEY", "-v", version).stdout.decode() == value
    assert store.get("KEY").value == "seven"
    assert store.get("KEY", version="PREVIOUS").value == "three"
    assert credstash("get", "-n", "KEY").stdout == b"seven"
    listed = [line.split()[3].decode() for line in credstash("list").stdout.splitlines()]
    assert listed == [entry.version for entry in store.list_secrets()]


def test_both_refuse_a_version_that_exists(store, credstash):
    """Theirs says it in DynamoDB's words, ours in our own; neither overwrites."""
    store.put("KEY", "one")
    refused = credstash("put", "KEY", "-", "-v", "1", stdin="other", code=1)
    assert b"ConditionalCheckFailedException" in refused.stderr
    assert store.get("KEY").value == "one"


def test_comments_and_names_are_listed_by_both(store, credstash):
    credstash("put", "theirs", "-", "-c", "their note", stdin="value")
    store.put_version("ours", "value", comment="our note")
    assert credstash("keys").stdout.split() == [b"ours", b"theirs"]
    assert b"our note" in credstash("list").stdout
    assert {entry.name: entry.comment for entry in store.list_secrets()} == {
        "ours": "our note",
        "theirs": "their note",
    }


def test_deletions_are_seen_by_both(store, credstash):
    store.put_many({"ours": "1", "theirs": "1"})
    credstash("delete", "theirs")
    store.delete("ours")
    for name in ("ours", "theirs"):
        with pytest.raises(SecretNotFound):
            store.get(name)
        missing = credstash("get", name, code=1)
        assert f"Item {{'name': '{name}'}} couldn't be found." in missing.stderr.decode()


@pytest.mark.parametrize("writer", ["theirs", "ours"])
@pytest.mark.parametrize("attribute", ["contents", "hmac", "digest"])
def test_both_notice_a_record_that_was_changed(store, credstash, writer, attribute):
    if writer == "theirs":
        credstash("put", "KEY", "-", stdin="value")
    else:
        store.put("KEY", "value")
    table = boto3.resource("dynamodb").Table("credential-store")
    item = table.scan()["Items"][0]
    changed = {"contents": "AAAAAAA=", "hmac": b"00" * 32, "digest": "SHA512"}
    table.put_item(Item={**item, attribute: changed[attribute]})
    with pytest.raises(SecretIntegrityError, match="KEY version 0000000000000000001") as caught:
        store.get("KEY")
    assert caught.value.names == ("KEY",)
    assert b"INTEGRITY ERROR" in credstash("get", "KEY", code=1).stderr


def test_a_record_is_of_the_same_shape_whoever_wrote_it(store, credstash):
    """The same attributes with the same types: every port of credstash reads ours as well."""
    credstash("put", "theirs", "-", "-c", "note", stdin="value")
    store.put_version("ours", "value", comment="note")
    client = boto3.client("dynamodb")
    shapes = {
        item["name"]["S"]: {
            attribute: (next(iter(typed)), len(next(iter(typed.values()))))
            for attribute, typed in item.items()
            if attribute not in ("name", "key")
        }
        for item in client.scan(TableName="credential-store")["Items"]
    }
    assert shapes["ours"] == shapes["theirs"]
