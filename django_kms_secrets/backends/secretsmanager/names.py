"""One secret per name, all under a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...exceptions import SecretNotFound
from ...types import CURRENT, Secret, SecretVersion
from .api import WaitsForDeletion, rank, stages, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .api import Api


class Names:
    """Secrets of their own, with versions of their own.

    Args:
        api: the operations.
        prefix: added to every name that goes in, taken off every name that comes out.
        key_id: the KMS key for new secrets, or None for the account's default.
        recovery_days: days in which a deleted secret can be restored.
    """

    def __init__(self, api: Api, prefix: str, key_id: str | None, recovery_days: int) -> None:
        self._api = api
        self._prefix = prefix
        self._key_id = key_id
        self._recovery_days = recovery_days

    def get(self, name: str, version: str) -> Secret:
        """One GetSecretValue."""
        return self._secret(self._api.value(self._prefix + name, version))

    def get_many(self, names: Iterable[str] | None) -> list[Secret]:
        """BatchGetSecretValue; for all names, ListSecrets before it."""
        if names is None:
            ids = [entry["Name"] for entry in self._api.entries(self._prefix)]
        else:
            ids = [self._prefix + name for name in names]
        return [self._secret(entry) for entry in self._api.values(ids)]

    def entries(self) -> list[SecretVersion]:
        """ListSecrets, which knows the versions that have a label."""
        return [
            SecretVersion(
                self._name(entry),
                version,
                stages(labels),
                entry.get("LastChangedDate") if "AWSCURRENT" in labels else None,
                entry.get("Description", ""),
            )
            for entry in sorted(
                self._api.entries(self._prefix), key=lambda entry: str(entry["Name"])
            )
            for version, labels in sorted(
                entry.get("SecretVersionsToStages", {}).items(), key=lambda pair: rank(pair[1])
            )
        ]

    def history(self, name: str) -> list[SecretVersion]:
        """ListSecretVersionIds."""
        return [
            SecretVersion(
                name,
                entry["VersionId"],
                stages(entry.get("VersionStages", ())),
                entry["CreatedDate"],
            )
            for entry in self._api.versions(self._prefix + name)
        ]

    def put(self, values: Mapping[str, str], expected: str | None) -> list[SecretVersion]:
        """PutSecretValue, CreateSecret or, with an expectation, a swap; one after another."""
        return [
            SecretVersion(name, self._put(name, value, expected), (CURRENT,))
            for name, value in values.items()
        ]

    def delete(self, name: str) -> None:
        """DeleteSecret, with a recovery window."""
        self._api.delete(self._prefix + name, self._recovery_days)

    def setup(self) -> bool:
        """Nothing: the first put creates a secret."""
        return False

    def _put(self, name: str, value: str, expected: str | None) -> str:
        if expected:
            return self._swap(name, value, expected)
        secret_id = self._prefix + name
        try:
            if expected is None:
                return self._api.put(secret_id, value)
            return self._api.create(secret_id, value, self._key_id)
        except WaitsForDeletion:
            deleted = True
        except SecretNotFound:
            deleted = False
        if deleted:
            return self._put_back(name, value, expected)
        return self._api.create(secret_id, value, self._key_id)

    def _put_back(self, name: str, value: str, expected: str | None) -> str:
        # The name is not free for 7 to 30 days; who puts it again wants it back now.
        secret_id = self._prefix + name
        known = self._api.describe(secret_id)
        self._api.restore(secret_id)
        if expected is None or not version_of(known):
            return self._api.put(secret_id, value)
        if not known.get("DeletedDate"):  # somebody else wanted it back, and was faster
            raise self._api.conflict([name])
        return self._swap(name, value, version_of(known))

    def _swap(self, name: str, value: str, expected: str) -> str:
        try:
            return self._api.swap(self._prefix + name, value, expected, [name])
        except SecretNotFound:
            pass
        raise self._api.conflict([name])

    def _secret(self, entry: Mapping[str, Any]) -> Secret:
        return Secret(self._name(entry), entry["SecretString"], entry["VersionId"])

    def _name(self, entry: Mapping[str, Any]) -> str:
        name: str = entry["Name"]
        return name.removeprefix(self._prefix)
