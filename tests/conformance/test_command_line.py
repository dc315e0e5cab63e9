"""credstash writes and we read; we write and credstash reads.

Each call of it starts some 0.7 s of Python, so a test asks for much at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
    "one_block": "0123456789abcdef",
    "blocks": "0123456789abcdef0123456789abcdef!",  # 33 bytes, three blocks of the counter
    "unicode": "pässwörd-中文-🔑",
    "lines": "-----BEGIN KEY-----\nMIIE\r\n\tMIIE\n-----END KEY-----\n",
    "quotes": 'it\'s "quoted" \\ `so` $HOME',
    "spaces": "  both ends  ",
    "control": "\x00\x01\x1f\x7f\x85\u2028\ufeff",
    "tree": '{"user": "app", "ports": [1, 2]}',
    "loose_tree": '{"user":"app"}',
    "long": "é" * 50_000,
    "name with spaces, and @ks/of.all=sorts": "x",
}


def texts(secrets: Mapping[str, Secret]) -> dict[str, str]:
    return {name: secret.value for name, secret in secrets.items()}


# Values


def test_what_credstash_writes_we_read(store, credstash, tmp_path):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(VALUES))
    said = credstash("putall", f"@{path}").stdout.decode()
    assert said.splitlines() == [f"{name} has been stored" for name in VALUES]
    assert texts(store.get_many(None)) == VALUES
    assert texts(store.get_many([*VALUES, "missing"])) == VALUES
    assert {name: store.get(name).value for name in VALUES} == VALUES


def test_what_we_write_credstash_reads(store, credstash):
    store.put_many(VALUES)
    store.put("plain", "changed")
    assert json.loads(credstash("getall", "-f", "json").stdout) == VALUES | {"plain": "changed"}
    for name in ("blocks", "unicode", "lines", "empty"):
        assert credstash("get", "-n", name).stdout.decode() == VALUES[name]


def test_every_digest_is_read_by_the_other(store, credstash):
    expected = {}
    for digest in DIGESTS:
        credstash("put", f"theirs {digest}", digest, "-d", digest)
        with CredStashStore(digest=digest) as writer:
            writer.put(f"ours {digest}", digest)
        expected |= {f"theirs {digest}": digest, f"ours {digest}": digest}
    assert texts(store.get_many(None)) == expected
    assert json.loads(credstash("getall", "-f", "json").stdout) == expected


def test_a_record_has_the_same_shape_whoever_wrote_it(store, credstash, items):
    """The same attributes, types and lengths: every port of credstash reads ours as well."""
    credstash("put", "theirs", "hunter2", "-c", "a note")
    store.put_version("ours", "hunter2", comment="a note")
    shapes = {
        name: {
            attribute: (kind, len(value) if attribute != "key" else 0)
            for attribute, typed in item.items()
            if attribute != "name"
            for kind, value in typed.items()
        }
        for name, item in items.all().items()
    }
    assert shapes["ours"] == shapes["theirs"]
    assert set(shapes["ours"]) == {"version", "key", "contents", "hmac", "digest", "comment"}


# Versions


def test_versions_are_counted_on_by_the_other(store, credstash):
    credstash("put", "name", "five", "-v", "5", "-c", "a comment")
    credstash("put", "name", "-", "-a", stdin="six")
    assert store.put("name", "seven").version == f"{7:019}"
    credstash("put", "name", "eight", "-a")
    store.put_version("name", "twenty", version="20")
    for version, value in (("5", "five"), ("6", "six"), ("7", "seven"), ("20", "twenty")):
        assert store.get("name", version=version).value == value
        assert store.get("name", version=f"{int(version):019}").value == value
    assert credstash("get", "name", "-v", "7").stdout == b"seven\n"
    assert store.get("name").value == "twenty"
    assert store.get("name", version=PREVIOUS).value == "eight"
    assert credstash("get", "name").stdout == b"twenty\n"
    assert [(entry.version, entry.stages, entry.comment) for entry in store.history("name")] == [
        (f"{5:019}", (), "a comment"),
        (f"{6:019}", (), ""),
        (f"{7:019}", (), ""),
        (f"{8:019}", (PREVIOUS,), ""),
        (f"{20:019}", (CURRENT,), ""),
    ]


def test_a_version_zero_of_putall_is_continued(store, credstash):
    """putall of credstash numbers from 0, whatever its help says."""
    credstash("putall", '{"name": "zero"}')
    assert store.get("name").version == "0" * 19
    assert store.get("name", version="0").value == "zero"
    assert store.put("name", "one").version == f"{1:019}"
    assert credstash("get", "name").stdout == b"one\n"


def test_a_version_that_is_no_number_is_read_and_by_neither_continued(store, credstash):
    credstash("put", "name", "hunter2", "-v", "abc")
    assert store.get("name").version == "abc".rjust(19, "0")
    assert store.get("name", version="abc").value == "hunter2"
    said = credstash("put", "name", "next", "-a", code=1).stderr
    assert b"Can not autoincrement version. The current version: " in said
    with pytest.raises(VersionConflict, match="which is no number"):
        store.put("name", "next")


def test_a_version_of_the_other_is_never_overwritten(store, credstash):
    """Versions are immutable for both; credstash says it in DynamoDB's words."""
    store.put("name", "ours")
    said = credstash("put", "name", "theirs", "-v", "1", code=1).stderr
    assert b"ConditionalCheckFailedException" in said
    credstash("put", "name", "theirs", "-v", "2")
    for version in ("1", "2"):
        with pytest.raises(VersionConflict, match="would not be the newest"):
            store.put_version("name", "ours", version=version)
    assert store.get("name").value == "theirs"


# Contexts, keys, names


def test_a_context_is_needed_to_read_what_the_other_wrote(store, credstash):
    credstash("put", "theirs", "hunter2", "env=test", "app=notes")
    with CredStashStore(context={"app": "notes", "env": "test"}) as bound:
        bound.put("ours", "hunter3")
        assert texts(bound.get_many(None)) == {"theirs": "hunter2", "ours": "hunter3"}
    assert credstash("get", "ours", "app=notes", "env=test").stdout == b"hunter3\n"
    said = credstash("get", "ours", "env=other", code=1).stderr
    assert said.decode().strip() == (
        "KMS ERROR: Could not decrypt hmac key with KMS. The encryption context provided may not "
        "match the one used when the credential was stored."
    )
    for context in ({}, {"env": "test"}, {"env": "test", "app": "other"}):
        with (
            CredStashStore(context=context) as reader,
            pytest.raises(DecryptionError, match=r"2 secrets of .* cannot be opened") as caught,
        ):
            reader.get_many(None)
        assert caught.value.names == ("ours", "theirs")


def test_a_missing_key_and_a_missing_version_are_errors_of_both(store, credstash):
    said = credstash("put", "name", "x", "-k", "alias/none", code=1).stderr
    assert b"KMS ERROR: Could not generate key using KMS key alias/none" in said
    with (
        CredStashStore(key_id="alias/none") as other,
        pytest.raises(StoreNotReady, match="there is no KMS key alias/none"),
    ):
        other.put("name", "x")
    store.put("name", "x")
    said = credstash("get", "name", "-v", "99", code=1).stderr.decode()
    assert said.strip() == f"Item {{'name': 'name', 'version': '{99:019}'}} couldn't be found."
    with pytest.raises(SecretNotFound, match="name has no version 99 in "):
        store.get("name", version="99")


def test_both_list_the_same_and_a_prefix_of_ours_is_part_of_the_name(store, credstash):
    with CredStashStore(prefix="notes/") as ours:
        ours.put("name", "x")
        ours.put_version("name", "y", version="41", comment="a comment")
        credstash("put", "notes/theirs", "z", "-c", "another comment")
        credstash("put", "elsewhere", "x")
        assert texts(ours.get_many(None)) == {"name": "y", "theirs": "z"}
    listed = [line.split() for line in credstash("list").stdout.decode().splitlines()]
    assert [(line[0], line[3], " ".join(line[6:])) for line in listed] == [
        (entry.name, entry.version, entry.comment) for entry in store.list_secrets()
    ]
    assert credstash("keys").stdout.split() == [b"elsewhere", b"notes/name", b"notes/theirs"]


def test_deletions_are_seen_by_the_other(store, credstash):
    store.put_many({"theirs": "x", "ours": "y"})
    store.put("theirs", "z")
    credstash("delete", "theirs")
    assert texts(store.get_many(None)) == {"ours": "y"}
    store.delete("ours")
    said = credstash("get", "ours", code=1).stderr.decode()
    assert said.strip() == "Item {'name': 'ours'} couldn't be found."
    credstash("put", "theirs", "again", "-a")
    assert store.get("theirs").version == f"{1:019}"


# Setting up


def test_a_table_that_credstash_set_up_is_served_by_us(credstash):
    assert b"Table has been created" in credstash("setup").stdout
    with CredStashStore() as store:
        store.setup_key()
        assert store.setup() is False
        store.put("name", "ours")
        assert texts(store.get_many(None)) == {"name": "ours"}
    assert credstash("get", "name").stdout == b"ours\n"


def test_a_table_that_we_set_up_is_served_by_credstash(credstash, monkeypatch):
    """Here under the name in the variable that both know."""
    monkeypatch.setenv("CREDSTASH_DEFAULT_TABLE", "another-table")
    with CredStashStore() as store:
        assert store.setup() is True
        store.setup_key()
        said = credstash("setup").stdout.decode()
        assert said.strip() == "Credential Store table already exists"
        credstash("put", "name", "theirs")
        assert store.get("name").value == "theirs"
        assert "another-table" in store.place


# Tampering


def test_a_record_that_was_changed_is_noticed_by_both(store, credstash, items):
    credstash("put", "theirs", "hunter2")
    store.put_many({"ours": "hunter2", "other": "hunter3"})
    other = items.all()["other"]
    changes: dict[str, dict[str, Any]] = {
        "theirs": {"contents": other["contents"]},
        "ours": {"contents": other["contents"], "hmac": other["hmac"]},
    }
    for name, change in changes.items():
        items.put({**items.all()[name], **change})
        said = credstash("get", name, code=1).stderr.decode()
        assert said.strip() == "INTEGRITY ERROR: Computed HMAC on %s does not match stored HMAC"
        with pytest.raises(SecretIntegrityError, match="the stored HMAC does not match") as caught:
            store.get(name)
        assert caught.value.names == (name,)
    assert credstash("get", "other").stdout == b"hunter3\n"
    assert store.get("other").value == "hunter3"


def test_a_changed_tag_and_a_changed_digest_are_noticed_by_both(store, credstash, items):
    store.put("name", "hunter2")
    item = items.all()["name"]
    for change in ({"hmac": {"B": b"00" * 32}}, {"digest": {"S": "SHA512"}}):
        items.put({**item, **change})
        assert b"INTEGRITY ERROR" in credstash("get", "name", code=1).stderr
        with pytest.raises(SecretIntegrityError):
            store.get("name")
