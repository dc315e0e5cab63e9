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

#: These begin with an empty directory, and make their own project.
FROM_NOTHING = {"README.md", "docs/tutorial.md"}
EXECUTED = [
    found
    for found in all_pages()
    if found.name not in FROM_NOTHING
    and any(block.language in {"console", "pycon"} or block.mark == "run" for block in found.blocks)
]

#: Transcripts that are parsed and not run, by the beginning of their first command, and why.
NOT_RUN = {
    # CONTRIBUTING.md: minutes, or tools of their own. The pipelines run them.
    "make test": "the suite itself",
    "python3 -m venv .venv": "an environment to work in",
    "make fuzz": "ten minutes",
    "make bench": "ten minutes",
    "make dist": "tests/deploy/test_release.py",
    # The others.
    "make demo": "runs until it is stopped; the pipelines run make demo-check",
    "python3 -m venv venv": "of the tutorial; as in the README, where it is run",
    "python manage.py secrets rotate SECRET_KEY --stage": "a deployment is between the steps",
    "python manage.py secrets rotate database --lambda": "moto has no rotation by a function",
    "python manage.py secrets reencrypt": "of Secrets Manager; tests/stores",
    "python manage.py secrets audit --max-age": "findings by age; tests/cli",
    "python manage.py secrets run -- gunicorn": "servers; tests/leaks/test_run.py",
    "celery -A config worker": "a server; test_celery.py",
    "python -m django_kms_secrets completion": "real shells; tests/cli/test_completion.py",
    "aws rds": "the command line of AWS, and a database there",
}

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the transcripts need bash")


@pytest.fixture
def session(aws: EmbeddedAWS, tmp_path: Path) -> Iterator[Session]:
    directory = tmp_path / "page"
    directory.mkdir()
    session = Session(directory, aws.endpoint)
    with contextlib.closing(session):
        yield session


@needs_bash
@pytest.mark.parametrize("found", EXECUTED, ids=lambda found: found.name)
def test_the_page_works(found: Page, session: Session) -> None:
    """Transcripts print what they show, examples give what they say, with the files of the page."""
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


def test_what_is_not_run_has_a_reason() -> None:
    """Every transcript that is not run is in the list above, and the list has no other."""
    skipped = [
        commands(block.text)[0][0]
        for found in all_pages()
        for block in found.blocks
        if block.mark == "skip" and block.language == "console"
    ]
    assert [command for command in skipped if not command.startswith(tuple(NOT_RUN))] == []
    assert [each for each in NOT_RUN if not any(c.startswith(each) for c in skipped)] == []


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
