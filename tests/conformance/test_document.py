"""A document is one credential for credstash, which writes and reads it like any other.

Each call of it starts some 0.7 s of Python, so a test asks for much at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django_kms_secrets.types import Secret

NAME = "notes/production"
VALUES = {"A": "hunter2", "B": "pässwörd-中文-🔑\n", "database": {"user": "app", "ports": [1, 2.5]}}


@pytest.fixture
def document(store: CredStashStore) -> Iterator[CredStashStore]:
    """Our document in the table; there is none yet."""
    with CredStashStore(document=NAME, timeout=60) as document:
        yield document


def texts(secrets: Mapping[str, Secret]) -> dict[str, Any]:
    return {name: str(secret.value) for name, secret in secrets.items()}


def test_what_we_write_credstash_reads_as_one_credential(document, store, credstash):
    """`get` prints the JSON, `list` and `keys` see one name, `getall` one value."""
    document.setup()
    store.put("OTHER", "x")
    document.put_many({**VALUES, "database": json.dumps(VALUES["database"])})
    assert json.loads(credstash("get", NAME).stdout) == VALUES
    found = json.loads(credstash("getall", "-f", "json").stdout)
    assert {**found, NAME: json.loads(found[NAME])} == {"OTHER": "x", NAME: VALUES}
    assert sorted(credstash("keys").stdout.decode().split()) == ["OTHER", NAME]
    listed = credstash("list").stdout.decode()
    assert listed.count(NAME) == 2  # one line for each version
    assert json.loads(credstash("get", NAME, "-v", "1").stdout) == {}


def test_what_credstash_writes_we_read(document, credstash, tmp_path):
    """`put NAME @FILE` makes a document, and another version of one."""
    path = tmp_path / "values.json"
    path.write_text(json.dumps(VALUES))
    credstash("put", NAME, f"@{path}")
    assert texts(document.get_many(None)) == {
        **VALUES,
        "database": '{"user": "app", "ports": [1, 2.5]}',
    }
    assert document.get("database.user").value == "app"
    version = document.put("A", "ours").version
    path.write_text(json.dumps({"A": "theirs"}, indent=2) + "\n")
    credstash("put", NAME, f"@{path}", "-a")
    assert texts(document.get_many(None)) == {"A": "theirs"}
    assert texts(document.get_stages("A")) == {CURRENT: "theirs", PREVIOUS: "ours"}
    assert document.rollback("A", version).version == f"{4:019}"
    assert json.loads(credstash("get", NAME).stdout) == {
        "A": "ours",
        "django-kms-secrets": {"PREVIOUS": {"A": "theirs"}},
    }


def test_what_credstash_stages_is_pending(document, credstash, tmp_path):
    """A document that it writes as version -1 is pending for the names in it."""
    document.setup()
    document.put("KEY", "one")
    path = tmp_path / "values.json"
    path.write_text('{"KEY": "two"}')
    credstash("put", NAME, f"@{path}", "-v", "-1")
    assert texts(document.get_stages("KEY")) == {PENDING: "two", CURRENT: "one"}
    document.unstage("KEY")
    document.stage("KEY", "three")
    assert json.loads(credstash("get", NAME).stdout) == {
        "KEY": "one",
        "django-kms-secrets": {"PENDING": {"KEY": "three"}},
    }


def test_contexts_are_credstashs_own(store, credstash):
    """With an encryption context both have to give it."""
    with CredStashStore(document=NAME, context={"env": "live"}) as document:
        document.setup()
        document.put("A", "1")
    assert json.loads(credstash("get", NAME, "env=live").stdout) == {"A": "1"}
    credstash("get", NAME, code=1)
    bound = CredStashStore(document="bound", bind_to_name=True)
    with bound:
        bound.setup()
    assert credstash("get", "bound", "name=bound", f"version={1:019}").stdout == b"{}\n"
