r"""dotenv: one ``NAME=value`` a line. A format without a standard, so this one is written down.

* ``NAME='value'``: literal, whatever stands between the quotes, line breaks included.
* ``NAME="value"``: a backslash before one of ``\ " n r t $ `` and the back-tick is an escape;
  before anything else it is a backslash.
* ``NAME=value``: up to the end of the line or `` #``, without the spaces around it.
* ``export`` may stand before a name; a line that begins with ``#`` is a comment.
* Nothing is ever expanded or executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..exceptions import SecretsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#'\"]+)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_PLAIN = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:\A|[ \t])#.*", re.DOTALL)
_ESCAPE = re.compile(r'\\([\\"nrt$`])')
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t"}

# A byte order mark at the start of a file is passed over, also where it belongs to the first name.
_OUR_NAME = re.compile(r"(?!\ufeff)[^\s=#'\"]+")
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What a single-quoted value may not hold in one of the readers.
_NOT_SINGLE = re.compile(r"['\\\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]|\A\".*\"\Z")


@dataclass(frozen=True)
class _Assignment:
    name: str
    value: str
    start: int
    end: int


def parse(text: str) -> dict[str, str]:
    """Read names and values.

    Raises:
        SecretsError: a line is no assignment, a quote is not closed, or a name stands twice; with
            the line's number.
    """
    return {entry.name: entry.value for entry in _assignments(text)}


def edit(text: str, changes: Mapping[str, str], removals: Collection[str] = ()) -> str:
    """Change some values of a dotenv text and keep all else, comments included.

    Args:
        text: the text as it is.
        changes: names and new values; new names are added at the end.
        removals: names whose lines go.

    Returns:
        The new text.
    """
    parts: list[str] = []
    position = 0
    left = dict(changes)
    for entry in _assignments(text):
        parts.append(text[position : entry.start])
        position = entry.end
        if entry.name in left:
            parts.append(dump({entry.name: left.pop(entry.name)}))
        elif entry.name not in removals:
            parts.append(text[entry.start : entry.end])
    parts.append(text[position:])
    before = "".join(parts)
    if left and before and not before.endswith("\n"):
        before += "\n"
    return before + dump(left)


def dump(values: Mapping[str, str], *, target: str = "") -> str:
    """Write one line for each value, in their order.

    Args:
        values: names and values.
        target: the reader that has to understand it: one of `TARGETS`; "" is `parse` itself.

    Raises:
        SecretsError: the reader would not get a name or a value back unchanged; it is named.
    """
    names = _SHELL_NAME if target else _OUR_NAME
    render = TARGETS[target]
    refused = [name for name in values if not names.fullmatch(name)]
    if refused:
        raise SecretsError(
            f"dotenv{f' for {target}' if target else ''} has no way to write the "
            f"name{'s' if len(refused) > 1 else ''} {', '.join(map(repr, sorted(refused)))}",
            hint="use -f json, or names of letters, digits and underscores",
            names=refused,
        )
    lines = {name: render(str(value)) for name, value in values.items()}
    refused = [name for name, line in lines.items() if line is None]
    if refused:
        raise SecretsError(
            f"{target} would not read back what dotenv can write for {', '.join(sorted(refused))}",
            hint="use -f json, or leave --for out",
            names=refused,
        )
    return "".join(f"{name}={line}\n" for name, line in lines.items())


def _assignments(text: str) -> Iterator[_Assignment]:
    seen: dict[str, int] = {}
    line, counted = 1, 0
    position = 1 if text.startswith("\ufeff") else 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank:
            position = blank.end()
            continue
        line, counted = line + text.count("\n", counted, position), position
        head = _NAME.match(text, position)
        if head is None:
            raise SecretsError(f"line {line} is no NAME=value", hint="comment it out with #")
        name = head[1]
        if name in seen:
            raise SecretsError(
                f"{name} stands more than once: on lines {seen[name]} and {line}",
                hint="keep one of them",
                names=[name],
            )
        seen[name] = line
        value, end = _value(text, head.end(), name, line)
        yield _Assignment(name, value, position, end)
        position = end


def _value(text: str, start: int, name: str, line: int) -> tuple[str, int]:
    quote = text[start : start + 1]
    if quote not in ("'", '"'):
        plain = _PLAIN.match(text, start)
        assert plain is not None  # noqa: S101 - it matches the empty text
        end = min(plain.end() + 1, len(text))
        return _COMMENT.sub("", plain[0]).strip(" \t\r"), end
    quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, start)
    rest = _BLANK.match(text, quoted.end()) if quoted else None
    if quoted is None or rest is None:
        raise SecretsError(
            f"line {line}: the quotes around the value of {name} "
            f"{'are not closed' if quoted is None else 'are followed by something'}",
            hint=r"inside double quotes write \" for a quote",
            names=[name],
        )
    value = quoted[1]
    if quote == '"':
        value = _ESCAPE.sub(lambda match: _UNESCAPED.get(match[1], match[1]), value)
    return value, rest.end()


def _quoted(value: str, escapes: Mapping[str, str]) -> str:
    """Single quotes where every reader, shells included, takes them literally; else double."""
    if not _NOT_SINGLE.search(value):
        return f"'{value}'"
    return f'"{"".join(escapes.get(char, char) for char in value)}"'


_BASIC = {"\\": "\\\\", '"': '\\"'}
_BREAKS = {"\n": "\\n", "\r": "\\r"}


def _ours(value: str) -> str:
    # $ and ` are escaped for shells that source the file.
    return _quoted(value, {**_BASIC, **_BREAKS, "$": "\\$", "`": "\\`"})


def _python_dotenv(value: str) -> str | None:
    # It expands ${NAME} inside every kind of quotes.
    return None if "${" in value or "\0" in value else _quoted(value, {**_BASIC, **_BREAKS})


def _django_environ(value: str) -> str | None:
    # It reads line by line, does not unescape \n, and takes a leading $ for a reference.
    if value.startswith("$") or "\0" in value or value.splitlines() not in ([], [value]):
        return None
    return _quoted(value, _BASIC)


def _docker(value: str) -> str | None:
    # --env-file has no quotes and no escapes, and lines of at most 64 KiB.
    if value != value.strip() or re.search(r"[\0\r\n]", value) or len(value.encode()) > 60_000:
        return None
    return value


#: Readers that a dotenv file can be written for.
TARGETS: dict[str, Callable[[str], str | None]] = {
    "": _ours,
    "python-dotenv": _python_dotenv,
    "django-environ": _django_environ,
    "docker": _docker,
}
