"""Measure all, and write the page docs/benchmarks.md with its plot.

The programs that are compared, and this package, must be installed where Python is: `make bench`
sees to that. It needs Linux, ``openssl``, and some ten minutes of a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import sys
import tempfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from django_kms_secrets import __version__

from . import certificates, redaction, report
from .matrix import CELLS, PAGE_SECRETS, PAGE_SIZE, Cell, smallest
from .measure import Bench, make_values
from .stand_in import StandIn, capacity
from .variants import OURS, is_installed

_PACKAGES = (
    OURS,
    "credstash",
    "django-secrets-manager",
    "pydantic-settings",
    "aws-secretsmanager-caching",
    "aws-lambda-powertools",
    "boto3",
    "Django",
)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are shown")
    parser.add_argument("--only", metavar="TEXT", help="what has this in its name; only printed")
    parser.add_argument(
        "--smoke", action="store_true", help="everything once, and small; only printed"
    )
    parser.add_argument("--render", action="store_true", help="the page anew, of the last figures")
    options = parser.parse_args(argv)
    if options.render:
        write(json.loads(report.RESULTS.read_text("utf-8")))
        return
    cells = smallest() if options.smoke else CELLS
    if options.only:
        cells = tuple(cell for cell in cells if options.only in f"{cell.section}: {cell.label}")
    if options.smoke:
        cells = tuple(_with_what_is_installed(cell) for cell in cells)
    conditions = _conditions(options.rounds)
    results = {"conditions": conditions, **measure(cells, 0 if options.smoke else options.rounds)}
    conditions["capacity"] = results.pop("capacity")
    if options.smoke or options.only:
        sys.exit(any("error" in row for cell in results["cells"] for row in cell["rows"].values()))
    results["redaction"] = _redaction()
    report.RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    write(results)


def measure(cells: tuple[Cell, ...], rounds: int) -> dict[str, Any]:
    """The figures of all cells, and what the stand-in can do."""
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        certificates.make(here)
        with StandIn(here) as server:
            server.fill(make_values(20))
            able = round(capacity(server.http), -2)
            bench = Bench(here, server, rounds)
            found = []
            for cell in cells:
                rows = bench.rows(cell)
                found.append({"section": cell.section, "label": cell.label, "rows": rows})
                _show(cell, rows)
    return {"cells": found, "capacity": int(able)}


def write(results: dict[str, Any]) -> None:
    """The page and the plot."""
    text = report.PAGE.read_text("utf-8")
    report.PAGE.write_text(report.page(results, text), "utf-8")
    report.PLOT.write_text(report.plot(results), "utf-8")


def _with_what_is_installed(cell: Cell) -> Cell:
    missing = [variant.label for variant in cell.variants if not is_installed(variant)]
    for label in missing:
        print(f"left out, as it is not installed: {label}")
    return replace(cell, variants=tuple(one for one in cell.variants if one.label not in missing))


def _show(cell: Cell, rows: dict[str, dict[str, Any]]) -> None:
    print(f"\n{cell.section}: {cell.label}")
    for label, figures in rows.items():
        print(f"  {label:42}", "  ".join(f"{name} {value}" for name, value in figures.items()))
    sys.stdout.flush()


def _conditions(rounds: int) -> dict[str, Any]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = __version__ if name == OURS else metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "openssl": " ".join(ssl.OPENSSL_VERSION.split()[:2]),
        "load": round(os.getloadavg()[0], 1),
        "rounds": rounds,
        "packages": versions,
    }


def _redaction() -> dict[str, Any]:
    found = redaction.compare(PAGE_SIZE, PAGE_SECRETS, 9)
    return {
        "characters": found.characters,
        "secrets": PAGE_SECRETS,
        "forms": found.forms,
        "rows": {name: [round(figure, 1) for figure in row] for name, row in found.rows.items()},
    }


if __name__ == "__main__":
    main()
