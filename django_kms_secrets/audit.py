"""What the settings read, compared with what the stores have, without a value of anything."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from .backends.capabilities import Age, AgedStore
from .formats import tree
from .types import CURRENT, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .backends.base import BaseStore
    from .config import Config
    from .recording import Read
    from .types import SecretVersion

#: Options that tell which table or account a store is in; its prefix tells which part of it.
_WHERE = ("table", "document", "secret_id", "region_name", "profile_name", "endpoint_url", "path")
FINDINGS = ("missing", "unused", "never-rotated", "too-old")
#: What is worth knowing, and not wrong.
NOTES = ("default", "unknown-age")


def is_same_store(one: Config, other: Config) -> bool:
    """Whether two configurations are of one store, whatever names they fetch."""
    return (one.store_class, one.options) == (other.store_class, other.options)


def _known_ages(
    store: BaseStore, entries: Mapping[str, Sequence[SecretVersion]]
) -> Mapping[str, Age]:
    """How old values are, without a request: by the store, or by the entries alone."""
    if isinstance(store, AgedStore) and store.knows_ages_by_listing:
        return store.ages([entry for versions in entries.values() for entry in versions])
    return {name: _known_age(versions) for name, versions in entries.items()}


def _known_age(versions: Sequence[SecretVersion]) -> Age:
    current = next(entry for entry in versions if CURRENT in entry.stages)
    rotated = any(PREVIOUS in entry.stages for entry in versions) or None
    return Age(rotated, current.created, exact=False)


def _row(finding: str, name: str, found: str, mend: str = "") -> dict[str, str]:
    return {"finding": finding, "name": name, "found": found, "mend": mend}


class Listed:
    """A store, and what is in it.

    Attributes:
        place: the store.
        entries: the versions of each name that has a current value.
        asked: what is read of it, and the trees that dotted names reach into, there or not.
        used: those that are there and fetched.
        known_ages: how old the values are, by what the listing tells.
        prefix: what the names begin with where they are stored.
        is_document: whether all names are in one document, where a dotted name is a leaf.
    """

    def __init__(self, store: BaseStore, *, is_configured: bool) -> None:
        with store:
            self.place: str = store.place
            self.entries: dict[str, list[SecretVersion]] = {}
            listed = store.list_secrets()
            current = {entry.name for entry in listed if CURRENT in entry.stages}
            for entry in listed:
                if entry.name in current:
                    self.entries.setdefault(entry.name, []).append(entry)
            self.known_ages: Mapping[str, Age] = _known_ages(store, self.entries)
        self.asked: set[str] = set()
        self.used: set[str] = set()
        self.prefix: str = str(getattr(store, "prefix", ""))
        self.is_document: bool = bool(
            getattr(store, "document", "") or getattr(store, "secret_id", "")
        )
        self._where = (type(store), *(getattr(store, option, None) for option in _WHERE))
        self._store = store
        self._is_configured = is_configured

    def command(self, words: str) -> str:
        """A command that acts on this store, whatever the settings configure for the verbs."""
        if self._is_configured:
            return f"`secrets {words}`"
        return f"`secrets {words} --url URL`, with the URL of {self.place}"

    def asked_of(self, other: Listed) -> set[str]:
        """What is read of another one, by its names here; nothing if that is elsewhere."""
        if other._where != self._where:
            return set()
        stored = {f"{other.prefix}{name}" for name in other.asked}
        return {name.removeprefix(self.prefix) for name in stored if name.startswith(self.prefix)}

    def has_within(self, other: Listed, name: str) -> bool:
        """Whether a name is one of another store, which is the part below a longer prefix."""
        return (
            other._where == self._where
            and len(other.prefix) > len(self.prefix)
            and f"{self.prefix}{name}".startswith(other.prefix)
        )

    def ages(self) -> Mapping[str, Age]:
        """Of what is used, as far as the store knows."""
        if not isinstance(self._store, AgedStore) or self._store.knows_ages_by_listing:
            return {name: self.known_ages[name] for name in sorted(self.used)}
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

    listed: Listed
    names: Sequence[str] | None

    def fetches(self, roots: Iterable[str]) -> bool:
        """Whether one of these names is asked for."""
        return self.names is None or bool({*roots} & {*self.names})

    def has(self, roots: Iterable[str]) -> list[str]:
        """Those that are asked for and there; of a document also the tree that a leaf is in."""
        names = self.names
        if names is not None and self.listed.is_document:
            names = [root for name in names for root in tree.roots(name)]
        there = [root for root in roots if root in self.listed.entries]
        return there if names is None else [root for root in there if root in names]


class Audit:
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
        self._stores: list[tuple[Config, Listed]] = []
        self._fetched: dict[str, str] = {}  # what NAMES list -> the store
        self._unmet: dict[str, dict[str, str]] = {}

    @property
    def stores(self) -> list[Listed]:
        """The stores that were listed."""
        return [listed for _, listed in self._stores]

    @property
    def places(self) -> list[str]:
        """The stores, as errors name them."""
        return [listed.place for listed in self.stores]

    def compare(self, reads: Mapping[str, Read], configs: Sequence[Config], *, whole: bool) -> None:
        """Compare what is asked of one `Secrets` with its stores.

        Args:
            reads: by name.
            configs: of its layers.
            whole: everything that is fetched counts as read.
        """
        layers = [_Layer(self.listed(config), config.names) for config in configs]
        for layer in layers:
            self._fetched.update(dict.fromkeys(layer.names or (), layer.listed.place))
            if whole:
                everything = layer.has(layer.listed.entries)
                layer.listed.used.update(everything)
                layer.listed.asked.update(everything)
                self._roots.update(layer.names or ())
        for name, read in reads.items():
            self._look_for(name, read, layers)

    def listed(self, config: Config) -> Listed:
        """The store of a configuration; it is listed once."""
        for known, listed in self._stores:
            if is_same_store(known, config):
                return listed
        configured = self._configured
        listed = Listed(
            config.make_store(),
            is_configured=configured is not None and is_same_store(config, configured),
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
        found = [(layer, layer.has(roots)) for layer in layers if layer.fetches(roots)]
        for layer, names in found:
            layer.listed.used.update(names)
        if not any(names for _, names in found):
            # Where NAMES have the tree of a dotted name, it is the tree that is missing.
            listed = {listed for layer in layers for listed in layer.names or ()}
            lacking = next((root for root in roots if root in listed), name)
            if read.required or lacking not in self._unmet:
                self._unmet[lacking] = _unmet(lacking, read, layers)

    def unmet(self) -> list[dict[str, str]]:
        """A row for each name that no store gives."""
        missing = {name for name, row in self._unmet.items() if row["finding"] == "missing"}
        # What reaches into a tree that is missing is not missing as well.
        return [
            row for name, row in self._unmet.items() if not missing & {*tree.roots(name)} - {name}
        ]

    def rows(self, max_age: timedelta | None) -> list[dict[str, str]]:
        """A row for each finding and each note, in the order of their kinds."""
        rows = [*self.unmet(), *self._unused(), *self._old(max_age)]
        kinds = (*FINDINGS, *NOTES)
        return sorted(rows, key=lambda row: (kinds.index(row["finding"]), row["name"]))

    def _unused(self) -> Iterator[dict[str, str]]:
        stored = {name for listed in self.stores for name in listed.entries}
        for name in self._fetched.keys() - stored - self._roots:
            found = f"among NAMES, not in {self._fetched[name]}, and no setting reads it"
            yield _row("unused", name, found, "take it out of NAMES")
        for listed in self.stores:
            asked = {name for other in self.stores for name in listed.asked_of(other)}
            for name in listed.entries.keys() - asked:
                if any(listed.has_within(other, name) for other in self.stores):
                    continue  # that store's own row says it, if there is one
                yield _row(
                    "unused",
                    name,
                    f"in {listed.place}, and no setting reads it",
                    f"--ignore it if something else reads it; if nothing does, "
                    f"{listed.command(f'delete {name}')}",
                )

    def _old(self, max_age: timedelta | None) -> Iterator[dict[str, str]]:
        for listed in self.stores:
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
    name: str, age: Age, max_age: timedelta | None, listed: Listed
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
