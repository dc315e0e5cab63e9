"""Whoever writes a file may be killed at any system call: it has the old or the new content."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

import pytest

from django_kms_secrets import formats

from . import harness
from .harness import Call

if TYPE_CHECKING:
    from pathlib import Path

    from .harness import Writer

#: What a command does to files, and what it says; reading changes nothing.
KINDS = (
    *("openat", "mkdir", "mkdirat", "flock", "write", "writev", "pwrite64", "ftruncate"),
    *("fsync", "fdatasync", "chmod", "fchmod", "fchmodat", "link", "linkat"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "close"),
)
OLD = {"A": "one", "B": "two", "GONE": "three"}


class Case(NamedTuple):
    """A command that writes a file.

    Attributes:
        argv: the command; TARGET, URL of it, SOURCE and VALUE stand for paths.
        new: what the file has after it.
        old: what it has before; None: there is none.
        again: the exit code of who runs it once more.
    """

    argv: str
    new: dict[str, str]
    old: dict[str, str] | None = OLD
    again: int = 0


CASES = {
    "put": Case("put B @VALUE --url file://TARGET", {**OLD, "B": "other"}),
    "putall": Case(
        "putall @SOURCE --prune --yes --url file://TARGET", {"A": "1", "B": "two", "C": "x" * 9000}
    ),
    "copy": Case(
        "copy --url file://SOURCE --to file://TARGET --existing overwrite",
        {"A": "1", "B": "two", "C": "x" * 9000, "GONE": "three"},
    ),
    "rotate": Case(
        "rotate A --value @VALUE --yes --url file://TARGET", {**OLD, "A": "other"}, again=1
    ),
    "delete": Case("delete GONE --yes --url file://TARGET", {"A": "one", "B": "two"}, again=1),
    "setup": Case("setup --url file://TARGET", {}, old=None),
    "getall -o": Case(
        "getall -o TARGET --url file://SOURCE", {"A": "1", "B": "two", "C": "x" * 9000}
    ),
    "getall -o, new": Case(
        "getall -o TARGET --url file://SOURCE", {"A": "1", "B": "two", "C": "x" * 9000}, old=None
    ),
}


class Place:
    """A file that is written, in a directory of its own, and what else a command is given."""

    def __init__(self, directory: Path, suffix: str, case: Case) -> None:
        self.target = directory / "store" / f"secrets{suffix}"
        self.case = case
        self.format = formats.format_of(str(self.target))
        self.target.parent.mkdir()
        self.unnamed = _has_unnamed_files(directory)
        source = directory / "source.json"
        source.write_text(formats.dump({"A": "1", "B": "two", "C": "x" * 9000}, "json"))
        source.chmod(0o600)
        (directory / "value").write_text("other")
        paths = {"TARGET": self.target, "SOURCE": source, "VALUE": directory / "value"}
        self.argv = [
            re.sub("|".join(paths), lambda found: str(paths[found[0]]), word)
            for word in case.argv.split()
        ]

    def begin(self) -> None:
        """As it was before; nothing else is beside it."""
        for path in self.target.parent.iterdir():
            path.unlink()
        if self.case.old is not None:
            self.target.write_text(formats.dump(self.case.old, self.format))
            self.target.chmod(0o600)

    def content(self) -> dict[str, str] | None:
        """What is in the file; None: there is none."""
        if not self.target.exists():
            return None
        assert stat.S_IMODE(self.target.stat().st_mode) == 0o600
        return formats.parse(self.target.read_text(), self.format)

    def drafts(self) -> list[Path]:
        """What is beside the file: private; and whole, where a file may be without a name."""
        drafts = [path for path in self.target.parent.iterdir() if path != self.target]
        for path in drafts:
            assert re.fullmatch(rf"\.{re.escape(self.target.name)}\.[0-9a-f]{{8}}", path.name)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            if self.unnamed:
                assert formats.parse(path.read_text(), self.format) == self.case.new
        return drafts

    def check(self) -> None:
        assert self.content() in (self.case.old, self.case.new)

    def check_end(self) -> None:
        assert self.content() == self.case.new


@pytest.mark.parametrize(
    "name, suffix", [*((name, ".env") for name in CASES), ("putall", ".json"), ("putall", ".yaml")]
)
def test_a_file_has_the_old_or_the_new_content(
    writer: Writer, tmp_path: Path, name: str, suffix: str
) -> None:
    """Whatever the last call was; and running the command again comes to its end."""
    place = Place(tmp_path, suffix, CASES[name])
    place.begin()
    writer.warm(*place.argv)
    place.begin()
    calls = writer.calls(KINDS, *place.argv)
    place.check_end()
    assert len(calls) > 12
    with_draft = []
    for call in calls:
        place.begin()
        assert writer.killed_at(call, *place.argv), call
        place.check()
        if place.drafts():
            with_draft.append(call.kind)
        done = place.content() == CASES[name].new
        code = writer.run(*place.argv)
        assert code == (CASES[name].again if done else 0), (call, writer.words)
        place.check_end()
    if place.unnamed:  # between link and rename
        assert with_draft == ["close", "rename"]


def _has_unnamed_files(directory: Path) -> bool:
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        return False
    return True


def test_without_strace_it_fails_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill that did not happen would prove nothing, so it is no skip."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match="apt-get install strace"):
        harness.follow("-p", "1")


def test_where_no_process_may_be_followed_it_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container without the capability."""
    strace = tmp_path / "strace"
    strace.write_text("#!/bin/sh\necho 'strace: attach: ptrace(PTRACE_SEIZE): not permitted' >&2\n")
    strace.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(AssertionError, match=r"not permitted.*SYS_PTRACE"):
        harness.follow("-p", "1")


def test_a_call_that_is_not_made_kills_nobody(writer: Writer, tmp_path: Path) -> None:
    """What the others rely on: a kill is noticed, and so is its absence."""
    place = Place(tmp_path, ".env", CASES["put"])
    place.begin()
    assert not writer.killed_at(Call("mkdir", 99), *place.argv)
    place.check_end()
