"""One secret whose value is a JSON object: its keys are the names, trees and all.

The pending and the previous values of a rotation are kept in the document itself, under a name of
their own. The service's labels AWSPENDING and AWSPREVIOUS belong to whole documents: a write to any
other name would replace the previous document, and with it a SECRET_KEY that sessions still need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...exceptions import (
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    VersionConflict,
)
from ...formats import tree
from ...types import CURRENT, PENDING, PREVIOUS, STAGES, Secret, SecretStr, SecretVersion, masked
from ..base import ABSENT, already_current, already_pending, in_stages
from ..capabilities import Age
from .api import stages, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from .api import Api


#: The name in a document under which it keeps what is pending and what is previous:
#: {"PENDING": {NAME: text}, "PREVIOUS": {NAME: text}}.
RESERVED = "django-kms-secrets"


class Document:
    """A document, written whole and versioned whole, by compare-and-set.

    Args:
        api: the operations.
        secret_id: the document's name or ARN.
        key_id: the KMS key for a new document, or None for the account's default.
        expect: refuses an expectation that is not met.
    """

    def __init__(
        self,
        api: Api,
        secret_id: str,
        key_id: str | None,
        expect: Callable[[str | None, str, str], None],
    ) -> None:
        self._api = api
        self._secret_id = secret_id
        self._key_id = key_id
        self._expect = expect

    def get(self, name: str, version: str) -> Secret:
        """One GetSecretValue; for the pending and the previous value, as `get_stages`."""
        if version in (PENDING, PREVIOUS):
            found = self.get_stages(name).get(version)
        else:
            found = self._read(version).secret(name)
        if found is None:
            raise SecretNotFound(f"{name} is not in {self._api.place}", names=[name])
        return found

    def get_stages(self, name: str) -> dict[str, Secret]:
        """A GetSecretValue for the document at each stage, as the service knows them.

        What the current document itself says of a stage comes first. A whole document is pending
        where the service rotates it.
        """
        return self._stages(in_stages(self._read), name)

    def _stages(self, states: Mapping[str, _State], name: str) -> dict[str, Secret]:
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

    def get_many(self, names: Iterable[str] | None) -> list[Secret]:
        """One GetSecretValue."""
        state = self._read()
        found = [state.secret(name) for name in (state.values if names is None else names)]
        return [secret for secret in found if secret is not None]

    def entries(self) -> list[SecretVersion]:
        """One GetSecretValue: the names are in the value."""
        state = self._read()
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
        """ListSecretVersionIds: the versions of the document, whichever name they changed."""
        self.get(name, CURRENT)
        return [
            SecretVersion(
                name,
                entry["VersionId"],
                stages(entry.get("VersionStages", ())),
                entry["CreatedDate"],
            )
            for entry in self._api.versions(self._secret_id)
        ]

    def put(self, name: str, value: str, expected: str | None) -> SecretVersion:
        """Read, change, swap."""
        return self._put({name: value}, expected)[0]

    def put_many(self, values: Mapping[str, str]) -> list[SecretVersion]:
        """Read, change, swap; all values in one write."""
        return self._put(values)

    def rotate(self, name: str, value: str, expected: str) -> SecretVersion:
        """Read, change, keep the value before it, swap."""
        return self._put({name: value}, expected, keep={name})[0]

    def _put(
        self, values: Mapping[str, str], expected: str | None = None, keep: Collection[str] = ()
    ) -> list[SecretVersion]:
        """Write values; what is kept before as the previous one already, or is to be, is kept."""
        state = self._read()
        for name, value in values.items():
            _refuse_reserved(name)
            old = state.secret(name)
            self._expect(expected, state.version if old else ABSENT, name)
            state.replace(name, value, keep=name in keep)
        version = self._swap(state, list(values))
        return [SecretVersion(name, version, (CURRENT,)) for name in values]

    def delete(self, name: str) -> None:
        """Read, take the name out, swap."""
        state = self._read()
        if not tree.remove(state.values, name):
            raise SecretNotFound(f"{name} is not in {self._api.place}", names=[name])
        for staged in state.staged.values():
            for other in [key for key in staged if f"{key}.".startswith(f"{name}.")]:
                del staged[other]
        self._swap(state, [name])

    def stage(self, name: str, value: str) -> SecretVersion:
        """Read, write the value beside the current one, swap."""
        # After the swap the service's previous document has the current value, so a previous one
        # that is still in use goes into the document as well.
        states = in_stages(self._read)
        known, state = self._stages(states, name), states[CURRENT]
        if PREVIOUS in known:
            state.staged[PREVIOUS][name] = known[PREVIOUS].value
        self._current(state, name)
        for other in state.related(name, PENDING):
            raise already_pending(other, self._api.place)
        state.staged[PENDING][name] = SecretStr(value)
        return SecretVersion(name, self._swap(state, [name]), (PENDING,))

    def promote(self, name: str) -> SecretVersion:
        """Read, move the values, swap."""
        state = self._read()
        self._current(state, name)
        if name not in state.staged[PENDING]:
            raise self._not_pending(state, name)
        state.replace(name, state.staged[PENDING].pop(name), keep=True)
        return SecretVersion(name, self._swap(state, [name]), (CURRENT,))

    def unstage(self, name: str) -> None:
        """Read, take the pending value out, swap.

        Where the service's own rotation left a whole document pending, AWSPENDING is taken off it.
        """
        state = self._read()
        if state.staged[PENDING].pop(name, None) is not None:
            self._swap(state, [name])
        elif not state.related(name, PENDING) and (whole := self._whole_pending()):
            self._api.drop(self._secret_id, PENDING, whole)
        else:
            raise self._not_pending(state, name)

    def retire(self, name: str) -> None:
        """Read, take the previous value out, swap.

        After that the document before, which is the service's previous one, has the same value.
        """
        states = in_stages(self._read)
        if PREVIOUS not in self._stages(states, name):
            raise SecretNotFound(f"{name} has no version {PREVIOUS}", names=[name])
        state = states[CURRENT]
        state.retire(name)
        self._swap(state, [name])

    def rollback(self, name: str, version: str) -> SecretVersion:
        """Read, give this name alone its value of an old document, swap."""
        # In this order, so that what somebody else writes meanwhile is a conflict.
        state = self._read()
        old = self.get(name, version)
        if version == state.version:
            raise already_current(name, version, self._api.place)
        return self.rotate(name, old.value, state.version)

    def setup(self) -> bool:
        """Create the document, empty; restore it if it was deleted, fill it if it has no value."""
        try:
            known = self._api.describe(self._secret_id)
        except SecretNotFound:
            known = {}
        if not known:
            self._api.create(self._secret_id, "{}", self._key_id)
            return True
        if known.get("DeletedDate"):
            self._api.restore(self._secret_id)
            return True
        if not version_of(known):  # as CloudFormation and Terraform leave it
            self._api.put(self._secret_id, "{}")
            return True
        return False

    def _swap(self, state: _State, names: list[str]) -> str:
        text = SecretStr(tree.text_of(state.document()))
        if state.rotated:
            # Left on the document before, the label would make its old values pending ones.
            self._api.drop(self._secret_id, PENDING, state.version)
        return self._api.swap(self._secret_id, text, state.version, names)

    def _current(self, state: _State, name: str) -> Secret:
        found = state.secret(name)
        if found is None:
            raise SecretNotFound(f"{name} is not in {self._api.place}", names=[name])
        return found

    def _not_pending(self, state: _State, name: str) -> SecretsError:
        """Why no value of this very name is pending."""
        for other in state.related(name, PENDING):
            return already_pending(other, self._api.place)
        if self._whole_pending():
            return VersionConflict(
                f"the whole of {self._api.place} is pending: its rotation by AWS is under way, "
                "or has failed",
                hint=f"wait for it, or `secrets rotate {name} --abandon` drops it",
                names=[name],
            )
        return SecretNotFound(f"{name} has no version {PENDING}", names=[name])

    def _whole_pending(self) -> str:
        """The version of the document that is pending for the service; "" if there is none."""
        return version_of(self._api.describe(self._secret_id), PENDING)

    def _read(self, version: str = CURRENT) -> _State:
        try:
            reply = self._api.value(self._secret_id, version)
        except SecretNotFound:
            if version != CURRENT:
                raise
        else:
            return self._state(reply)
        raise StoreNotReady(
            f"there is no {self._api.place}",
            hint="`secrets setup` creates it; or check secret_id and region_name",
        )

    def _state(self, reply: Mapping[str, Any]) -> _State:
        values = tree.parse_object(reply["SecretString"])
        if values is None:
            raise SecretIntegrityError(
                f"the {self._api.place} is not a JSON object",
                hint="write one, or use prefix= for secrets that are single values",
            )
        staged = values.pop(RESERVED, {})
        return _State(
            masked(values),
            reply["VersionId"],
            reply.get("CreatedDate"),
            {stage: _texts(staged, stage) for stage in (PENDING, PREVIOUS)},
            {"AWSCURRENT", "AWSPENDING"} <= {*reply.get("VersionStages", ())},
        )


def _texts(staged: Any, stage: str) -> dict[str, SecretStr]:
    texts = staged.get(stage) if isinstance(staged, dict) else None
    kept = texts if isinstance(texts, dict) else {}
    return {name: SecretStr(text) for name, text in kept.items() if isinstance(text, str)}


def _refuse_reserved(name: str) -> None:
    if f"{name}.".startswith(f"{RESERVED}."):
        raise SecretsError(
            f"{RESERVED} is where a document keeps pending and previous values",
            hint="take another name",
        )


@dataclass(frozen=True, repr=False)  # its repr would print the values
class _State:
    """A document as it was read, to be changed and written.

    Attributes:
        values: the names, with trees as trees.
        version: its version id.
        created: when it was written.
        staged: what it keeps of a stage: name -> text. A name may be a tree or reach into one.
        rotated: whether the service's own rotation has left AWSPENDING on it.
    """

    values: dict[str, Any]
    version: str
    created: datetime | None
    staged: dict[str, dict[str, SecretStr]]
    rotated: bool

    def secret(self, name: str) -> Secret | None:
        return _secret(self.values, name, self.version)

    def secret_at(self, name: str, stage: str, whole: _State | None) -> Secret | None:
        """What a name is at a stage.

        Args:
            name: the name; a tree has the values of its leaves, and a leaf that of its tree.
            stage: the stage.
            whole: the document that the service has at that stage, if there is one.
        """
        related = self.related(name, stage)
        if related == [name]:
            return Secret(name, self.staged[stage][name], self.version)
        if not related:
            return whole.secret(name) if whole else None
        values = masked((whole or self).values)
        for other in related:
            tree.place(values, other, self.staged[stage][other])
        found, current = _secret(values, name, self.version), self.secret(name)
        # What is staged of a tree may be another leaf.
        return found if found and current and found.value != current.value else None

    def related(self, name: str, stage: str) -> list[str]:
        """The names with a value at a stage that hold a name, are it, or reach into it.

        Trees come before what is in them.
        """
        others = self.staged.get(stage, {})
        return sorted(
            other for other in others if self._holds(name, other) or self._holds(other, name)
        )

    def replace(self, name: str, text: str, *, keep: bool) -> None:
        """Set a value.

        Where a previous value is kept, of the name or of what changes with it, what is replaced is
        kept in its place; with `keep` in any case.
        """
        kept = self.staged[PREVIOUS]
        before = {other: self.secret(other) for other in (name, *kept)}
        tree.place(self.values, name, text)
        for other in {*kept, name} if keep else {*kept}:
            old, new = before[other], self.secret(other)
            if other != name and self._holds(other, name):
                self._keep_inside(other, name, before[name])
            elif old and (new is None or new.value != old.value):
                kept[other] = old.value
        self._forget_missing()

    def retire(self, name: str) -> None:
        """Forget the previous value of a name, wherever it is kept."""
        kept = self.staged[PREVIOUS]
        for other in self.related(name, PREVIOUS):
            if self._holds(name, other):
                del kept[other]
            else:
                self._keep_inside(other, name, self.secret(name))

    def document(self) -> dict[str, Any]:
        staged = {stage: values for stage, values in self.staged.items() if values}
        return {**self.values, RESERVED: staged} if staged else self.values

    def _holds(self, name: str, other: str) -> bool:
        """Whether a name is another one, or a tree that it reaches into."""
        return name == other or (other.startswith(f"{name}.") and other not in self.values)

    def _keep_inside(self, root: str, name: str, value: Secret | None) -> None:
        """Set a value in a previous tree."""
        if value:
            kept: dict[str, Any] = {root: self.staged[PREVIOUS][root]}
            tree.place(kept, name, value.value)
            self.staged[PREVIOUS][root] = SecretStr(kept[root])

    def _forget_missing(self) -> None:
        """Names that have gone with their tree have no stages."""
        for staged in self.staged.values():
            for name in [name for name in staged if self.secret(name) is None]:
                del staged[name]


def _secret(values: Mapping[str, Any], name: str, version: str) -> Secret | None:
    value = tree.reach(values, name)
    if value is tree.MISSING:
        return None
    return Secret(name, SecretStr(tree.text_of(value)), version)
