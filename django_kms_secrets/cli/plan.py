"""What differs between wanted values and those of a store: what putall, diff and copy go by.

What is shown has no value in it. A fingerprint stands for each, made under a key that is new in
every run: within a run two values are equal where their fingerprints are; outside of it nobody can
find a value by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..backends.base import ABSENT
from ..exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretsError,
    is_of_values,
)
from ..formats import tree
from ..types import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..backends.base import BaseStore
    from ..types import Secret

ADDED, CHANGED, SAME = "added", "changed", "same"
#: The current value cannot be read, so there is no telling.
UNREADABLE = "unreadable"
#: What the wanted values leave out; it is removed only where somebody said so.
ONLY_STORED, REMOVED = "only-stored", "removed"

#: Of `Plan.rows`.
COLUMNS = ("state", "name", "stored", "given")
#: Exit codes, as of diff(1).
EQUAL, DIFFERENT, TROUBLE = 0, 1, 2


@dataclass(frozen=True)
class Plan:
    """Wanted values against those of a store.

    Attributes:
        values: what shall be.
        current: what is, as far as it can be read.
        unreadable: the wanted names whose current value cannot be read.
        only_stored: the names that only the store has, where it was asked for them, each with its
            version.
        is_whole: False where the store would not say which names it has.
        reasons: why the unreadable values cannot be read.
    """

    values: Mapping[str, str]
    current: Mapping[str, Secret]
    unreadable: frozenset[str]
    only_stored: Mapping[str, str] = field(default_factory=dict)
    is_whole: bool = True
    reasons: tuple[str, ...] = ()
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def versions(self) -> dict[str, str]:
        """The version that each wanted name was read at, or `ABSENT`; not of unreadable ones."""
        return {
            name: self.current[name].version if name in self.current else ABSENT
            for name in self.values
            if name not in self.unreadable
        }

    def names(self, *states: str) -> list[str]:
        """The wanted names in some of the states, in their order."""
        return [name for name in self.values if self._state(name) in states]

    def exit_code(self) -> int:
        """`EQUAL` or `DIFFERENT`; `TROUBLE` where not all could be compared."""
        if self.unreadable or not self.is_whole:
            return TROUBLE
        differs = self.only_stored or self.names(ADDED, CHANGED)
        return DIFFERENT if differs else EQUAL

    def rows(self, rest: str = ONLY_STORED) -> list[dict[str, str | None]]:
        """A row for each name, with a fingerprint for each value.

        Args:
            rest: the state of what only the store has.
        """
        states = {name: self._state(name) for name in self.values}
        states.update(dict.fromkeys(self.only_stored, rest))
        return [
            {
                "state": state,
                "name": name,
                "stored": self._fingerprint(
                    self.current[name].value if name in self.current else None
                ),
                "given": self._fingerprint(self.values.get(name)),
            }
            for name, state in states.items()
        ]

    def _state(self, name: str) -> str:
        if name in self.unreadable:
            return UNREADABLE
        if name not in self.current:
            return ADDED
        return SAME if equal(self.current[name].value, self.values[name]) else CHANGED

    def _fingerprint(self, value: str | None) -> str | None:
        if value is None:
            return None
        return hmac.new(self._key, value.encode(), hashlib.sha256).hexdigest()[:8]


def compare(store: BaseStore, values: Mapping[str, str]) -> Plan:
    """Compare wanted values with the current ones of the same names."""
    current, unreadable = _current(store, values)
    reasons = tuple(dict.fromkeys(unreadable.values()))
    return Plan(values, current, frozenset(unreadable), reasons=reasons)


def compare_all(store: BaseStore, values: Mapping[str, str]) -> Plan:
    """The same, and what only the store has, as far as it may be listed and read."""
    plan = compare(store, values)
    try:
        stored = names_of(store)
    except AccessDenied as exc:
        if not is_of_values(exc):
            raise
        return replace(plan, is_whole=False)
    rest = only_stored(store, stored, values)
    # Apart from the wanted ones: what cannot be read here says nothing of those.
    more = _current(store, rest)[0] if rest else {}
    # Who may read nothing is refused of what is not there, too.
    unreadable = (
        name for name in plan.unreadable if any(map(stored.__contains__, tree.roots(name)))
    )
    return replace(
        plan,
        current={**plan.current, **more},
        unreadable=frozenset(unreadable),
        only_stored=rest,
    )


def write(store: BaseStore, plan: Plan, names: Iterable[str]) -> None:
    """Write the wanted values of some names, and delete what the plan says that only the store has.

    Nothing is written over what was written since it was made.

    Raises:
        VersionConflict: one of them is at another version now.
    """
    values = {name: plan.values[name] for name in names}
    if is_document(store):
        # A tree that is replaced by a text takes along what is inside of it.
        inside = (name for name in plan.names(SAME) if values.keys() & set(tree.roots(name)))
        values.update((name, plan.values[name]) for name in inside)
    store.apply(values, plan.only_stored, expected={**plan.versions, **plan.only_stored})


def names_of(store: BaseStore) -> dict[str, str]:
    """All names of a store, each with its current version."""
    entries = sorted(store.list_secrets(), key=lambda entry: CURRENT in entry.stages)
    return {entry.name: entry.version for entry in entries}


def only_stored(
    store: BaseStore, stored: Mapping[str, str], wanted: Iterable[str]
) -> dict[str, str]:
    """The stored names beside the wanted ones, sorted, each with its version.

    In a document, a tree that a wanted dotted name reaches into is not one of them; elsewhere a
    dotted name is written as a name of its own.
    """
    names = {*wanted}
    if is_document(store):
        names.update(root for name in names - stored.keys() for root in tree.roots(name))
    return {name: stored[name] for name in sorted(stored.keys() - names)}


def equal(one: str, other: str) -> bool:
    """Compare two values in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def warnings_of(plan: Plan) -> list[str]:
    """What could not be compared, in words."""
    found = []
    if plan.unreadable:
        found.append(
            "warning: no telling whether these changed, as their current value cannot be read: "
            + ", ".join(name for name in plan.values if name in plan.unreadable)
        )
    if not plan.is_whole:
        found.append("warning: no telling which names only the store has, as it may not be listed")
    return found


def refuse_two_values(store: BaseStore, values: Mapping[str, str]) -> None:
    """In a document a dotted name is the leaf of a tree: there is room for one of two values.

    Raises:
        SecretsError: the store is a document, and a leaf and its tree differ.
    """
    if not is_document(store):
        return
    pairs = [
        (root, name)
        for name, value in values.items()
        for root in tree.roots(name)[1:]
        if _inside(values.get(root, ""), root, name) not in (None, value)
    ]
    if pairs:
        raise SecretsError(
            "given twice, with different values: "
            + ", ".join(f"{name} and the tree {root}" for root, name in pairs)
            + "; nothing was written",
            hint="in a document a dotted name is in its tree: keep one of the two",
            names={name for pair in pairs for name in pair},
        )


def is_document(store: BaseStore) -> bool:
    """Whether all names of a store are in one document."""
    return bool(getattr(store, "document", "") or getattr(store, "secret_id", ""))


def _inside(text: str, root: str, name: str) -> Any:
    """What a tree has where a dotted name reaches into it; None: it is no tree."""
    if tree.parse_object(text) is None:
        return None
    found = tree.reach({root: text}, name)
    return found if found is tree.MISSING else tree.text_of(found)


def _current(store: BaseStore, names: Iterable[str]) -> tuple[dict[str, Secret], dict[str, str]]:
    """The current values, and why those of the other names cannot be read.

    Who may only write has no current values to compare with.
    """
    names = list(names)
    try:
        return dict(store.get_many(names)), {}
    except (AccessDenied, DecryptionError, SecretIntegrityError) as exc:
        if not is_of_values(exc):
            raise
        of_these = set(exc.names).intersection(names) or names
        unreadable = dict.fromkeys(of_these, exc.message)
    readable = [name for name in names if name not in unreadable]
    current, more = _current(store, readable) if readable else ({}, {})
    return current, unreadable | more
