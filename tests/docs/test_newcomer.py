"""The README and the tutorial, as somebody reads them who has nothing yet."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..copy_tree import files_of
from .pages import ROOT, Page, page
from .session import Session, with_this_python

if TYPE_CHECKING:
    from collections.abc import Mapping

#: As the machine has it: pip finds its index, and a mirror's certificate, as it does for anybody.
MACHINE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AWS_", "KMS_SECRETS", "DJANGO_", "PYTHON", "VIRTUAL_ENV", "TOX_"))
}

FRONT_PAGE = (
    "from django.test import Client;print(Client(SERVER_NAME='localhost').get('/').status_code)"
)


def stranger(home: Path) -> dict[str, str]:
    """The environment of a person with a plain Python, and no AWS."""
    tests = Path(sys.executable).parent
    path = [entry for entry in MACHINE["PATH"].split(os.pathsep) if Path(entry) != tests]
    return {
        **MACHINE,
        "PATH": os.pathsep.join([str(Path(sys.base_prefix) / "bin"), *path]),
        "AWS_CONFIG_FILE": str(home / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "none"),
    }


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The wheel that tox built of this tree; by hand, one that is built now."""
    if built := os.environ.get("TOX_PACKAGE"):
        return Path(built)
    sources = tmp_path / "sources"  # a build leaves files behind
    for name in files_of(ROOT):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, sources / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), "."]
    subprocess.run(command, cwd=sources, env=MACHINE, check=True)
    [found] = tmp_path.glob("*.whl")
    return found


def free_endpoint() -> str:
    """Where nothing listens yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def follow(
    found: Page, directory: Path, environment: Mapping[str, str], wheel: Path | None = None
) -> str:
    """Do all that a page says, in an empty directory; gives the status of the site's front page."""
    directory.mkdir()
    session = Session(directory, free_endpoint(), environment, wheel)
    with contextlib.closing(session):
        for block in found.blocks:
            session.execute(block, found)
        output, _ = session.run_command(f'python manage.py shell -v 0 -c "{FRONT_PAGE}"')
        return output


def test_the_readme_is_enough(tmp_path: Path, wheel: Path) -> None:
    """A new virtual environment, `startproject`, and the README: the site has its secrets."""
    assert follow(page("README.md"), tmp_path / "new", stranger(tmp_path), wheel) == "200\n"


def test_the_tutorial_is_enough(tmp_path: Path) -> None:
    """All of the tutorial but its installation, which is the README's."""
    environment = with_this_python(stranger(tmp_path))
    assert follow(page("docs/tutorial.md"), tmp_path / "new", environment) == "404\n"
