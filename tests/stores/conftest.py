"""Every store, empty and ready, behind one fixture; and AWS as others see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import botocore.loaders
import botocore.session
import pytest

from django_kms_secrets import deadline
from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore

from ..server.embedded import REGION
from .kinds import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django_kms_secrets.backends.base import BaseStore

    from ..server.embedded import EmbeddedAWS


@pytest.fixture(scope="package", autouse=True)
def read_once() -> Iterator[None]:
    """botocore's descriptions of the services are read once, and not for every client."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda *_: loader)
        yield


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which store."""
    if request.param.remote:
        request.getfixturevalue("aws")
    return request.param


@pytest.fixture
def another(kind: Kind, tmp_path: Path) -> Callable[[], BaseStore]:
    """Makes another store on the same data, not opened."""
    return lambda: kind.make(tmp_path)


@pytest.fixture
def store(another: Callable[[], BaseStore]) -> Iterator[BaseStore]:
    """The store: set up, empty and open."""
    with another() as store:
        if isinstance(store, KeyedStore):
            store.setup_key()
        store.setup()
        yield store


# AWS, past our stores


class Account:
    """The account as other programs see it: plain boto3 clients, and what they do with them."""

    def __init__(self, endpoint: str) -> None:
        options = {
            "region_name": REGION,
            "endpoint_url": endpoint,
            "aws_access_key_id": "AKIAEMBEDDED",
            "aws_secret_access_key": "embedded",
        }
        self.dynamodb = boto3.client("dynamodb", **options)
        self.kms = boto3.client("kms", **options)
        self.secretsmanager = boto3.client("secretsmanager", **options)

    def items(self, table: str = "credential-store") -> list[dict[str, Any]]:
        """Every item of a table, by name and version."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table)
        items = [item for page in pages for item in page["Items"]]
        return sorted(items, key=lambda item: (item["name"]["S"], item["version"]["S"]))

    def item(self, name: str) -> dict[str, Any]:
        """The only item of a name."""
        (item,) = [item for item in self.items() if item["name"]["S"] == name]
        return item

    def put_item(self, item: dict[str, Any], **changes: Any) -> None:
        """Write an item with some attributes changed; None takes one out."""
        changed = {**item, **changes}
        kept = {name: typed for name, typed in changed.items() if typed is not None}
        self.dynamodb.put_item(TableName="credential-store", Item=kept)

    def close(self) -> None:
        for client in (self.dynamodb, self.kms, self.secretsmanager):
            client.close()


@pytest.fixture(scope="session")
def boto_clients(aws_server: EmbeddedAWS) -> Iterator[Account]:
    account = Account(aws_server.endpoint)
    yield account
    account.close()


@pytest.fixture
def account(aws: EmbeddedAWS, boto_clients: Account) -> Account:
    """The same account as `aws`, past our stores."""
    return boto_clients


@pytest.fixture
def credstash_store(aws: EmbeddedAWS) -> Iterator[CredStashStore]:
    """A CredStash store with the default options, set up and open."""
    with CredStashStore() as store:
        store.setup()
        store.setup_key()
        yield store


@pytest.fixture
def document(aws: EmbeddedAWS) -> Iterator[SecretsManagerStore]:
    """A Secrets Manager store of one document, set up and open."""
    with SecretsManagerStore(secret_id="notes/production") as store:
        store.setup()
        yield store


@pytest.fixture
def another_document() -> Callable[[], SecretsManagerStore]:
    """Makes another store of the same document, not opened."""
    return lambda: SecretsManagerStore(secret_id="notes/production")


@pytest.fixture
def named(aws: EmbeddedAWS) -> Iterator[SecretsManagerStore]:
    """A Secrets Manager store of one secret per name, open."""
    with SecretsManagerStore(prefix="notes/production/") as store:
        yield store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """botocore's pauses between its attempts, noted and not waited for."""
    pauses: list[float] = []

    class Clock:
        sleep = staticmethod(pauses.append)

    monkeypatch.setattr("botocore.endpoint.time", Clock)
    return pauses


class Clock:
    """Time as deadlines see it. It goes by, and more of it when a test says so; nobody pauses."""

    def __init__(self) -> None:
        self._more = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._more

    def sleep(self, _: float) -> None:
        pass

    def pass_by(self, seconds: float) -> None:
        """Let so many seconds be over."""
        self._more += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline, "time", clock)
    return clock
