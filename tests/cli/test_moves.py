"""Secrets on the move: each store to each other, and a thousand of them out and in again."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING

import pytest

from .doors import inside
from .test_copy import KINDS, STAGED, VALUES, at, copy, opened, read  # noqa: F401 - a fixture
from .test_copy import TestVersions as Versions

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What has to be escaped somewhere, or is taken for something else.
PIECES = [
    *"'\"`\\$#=:;,%&*!?|<>()[]{}~^@-_+/. \t\n\r",
    *("\r\n", "\\n", "\\", "''", '""', "${HOME}", "$(id)", "%s", "{{x}}", " #", "export ", "---"),
    *(
        "null",
        "true",
        "~",
        "1e3",
        "0x10",
        "[1, 2]",
        '{"a": {"b": ["c", null]}}',
        '{"a":1}',
        "&a *a",
    ),
    *(
        "ü",
        "ß",
        "中文",
        "🔑",
        "👩\u200d🚀",
        "e\u0301",
        "\u202e",
        "\u2028",
        "\x85",
        "\ufeff",
        "\x00",
        "\x7f",
    ),
]
NAME_PIECES = [*"ABCxyz019_-/", "ñ", "中"]


def nasty(count: int, longest: int, pieces: Sequence[str] = NAME_PIECES) -> dict[str, str]:
    """As many names and values, the same in every run.

    Args:
        count: how many.
        longest: pieces of the longest value.
        pieces: of the names.
    """
    draw = random.Random(7)
    values = {}
    for number in range(count):
        name = "".join(draw.choices(pieces, k=draw.randint(1, 12))) + f"_{number}"
        length = longest if number % 50 == 0 else draw.choice([1, 1, 2, 5, 40])
        values[name] = "".join(draw.choices(PIECES, k=length))
    return values


THOUSAND = nasty(1000, 4000)
HUNDRED = nasty(100, 300)
#: With names that Secrets Manager takes for secrets.
NAMED = nasty(100, 300, [piece for piece in NAME_PIECES if piece.isascii()])


def round_trip(values, first, second, backup):
    """Into a store, out to a file, into another store: the same, and nothing is left to write."""
    inside("module", first, ["putall", "-"], json.dumps(values)).ok()
    inside("module", first, ["getall", "-o", str(backup)]).ok()
    done = inside("module", second, ["putall", str(backup)]).ok()
    assert f"{len(values)} added, 0 changed" in done.err
    assert read(second) == values
    assert inside("module", second, ["diff", str(backup)]).ok().err == ""


@pytest.mark.parametrize("name", ["backup.json", "backup.env", "backup.yaml"])
def test_a_thousand_through_each_format(tmp_path, name):
    """A backup and what is read from it are the same thousand values."""
    first, second = f"locmem://{tmp_path}/first", f"file://{tmp_path}/{name}"
    inside("module", second, ["setup"]).ok()
    round_trip(THOUSAND, first, second, tmp_path / f"other-{name}")


@pytest.mark.parametrize(
    "kind, values",
    [
        ("table", THOUSAND),
        ("table document", HUNDRED),
        ("document", HUNDRED),
        ("names", NAMED),
    ],
    ids=["table", "table document", "document", "names"],
)
def test_out_of_each_store(at, tmp_path, kind, values):  # noqa: F811
    """The same, from a store in AWS."""
    # An embedded AWS on a busy machine takes longer for a thousand than AWS.
    url = f"{at(kind)}&timeout=300"
    round_trip(values, url, f"locmem://{tmp_path}/second", tmp_path / "backup.json")


@pytest.mark.parametrize("kind", ["table document", "document", "names"])
def test_copied_and_back(at, kind):  # noqa: F811
    """A copy of the hundred, and a copy of that, are what they were."""
    there, here, back = at(kind), at("memory"), "locmem://back"
    values = NAMED if kind == "names" else HUNDRED
    with opened(here) as store:
        store.put_many(values)
    copy(here, there).ok()
    copy(there, back).ok()
    assert read(back) == read(there) == values


@pytest.mark.parametrize("kinds", list(itertools.permutations(KINDS, 2)), ids=" to ".join)
def test_each_store_to_each_other(at, kinds):  # noqa: F811
    """All values arrive as they are, and can be copied back over themselves."""
    source, target = map(at, kinds)
    with opened(source) as store:
        store.put_many(VALUES)
    copy(source, target).ok()
    assert read(target) == VALUES == read(source)
    assert "0 copied and read back, 3 were there already" in copy(target, source).ok().err


@pytest.mark.parametrize("kinds", list(itertools.permutations(STAGED, 2)), ids=" to ".join)
def test_stages_to_each_other(at, kinds):  # noqa: F811
    """The previous, the current and the pending value arrive as what they are."""
    Versions().test_stages(at, kinds)
