"""The referee: credstash 1.17.1 itself, its command line and its library, on the same table."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

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
    ) -> subprocess.CompletedProcess[str]:
        """Run it, and check its exit code."""
        done = subprocess.run(
            [Path(sys.executable).with_name("credstash"), *arguments],
            cwd=self.directory,  # it writes a log file wherever it is
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONDEVMODE": ""},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stdout + done.stderr
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
