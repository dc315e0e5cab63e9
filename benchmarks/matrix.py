"""What is measured: the cells of the tables, and the goals."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import variants as v

#: The wires: without TLS; trusting one file of CA certificates; or a directory of them.
HTTP, FILE, DIRECTORY = "HTTP", "TLS, CA file", "TLS, CA directory"

_DOCUMENT = (
    v.OURS_DOCUMENT,
    v.BOTO3_DOCUMENT,
    v.PYDANTIC,
    v.DJANGO_SECRETS_MANAGER,
    v.CACHING_DOCUMENT,
    v.POWERTOOLS_DOCUMENT,
)
_NAMES = (v.OURS_NAMES, v.BOTO3_NAMES, v.POWERTOOLS_NAMES, v.CACHING_NAMES)
_TABLE_DOCUMENT = (v.OURS_TABLE_DOCUMENT, v.CREDSTASH_DOCUMENT)
_TABLE = (v.OURS_TABLE, v.OURS_TABLE_NAMES, v.CREDSTASH)

#: Milliseconds that every request takes longer.
_LATENCIES = (0, 20)


@dataclass(frozen=True)
class Cell:
    """Conditions under which programs are run in turn.

    Attributes:
        section: what is read or written, the heading of its table.
        variants: the programs.
        secrets: how many.
        latency: what is added to every request (ms).
        wire: one of `HTTP`, `FILE`, `DIRECTORY`.
        old_versions: what a table has of each secret beside the current version.
        packed: whether the table has one item, a document of them all.
        workers: how many processes one process forks to read them, each for itself.
        weight: how many times the rounds of other cells.
    """

    section: str
    variants: tuple[v.Variant, ...]
    secrets: int
    latency: int = 0
    wire: str = HTTP
    old_versions: int = 0
    packed: bool = False
    workers: int = 1
    weight: int = 1

    @property
    def label(self) -> str:
        """The conditions in words."""
        parts = [f"{self.secrets:,} secret{'s' if self.secrets != 1 else ''}"]
        if self.old_versions:
            parts[0] += f" of {self.old_versions + 1} versions"
        if self.workers > 1:
            parts.append(f"{self.workers} workers")
        if self.latency:
            parts.append(f"{self.latency} ms")
        if self.wire != HTTP:
            parts.append(self.wire)
        return ", ".join(parts)


START = "One document over TLS"
WORKERS = "Workers that start together"
DOCUMENT = "Secrets Manager, one document"
NAMES = "Secrets Manager, a secret per name"
TABLE = "A CredStash table"
TABLE_DOCUMENT = "A CredStash table, one document"
SCALE = "Large CredStash tables"
PUTALL = "Storing many: putall into an empty store"

_START = (v.OURS_DOCUMENT, v.IMPORT, v.OURS_RUN, v.OURS_BOTO3, *_DOCUMENT[1:])
_PUTALL = (
    v.PUTALL_TABLE,
    v.PUTALL_CREDSTASH,
    v.PUTALL_DOCUMENT,
    v.PUTALL_NAMES,
    v.PUTALL_BOTO3,
)

CELLS = (
    Cell(START, _START, 20, wire=FILE, weight=2),
    # boto3 takes a file only; who trusts what the system trusts may read a directory.
    Cell(START, (v.OURS_DOCUMENT, v.BOTO3_DOCUMENT), 20, wire=DIRECTORY, weight=2),
    Cell(WORKERS, (v.OURS_DOCUMENT, v.OURS_RUN, v.BOTO3_DOCUMENT), 20, 20, FILE, workers=8),
    *(Cell(DOCUMENT, _DOCUMENT, n, ms) for n in (1, 100, 1000) for ms in _LATENCIES),
    *(Cell(NAMES, _NAMES, n, ms) for n in (1, 20, 100, 1000) for ms in _LATENCIES),
    Cell(NAMES, _NAMES, 100, 20, wire=FILE),
    Cell(NAMES, (v.OURS_NAMES, v.BOTO3_NAMES), 5000),
    *(Cell(TABLE, _TABLE, n, ms) for n in (1, 20, 100, 1000) for ms in _LATENCIES),
    Cell(TABLE, _TABLE, 100, 20, wire=FILE),
    *(Cell(TABLE_DOCUMENT, _TABLE_DOCUMENT, n, 20, packed=True) for n in (100, 1000)),
    *(Cell(SCALE, (v.OURS_TABLE, v.CREDSTASH), 5000, ms) for ms in _LATENCIES),
    Cell(SCALE, (v.OURS_TABLE, v.OURS_TABLE_NAMES, v.CREDSTASH), 100, old_versions=200),
    *(Cell(PUTALL, _PUTALL, n, 20) for n in (100, 1000)),
)

#: What redaction.py is given.
PAGE_SIZE, PAGE_SECRETS = 1_000_000, 100


def smallest() -> tuple[Cell, ...]:
    """Every variant once, with few secrets: that all of this runs, not how fast."""
    found: dict[str, Cell] = {}
    for cell in CELLS:
        found.setdefault(cell.section, replace(cell, variants=(), secrets=3, latency=1, weight=1))
        cell_so_far = found[cell.section]
        more = tuple(one for one in cell.variants if one not in cell_so_far.variants)
        found[cell.section] = replace(cell_so_far, variants=(*cell_so_far.variants, *more))
    found[SCALE] = replace(found[SCALE], old_versions=2)
    found[WORKERS] = replace(found[WORKERS], workers=2)
    return tuple(found.values())


@dataclass(frozen=True)
class Goal:
    """A figure that was aimed at.

    Attributes:
        text: in words.
        section, label, variant: whose figure it is: a cell's, and a variant's label.
        measure: which: ``process``, ``added`` (what it is beyond that of settings without secrets),
            ``import`` or ``requests``.
        most: the figure (seconds, or requests).
    """

    text: str
    section: str
    label: str
    variant: v.Variant
    measure: str
    most: float


GOALS = (
    Goal(
        "`from django_kms_secrets import load`, in a process that has Django",
        START, f"20 secrets, {FILE}", v.IMPORT, "import", 0.005,
    ),
    Goal(
        "one document, TLS, a CA file: added to the import of settings",
        START, f"20 secrets, {FILE}", v.OURS_DOCUMENT, "import", 0.040,
    ),
    Goal(
        "one document, TLS, a CA directory: added to the import of settings",
        START, f"20 secrets, {DIRECTORY}", v.OURS_DOCUMENT, "import", 0.015,
    ),
    Goal(
        "a document that `run` has fetched: added to the import of settings",
        START, f"20 secrets, {FILE}", v.OURS_RUN, "import", 0.003,
    ),
    Goal(
        "8 workers that `run` has started: requests",
        WORKERS, f"20 secrets, 8 workers, 20 ms, {FILE}", v.OURS_RUN, "requests", 1,
    ),
    Goal(
        "100 names of Secrets Manager at 20 ms: added to the import of settings",
        NAMES, "100 secrets, 20 ms", v.OURS_NAMES, "import", 0.15,
    ),
    Goal(
        "100 names of CredStash at 20 ms: added to the import of settings",
        TABLE, "100 secrets, 20 ms", v.OURS_TABLE, "import", 0.30,
    ),
    Goal(
        "100 names of CredStash: requests",
        TABLE, "100 secrets, 20 ms", v.OURS_TABLE, "requests", 101,
    ),
    Goal(
        "`putall` of 100 at 20 ms: whole process",
        PUTALL, "100 secrets, 20 ms", v.PUTALL_TABLE, "process", 0.6,
    ),
)  # fmt: skip
