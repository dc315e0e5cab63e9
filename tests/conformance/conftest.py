"""The referee: credstash 1.17.1 itself, its command line and its library, on the same table."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from django_kms_secrets.backends.credstash import CredStashStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..server.embedded import EmbeddedAWS

#: Seconds; a `getall` of credstash that meets an error never comes back.
PATIENCE = 120


@dataclass
class CredStash:
    """The command line of credstash."""

    directory: Path

    def __call__(
        self, *arguments: str, stdin: str = "", code: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it, and check its exit code."""
        done = subprocess.run(
            [Path(sys.executable).with_name("credstash"), *arguments],
            cwd=self.directory,  # it writes a log file wherever it is
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONDEVMODE": ""},
            input=stdin.encode(),
            capture_output=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, (done.stdout + done.stderr).decode()
        return done


@pytest.fixture(scope="session", autouse=True)
def the_referee() -> None:
    """Its behaviour is the measure here, so it is this version and no other."""
    assert version("credstash") == "1.17.1"


@pytest.fixture
def credstash(aws: EmbeddedAWS, tmp_path: Path) -> CredStash:
    """Runs credstash in a directory of its own."""
    directory = tmp_path / "credstash"
    directory.mkdir()
    return CredStash(directory)


@pytest.fixture
def store(aws: EmbeddedAWS) -> Iterator[CredStashStore]:
    """Our store on the default table, set up and open."""
    with CredStashStore(timeout=60) as store:
        store.setup()
        store.setup_key()
        yield store


class Items:
    """The items of the table, as neither of the two shows them."""

    def __init__(self) -> None:
        self.client = boto3.client("dynamodb")

    def all(self) -> dict[str, dict[str, Any]]:
        """By their names."""
        found = self.client.scan(TableName="credential-store")["Items"]
        return {item["name"]["S"]: item for item in found}

    def put(self, item: dict[str, Any]) -> None:
        """In the place of what is there."""
        self.client.put_item(TableName="credential-store", Item=item)


@pytest.fixture
def items(aws: EmbeddedAWS) -> Iterator[Items]:
    """The items of the table, past both."""
    items = Items()
    yield items
    items.client.close()
