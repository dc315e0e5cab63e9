"""One secret whose value is a JSON object: its keys are the names, trees and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...exceptions import SecretIntegrityError, SecretNotFound, StoreNotReady
from ...formats import tree
from ...types import CURRENT, Secret, SecretStr, SecretVersion, masked
from ..base import ABSENT
from .api import stages, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from .api import Api


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
        """One GetSecretValue."""
        found = self._read(version).secret(name)
        if found is None:
            raise SecretNotFound(f"{name} is not in {self._api.place}", names=[name])
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
            SecretVersion(name, state.version, (CURRENT,), state.created)
            for name in sorted(state.values)
        ]

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

    def put(self, values: Mapping[str, str], expected: str | None) -> list[SecretVersion]:
        """Read, change, swap; all values in one write."""
        state = self._read()
        document = masked(state.values)
        for name, value in values.items():
            known = tree.reach(document, name) is not tree.MISSING
            self._expect(expected, state.version if known else ABSENT, name)
            tree.place(document, name, value)
        version = self._swap(document, state, list(values))
        return [SecretVersion(name, version, (CURRENT,)) for name in values]

    def delete(self, name: str) -> None:
        """Read, take the name out, swap."""
        state = self._read()
        document = masked(state.values)
        if not tree.remove(document, name):
            raise SecretNotFound(f"{name} is not in {self._api.place}", names=[name])
        self._swap(document, state, [name])

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

    def _swap(self, document: Mapping[str, Any], state: _State, names: list[str]) -> str:
        text = SecretStr(tree.text_of(document))
        return self._api.swap(self._secret_id, text, state.version, names)

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
        return _State(values, reply["VersionId"], reply.get("CreatedDate"))


@dataclass(frozen=True, repr=False)  # its repr would print the values
class _State:
    values: dict[str, Any]
    version: str
    created: datetime | None

    def secret(self, name: str) -> Secret | None:
        value = tree.reach(self.values, name)
        if value is tree.MISSING:
            return None
        return Secret(name, SecretStr(tree.text_of(value)), self.version)
