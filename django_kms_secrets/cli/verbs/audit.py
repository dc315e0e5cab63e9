"""Compare the names that the settings read with those in the store.

It finds what is missing, unused, never rotated or older than --max-age. The settings are imported
in offline mode, which notes what they ask for; no value is read or shown. What is asked for later,
at run time, is not seen. The exit code is 1 if there is a finding; a note is none.
"""

from __future__ import annotations

import argparse
import os
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import recording
from ...backends.capabilities import Age, AgedStore
from ...config import read_config
from ...exceptions import SecretsError
from ...formats import tree
from ...types import CURRENT
from ..arguments import add_listing_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ...backends.base import BaseStore
    from ...config import Config
    from ...recording import Read, Recording
    from ...types import SecretVersion
    from ..console import Console

#: Options that tell which table or account a store is in; its prefix tells which part of it.
_WHERE = ("table", "document", "secret_id", "region_name", "profile_name", "endpoint_url", "path")
_COLUMNS = ("finding", "name", "found", "mend")
FINDINGS = ("missing", "unused", "never-rotated", "too-old")
#: What is worth knowing, and not wrong.
NOTES = ("default", "unknown-age")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-age",
        type=_days,
        metavar="DAYS",
        help="find values that were written longer ago (Secrets Manager); what is known to be "
        "younger need not have been rotated",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out names that match; once for each",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        choices=(*FINDINGS, *NOTES),
        metavar="FINDING",
        help=f"do not look for it: {', '.join((*FINDINGS, *NOTES))}; once for each",
    )
    add_listing_format(parser)


def start(read: Callable[[], Config], options: Mapping[str, Any], console: Console) -> int:
    if not recording.recordings:
        raise SecretsError(
            "no settings were imported in offline mode, so it is not known what they read",
            hint="run `python manage.py secrets audit` in a project whose settings call load()",
        )
    audit = _Audit(None if options.get("url") else _configured(read))
    for found in recording.recordings:
        configs = [read()] if options.get("url") else map(read_config, found.sources)
        audit.compare(found, list(configs))
    rows = [row for row in audit.rows(options["max_age"]) if _wanted(row, options)]
    console.rows(_COLUMNS, rows, options["format"])
    console.say(
        f"the settings read {len(audit.names)} names of {', '.join(audit.places)}; "
        "what is read at run time is not seen"
    )
    return int(any(row["finding"] in FINDINGS for row in rows))


def _configured(read: Callable[[], Config]) -> Config | None:
    """What the other verbs act on without --url; None for nothing."""
    try:
        return read()
    except SecretsError:
        return None


def _is_same_store(one: Config, other: Config) -> bool:
    return (one.store_class, one.options) == (other.store_class, other.options)


def _days(text: str) -> timedelta:
    if not text.isdecimal() or int(text) > timedelta.max.days:
        raise argparse.ArgumentTypeError("not a number of days")
    return timedelta(days=int(text))


def _wanted(row: Mapping[str, str], options: Mapping[str, Any]) -> bool:
    ignored = any(fnmatchcase(row["name"], pattern) for pattern in options["ignore"])
    return not ignored and row["finding"] not in options["skip"]


def _row(finding: str, name: str, found: str, mend: str = "") -> dict[str, str]:
    return {"finding": finding, "name": name, "found": found, "mend": mend}


class _Listed:
    """A store, and what is in it.

    Attributes:
        place: the store.
        entries: the versions of each name that has a current value.
        asked: what is read of it, and the trees that dotted names reach into, there or not.
        used: those that are there and fetched.
        prefix: what the names begin with where they are stored.
    """

    def __init__(self, store: BaseStore, *, is_configured: bool) -> None:
        with store:
            self.place = store.place
            self.entries: dict[str, list[SecretVersion]] = {}
            listed = store.list_secrets()
            current = {entry.name for entry in listed if CURRENT in entry.stages}
            for entry in listed:
                if entry.name in current:
                    self.entries.setdefault(entry.name, []).append(entry)
        self.asked: set[str] = set()
        self.used: set[str] = set()
        self.prefix = str(getattr(store, "prefix", ""))
        self._where = (type(store), *(getattr(store, option, None) for option in _WHERE))
        self._store = store
        self._is_configured = is_configured

    def command(self, words: str) -> str:
        """A command that acts on this store, whatever the settings configure for the verbs."""
        if self._is_configured:
            return f"`secrets {words}`"
        return f"`secrets {words} --url URL`, with the URL of {self.place}"

    def asked_of(self, other: _Listed) -> set[str]:
        """What is read of another one, by its names here; nothing if that is elsewhere."""
        if other._where != self._where:
            return set()
        stored = {f"{other.prefix}{name}" for name in other.asked}
        return {name.removeprefix(self.prefix) for name in stored if name.startswith(self.prefix)}

    def has_within(self, other: _Listed, name: str) -> bool:
        """Whether a name is one of another store, which is the part below a longer prefix."""
        return (
            other._where == self._where
            and len(other.prefix) > len(self.prefix)
            and f"{self.prefix}{name}".startswith(other.prefix)
        )

    def ages(self) -> Mapping[str, Age]:
        """Of what is used, as far as the store knows."""
        if not isinstance(self._store, AgedStore):
            return {name: Age(rotated=None) for name in self.used}
        with self._store:
            return self._store.ages(
                [entry for name in sorted(self.used) for entry in self.entries[name]]
            )


class _Layer(NamedTuple):
    """A store as one `Secrets` reads it.

    Attributes:
        listed: the store.
        names: what is fetched; None for all there is.
    """

    listed: _Listed
    names: Sequence[str] | None

    def fetches(self, roots: Iterable[str]) -> bool:
        """Whether one of these names is asked for."""
        return self.names is None or bool({*roots} & {*self.names})

    def has(self, roots: Iterable[str]) -> list[str]:
        """Those that are asked for and there."""
        return [root for root in roots if self.fetches([root]) and root in self.listed.entries]


class _Audit:
    """What was compared, and what was found.

    Args:
        configured: the store that the other verbs act on; None if it is none of those compared.

    Attributes:
        names: all that were read.
    """

    def __init__(self, configured: Config | None) -> None:
        self._configured = configured
        self.names: set[str] = set()
        self._roots: set[str] = set()  # the same, and the trees that dotted names reach into
        self._stores: list[tuple[Config, _Listed]] = []
        self._fetched: dict[str, str] = {}  # what NAMES list -> the store
        self._unmet: dict[str, dict[str, str]] = {}

    @property
    def places(self) -> list[str]:
        """The stores."""
        return [listed.place for _, listed in self._stores]

    def compare(self, found: Recording, configs: Sequence[Config]) -> None:
        """Compare what was asked of one `Secrets` with its stores."""
        layers = [_Layer(self._listed(config), config.names) for config in configs]
        for layer in layers:
            self._fetched.update(dict.fromkeys(layer.names or (), layer.listed.place))
            if found.whole:
                everything = layer.has(layer.listed.entries)
                layer.listed.used.update(everything)
                layer.listed.asked.update(everything)
                self._roots.update(layer.names or ())
        for name, read in found.reads.items():
            self._look_for(name, read, layers)

    def _listed(self, config: Config) -> _Listed:
        for known, listed in self._stores:
            if _is_same_store(known, config):
                return listed
        configured = self._configured
        listed = _Listed(
            config.make_store(),
            is_configured=configured is not None and _is_same_store(config, configured),
        )
        self._stores.append((config, listed))
        return listed

    def _look_for(self, name: str, read: Read, layers: Sequence[_Layer]) -> None:
        roots = tree.roots(name)
        for layer in layers:
            layer.listed.asked.update(roots)
        if read.from_env and not _is_asked_for(name, layers):
            return
        self.names.add(name)
        self._roots.update(roots)
        found = [(layer, layer.has(roots)) for layer in layers]
        for layer, names in found:
            layer.listed.used.update(names)
        if not any(names for _, names in found):
            # Where NAMES have the tree of a dotted name, it is the tree that is missing.
            listed = {listed for layer in layers for listed in layer.names or ()}
            lacking = next((root for root in roots if root in listed), name)
            if read.required or lacking not in self._unmet:
                self._unmet[lacking] = _unmet(lacking, read, layers)

    def rows(self, max_age: timedelta | None) -> list[dict[str, str]]:
        """A row for each finding and each note, in the order of their kinds."""
        missing = {name for name, row in self._unmet.items() if row["finding"] == "missing"}
        # What reaches into a tree that is missing is not missing as well.
        unmet = [
            row for name, row in self._unmet.items() if not missing & {*tree.roots(name)} - {name}
        ]
        rows = [*unmet, *self._unused(), *self._old(max_age)]
        kinds = (*FINDINGS, *NOTES)
        return sorted(rows, key=lambda row: (kinds.index(row["finding"]), row["name"]))

    def _unused(self) -> Iterator[dict[str, str]]:
        stored = {name for _, listed in self._stores for name in listed.entries}
        for name in self._fetched.keys() - stored - self._roots:
            found = f"among NAMES, not in {self._fetched[name]}, and no setting reads it"
            yield _row("unused", name, found, "take it out of NAMES")
        stores = [listed for _, listed in self._stores]
        for listed in stores:
            asked = {name for other in stores for name in listed.asked_of(other)}
            for name in listed.entries.keys() - asked:
                if any(listed.has_within(other, name) for other in stores):
                    continue  # that store's own row says it, if there is one
                yield _row(
                    "unused",
                    name,
                    f"in {listed.place}, and no setting reads it",
                    f"--ignore it if something else reads it; if nothing does, "
                    f"{listed.command(f'delete {name}')}",
                )

    def _old(self, max_age: timedelta | None) -> Iterator[dict[str, str]]:
        for _, listed in self._stores:
            for name, age in listed.ages().items():
                yield from _old(name, age, max_age, listed)


def _is_asked_for(name: str, layers: Sequence[_Layer]) -> bool:
    """Whether `env` looks for a name in a store; if not, it is a variable of the environment."""
    roots = tree.roots(name)
    return any(
        layer.fetches(roots)
        and (layer.names is not None or name not in os.environ or layer.has(roots))
        for layer in layers
    )


def _unmet(name: str, read: Read, layers: Sequence[_Layer]) -> dict[str, str]:
    """The row of a name that no store gives."""
    places = " | ".join(layer.listed.place for layer in layers)
    fetching = [layer.listed for layer in layers if layer.fetches(tree.roots(name))]
    if fetching:
        # The last layer wins, so what is written there is what is read.
        found, mend = f"not in {places}", f"to write it: {fetching[-1].command(f'put {name}')}"
    else:
        found, mend = f"not among NAMES, so not fetched from {places}", f'add "{name}" to NAMES'
    if read.required:
        return _row("missing", name, found, mend)
    return _row("default", name, f"{found}; the settings do without it")


def _old(
    name: str, age: Age, max_age: timedelta | None, listed: _Listed
) -> Iterator[dict[str, str]]:
    place = listed.place
    mend = f"where the value comes from, or {listed.command(f'rotate {name}')}"
    days = None if age.written is None else datetime.now(timezone.utc) - age.written
    if max_age is not None and days is not None and days > max_age:
        when = f"written {days.days} days ago{'' if age.exact else ' or earlier'}"
        yield _row("too-old", name, when, mend)
        return
    young = max_age is not None and days is not None and age.exact
    if age.rotated is False and not young:
        yield _row("never-rotated", name, f"the first value that it had in {place}", mend)
    if max_age is not None and not young:
        yield _row("unknown-age", name, f"{place} does not record when a value was written")
