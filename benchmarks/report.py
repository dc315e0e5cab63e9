"""The page and the plot, as functions of the figures alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from .matrix import GOALS, NAMES, PUTALL, START, TABLE, Goal
from .variants import IMPORT, OURS, USAGE

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks.svg"

_REGION = "<!-- figures: {} -->"
_END = "<!-- end of figures -->"

#: The panels of the plot: a cell, its title, and what is shown of it.
_PANELS = (
    (
        START,
        "20 secrets, TLS, CA file",
        "Added to the import of settings: a document, TLS",
        "import",
    ),
    (NAMES, "100 secrets, 20 ms", "100 names of Secrets Manager, 20 ms away", "process"),
    (TABLE, "100 secrets, 20 ms", "100 names of a CredStash table, 20 ms away", "process"),
    (PUTALL, "100 secrets, 20 ms", "Storing 100, 20 ms away", "process"),
)


def page(results: dict[str, Any], text: str) -> str:
    """The page with its figures replaced.

    Args:
        results: what was measured.
        text: the page as it is.
    """
    for name, region in regions(results).items():
        start = _REGION.format(name) + "\n"
        text, found = re.subn(
            f"{re.escape(start)}.*?{re.escape(_END)}",
            lambda _, whole=f"{start}{region}{_END}": whole,
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise SystemExit(f"{PAGE.name} has no place for the figures of {name!r}")
    return text


def regions(results: dict[str, Any]) -> dict[str, str]:
    """What stands on the page, by the names of its places."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for cell in results["cells"]:
        sections.setdefault(cell["section"], []).append(cell)
    return {
        "conditions": _conditions(results["conditions"]),
        "goals": _goals(results),
        **{name: _summary(cells) for name, cells in sections.items()},
        "redaction": _redaction(results["redaction"]),
        "all": _all(results["cells"]),
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown: the first column is text, the others are figures."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _conditions(conditions: dict[str, Any]) -> str:
    packages = table(
        ["program", "version", "used as in its documentation"],
        [
            [name, version, f"[{USAGE[name][1]}]({USAGE[name][0]})" if name in USAGE else ""]
            for name, version in conditions["packages"].items()
        ],
    )
    rounds = conditions["rounds"]
    repeated = f"Medians of {rounds} rounds; of one document over TLS, of twice as many."
    return (
        f"- {conditions['cores']} cores, {conditions['system']}, Python {conditions['python']}, "
        f"{conditions['openssl']}.\n"
        f"- The load average was {conditions['load']} at the start: 0 is an idle machine.\n"
        f"- {repeated if rounds else 'A single run of each, with no round before it.'}\n"
        f"- The stand-in answers {conditions['capacity']:,} requests a second on one "
        "connection.\n\n"
        f"{packages.replace('--:', '---')}"
    )


def goal_figure(goal: Goal, results: dict[str, Any]) -> float:
    """What was measured of a goal."""
    for cell in results["cells"]:
        if (cell["section"], cell["label"]) == (goal.section, goal.label):
            return float(cell["rows"][goal.variant.label].get(goal.measure, "inf"))
    raise KeyError(goal.text)


def _goals(results: dict[str, Any]) -> str:
    rows = []
    for goal in GOALS:
        figure = goal_figure(goal, results)
        shown = [
            f"{value:,.0f}" if goal.measure == "requests" else f"{value * 1000:,.1f} ms"
            for value in (goal.most, figure)
        ]
        rows.append([goal.text, *shown, "met" if figure <= goal.most else "**not met**"])
    return table(["goal", "at most", "measured", ""], rows)


def _summary(cells: list[dict[str, Any]]) -> str:
    """A row for each of the conditions, a column for each program."""
    labels = list(dict.fromkeys(label for cell in cells for label in cell["rows"]))
    measure = "import" if cells[0]["section"] == START else "process"
    rows = []
    for cell in cells:
        first = next(one for one in cell["rows"] if one != IMPORT.label)
        ours = cell["rows"][first].get(measure, 0)
        rows.append(
            [cell["label"], *(_cell(cell["rows"].get(label), measure, ours) for label in labels)]
        )
    return table(["", *labels], rows)


def _cell(figures: dict[str, Any] | None, measure: str, ours: float) -> str:
    if figures is None:
        return ""
    if "error" in figures:
        return "**failed**"
    once = ", 1 run" if figures["runs"] == 1 else ""
    return f"{seconds(figures[measure])} ({ratio(figures[measure], ours)}{once})"


def seconds(value: float) -> str:
    """A time as it is read: milliseconds, or seconds where it is one or more."""
    return f"{value:,.2f} s" if value >= 1 else f"{value * 1000:,.0f} ms"


def ratio(value: float, ours: float) -> str:
    """How many times ours; nothing where ours failed."""
    if not ours:
        return "–"
    times = value / ours
    return f"{times:.0f}×" if times >= 10 else f"{times:.1f}×"


def _redaction(found: dict[str, Any]) -> str:
    rows = [
        [name, f"{built:,.1f} ms", f"{hiding:,.1f} ms", f"{times:,.1f}×", f"{memory:,.0f} KiB"]
        for name, (built, hiding, times, memory) in found["rows"].items()
    ]
    return (
        f"{found['secrets']:,} secrets, in {found['forms']:,} forms, in a page of "
        f"{found['characters']:,} characters:\n\n"
        + table(["way", "made ready", "hiding", "", "memory"], rows)
    )


def _all(cells: list[dict[str, Any]]) -> str:
    header = ["program", "process", "added to settings", "its CPU", "requests", "connections"]
    parts = []
    for cell in cells:
        rows = [[label, *_row(figures)] for label, figures in cell["rows"].items()]
        parts.append(
            f"**{cell['section']}: {cell['label']}**\n\n"
            f"{table([*header, 'peak memory', 'runs'], rows)}"
        )
    return "\n".join(parts)


def _row(figures: dict[str, Any]) -> list[str]:
    if "error" in figures:
        return [f"**failed**: {figures['error']}".replace("|", "\\|"), *[""] * 6]
    return [
        seconds(figures["process"]),
        *(seconds(figures[name]) if name in figures else "" for name in ("import", "cpu")),
        f"{figures['requests']:,}",
        f"{figures['connections']:,}",
        f"{figures['peak'] / 1024:,.0f} MiB",
        str(figures["runs"]),
    ]


# The plot

_WIDTH, _LEFT, _BAR, _GAP = 720, 250, 16, 6
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .paper { fill: #ffffff; }
  .peer { fill: #8c959f; }
  .ours { fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .paper { fill: #0d1117; }
    .peer { fill: #6e7681; }
    .ours { fill: #3fb950; }
  }
"""


def plot(results: dict[str, Any]) -> str:
    """The plot: bars, in panels that have a scale each."""
    shapes: list[str] = []
    top = 8
    for section, label, title, measure in _PANELS:
        cell = next(
            cell
            for cell in results["cells"]
            if (cell["section"], cell["label"]) == (section, label)
        )
        bars = {name: row[measure] for name, row in cell["rows"].items() if measure in row}
        longest = max(bars.values())
        top += 16
        shapes.append(f'<text class="title" x="8" y="{top}">{escape(title)}</text>')
        top += _GAP * 2
        for name, value in bars.items():
            length = max(1, (_WIDTH - _LEFT - 90) * value / longest)
            kind = "ours" if name.startswith(OURS) else "peer"
            middle = top + _BAR - 4
            shapes += [
                f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>',
                f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{length:.1f}" '
                f'height="{_BAR}"/>',
                f'<text x="{_LEFT + length + 6:.1f}" y="{middle}">{seconds(value)}</text>',
            ]
            top += _BAR + _GAP
        top += _BAR
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">\n'
        f"<title>How long programs take to read and store secrets; shorter is better</title>\n"
        f'<style>{_STYLE}</style>\n<rect class="paper" width="100%" height="100%"/>\n'
        f"{body}\n</svg>\n"
    )
