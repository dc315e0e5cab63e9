"""What the pages show is what happens."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from .pages import Block, Page, all_pages, commands, page
from .session import Session, matches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.embedded import EmbeddedAWS

EXECUTED = [
    found
    for found in all_pages()
    if any(block.language in {"console", "pycon"} or block.mark == "run" for block in found.blocks)
]
PYTHON = [
    pytest.param(block, id=f"{found.name}:{block.line}")
    for found in all_pages()
    for block in found.blocks
    if block.language == "python"
]

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the transcripts need bash")


@pytest.fixture
def session(aws: EmbeddedAWS, tmp_path: Path) -> Iterator[Session]:
    directory = tmp_path / "page"
    directory.mkdir()
    session = Session(directory, aws.endpoint)
    with contextlib.closing(session):
        yield session


@pytest.mark.parametrize("block", PYTHON)
def test_python_compiles(block: Block) -> None:
    """Every block of Python compiles."""
    compile(block.text, "block", "exec")


@needs_bash
@pytest.mark.parametrize("found", EXECUTED, ids=lambda found: found.name)
def test_the_page_works(found: Page, session: Session) -> None:
    """Transcripts print what they show, examples give what they say, with the files of the page."""
    if found.name != "docs/tutorial.md":  # which makes its own
        session.make_project()
    for block in found.blocks:
        session.execute(block, found)


@needs_bash
@pytest.mark.parametrize(
    "language, text",
    [
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ echo one\none\ntwo\n"),
        ("console", "$ false\n"),
        ("console", "$ echo error: no\nerror: no\n"),
        ("python", "assert 1 == 2\n"),
        ("pycon", ">>> 1 + 1\n3\n"),
    ],
)
def test_a_wrong_page_fails(language: str, text: str, session: Session) -> None:
    """A block that shows something else than what happens is found."""
    with pytest.raises(AssertionError):
        session.execute(Block(language, "run", text, 1), page("README.md"))


def test_dots_stand_for_anything() -> None:
    """``...`` is any text on its line, and any lines where it is alone; nothing else is loose."""
    assert matches("a ... c\n", "a b c\n")
    assert matches("...\nend\n", "one\ntwo\nend\n")
    assert not matches("a ... c\n", "a b\nc\n")
    assert not matches("a\n", "a\nb\n")


def test_outputs_belong_to_commands() -> None:
    """A transcript is commands, each with what stands under it until the next."""
    text = "$ one\nout\n$ two \\\n  more\nout\n"
    assert commands(text) == [("one", "out\n"), ("two \\\n  more", "out\n")]
