"""Two hosts, a store with their key, and people who are logged in."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.config import read_config
from django_kms_secrets.types import PENDING

from .hosts import PATIENCE, SITE, Host, Keys
from .traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..server.embedded import EmbeddedAWS

NAME = "SECRET_KEY"
CREDSTASH = "credstash://credential-store"
DOCUMENT = "secretsmanager:///notes/production"
PREFIX = "secretsmanager://?prefix=notes/production/"
PASSWORD = secrets.token_urlsafe(16)
PEOPLE = 4


class Store:
    """A store with a key in it, and the steps of a rotation.

    Attributes:
        url: what ``KMS_SECRETS_URL`` is on the hosts.
        key: the key that is in force.
        command: whether the steps are taken by the command, in a process of its own.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.command = False
        # Any of them: it has the steps of a rotation, and only some stores have those.
        self._store: Any = read_config(url).make_store()
        self._store.open()
        if isinstance(self._store, KeyedStore):
            self._store.setup_key()
        self._store.setup()
        self.replace()

    def replace(self) -> str:
        """A new key, at once."""
        self.key = secrets.token_urlsafe(50)
        self._store.put(NAME, self.key)
        return self.key

    def stage(self) -> str:
        """A new key, pending."""
        if self.command:
            self._rotate("--stage")
            return str(self._store.get(NAME, version=PENDING).value)
        key = secrets.token_urlsafe(50)
        self._store.stage(NAME, key)
        return key

    def promote(self) -> None:
        """The pending key comes into force."""
        if self.command:
            self._rotate("--promote")
        else:
            self._store.promote(NAME)
        self.key = str(self._store.get(NAME).value)

    def retire(self) -> None:
        """The previous key goes."""
        if self.command:
            self._rotate("--retire", "--yes")
        else:
            self._store.retire(NAME)

    def close(self) -> None:
        """Let go of the service."""
        self._store.close()

    def _rotate(self, *options: str) -> None:
        command = [sys.executable, "-m", "django_kms_secrets", "rotate", NAME, *options]
        done = subprocess.run(
            [*command, "--url", self.url], capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr


@dataclass
class Site:
    """Two hosts and their store.

    Attributes:
        store: where their key is.
        hosts: both.
    """

    store: Store
    hosts: tuple[Host, Host]

    def deploy(self, host: Host, key: str, *fallbacks: str) -> None:
        """Deploy a host; it must then have these keys, and no others."""
        host.deploy()
        assert host.keys == Keys.of(key, *fallbacks), f"host {host.name} has other keys"

    def traffic(self, **options: Any) -> Traffic:
        """People who log in, and stay on the hosts for as long as the block."""
        return Traffic(self.hosts, password=PASSWORD, people=PEOPLE, **options)


def _environment(database: Path, **more: str) -> dict[str, str]:
    # Development mode is for the tests: it makes hosts slow.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDEVMODE"}
    return {**environment, "SITE_DATABASE": str(database), "SITE_PASSWORD": PASSWORD, **more}


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with people in it; each site takes a copy."""
    path = tmp_path_factory.mktemp("database") / "database"
    # No key is needed to make it.
    environment = _environment(path, KMS_SECRETS_OFFLINE="1")
    subprocess.run(
        [sys.executable, "site_database.py", str(PEOPLE)], cwd=SITE, env=environment, check=True
    )
    return path


@pytest.fixture
def make_store(aws: EmbeddedAWS) -> Iterator[Callable[[str], Store]]:
    """A function that makes a store at a URL, with a key in it."""
    with contextlib.ExitStack() as stack:

        def made(url: str) -> Store:
            store = Store(url)
            stack.callback(store.close)
            return store

        yield made


@pytest.fixture
def start(
    make_store: Callable[[str], Store], database: Path, tmp_path: Path
) -> Iterator[Callable[[str], Site]]:
    """A function that starts a site whose store has a URL."""
    with contextlib.ExitStack() as stack:

        def started(url: str) -> Site:
            store = make_store(url)
            shutil.copy(database, tmp_path / "database")
            environment = _environment(tmp_path / "database", KMS_SECRETS_URL=url)
            hosts = Host("A", tmp_path, environment), Host("B", tmp_path, environment)
            for host in hosts:
                stack.callback(host.stop)
                host.launch()
            for host in hosts:
                host.serve()
                assert host.keys == Keys.of(store.key)
            return Site(store, hosts)

        yield started


@pytest.fixture
def site(start: Callable[[str], Site]) -> Site:
    """A site whose key is in a CredStash table."""
    return start(CREDSTASH)
