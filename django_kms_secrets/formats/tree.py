"""Values that are JSON trees.

A store keeps text. A tree is kept as its canonical JSON text (``json.dumps`` as it is, without
ASCII escapes), and only text in exactly that form is shown as a tree again: so every text comes
back as the same text, whichever way it went.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..exceptions import SecretsError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How deep trees may be nested. What reads and changes them is recursive, and so is Python's JSON,
#: which gives up at depths of its own.
DEEPEST = 100

#: What `reach` gives where there is nothing.
MISSING: Any = object()

# An escape that is half of a character; whether the other half follows, only parsing tells.
_HALF = r"\\u[dD][89a-fA-F]"


def load(text: str) -> Any:
    """Parse JSON, with names that are unique.

    Raises:
        SecretsError: it is not JSON (with line and column), or a name stands twice.
    """
    try:
        value = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        _check_depth(text, value)
        if re.search(_HALF, text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}: {exc.msg}"
    except _Refused as exc:
        where = str(exc)
    except RecursionError:
        where = "nested too deeply"
    except UnicodeEncodeError:
        where = "an escape that is half of a character"
    except ValueError:
        where = "a number too long to read"
    raise SecretsError(f"not valid JSON ({where})", hint="check it with `python -m json.tool`")


def parse_object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object; None where the text is something else."""
    try:
        value = load(text)
    except SecretsError:
        return None
    return value if isinstance(value, dict) else None


def text_of(value: Any) -> str:
    """A JSON value as text: a string is its own text, anything else its canonical JSON.

    Raises:
        ValueError, TypeError, RecursionError: it is no JSON value.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def from_text(text: str) -> Any:
    """The tree (dict or list) whose canonical JSON this text is; otherwise the text itself."""
    if text[:1] not in ("{", "["):
        return text
    try:
        value = load(text)
        return value if text_of(value) == text else text
    except (SecretsError, ValueError, RecursionError):
        return text


def texts_of(values: Any, format: str, *, exact: bool = False) -> dict[str, str]:  # noqa: A002
    """Make texts of a parsed file: a mapping of names to texts or trees.

    Args:
        values: what was parsed.
        format: its name for people.
        exact: as of `formats.parse`.

    Raises:
        SecretsError: it is no mapping, or names have values that are neither; all are named.
    """
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SecretsError(
            f"the {format} is not a mapping of names to values",
            hint='write {"NAME": "value"}; names that look like numbers or on/off need quotes',
        )
    texts: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, value in values.items():
        if exact and isinstance(value, (dict, list)) and is_rounded(value):
            refused[name] = "a tree with a number whose digits are not kept"
        elif isinstance(value, (str, dict, list)):
            try:
                texts[name] = text_of(value)
                texts[name].encode("utf-8")
            except UnicodeEncodeError:
                refused[name] = "half of a character"
            except (TypeError, ValueError, RecursionError):
                refused[name] = "a tree with something in it that JSON does not have"
        else:
            refused[name] = _kind(value)
    if refused:
        listed = ", ".join(f"{name} is {kind}" for name, kind in sorted(refused.items()))
        raise SecretsError(
            f"these values are not text: {listed}", hint="put quotes around them", names=refused
        )
    return texts


def is_rounded(value: Any) -> bool:
    """Whether what was parsed has a number in it that would be written with other digits."""
    if isinstance(value, (dict, list)):
        return any(map(is_rounded, value.values() if isinstance(value, dict) else value))
    return isinstance(value, _Rounded)


def as_written(number: float, text: str) -> float:
    """A number that `is_rounded` knows as such, if it was written with other digits."""
    try:
        exact = Decimal(text) == Decimal(repr(number))
    except ArithmeticError:  # an exponent that is too small for it as well; no decimal
        exact = False
    return number if exact else _Rounded(number)


def roots(name: str) -> list[str]:
    """The name itself, and the names of trees that a dotted name may reach into."""
    return [name, *(name[:end] for end, char in enumerate(name) if char == ".")]


def reach(values: Mapping[str, Any], path: str) -> Any:
    """Follow a dotted name into trees; a name that has dots itself comes first.

    Args:
        values: names to texts or trees; a text that is JSON is reached into as well.
        path: such as ``database.password``.

    Returns:
        What is there, or `MISSING`.
    """
    if path in values:
        return values[path]
    step = _step(values, path)
    return reach(step[1], step[2]) if step else MISSING


def place(values: dict[str, Any], path: str, text: str) -> None:
    """Set a value in a document, by a name or by a dotted name into a tree that is there.

    What is there keeps its JSON type: a string stays a string, a number whose new text is a number
    stays a number. A new value that is a tree's canonical text becomes that tree.
    """
    step = None if path in values else _step(values, path)
    if step:
        head, inner, rest = step
        place(inner, rest, text)
        values[head] = text_of(inner) if isinstance(values[head], str) else inner
    else:
        old = values.get(path, MISSING)
        values[path] = text if isinstance(old, str) else _typed(text, old)


def remove(values: dict[str, Any], path: str) -> bool:
    """Take a value out of a document; False where there was none."""
    step = None if path in values else _step(values, path)
    if step is None:
        return values.pop(path, MISSING) is not MISSING
    head, inner, rest = step
    removed = remove(inner, rest)
    if removed and isinstance(values[head], str):
        values[head] = text_of(inner)
    return removed


def _step(values: Mapping[str, Any], path: str) -> tuple[str, dict[str, Any], str] | None:
    """The first tree on the way of a dotted name: its key, itself, and what is left of the name."""
    head, dot, rest = path.partition(".")
    while dot:
        inner = values.get(head)
        if isinstance(inner, str):
            inner = parse_object(inner)
        if isinstance(inner, dict):
            return head, inner, rest
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _typed(text: str, old: Any) -> Any:
    value = from_text(text)
    if not isinstance(value, str) or old is MISSING:
        return value
    try:
        value = load(text)
    except SecretsError:
        return text
    if _type(value) is not _type(old):
        return text
    # A number may be written in several ways, and only one of them comes back as it was.
    return value if isinstance(value, (dict, list)) or text_of(value) == text else text


def _type(value: Any) -> type:
    return float if isinstance(value, _Rounded) else type(value)


def _check_depth(text: str, value: Any) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    if level:
        raise _Refused("nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in counts.items() if count > 1)
        raise _Refused(f"more than once: {', '.join(twice)}")
    return values


def _no_constant(constant: str) -> Any:
    raise _Refused(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError
    return as_written(number, text)


class _Rounded(float):
    """A number that was written with other digits than it comes out with."""


class _Refused(Exception):
    """Valid for Python's parser, not for us."""


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
