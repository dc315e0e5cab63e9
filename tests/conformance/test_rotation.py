"""What this package adds to the format, as credstash itself sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.exceptions import DecryptionError, VersionConflict
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from django_kms_secrets.backends.base import BaseStore


def stages(store: BaseStore, name: str = "name") -> dict[str, str]:
    return {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}


# A pending value is version -1


def test_a_pending_value_is_not_what_credstash_reads_unless_asked(store, credstash):
    store.put("name", "one")
    store.put("other", "x")
    store.stage("name", "pending")
    assert credstash("get", "name").stdout == b"one\n"
    assert credstash("get", "name", "-v", "-1").stdout == b"pending\n"
    assert json.loads(credstash("getall", "-f", "json").stdout) == {"name": "one", "other": "x"}
    assert credstash("keys").stdout.split() == [b"name", b"other"]
    listed = [line.split()[0] for line in credstash("list").stdout.decode().splitlines()]
    assert sorted(listed) == ["name", "name", "other"]


def test_credstash_goes_on_writing_while_a_value_is_pending(store, credstash):
    """…and its write is what a promotion then takes the place of."""
    store.put("name", "one")
    store.stage("name", "pending")
    credstash("put", "name", "two", "-a")
    credstash("put", "name", "five", "-v", "5")
    assert stages(store) == {PENDING: "pending", CURRENT: "five", PREVIOUS: "two"}
    assert store.promote("name").version == f"{6:019}"
    assert credstash("get", "name").stdout == b"pending\n"
    assert credstash("get", "name", "-v", "-1", code=1).stdout == b""
    credstash("put", "name", "seven", "-a")
    assert stages(store) == {CURRENT: "seven", PREVIOUS: "pending"}


def test_credstash_deletes_a_pending_value_with_its_name(store, credstash, items):
    store.put("name", "one")
    store.stage("name", "pending")
    credstash("delete", "name")
    assert items.all() == {}


def test_a_pending_value_that_credstash_staged_is_one_for_us(store, credstash):
    store.put("name", "one")
    credstash("put", "name", "theirs", "-v", "-1")
    assert stages(store) == {PENDING: "theirs", CURRENT: "one"}
    with pytest.raises(VersionConflict):
        store.stage("name", "ours")
    store.promote("name")
    assert stages(store) == {CURRENT: "theirs", PREVIOUS: "one"}


# Re-encryption


def test_what_is_re_encrypted_credstash_reads(store, credstash):
    """And what credstash wrote is re-encrypted: key, stages and numbers are the same for both."""
    credstash("put", "name", "one", "-c", "a comment")
    credstash("put", "name", "two", "-a")
    credstash("put", "number", "7", "-v", "41")
    store.stage("name", "pending")
    before = stages(store)
    with CredStashStore(key_id="alias/new", timeout=60) as target:
        target.setup_key()
        target.reencrypt(target.to_reencrypt(), lambda *_: None)
    assert stages(store) == before
    assert json.loads(credstash("getall", "-f", "json").stdout) == {"name": "two", "number": "7"}
    assert credstash("get", "name", "-v", "3").stdout == b"one\n"
    assert credstash("get", "name", "-v", "-1").stdout == b"pending\n"
    listed = [line.split() for line in credstash("list").stdout.decode().splitlines()]
    assert ("name", f"{3:019}", "a comment") in [
        (line[0], line[3], " ".join(line[6:])) for line in listed
    ]
    credstash("put", "number", "8", "-a")
    assert stages(store, "number") == {CURRENT: "8", PREVIOUS: "7"}


def test_under_another_context_credstash_reads_with_it(store, credstash):
    credstash("put", "name", "hunter2")
    with CredStashStore(context={"env": "test"}, former_context={}, timeout=60) as target:
        target.reencrypt(["name"], lambda *_: None)
    assert credstash("get", "name", "env=test").stdout == b"hunter2\n"
    assert b"KMS ERROR" in credstash("get", "name", code=1).stderr


# Records bound to their name


def test_a_bound_record_credstash_reads_when_it_is_told_name_and_version(store, credstash):
    with CredStashStore(context={"env": "test"}, bind_to_name=True, timeout=60) as bound:
        bound.put("name", "hunter2")
        bound.stage("name", "pending")
    own = ("env=test", "name=name")
    version = f"version={1:019}"
    assert credstash("get", "name", *own, version).stdout == b"hunter2\n"
    pending = (*own, "version=00000000000000000-1")
    assert credstash("get", "name", *pending, "-v", "-1").stdout == b"pending\n"
    for context in ((), ("env=test",), own, (*own, "version=1")):
        assert b"KMS ERROR" in credstash("get", "name", *context, code=1).stderr


def test_what_credstash_writes_bound_we_read_as_bound(store, credstash):
    credstash("put", "name", "hunter2", "name=name", f"version={7:019}", "-v", "7")
    with CredStashStore(bind_to_name=True, timeout=60) as bound:
        assert bound.get("name").value == "hunter2"
    with pytest.raises(DecryptionError):
        store.get("name")
