"""What only a terminal shows: a table, a bar, a spinner.

This is the one module that imports rich, and it is imported where there is a terminal: nothing
else pays for it.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from .console import Stream

#: Cells of the line for each column: with fewer, one beside a long name might have no room for a
#: wide character, and would be cut.
_ROOM = 8
#: The columns whose words have a colour. The word says it by itself.
_COLOURED = {"state", "finding", "stage", "stages"}
_STYLES = {
    style: words.split()
    for style, words in {
        "bold red": "error missing unreadable removed",
        "yellow": "warning changed PENDING unused never-rotated too-old",
        "green": "ok added CURRENT",
        "cyan": "only-stored default unknown-age",
        "dim": "skipped same PREVIOUS",
    }.items()
}


class _Console(RichConsole):
    """A console that lets the cursor be: a process that is killed would leave it hidden."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        return False


def table(
    stream: Stream,
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    text_of: Callable[[Any], str],
    *,
    color: bool | None,
) -> str:
    """Lay out rows for a terminal, with nothing of them cut.

    A column in which there is nothing is left out.

    Args:
        stream: where it will be written.
        names: the columns, in their order.
        rows: a mapping of column to content for each row.
        text_of: gives what a content looks like elsewhere, inert.
        color: True or False as of `--force-color` and `--no-color`; None: as the terminal is.

    Returns:
        The lines; "" where the terminal is too narrow for so many columns.
    """
    console = _console(stream, color)
    found = Table(box=None, pad_edge=False, header_style="bold")
    names = [name for name in names if any(row[name] for row in rows)]
    if console.width < _ROOM * len(names):
        return ""
    for name in names:
        longest = max(cell_len(text_of(row[name])) for row in rows)
        # A name in one piece can be copied; what stands beside it is folded.
        is_whole = name == "name" and longest <= console.width // 2
        found.add_column(name, overflow="fold", no_wrap=is_whole)
    for row in rows:
        found.add_row(*(_cell(name, row[name], text_of) for name in names))
    with console.capture() as capture:
        console.print(found)
    return capture.get()


def bar(stream: Stream, text: str, *, color: bool | None) -> Progress:
    """A bar that leaves nothing behind."""
    columns = (TextColumn(text, markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=_console(stream, color), transient=True)


def spinner(stream: Stream, text: str, *, color: bool | None) -> AbstractContextManager[object]:
    """A spinner that leaves nothing behind."""
    return _console(stream, color).status(Text(text))


def ago(when: datetime) -> str:
    """How long ago something was, for people: days, as `audit --max-age` counts them, or less."""
    seconds = (datetime.now(timezone.utc) - when.astimezone(timezone.utc)).total_seconds()
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _console(stream: Stream, color: bool | None) -> _Console:
    # https://no-color.org: present and not empty. Older releases of rich take an empty one, too.
    is_off = bool(os.environ.get("NO_COLOR")) if color is None else not color
    return _Console(
        file=stream,  # type: ignore[arg-type]
        force_terminal=color or None,
        no_color=is_off,
    )


def _cell(name: str, value: Any, text_of: Callable[[Any], str]) -> Text:
    """A content as a text of rich: as a str it could have markup in it."""
    shown = ago(value) if isinstance(value, datetime) else text_of(value)
    return Text(shown, _style(name, value))


def _style(name: str, value: Any) -> str:
    words = value if isinstance(value, list) else [value]
    if name in _COLOURED:
        for style, known in _STYLES.items():
            if any(word in known for word in words):
                return style
    return ""
