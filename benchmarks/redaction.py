"""What hiding by value costs: a page of a megabyte with a hundred secrets in it.

Beside ours, two simpler ways over the same forms: ``str.replace`` for each of them, and one regular
expression of all, longest first. Run as ``python benchmarks/redaction.py``.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_kms_secrets.redaction import FLOOR, Matcher, forms, parts
from django_kms_secrets.types import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def make_secrets(count: int, chance: random.Random) -> list[str]:
    """Keys, passwords with special characters, and database URLs, in turn."""

    def text(letters: str, length: int) -> str:
        return "".join(chance.choice(letters) for _ in range(length))

    kinds = [
        lambda: text(_LETTERS, 40),
        lambda: text(_LETTERS + "@/&'\"<>%+=", 24),
        lambda: f"postgres://app:{text(_LETTERS, 20)}@db{chance.randrange(99)}.internal:5432/app",
    ]
    return [kinds[at % len(kinds)]() for at in range(count)]


def make_page(size: int, secrets: list[str], chance: random.Random) -> str:
    """Text like that of a debug page, with every secret in it once (characters)."""
    words = ["<td>", "</td>", "<pre>", "settings", "request", "value", "https://", "None", "&quot;"]
    words += ["".join(chance.choices(_LETTERS, k=chance.randrange(2, 12))) for _ in range(2000)]
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(chance.choice(words))
        length += len(pieces[-1]) + 1
    for secret in secrets:
        pieces.insert(chance.randrange(len(pieces)), secret)
    return " ".join(pieces)


def all_forms(secrets: list[str]) -> list[str]:
    """Everything that is looked for, longest first."""
    texts = {part for secret in secrets for part in parts(secret)}
    found = {form for text in texts for form in forms(text) if len(form.encode()) >= FLOOR}
    return sorted(found, key=lambda form: (-len(form), form))


def with_replace(secrets: list[str]) -> Callable[[str], str]:
    """One ``str.replace`` after another."""
    found = all_forms(secrets)

    def redact(text: str) -> str:
        for form in found:
            text = text.replace(form, MASK)
        return text

    return redact


def with_expression(secrets: list[str]) -> Callable[[str], str]:
    """One regular expression with all forms as alternatives."""
    pattern = re.compile("|".join(map(re.escape, all_forms(secrets))))
    return lambda text: pattern.sub(MASK, text)


def with_matcher(secrets: list[str]) -> Callable[[str], str]:
    """As the package does it."""
    return Matcher({part for secret in secrets for part in parts(secret)}).redact


WAYS = {"ours": with_matcher, "str.replace": with_replace, "one re": with_expression}


def milliseconds(action: Callable[[], object], runs: int) -> float:
    """The median of so many runs."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


@dataclass(frozen=True)
class Comparison:
    """What was hidden in, and how long each way took.

    Attributes:
        characters: of the page.
        forms: that were looked for.
        rows: for each way: building and hiding (milliseconds), hiding against ours, memory (KiB).
    """

    characters: int
    forms: int
    rows: dict[str, tuple[float, float, float, float]]


def compare(size: int, count: int, runs: int) -> Comparison:
    """Hide so many secrets in a page of so many characters.

    Raises:
        SystemExit: the ways do not hide the same.
    """
    chance = random.Random(5)
    secrets = make_secrets(count, chance)
    page = make_page(size, secrets, chance)
    rows: dict[str, tuple[float, float, float, float]] = {}
    first = 0.0
    results = set()
    for name, make in WAYS.items():
        built = milliseconds(lambda make=make: make(secrets), min(runs, 3))
        re.purge()  # it would keep the expression that was made before
        tracemalloc.start()
        redact = make(secrets)
        memory = tracemalloc.get_traced_memory()[0] / 1024
        tracemalloc.stop()
        hiding = milliseconds(lambda redact=redact: results.add(redact(page)), 1)
        if hiding < 5000:  # what is slower needs no more runs to be seen to be slow
            hiding = milliseconds(lambda redact=redact: redact(page), runs)
        first = first or hiding
        rows[name] = (built, hiding, hiding / first, memory)
    if len(results) != 1:
        raise SystemExit("they do not hide the same")
    return Comparison(len(page), len(all_forms(secrets)), rows)


def main(argv: list[str] | None = None) -> None:
    """Print a table: building, hiding and memory of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", type=int, default=1_000_000, help="characters of the page")
    parser.add_argument("--secrets", type=int, default=100)
    parser.add_argument("--runs", type=int, default=9, help="of which the median is shown")
    options = parser.parse_args(argv)
    found = compare(options.size, options.secrets, options.runs)
    print(
        f"{found.characters:,} characters, {options.secrets} secrets in {found.forms:,} forms, "
        f"medians of {options.runs} runs"
    )
    print(f"{'way':<12} {'build ms':>9} {'hide ms':>9} {'ratio':>7} {'memory KiB':>11}")
    for name, (built, hiding, ratio, memory) in found.rows.items():
        print(f"{name:<12} {built:9.1f} {hiding:9.1f} {ratio:6.1f}x {memory:11,.0f}")


if __name__ == "__main__":
    main()
