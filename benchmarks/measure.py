"""One process is run and measured; the processes of a cell are run in turn."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import string
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from .matrix import DIRECTORY, HTTP, Cell
from .stand_in import DOCUMENT, PREFIX
from .variants import BASE, Command, Settings, Variant

if TYPE_CHECKING:
    from pathlib import Path

    from .stand_in import StandIn

#: A run that takes longer is not repeated, nor warmed up for (seconds).
SLOW = 5.0
#: When a process is stopped (seconds).
PATIENCE = 300

# All print what they found, on a line. The peak of the resident memory is the process's
# own: what wait4() knows begins with that of the process that started it.
_PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""
# Django is loaded as by a wsgi.py; then its settings are read for the first time.
_READ = """
import sys, time
import django.conf, django.core.wsgi
wall, cpu = time.perf_counter(), time.process_time()
values = django.conf.settings.VALUES
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
import hashlib, json
seen = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
print(json.dumps({"inside": wall, "cpu": cpu, "peak": peak(), "seen": seen}))
"""
# As a server does, which loads the application in its workers: the parent only waits for them.
_FORK = """
import os, sys
workers = []
for _ in range({workers}):
    worker = os.fork()
    if not worker:
        break
    workers.append(worker)
else:
    sys.exit(any([os.waitpid(worker, 0)[1] for worker in workers]))
"""
_WRITE = """
import json, sys
sys.argv = {arguments!r}
try:
{text}
except SystemExit as done:
    if done.code:
        raise
finally:
    print(json.dumps({{"peak": peak()}}))
"""


@dataclass(frozen=True)
class Run:
    """One process.

    Attributes:
        process: from its start to its end (seconds).
        inside, cpu: the first use of Django's settings: time, and CPU of all threads (seconds); of
            several workers the median.
        peak: the most memory that was resident (KiB); of several workers in each.
        requests, connections: what it asked of the stand-in, and over how many connections.
    """

    process: float
    inside: float
    cpu: float
    peak: float
    requests: int
    connections: int


class Failed(Exception):
    """A process ended with an error; its last line."""


class Wrong(Exception):
    """A process did something else than what is measured."""


class Bench:
    """Runs cells.

    Args:
        here: a directory for settings modules, with the certificates in it.
        server: the stand-in.
        rounds: how many, after one to fill the caches.
    """

    def __init__(self, here: Path, server: StandIn, rounds: int) -> None:
        self._here = here
        self._server = server
        self._rounds = rounds
        self._modules = 0

    def rows(self, cell: Cell) -> dict[str, dict[str, Any]]:
        """Measure a cell: the figures of each variant by its label."""
        values = make_values(cell.secrets)
        self._server.fill(values, old_versions=cell.old_versions, packed=cell.packed)
        self._server.delay(cell.latency / 1000)
        writing = any(isinstance(variant, Command) for variant in cell.variants)
        runs = self._runs(cell, values, () if writing else (BASE,))
        base = runs.pop(BASE.label, {})
        return {
            label: {"error": done} if isinstance(done, str) else _figures(done, base)
            for label, done in runs.items()
        }

    def _runs(
        self, cell: Cell, values: dict[str, str], base: tuple[Settings, ...]
    ) -> dict[str, Any]:
        """The runs of each variant by their round, or the error that it ended with.

        Round 0 only counts where no other does.
        """
        variants = (*base, *cell.variants)
        environment = self._environment(cell)
        programs = {variant: self._program(cell, variant, values) for variant in variants}
        runs: dict[str, Any] = {variant.label: {} for variant in variants}
        for number in range(self._rounds * cell.weight + 1):
            for variant in variants:
                done = runs[variant.label]
                if isinstance(done, str) or (0 in done and done[0].process > SLOW):
                    continue
                try:
                    done[number] = self._run(variant, programs[variant], environment, values)
                except Failed as failure:
                    runs[variant.label] = str(failure)
        for done in runs.values():
            if len(done) > 1 and not isinstance(done, str):
                del done[0]
        return runs

    def _program(self, cell: Cell, variant: Variant, values: dict[str, str]) -> tuple[str, str]:
        """The code of a process, and its settings module."""
        if isinstance(variant, Command):
            (self._here / "secrets.json").write_text(json.dumps(values))
            text = "".join(f"    {line}\n" for line in variant.text.splitlines())
            return _PEAK + _WRITE.format(arguments=[*variant.arguments], text=text), ""
        self._modules += 1
        module = f"settings_{self._modules}"
        (self._here / f"{module}.py").write_text(variant.module(list(values)))
        fork = _FORK.format(workers=cell.workers) if cell.workers > 1 else ""
        return _PEAK + fork + _READ, module

    def _run(
        self,
        variant: Variant,
        program: tuple[str, str],
        environment: dict[str, str],
        values: dict[str, str],
    ) -> Run:
        code, module = program
        launcher: tuple[str, ...] = ()
        if isinstance(variant, Command):
            self._server.fill({})
        elif variant.launcher:
            launcher = (*variant.launcher, sys.executable)
        elif not variant.boto3:
            environment = {**environment}
            environment.pop("AWS_CA_BUNDLE", None)
        self._server.counts()
        start = time.perf_counter()
        try:
            done = subprocess.run(
                [sys.executable, *launcher, "-c", code],
                env={**environment, "DJANGO_SETTINGS_MODULE": module},
                cwd=self._here,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"stopped after {PATIENCE} s") from None
        taken = time.perf_counter() - start
        counts = self._server.counts()
        if done.returncode:
            raise Failed(_error(done.stderr))
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if isinstance(variant, Command):
            self._check_stored(variant, values)
        elif "VALUES = {}" not in variant.text and {one["seen"] for one in found} != {
            fingerprint(values)
        }:
            raise Wrong(f"{variant.label} read something else than was stored")
        inside, cpu, peak = (
            median(one.get(what, 0) for one in found) for what in ("inside", "cpu", "peak")
        )
        return Run(taken, inside, cpu, peak, counts.requests, counts.connections)

    def _check_stored(self, command: Command, values: dict[str, str]) -> None:
        stored = self._server.stored()
        found = {
            "table": lambda: stored["table"],
            "document": lambda: json.loads(stored["secrets"].get(DOCUMENT, "{}")),
            "names": lambda: {
                name.removeprefix(PREFIX): value
                for name, value in stored["secrets"].items()
                if name.startswith(PREFIX) and name != DOCUMENT
            },
        }[command.layout]()
        if found != values:
            raise Wrong(f"{command.label} stored something else than it was given")

    def _environment(self, cell: Cell) -> dict[str, str]:
        """The environment of the processes: nothing of ours but where the packages are."""
        kept = {
            name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ
        }
        plain = cell.wire == HTTP
        port = self._server.http if plain else self._server.https
        bundle, directory = str(self._here / "bundle.pem"), str(self._here / "certs")
        trust = {
            "AWS_CA_BUNDLE": bundle,  # boto3's: it has no directory, and not the system's either
            **(
                {"SSL_CERT_DIR": directory, "SSL_CERT_FILE": str(self._here / "none")}
                if cell.wire == DIRECTORY
                else {"SSL_CERT_FILE": bundle, "SSL_CERT_DIR": str(self._here / "none")}
            ),
        }
        return {
            **kept,
            **({} if plain else trust),
            "HOME": str(self._here),
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"{'http' if plain else 'https'}://localhost:{port}",
        }


def _figures(runs: dict[int, Run], base: dict[int, Run]) -> dict[str, Any]:
    """Medians. What is added is taken from the base of the same round, so noise hits both."""
    figures: dict[str, Any] = {
        "runs": len(runs),
        "process": round(median(run.process for run in runs.values()), 4),
        "requests": round(median(run.requests for run in runs.values())),
        "connections": round(median(run.connections for run in runs.values())),
        "peak": round(median(run.peak for run in runs.values())),
    }
    if base:
        for measure, attribute in (("added", "process"), ("import", "inside"), ("cpu", "cpu")):
            figures[measure] = round(
                median(
                    getattr(run, attribute)
                    - getattr(base[number if number in base else 1], attribute)
                    for number, run in runs.items()
                ),
                4,
            )
    return figures


def _error(stderr: str) -> str:
    """The line of what a program prints that says what went wrong, without module and port."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [
        line for line in lines if re.match(r"(error:|[\w.]+(Error|Exception|Unavailable)\b)", line)
    ]
    line = (errors or lines or ["no message"])[-1]
    return re.sub(r"^[\w.]*\.(?=\w+:)| at https?://localhost:\d+", "", line)


def make_values(count: int) -> dict[str, str]:
    """Secrets as sites have them: a key, and texts of 40 characters; the same ones every time."""
    chance = random.Random(5)
    names = ["SECRET_KEY", *(f"SETTING_{number:04}" for number in range(1, count))]
    letters = string.ascii_letters + string.digits
    return {name: "".join(chance.choices(letters, k=40)) for name in names}


def fingerprint(values: dict[str, str]) -> str:
    """What a process prints of the values it has read, so that nobody reads less."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
