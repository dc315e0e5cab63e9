"""Data on stdout, words on stderr, questions on the terminal."""

from __future__ import annotations

import contextlib
import errno
import getpass
import io
import json
import os
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ..exceptions import SecretsError
from ..types import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    #: Called with how many are done, and of how many.
    Progressed = Callable[[int, int], object]

#: Seconds: what is faster needs no bar.
MOMENT = 1.0


class Stream(Protocol):
    """What is needed of an output stream."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...
    def isatty(self) -> bool: ...


class _ClosedStdout:
    """In place of the stdout that a process was started without: data is not lost silently."""

    def write(self, text: str, /) -> object:  # noqa: ARG002
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


class Console:
    """Where a verb writes and asks.

    Args:
        out: for data; None, as of a process that was started with it closed (``>&-``): data is an
            error.
        err: for words; None: they are left out.
        color: True or False as of Django's `--force-color` and `--no-color`; None: as the terminal
            and NO_COLOR are.
    """

    def __init__(
        self, out: Stream | None, err: Stream | None, *, color: bool | None = None
    ) -> None:
        self._out: Stream = _ClosedStdout() if out is None else out
        self._err: Stream = io.StringIO() if err is None else err
        self._color = color

    def data(self, text: str) -> None:
        """Write data, exactly as given."""
        try:
            self._out.write(text)
            self._out.flush()
        except UnicodeEncodeError as exc:
            encoding = exc.encoding
        else:
            return
        # Outside of the except block: the codec's error carries the text.
        raise SecretsError(
            f"stdout takes only {encoding}, and this is not all of that",
            hint="set PYTHONIOENCODING=utf-8, or write to a file with -o",
        )

    def say(self, text: str) -> None:
        """Write a line for people."""
        self._err.write(f"{printable(text)}\n")
        self._err.flush()

    def fail(self, error: SecretsError) -> None:
        """Write an error and its hint."""
        # Reasons are indented lines: one in a name cannot look like the words of another error.
        first, *reasons = error.message.split("\n  ")
        self.say(f"error: {first}")
        for reason in reasons:
            self.say(f"  {reason}")
        if error.hint:
            self.say(f"hint: {error.hint}")

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Say what is waited for: with a spinner on a terminal, as a line elsewhere."""
        if not self._moves():
            self.say(text)
            yield
            return
        from .terminal import spinner

        with spinner(self._err, printable(text), color=self._color):
            yield

    @contextlib.contextmanager
    def progress(self, text: str, *, quiet: bool = False) -> Iterator[Progressed]:
        """Show how far something is: a bar on a terminal, once it takes longer than a moment.

        Gives what is called with how many are done, and of how many, from any thread.

        Args:
            text: what is done.
            quiet: show nothing.
        """
        if quiet or not (self._moves() and self._out.isatty()):
            yield lambda *_: None
            return
        bar = _Bar(text, self._err, self._color)
        try:
            yield bar.show
        finally:
            bar.close()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that cannot be taken back.

        Args:
            question: what is about to happen.
            yes: the answer was given on the command line.

        Raises:
            SecretsError: the answer is no, or there is no terminal to ask on.
        """
        if yes:
            return
        if not _has_terminal():
            raise SecretsError(f"not done without a yes: {question}", hint="add --yes")
        self._err.write(f"{printable(question)} [y/N] ")
        self._err.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise SecretsError("not done", hint="answer y to do it")

    def prompt(self, name: str) -> SecretStr:
        """Ask for a value on the terminal, without an echo.

        Raises:
            SecretsError: there is no terminal, or it was answered by Ctrl-D.
        """
        if not _has_terminal():
            raise SecretsError(
                f"no value for {name}, and no terminal to ask on",
                hint=f"write `put {name} -` to read it from stdin, or @FILE",
            )
        with contextlib.suppress(EOFError):
            return SecretStr(getpass.getpass(f"{name}: "))
        self.say("")
        raise SecretsError(f"no value for {name}: the input ended", hint="type it, then Enter")

    def rows(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]], format: str) -> None:  # noqa: A002
        """Write a table: aligned on a terminal, separated by tabs in a pipe, or as JSON.

        A terminal that is too narrow for a table has the lines of a pipe.

        Args:
            names: the columns, in their order.
            rows: a mapping of column to content for each row: text, a list of texts, or a time,
                which a terminal shows as an age.
            format: ``text`` or ``json``.
        """
        if format == "json":
            self.json(list(rows))
        elif not (self._out.isatty() or self._color):
            self.data(_lines(names, rows))
        elif rows:
            from .terminal import table

            self.data(
                table(self._out, names, rows, _cell, color=self._color) or _lines(names, rows)
            )
        else:
            self.say("there is nothing to list")

    def json(self, found: object) -> None:
        """Write data for programs."""
        text = json.dumps(found, indent=4, ensure_ascii=False, default=_iso) + "\n"
        # A name or a comment is anybody's text: what a terminal might obey is escaped.
        self.data("".join(char if _is_inert(char) else json.dumps(char)[1:-1] for char in text))

    def report(self, done: Mapping[str, Any], format: str) -> None:  # noqa: A002
        """Write what was done, for programs; people have it in words.

        Args:
            done: names, versions and places; never a value.
            format: ``text``, of which there is none, or ``json``.
        """
        if format == "json":
            self.json(done)

    def _moves(self) -> bool:
        """Whether stderr is a terminal that can take back what it shows, with somebody there."""
        is_dumb = os.environ.get("TERM") in {"dumb", "unknown"}
        return self._err.isatty() and not is_dumb and not os.environ.get("CI")


class _Bar:
    """A bar that appears when its work has taken `MOMENT`, and goes when it is over."""

    def __init__(self, text: str, err: Stream, color: bool | None) -> None:
        self._text = text
        self._err = err
        self._color = color
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._progress: Any = None
        self._closed = False

    def show(self, done: int, total: int) -> None:
        with self._lock:
            if self._closed or time.monotonic() - self._begun < MOMENT:
                return
            if self._progress is None:
                self._progress = self._made()
                self._task = self._progress.add_task(self._text)
                self._progress.start()
            self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()

    def _made(self) -> Any:
        from .terminal import bar

        return bar(self._err, self._text, color=self._color)


def printable(text: str) -> str:
    """A text with nothing in it that a terminal would obey, or that would begin another line."""
    return "".join(char if char.isprintable() else " " for char in text)


def _is_inert(char: str) -> bool:
    return char.isprintable() or char == "\n"


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # None: it was closed (<&-)


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


def _lines(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join("\t".join(_cell(row[name]) for name in names) + "\n" for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return _iso(value)
    # A comment is anybody's text: nothing in it may look like another column, row or terminal code.
    return printable(", ".join(value) if isinstance(value, (list, tuple)) else str(value or ""))
