"""Every program of the benchmarks runs, and reads or stores what it is given. Times: no test."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks import certificates, matrix, variants
from benchmarks.measure import Bench, Wrong
from benchmarks.stand_in import StandIn

from .conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CELL = matrix.Cell(matrix.DOCUMENT, (variants.OURS_DOCUMENT,), 2)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One run of each, without rounds."""
    certificates.make(tmp_path)
    with StandIn(tmp_path) as server:
        yield Bench(tmp_path, server, rounds=0)


def test_everything_runs_once() -> None:
    """Every program reads, or stores, the secrets under the conditions of every table.

    A process that read or stored anything else is a failure of the benchmark itself.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not installed" not in done.stdout
    for cell in matrix.smallest():
        assert f"{cell.section}: {cell.label}\n" in done.stdout
        for variant in cell.variants:
            assert f"  {variant.label} " in done.stdout
    measured = {variant for cell in matrix.CELLS for variant in cell.variants}
    assert {one for cell in matrix.smallest() for one in cell.variants} == measured


def test_requests_are_counted(bench: Bench) -> None:
    """The counts are those of one process: one request for a document, over one connection."""
    figures = bench.rows(CELL)[variants.OURS]
    assert (figures["requests"], figures["connections"]) == (1, 1)


def test_who_reads_less_is_no_faster(bench: Bench) -> None:
    """Settings that have not read every secret are a failure."""
    lazy = variants.Settings("lazy", "VALUES = {'SECRET_KEY': 'x'}", package="Django")
    with pytest.raises(Wrong, match="lazy read something else"):
        bench.rows(replace(CELL, variants=(lazy,)))


def test_who_stores_less_is_no_faster(bench: Bench) -> None:
    """A command that has not stored every secret is a failure."""
    lazy = variants.Command("lazy", ("lazy",), "pass", "table")
    with pytest.raises(Wrong, match="lazy stored something else"):
        bench.rows(replace(CELL, variants=(lazy,)))


def test_who_fails_is_said_to_fail(bench: Bench) -> None:
    """A process that ends with an error has no figures, and the others have theirs."""
    broken = variants.Settings("broken", "raise ValueError('no such thing')", package="Django")
    rows = bench.rows(replace(CELL, variants=(broken, *CELL.variants)))
    assert rows["broken"] == {"error": "ValueError: no such thing"}
    assert rows[variants.OURS]["requests"] == 1
