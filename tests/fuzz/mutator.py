"""Changes to replies that stay JSON: bytes alone would hardly ever get past the parser."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What stands in the place of a member: of every type, and at every limit that was thought of.
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 2**63, 1e308, "", "A", "7" * 30, "\ud800", "\0", [], {}, [None],
    [[]], [{}], {"A": None}, {"S": "A"}, {"B": "QQ=="}, {"N": "7"}, {"BOOL": True}, {"NULL": True},
    {"L": [{"S": "A"}]}, {"M": {"A": {"S": "A"}}}, {"SS": ["A"]}, {"S": 7}, "AWSCURRENT",
    ["AWSPENDING"], "{}", '{"A": {"A": "B"}, "django-kms-secrets": {"PENDING": {"A": []}}}',
)  # fmt: skip

#: Text in the place of a member, which `json.dumps` would not write.
RAW = (
    "[" * 2000 + "]" * 2000,
    '{"A":' * 2000 + "7" + "}" * 2000,
    "7" * 5000,
    "1e999",
    "-0",
    "NaN",
    "",
    '"\\ud800"',
    '{"A": 1, "A": 2}',
    '"' + "[" * 500 + "]" * 500 + '"',
)
_HOLE = "django-kms-secrets hole"


def mutated(data: bytes, seed: int) -> bytes | None:
    """Change a member of one reply, or the replies; None if none of them is JSON."""
    chance = random.Random(seed)
    first, *lines = data.split(b"\n")
    if not lines or chance.random() < 0.05:
        return str(chance.randrange(40)).encode() + b"\n" + b"\n".join(lines)
    at = chance.randrange(len(lines))
    status, _, body = lines[at].partition(b" ")
    if chance.random() < 0.05:
        status = chance.choice([b"200", b"400", b"403", b"500"])
    if chance.random() < 0.05:
        lines.insert(at, lines[chance.randrange(len(lines))])
        return b"\n".join([first, *lines])
    try:
        text = json.dumps(_changed(json.loads(body), chance))
    except (ValueError, RecursionError):
        return None
    lines[at] = status + b" " + text.replace(f'"{_HOLE}"', chance.choice(RAW)).encode()
    return b"\n".join([first, *lines])


def _changed(tree: Any, chance: random.Random) -> Any:
    holders = list(_holders(tree))
    if not holders:
        return chance.choice(HOSTILE)
    holder = chance.choice(holders)
    key = chance.choice([*holder] if isinstance(holder, dict) else range(len(holder)))
    what = chance.random()
    if what < 0.2:
        del holder[key]
    elif what < 0.3:
        holder[key] = _HOLE
    elif what < 0.4 and isinstance(holder, list):
        holder.append(holder[key])
    elif what < 0.5 and isinstance(holder[key], str) and holder[key][:1] in ("{", "["):
        _inside(holder, key, chance)
    else:
        holder[key] = chance.choice(HOSTILE)
    return tree


def _holders(tree: Any) -> Iterator[Any]:
    """Every dict and list in a tree that is not empty."""
    if tree and isinstance(tree, (dict, list)):
        yield tree
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from _holders(inner)


def _inside(holder: Any, key: Any, chance: random.Random) -> None:
    """A change inside of JSON that is text: a document."""
    try:
        text = json.dumps(_changed(json.loads(holder[key]), chance))
    except (ValueError, RecursionError):
        return
    holder[key] = text.replace(f'"{_HOLE}"', chance.choice(RAW))
