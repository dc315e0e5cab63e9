"""The kinds of store that the contract is proved on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.base import BaseStore
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.file import FileStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore

from .light import light_credstash, light_secretsmanager
from .minimal import MinimalStore

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """One kind of store, and what it can do.

    Attributes:
        make: a new store on the data that belongs to a directory, not opened.
        remote: it talks to AWS, so it has a client.
        keeps_versions: an old value can be read.
        versions_change: a put gives another version id.
        forgets: after `delete` no old value can be read, even if the name comes back.
        takes_empty: an empty value can be stored.
        is_document: all names are versioned together.
        writes_whole: of many names that are written together all are, or none.
    """

    name: str
    make: Callable[[Path], BaseStore]
    remote: bool = False
    keeps_versions: bool = True
    versions_change: bool = True
    forgets: bool = True
    takes_empty: bool = True
    is_document: bool = False
    writes_whole: bool = True


def credstash(**options: Any) -> Callable[[Path], BaseStore]:
    return lambda _: CredStashStore(**options)


def secretsmanager(**options: Any) -> Callable[[Path], BaseStore]:
    return lambda _: SecretsManagerStore(**options)


def file(name: str) -> Kind:
    return Kind(
        f"file {name}",
        lambda directory: FileStore(path=directory / "store" / name),
        keeps_versions=False,
        versions_change=False,
    )


def document(name: str, make: Callable[[Path], BaseStore]) -> Kind:
    return Kind(name, make, remote=True, forgets=False, is_document=True)


#: The document of those that have one.
DOCUMENT = "notes/production"

KINDS = [
    Kind(
        "minimal",
        lambda directory: MinimalStore(name=str(directory)),
        keeps_versions=False,
        writes_whole=False,
    ),
    Kind("locmem", lambda directory: LocMemStore(name=str(directory)), writes_whole=False),
    file(".env"),
    file("secrets.json"),
    file("secrets.yaml"),
    Kind("credstash", credstash(), remote=True),
    Kind("credstash prefix", credstash(prefix="notes/"), remote=True),
    Kind("credstash context", credstash(context={"env": "test", "app": "notes"}), remote=True),
    document("credstash document", credstash(document=DOCUMENT)),
    document("secretsmanager document", secretsmanager(secret_id=DOCUMENT)),
    Kind(
        "secretsmanager prefix",
        secretsmanager(prefix="notes/production/"),
        remote=True,
        forgets=False,
        takes_empty=False,
        writes_whole=False,
    ),
]


#: Their values are read without boto3. It is enough to prove what reads are.
LIGHT_KINDS = [
    Kind(
        "credstash light",
        lambda _: light_credstash(prefix="notes/", context={"env": "test"}),
        remote=True,
    ),
    document(
        "credstash document light",
        lambda _: light_credstash(document=DOCUMENT, bind_to_name=True, context={"env": "test"}),
    ),
    document("secretsmanager document light", lambda _: light_secretsmanager(secret_id=DOCUMENT)),
    Kind(
        "secretsmanager prefix light",
        lambda _: light_secretsmanager(prefix="notes/production/"),
        remote=True,
        forgets=False,
        takes_empty=False,
    ),
]


def only(wanted: Callable[[Kind], bool]) -> pytest.MarkDecorator:
    """Prove something on some of the kinds."""
    kinds = [kind for kind in KINDS if wanted(kind)]
    return pytest.mark.parametrize("kind", kinds, indirect=True, ids=lambda kind: kind.name)


def of_reads() -> pytest.MarkDecorator:
    """Prove something on all kinds, and on those that read without boto3."""
    kinds = [*KINDS, *LIGHT_KINDS]
    return pytest.mark.parametrize("kind", kinds, indirect=True, ids=lambda kind: kind.name)
