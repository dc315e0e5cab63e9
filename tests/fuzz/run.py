"""Fuzz the targets, one after another, and write down what really ran.

``python -m tests.fuzz.run`` fuzzes all of them; ``python -m tests.fuzz.run yaml -runs=1000`` one,
with libFuzzer's own options. What breaks a rule is kept in ``artefacts/fuzz``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).parent
RECORD = HERE / "RECORD.md"
ARTEFACTS = HERE.parents[1] / "artefacts" / "fuzz"

#: How often each target runs. What makes requests, directories or large tables is slower.
RUNS = {
    "json": 200_000,
    "dotenv": 150_000,
    "yaml": 30_000,
    "tree": 350_000,
    "envelope": 300_000,
    "config": 60_000,
    "database": 20_000,
    "cli": 3_000,
    "credstash": 10_000,
    "document": 15_000,
    "names": 15_000,
    "transports": 10_000,
    "redaction": 5_000,
}
#: Of one input: what takes longer, or all together take more, is a fault (bytes, seconds, MB).
LIMITS = ["-max_len=4096", "-timeout=30", "-rss_limit_mb=1024"]

_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_MEMORY = re.compile(r"^stat::peak_rss_mb:\s*(\d+)", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Fuzz the targets that are named, or all; the exit code is 1 if a rule was broken."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    options = [argument for argument in arguments if argument.startswith("-")]
    return max(_fuzzed(name, options or [f"-runs={RUNS[name]}"]) for name in names or RUNS)


def _fuzzed(name: str, options: list[str]) -> int:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as found:
        command = [
            *(sys.executable, "-m", f"{__package__}.one", name, found, str(HERE / "corpus" / name)),
            *(*LIMITS, "-print_final_stats=1", f"-artifact_prefix={ARTEFACTS}/{name}-", *options),
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    executed, memory = _EXECUTED.search(done.stderr), _MEMORY.search(done.stderr)
    if done.returncode or not executed or not memory:
        print(done.stderr[-8000:], file=sys.stderr)
        return 1
    _record(name, int(executed[1]), int(memory[1]))
    return 0


def _record(name: str, executed: int, memory: int) -> None:
    from django_kms_secrets import __version__

    day = datetime.now(timezone.utc).date()
    python = ".".join(map(str, sys.version_info[:2]))
    row = f"| {name} | {executed:,} | {memory} | {day} | {__version__} | {python} |\n"
    with RECORD.open("a") as file:
        file.write(row)
    print(row, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
