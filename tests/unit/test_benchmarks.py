"""The benchmarks run, and what they compare does the same. Times are no test."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


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


def test_redaction_notices_a_difference() -> None:
    """A way that hides less is a failure."""
    spec = importlib.util.spec_from_file_location("redaction_bench", BENCHMARKS / "redaction.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.WAYS["str.replace"] = lambda secrets: lambda text: text
    with pytest.raises(SystemExit, match="do not hide the same"):
        module.main(["--size", "1000", "--secrets", "2", "--runs", "1"])
