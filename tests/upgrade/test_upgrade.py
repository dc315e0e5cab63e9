"""What a release has written, and what was written for it, every later one reads.

Nothing here is changed when a test fails: it is what people have in their tables and settings.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from django_kms_secrets import envelope, formats
from django_kms_secrets.backends.contents import Contents
from django_kms_secrets.config import read_config
from django_kms_secrets.types import PENDING, PREVIOUS

from .surface import surface

HERE = Path(__file__).parent
SURFACES = sorted(HERE.glob("surface-*.json"))
STORED = HERE / "stored"
VALUES = {"SECRET_KEY": "pässwörd-🔑 $x", "LINES": "one\ntwo", "site": {"port": 1, "on": True}}


@pytest.mark.parametrize("path", SURFACES, ids=lambda path: path.stem)
def test_nothing_that_users_write_is_taken_away(path: Path) -> None:
    """There may be more of everything, and there must not be less."""
    now = surface()
    released = json.loads(path.read_text("utf-8"))
    gone = {
        kind: sorted(set(names) - set(now.get(kind, ())))
        for kind, names in released.items()
        if set(names) - set(now.get(kind, ()))
    }
    assert released
    assert gone == {}


def test_something_of_every_kind_is_kept() -> None:
    """No kind of names is empty, which would promise nothing, and look as if it did."""
    assert [kind for kind, names in surface().items() if not names] == []


@pytest.mark.parametrize("record", json.loads((STORED / "records.json").read_text("utf-8")))
def test_a_record_of_a_table_is_opened(record: dict[str, str]) -> None:
    """A CredStash record, with the data key that KMS gave for it."""
    item = {name: record[name] for name in ("key", "contents", "hmac", "digest")}
    data_key = bytes.fromhex(record["data_key"])
    assert envelope.unseal(envelope.decode(item), data_key=data_key).decode() == record["value"]


def test_a_document_is_read() -> None:
    """The document of a table or of Secrets Manager: values, and what is pending and previous."""
    read = Contents.parse((STORED / "document.json").read_text("utf-8"), "v1")
    assert read is not None
    assert read.values == VALUES
    assert not read.foreign
    staged = [read.secret_at("SECRET_KEY", stage, None) for stage in (PENDING, PREVIOUS)]
    assert [secret and secret.value for secret in staged] == ["next", "former"]


@pytest.mark.parametrize("name", ["values.json", "values.yaml", "values.env"])
def test_a_file_is_read(name: str) -> None:
    """What `getall -o` has written, and a FileStore reads."""
    read = formats.parse((STORED / name).read_text("utf-8"), formats.format_of(name))
    site = json.loads(read.pop("site"))
    assert {**read, "site": site} == VALUES


CREDSTASH = "django_kms_secrets.backends.credstash.CredStashStore"
CONFIGURATIONS = [
    ("credstash://", CREDSTASH, {}),
    (
        "credstash://t?region_name=eu-west-1&context.env=prod&bind_to_name=true&names=A,B",
        CREDSTASH,
        {
            "table": "t",
            "region_name": "eu-west-1",
            "context": {"env": "prod"},
            "bind_to_name": "true",
        },
    ),
    ("credstash://?document=site/all", CREDSTASH, {"document": "site/all"}),
    (
        "secretsmanager:///site/all",
        "django_kms_secrets.backends.secretsmanager.SecretsManagerStore",
        {"secret_id": "site/all"},
    ),
    (
        "secretsmanager://?prefix=site/",
        "django_kms_secrets.backends.secretsmanager.SecretsManagerStore",
        {"prefix": "site/"},
    ),
    (
        "file:///srv/secrets.env",
        "django_kms_secrets.backends.file.FileStore",
        {"path": "/srv/secrets.env"},
    ),
    ("locmem://other", "django_kms_secrets.backends.locmem.LocMemStore", {"name": "other"}),
]


@pytest.mark.parametrize(("url", "backend", "options"), CONFIGURATIONS)
def test_a_configuration_means_the_same(
    url: str, backend: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL, the same in the environment, and the dict that it stands for."""
    monkeypatch.setenv("KMS_SECRETS_URL", url)
    names = ["A", "B"] if "names=" in url else None
    written = {"BACKEND": backend, "OPTIONS": options} | ({"NAMES": names} if names else {})
    read = [read_config(source) for source in (url, None, written)]
    assert len({each.store_class for each in read}) == 1
    assert all(each.options == options for each in read)
    assert all(each.names == (("A", "B") if names else None) for each in read)
    assert all(each.make_store() for each in read)
