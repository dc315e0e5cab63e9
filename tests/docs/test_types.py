"""What the pages show of Python has the types that its names have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import django_kms_secrets

from .pages import Block, Page, all_pages, page

#: What a piece of a settings module takes for granted.
ASSUMED = """
import sentry_sdk

from django_kms_secrets import load

secrets = load()
__all__ = ["secrets", "sentry_sdk"]
"""

#: What a settings module takes over from the one that it is built on.
BASE = "INSTALLED_APPS: list[str] = []\n"

CONFIGURATION = """
[mypy]
python_version = 3.12
check_untyped_defs = true
warn_unreachable = true
explicit_package_bases = true

# Modules of a page's own project, and packages without types.
[mypy-config.*,payment.*,receivers.*,boto3.*,botocore.*,environ.*,celery.*,django_secrets.*]
ignore_missing_imports = true
"""

PYTHON = [
    (found, block) for found in all_pages() for block in found.blocks if block.language == "python"
]
WRONG = Block("python", "", 'secrets["A"].no_such_method()\nsecrets.refresh(5)\nnobody\n', 1)


def place(found: Page, block: Block) -> str:
    """The directory of a block, which is also how mypy's errors name it."""
    return f"{re.sub(r'[^a-z0-9]', '_', found.name.lower())}/line_{block.line}"


def write(root: Path, found: Page, block: Block) -> None:
    """Write a block as a module: a whole file as it is, a piece after what it assumes."""
    path = root / place(found, block) / (block.file or "piece.py")
    path.parent.mkdir(parents=True)
    text = block.text if block.file else f"from assumed import *\n{block.text}"
    path.write_text(text, "utf-8")
    for base in re.findall(r"^from \.(\w+) import \*", text, re.MULTILINE):
        path.with_name(f"{base}.py").write_text(BASE)


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of all blocks, and of one that is wrong."""
    root = tmp_path_factory.mktemp("blocks")
    for found, block in [*PYTHON, (page("README.md"), WRONG)]:
        write(root, found, block)
    (root / "assumed.py").write_text(ASSUMED)
    (root / "mypy.ini").write_text(CONFIGURATION)
    sources = Path(django_kms_secrets.__file__).parents[1]
    environment = {**os.environ, "PYTHONWARNINGS": ""}
    if sources.name != "site-packages":  # an editable installation, which mypy does not see
        environment["MYPYPATH"] = str(sources)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", os.devnull, "."]
    ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


def test_blocks_have_their_types(errors: list[str]) -> None:
    """mypy finds nothing in any block of Python, whole files and pieces alike."""
    wrong = place(page("README.md"), WRONG)
    assert [line for line in errors if not line.startswith(wrong)] == []


def test_a_wrong_block_is_found(errors: list[str]) -> None:
    """An attribute, an argument and a name that are not there are errors."""
    wrong = [line for line in errors if line.startswith(place(page("README.md"), WRONG))]
    found = [re.findall(r"\[([a-z-]+)\]$", line) for line in wrong if ": error:" in line]
    assert found == [["attr-defined"], ["arg-type"], ["name-defined"]]
