"""What the page shows: listings of the stores, kept for a short while in this process."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from ...audit import Audit, is_same_store
from ...conf import configured_source
from ...config import read_config
from ...exceptions import SecretsError
from ...loader import loads
from ...offline import VARIABLE, is_offline
from ...recording import Read
from ...redaction import redact
from ...stages import listed_stages
from ...types import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...audit import Listed
    from ...backends.capabilities import Age
    from ...config import Config

#: Seconds for which a report is shown again, with its errors. It is kept in the memory of the
#: process and not in CACHES: names of secrets do not belong in a cache that others read.
LIFETIME = 30.0

#: Where a rotation stands, by the step of `secrets rotate` that is due.
_ROTATION = {
    "promote": "a new value is pending, in version {}: promote or abandon it",
    "retire": "the previous value is kept: retire it once nothing needs it",
    "stage": "none under way",
}


class Row(NamedTuple):
    """A name in a store, in words.

    Attributes:
        name: the name, without the store's prefix.
        place: the store; "" for a name that none has, whose other texts are empty too.
        version: the current version.
        age: how long ago the current value was written.
        rotated: when it took the place of another one.
        rotation: where a rotation in steps stands.
        findings: what there is to say of it.
    """

    name: str
    place: str
    version: str
    age: str
    rotated: str
    rotation: str
    findings: Sequence[str]


class Problem(NamedTuple):
    """An error, without its traceback, whose frames would live on with it.

    Attributes:
        message, hint: as of every error; no loaded value is in them.
    """

    message: str
    hint: str


class Report(NamedTuple):
    """All that the page shows.

    Attributes:
        loads: what is read, the layers of each `Secrets` in one text; the last of them wins.
        rows: by name.
        problems: why stores could not be listed. The rest is not compared then.
        at: when they were asked.
    """

    loads: Sequence[str]
    rows: Sequence[Row]
    problems: Sequence[Problem]
    at: datetime


class Cache:
    """The last report, for as long as it is shown again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: tuple[float, object, Report] | None = None

    def report(self) -> Report:
        """The report on what this process reads. Of several threads one asks, the others wait."""
        with self._lock:
            try:
                configured = _configured()
                if self._made is None or self._made[0] < monotonic() or self._made[1] != configured:
                    report = _make(configured)
                    # From now on: a store that is out may take longer than that to say so.
                    self._made = monotonic() + LIFETIME, configured, report
                return self._made[2]
            except SecretsError as exc:  # the configuration; nothing was asked
                return Report([], [], [_problem(exc)], _now())


def _configured() -> list[tuple[Config, ...]]:
    """The layers of each `Secrets`, and KMS_SECRETS; nothing that is a part of another one."""
    if is_offline():
        raise SecretsError(
            "the settings were imported in offline mode, so no store is asked",
            hint=f"unset {VARIABLE}; it is for image builds and the secrets command",
        )
    source = configured_source()
    found = [*loads(), *([(read_config(source),)] if source is not None else [])]
    kept: list[tuple[Config, ...]] = []
    for load in sorted(found, key=len, reverse=True):
        if load and not any(_is_part(load, other) for other in kept):
            kept.append(load)
    return kept


def _is_part(load: Sequence[Config], other: Iterable[Config]) -> bool:
    """Whether another one has all of its layers, in the same order."""
    left = iter(other)
    return all(config in left for config in load)


def _make(configured: Sequence[Sequence[Config]]) -> Report:
    """List every store once, and compare what NAMES list with what is there."""
    source = configured_source()
    audit = Audit(None if source is None else read_config(source))
    places = [" | ".join(config.make_store().place for config in load) for load in configured]
    asked: list[Config] = []
    problems = []
    for config in (config for load in configured for config in load):
        if not any(is_same_store(config, other) for other in asked):
            asked.append(config)
            try:
                audit.listed(config)
            except SecretsError as exc:
                problems.append(_problem(exc))
    if not problems:
        for load in configured:
            names = [name for config in load for name in config.names or ()]
            reads = dict.fromkeys(names, Read(required=True, from_env=False))
            audit.compare(reads, load, whole=True)
    rows = [row for listed in audit.stores for row in _rows(listed, is_compared=not problems)]
    rows += [_missing(found) for found in audit.unmet()]
    return Report(places, sorted(rows), problems, _now())


def _problem(error: SecretsError) -> Problem:
    return Problem(redact(error.message), redact(error.hint))


def _rows(listed: Listed, *, is_compared: bool) -> Iterator[Row]:
    for name, entries in listed.entries.items():
        stages = listed_stages(entries)
        age = listed.known_ages[name]
        findings = []
        if is_compared and name not in listed.used:
            findings.append("not fetched: NAMES do not list it")
        if age.rotated is False:
            findings.append("never rotated")
        rotation = _ROTATION[stages.next_steps[0]].format(stages.ids.get(PENDING))
        yield Row(name, listed.place, stages.current, _age(age), _rotated(age), rotation, findings)


def _missing(found: dict[str, str]) -> Row:
    return Row(found["name"], "", "", "", "", "", [f"missing: {found['found']}; {found['mend']}"])


def _age(age: Age) -> str:
    if age.written is None:
        return "not recorded"
    days = max((_now() - age.written).days, 0)  # AWS's clock may be ahead of ours
    return f"{days} day{'' if days == 1 else 's'}{'' if age.exact else ' or more'}"


def _rotated(age: Age) -> str:
    if age.rotated is None:
        return "not known"
    if not age.rotated:
        return "never"
    if age.written is None:
        return "yes, the date is not recorded"
    return f"{'' if age.exact else 'not after '}{age.written:%Y-%m-%d}"


def _now() -> datetime:
    return datetime.now(timezone.utc)
