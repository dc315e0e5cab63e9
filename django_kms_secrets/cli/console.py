"""Data on stdout, words on stderr, questions on the terminal."""

from __future__ import annotations

import contextlib
import getpass
import json
import sys
import threading
import time
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


class Console:
    """Where a verb writes and asks.

    Args:
        out: for data.
        err: for words.
    """

    def __init__(self, out: Stream, err: Stream) -> None:
        self._out = out
        self._err = err

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
        self._err.write(f"{text}\n")
        self._err.flush()

    def fail(self, error: SecretsError) -> None:
        """Write an error and its hint."""
        self.say(f"error: {error.message}")
        if error.hint:
            self.say(f"hint: {error.hint}")

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Say what is waited for: with a spinner on a terminal, as a line elsewhere."""
        if not self._err.isatty():
            self.say(text)
            yield
            return
        # rich is imported here, so that only a terminal pays for it.
        from rich.console import Console as RichConsole
        from rich.text import Text

        with RichConsole(file=self._err).status(Text(text)):  # type: ignore[arg-type]
            yield

    @contextlib.contextmanager
    def progress(self, text: str, *, quiet: bool = False) -> Iterator[Progressed]:
        """Show how far something is: a bar on a terminal, once it takes longer than a moment.

        Gives what is called with how many are done, and of how many, from any thread.

        Args:
            text: what is done.
            quiet: show nothing.
        """
        if quiet or not (self._err.isatty() and self._out.isatty()):
            yield lambda *_: None
            return
        bar = _Bar(text, self._err)
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
        self._err.write(f"{question} [y/N] ")
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

        Args:
            names: the columns, in their order.
            rows: a mapping of column to content for each row.
            format: ``text`` or ``json``.
        """
        if format == "json":
            self.data(json.dumps(list(rows), indent=4, ensure_ascii=False) + "\n")
        elif self._out.isatty():
            self._table(names, rows)
        else:
            for row in rows:
                self.data("\t".join(_cell(row[name]) for name in names) + "\n")

    def _table(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        # rich is imported here, so that only a terminal pays for it.
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(row[name])) for name in names))
        RichConsole(file=self._out).print(table)  # type: ignore[arg-type]


class _Bar:
    """A bar that appears when its work has taken `MOMENT`, and goes when it is over."""

    def __init__(self, text: str, err: Stream) -> None:
        self._text = text
        self._err = err
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
        # rich is imported here, so that only a terminal pays for it. It honours NO_COLOR.
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = RichConsole(file=self._err)  # type: ignore[arg-type]
        columns = (TextColumn(self._text, markup=False), BarColumn(), MofNCompleteColumn())
        return Progress(*columns, console=console, transient=True)


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # None: it was closed (<&-)


def _cell(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, (list, tuple)) else str(value or "")
    # A comment is anybody's text: nothing in it may look like another column, row or terminal code.
    return "".join(char if char.isprintable() else " " for char in text)
