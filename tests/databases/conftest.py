"""The servers, and a secret in an embedded AWS for each test."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

from django_kms_secrets import load
from django_kms_secrets.config import read_config

from .servers import MariaDB, PostgreSQL, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_kms_secrets import Secrets
    from tests.server.embedded import EmbeddedAWS

NAME = "DATABASE"
DOCUMENT = "secretsmanager:///notes/production"
PREFIX = "secretsmanager://?prefix=notes/production/"
CREDSTASH = "credstash://credential-store"


@pytest.fixture(scope="session", autouse=True)
def configured() -> None:
    """Django has settings, but for databases: each test makes its own."""
    settings.configure(SECRET_KEY="unused", USE_TZ=True, INSTALLED_APPS=["django_kms_secrets"])
    django.setup()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    server = PostgreSQL()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    server = MariaDB()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of them in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@dataclass
class Store:
    """A store in the embedded AWS, and the secrets that a process would have loaded from it.

    Attributes:
        url: what ``KMS_SECRETS_URL`` would be.
    """

    url: str

    def __post_init__(self) -> None:
        with self.opened() as store:
            if hasattr(store, "setup_key"):
                store.setup_key()
            store.setup()

    def opened(self) -> Any:
        """The store itself, to be opened with ``with``."""
        return read_config(self.url).make_store()

    def put(self, value: str, name: str = NAME) -> None:
        with self.opened() as store:
            store.put(name, value)

    def stage(self, value: str, name: str = NAME) -> None:
        with self.opened() as store:
            store.stage(name, value)

    def promote(self, name: str = NAME) -> None:
        with self.opened() as store:
            store.promote(name)

    def load(self) -> Secrets:
        return load(self.url)


@pytest.fixture
def store(aws: EmbeddedAWS) -> Store:
    """A CredStash table."""
    return Store(CREDSTASH)


@contextlib.contextmanager
def connections_of(**entries: dict[str, Any]) -> Iterator[Any]:
    """What ``django.db.connections`` would be with these DATABASES; closed at the end."""
    entries.setdefault("default", {})
    handler = ConnectionHandler(entries)
    try:
        yield handler
    finally:
        for alias in entries:
            connection = handler[alias]
            connection.close()
            if hasattr(connection, "close_pool"):
                connection.close_pool()


def ask(connection: Any) -> Any:
    """Run a query; gives the role that it ran as."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0].partition("@")[0]
