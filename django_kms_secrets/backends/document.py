"""A store's names in one document: what is done with them, wherever the document is kept."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

from ..exceptions import (
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    VersionConflict,
)
from ..types import CURRENT, PENDING, PREVIOUS, STAGES, Secret, SecretStr, SecretVersion
from .base import ABSENT, already_current, already_pending, expect_all, in_stages, not_found
from .capabilities import Age
from .contents import Contents, refuse_reserved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime


class Document(abc.ABC):
    """A document, written whole and versioned whole, by compare-and-set.

    Args:
        place: the document, as errors name it.
    """

    #: Why a whole document can be pending.
    pending_because: ClassVar[str]
    #: What to use for values that are not in a document.
    otherwise: ClassVar[str]

    def __init__(self, place: str) -> None:
        self.place = place

    # Where it is kept

    @abc.abstractmethod
    def read(self, version: str = CURRENT) -> Contents:
        """Read the document at a stage, or a version of it.

        Raises:
            StoreNotReady: there is no document.
            SecretNotFound: it has no such version.
            SecretIntegrityError: it is not a JSON object.
        """

    @abc.abstractmethod
    def write(self, contents: Contents, names: Collection[str]) -> str:
        """Make it current, if the version that it was read from still is; gives the new version.

        Args:
            contents: the document.
            names: what has changed in it, for errors.

        Raises:
            VersionConflict: somebody else wrote it meanwhile.
        """

    @abc.abstractmethod
    def versions(self, name: str) -> list[SecretVersion]:
        """The versions of the document, oldest first, as those of a name in it."""

    @abc.abstractmethod
    def whole_pending(self) -> str:
        """The version of the document that is pending as a whole; "" if there is none."""

    @abc.abstractmethod
    def drop_pending(self, version: str) -> None:
        """Drop the version that is pending as a whole."""

    @abc.abstractmethod
    def setup(self) -> bool:
        """Create the document, empty; False if it is there."""

    def read_stages(self) -> dict[str, Contents]:
        """Read the document at each stage at which there is one, as `in_stages` does."""
        return in_stages(self.read)

    # Reading

    def get(self, name: str, version: str) -> Secret:
        """One read of the document; for the pending and the previous value, as `get_stages`."""
        try:
            if version in (PENDING, PREVIOUS):
                found = self.get_stages(name).get(version)
            else:
                found = self.read(version).secret(name)
        except SecretNotFound:
            found = None
        if found is None:
            raise not_found(name, self, version=version)
        return found

    def get_stages(self, name: str) -> dict[str, Secret]:
        """A read of the document at each stage.

        What the current document itself says of a stage comes first. A whole document is the
        previous one after each write, and pending where something else than this has staged it.
        """
        return self._stages(self.read_stages(), name)

    def _stages(self, states: Mapping[str, Contents], name: str) -> dict[str, Secret]:
        """What a name is at each stage, by the documents at each stage."""
        current = states[CURRENT].secret(name)
        if current is None:
            return {}
        found = {}
        for stage in STAGES:
            secret = states[CURRENT].secret_at(name, stage, states.get(stage))
            # The document before may differ in other names only.
            if secret and (stage != PREVIOUS or secret.value != current.value):
                found[stage] = secret
        return found

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """One read of the document."""
        state = self.read()
        found = [state.secret(name) for name in (state.values if names is None else names)]
        return {secret.name: secret for secret in found if secret is not None}

    def list_secrets(self) -> list[SecretVersion]:
        """One read of the document: the names are in the value."""
        state = self.read()
        return [
            SecretVersion(
                name,
                state.version,
                (CURRENT, *(stage for stage in (PREVIOUS, PENDING) if state.related(name, stage))),
                state.created,
            )
            for name in sorted(state.values)
        ]

    def ages(self, entries: Iterable[SecretVersion]) -> dict[str, Age]:
        """By what the document keeps; its date is that of the last write to any of its names."""
        return {
            entry.name: Age(PREVIOUS in entry.stages or None, entry.created, exact=False)
            for entry in entries
        }

    def history(self, name: str) -> list[SecretVersion]:
        """The versions of the document, whichever name they changed."""
        self.get(name, CURRENT)
        return self.versions(name)

    # Writing

    def put(self, name: str, value: str, expected: str | None) -> SecretVersion:
        """Read, change, write."""
        return self._put({name: value}, _of(name, expected))[0]

    def put_many(
        self, values: Mapping[str, str], expected: Mapping[str, str] | None = None
    ) -> list[SecretVersion]:
        """Read, change, write; all values in one write."""
        return self._put(values, expected) if values else []

    def apply(
        self,
        values: Mapping[str, str],
        removals: Iterable[str],
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """Read, change, take out what is still there, write."""
        state = self.read()
        removed = [name for name in removals if state.secret(name)]
        if values or removed:
            self._change(state, values, expected, removals=removed)
            self.write(state, [*values, *removed])

    def put_stages(
        self,
        values: Mapping[str, Mapping[str, str]],
        expected: Mapping[str, str],
        *,
        dry_run: bool,
    ) -> None:
        """Read, change, see that all is there, write; all values at all stages in one write."""
        states = self.read_stages()
        before, state = states[CURRENT].copied(), states[CURRENT]
        self._change(state, {name: stages[CURRENT] for name, stages in values.items()}, expected)
        for name, stages in values.items():
            if PREVIOUS in stages:
                state.keep(name, stages[PREVIOUS], before)
            if PENDING in stages:
                for other in state.related(name, PENDING):
                    if PENDING not in values.get(other, {}):
                        raise already_pending(other, self.place)
                state.staged[PENDING][name] = SecretStr(stages[PENDING])
        self._refuse_other_values({**states, PREVIOUS: before}, values)
        state.text()
        if not dry_run:
            self.write(state, list(values))

    def _refuse_other_values(
        self, states: Mapping[str, Contents], values: Mapping[str, Mapping[str, str]]
    ) -> None:
        """See that what would be read is what is wanted: names that are inside of others share it.

        Args:
            states: the document at each stage, as it would be.
            values: by name and stage, what is wanted.
        """
        wrong = []
        for name, stages in values.items():
            found = self._stages(states, name)
            for stage, value in stages.items():
                # A previous value that is the current one is none.
                is_none = stage == PREVIOUS and value == stages[CURRENT]
                if not is_none and (stage not in found or found[stage].value != value):
                    wrong.append(f"{name} as {stage}")
        if wrong:
            raise SecretsError(
                f"in {self.place} there is no room for {', '.join(wrong)}, with the other values; "
                "nothing was written",
                hint="in a document a dotted name is in its tree, and what is pending of one is "
                "pending of both: leave one of the two out",
            )

    def unreadable_before(self) -> str:
        """A read of the document before the current one."""
        try:
            self.read(PREVIOUS)
        except SecretNotFound:
            pass
        except (DecryptionError, SecretIntegrityError) as exc:
            return exc.message
        return ""

    def rotate(self, name: str, value: str, expected: str) -> SecretVersion:
        """Read, change, keep the value before it, write."""
        return self._put({name: value}, {name: expected}, keep={name})[0]

    def _put(
        self,
        values: Mapping[str, str],
        expected: Mapping[str, str] | None,
        keep: Collection[str] = (),
    ) -> list[SecretVersion]:
        """Write values; what is kept before as the previous one already, or is to be, is kept."""
        state = self.read()
        self._change(state, values, expected, keep)
        version = self.write(state, list(values))
        return [SecretVersion(name, version, (CURRENT,)) for name in values]

    def _change(
        self,
        state: Contents,
        values: Mapping[str, str],
        expected: Mapping[str, str] | None = None,
        keep: Collection[str] = (),
        removals: Collection[str] = (),
    ) -> None:
        for name in values:
            refuse_reserved(name)
        # Of all names before the first change: a tree that is added has its leaves from then on.
        names = (*values, *removals)
        at = {name: state.version if state.secret(name) else ABSENT for name in names}
        expect_all(expected, at, self)
        for name, value in sorted(values.items()):  # a tree before its leaves
            state.replace(name, value, keep=name in keep)
        for name in removals:
            state.remove(name)

    def delete(self, name: str) -> None:
        """Read, take the name out, write."""
        state = self.read()
        if not state.remove(name):
            raise not_found(name, self)
        self.write(state, [name])

    # Rotating

    def stage(self, name: str, value: str) -> SecretVersion:
        """Read, write the value beside the current one, write."""
        # After the write the document before has the current value, so a previous one that is
        # still in use goes into the document as well.
        states = self.read_stages()
        known, state = self._stages(states, name), states[CURRENT]
        if PREVIOUS in known:
            state.staged[PREVIOUS][name] = known[PREVIOUS].value
        self._current(state, name)
        for other in state.related(name, PENDING):
            raise already_pending(other, self.place)
        state.staged[PENDING][name] = SecretStr(value)
        return SecretVersion(name, self.write(state, [name]), (PENDING,))

    def promote(self, name: str) -> SecretVersion:
        """Read, move the values, write."""
        state = self.read()
        self._current(state, name)
        if name not in state.staged[PENDING]:
            raise self._not_pending(state, name)
        state.replace(name, state.staged[PENDING].pop(name), keep=True)
        return SecretVersion(name, self.write(state, [name]), (CURRENT,))

    def unstage(self, name: str) -> None:
        """Read, take the pending value out, write; a whole document that is pending is dropped."""
        state = self.read()
        if state.staged[PENDING].pop(name, None) is not None:
            self.write(state, [name])
        elif not state.related(name, PENDING) and (whole := self.whole_pending()):
            self.drop_pending(whole)
        else:
            raise self._not_pending(state, name)

    def retire(self, name: str) -> None:
        """Read, take the previous value out, write.

        After that the document before, which is the previous one, has the same value.
        """
        states = self.read_stages()
        if PREVIOUS not in self._stages(states, name):
            raise not_found(name, self, version=PREVIOUS)
        state = states[CURRENT]
        state.retire(name)
        self.write(state, [name])

    def rollback(self, name: str, version: str) -> SecretVersion:
        """Read, give this name alone its value of an old document, write."""
        # In this order, so that what somebody else writes meanwhile is a conflict.
        state = self.read()
        if state.secret(name) is None:
            raise not_found(name, self, version=version)
        old = self.get(name, version)
        # What the document keeps of a stage has the version of the document itself.
        if version not in (PENDING, PREVIOUS) and old.version == state.version:
            raise already_current(name, old.version, self.place)
        return self.rotate(name, old.value, state.version)

    # Shared

    def _current(self, state: Contents, name: str) -> Secret:
        found = state.secret(name)
        if found is None:
            raise not_found(name, self)
        return found

    def _not_pending(self, state: Contents, name: str) -> SecretsError:
        """Why no value of this very name is pending."""
        for other in state.related(name, PENDING):
            return already_pending(other, self.place)
        if self.whole_pending():
            return VersionConflict(
                f"the whole of {self.place} is pending: {self.pending_because}",
                hint=f"wait for it, or `secrets rotate {name} --abandon` drops it",
                names=[name],
            )
        return not_found(name, self, version=PENDING)

    def parsed(self, text: str, version: str, created: datetime | None = None) -> Contents:
        """What is in the document.

        Args:
            text: the document.
            version: its version id.
            created: when it was written, where that is known.

        Raises:
            SecretIntegrityError: it is not a JSON object.
        """
        try:
            contents = Contents.parse(text, version, created)
            reason = ""
        except SecretsError as exc:
            contents, reason = None, f": {exc.message}"
        if contents is None:
            raise SecretIntegrityError(
                f"the {self.place} is not a JSON object{reason}",
                hint=f"write one, or {self.otherwise}",
            )
        return contents


def _of(name: str, expected: str | None) -> dict[str, str] | None:
    """An expectation of one name as that of many."""
    return None if expected is None else {name: expected}
