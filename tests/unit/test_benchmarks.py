"""The benchmarks run, and what they compare does the same. Times are no test.

That all programs run is in ``tests/deploy``, where they are installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import matrix, redaction, report

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = json.loads(report.RESULTS.read_text("utf-8"))


def run(name: str, *args: str) -> list[str]:
    """The lines that a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *args],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_redaction() -> None:
    """A table of three ways; it fails by itself if one hides something else than the others."""
    conditions, heading, *rows = run(
        "redaction", "--size", "20000", "--secrets", "7", "--runs", "1"
    )
    assert re.fullmatch(
        r"2\d,\d+ characters, 7 secrets in \d+ forms, medians of 1 runs", conditions
    )
    assert heading.split() == ["way", "build", "ms", "hide", "ms", "ratio", "memory", "KiB"]
    assert [re.split(r"\s{2,}", row)[0] for row in rows] == ["ours", "str.replace", "one re"]
    assert rows[0].split()[3] == "1.0x"


def test_redaction_notices_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that hides less is a failure."""
    monkeypatch.setitem(redaction.WAYS, "str.replace", lambda secrets: lambda text: text)
    with pytest.raises(SystemExit, match="do not hide the same"):
        redaction.main(["--size", "1000", "--secrets", "2", "--runs", "1"])


def test_all_that_is_to_be_measured_was_measured() -> None:
    """The figures have the cells and the rows of the matrix, in their order: no more, no less.

    ``make bench`` measures all of them again.
    """
    expected = [
        (cell.section, cell.label, [variant.label for variant in cell.variants])
        for cell in matrix.CELLS
    ]
    measured = [(cell["section"], cell["label"], [*cell["rows"]]) for cell in RESULTS["cells"]]
    assert measured == expected


def test_every_figure_is_there() -> None:
    """Every row has all measures, those of settings where settings were read, or says it failed."""
    always = {"runs", "process", "requests", "connections", "peak"}
    for cell in RESULTS["cells"]:
        read = set() if cell["section"] == matrix.PUTALL else {"added", "import", "cpu"}
        for label, figures in cell["rows"].items():
            assert {*figures} in (always | read, {"error"}), label
            assert figures.get("runs", 1) >= 1


def test_the_page_and_the_plot_are_made_of_the_figures() -> None:
    """Nobody has written a figure by hand."""
    text = report.PAGE.read_text("utf-8")
    assert report.page(RESULTS, text) == text
    assert report.PLOT.read_text("utf-8") == report.plot(RESULTS)
    assert {*re.findall("<!-- figures: (.*) -->", text)} == {*report.regions(RESULTS)}


def test_goals_are_held_against_what_was_measured() -> None:
    """A goal is met, or said not to be."""
    rows = re.findall(r"\| (\*\*not met\*\*|met) \|", report.regions(RESULTS)["goals"])
    expected = [
        "met" if report.goal_figure(goal, RESULTS) <= goal.most else "**not met**"
        for goal in matrix.GOALS
    ]
    assert rows == expected
