"""One secret per name, all under a prefix."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING

from ...exceptions import (
    AccessDenied,
    SecretNotFound,
    SecretsError,
    StoreUnavailable,
    VersionConflict,
)
from ...types import CURRENT, PENDING, PREVIOUS, Secret, SecretVersion
from ..base import ABSENT, already_current, already_pending, in_stages, stored_before
from ..capabilities import Age
from .api import WaitsForDeletion, labelled, rank, stages, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .api import Api
    from .document import SecretDocument

logger: logging.Logger = logging.getLogger("django_kms_secrets")


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

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """BatchGetSecretValue; for all names, ListSecrets before it."""
        if names is None:
            ids = [entry["Name"] for entry in self._api.entries(self._prefix)]
        else:
            ids = [self._prefix + name for name in names]
        found = [self._secret(entry) for entry in self._api.values(ids)]
        return {secret.name: secret for secret in found}

    def list_secrets(self) -> list[SecretVersion]:
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

    def ages(self, entries: Iterable[SecretVersion]) -> dict[str, Age]:
        """DescribeSecret and ListSecretVersionIds for each name."""
        names = [entry.name for entry in entries if CURRENT in entry.stages]
        histories = self._api.run([partial(self.history, name) for name in names])
        return {name: _age(versions) for name, versions in zip(names, histories, strict=True)}

    def get_stages(self, name: str) -> dict[str, Secret]:
        """A GetSecretValue for each stage."""
        return in_stages(lambda stage: self.get(name, stage))

    def put(self, name: str, value: str, expected: str | None) -> SecretVersion:
        """DescribeSecret, and a swap or CreateSecret.

        Of two writers at the same time one is refused: PutSecretValue would let the later one win.
        """
        denied = None
        try:
            known = self._known(name)
        except AccessDenied as exc:
            known, denied = {}, exc
        self._end_rotation(name, known)
        if denied and expected is None:
            return SecretVersion(name, self._create_unseen(name, value, denied), (CURRENT,))
        if expected is None:
            there = known and not known.get("DeletedDate")
            # A secret that CloudFormation or Terraform made may have no version yet.
            expected = (version_of(known) or None) if there else ABSENT
        return SecretVersion(name, self._put(name, value, expected), (CURRENT,))

    def rotate(self, name: str, value: str, expected: str) -> SecretVersion:
        """As `put`."""
        return self.put(name, value, expected)

    def put_many(
        self, values: Mapping[str, str], expected: Mapping[str, str] | None = None
    ) -> list[SecretVersion]:
        """PutSecretValue or CreateSecret for each, or a `put` of what is expected."""
        known = expected or {}
        return [
            self.put(name, value, version)
            if (version := known.get(name))
            else SecretVersion(name, self._put(name, value, version), (CURRENT,))
            for name, value in values.items()
        ]

    def stage(self, name: str, value: str) -> SecretVersion:
        """DescribeSecret, and a swap to AWSPENDING."""
        secret_id = self._prefix + name
        known = self._api.describe(secret_id)
        if not version_of(known) or known.get("DeletedDate"):
            raise SecretNotFound(f"{name} is not in {self._api.place}", names=[name])
        if version_of(known, PENDING):
            raise already_pending(name, self._api.place)
        # The service's own rotation leaves AWSPENDING on the version that became current.
        leftover = labelled(known, "AWSPENDING")
        try:
            version = self._api.swap(secret_id, value, leftover, [name], PENDING)
        except VersionConflict:
            pass
        else:
            return SecretVersion(name, version, (PENDING,))
        raise already_pending(name, self._api.place)

    def promote(self, name: str) -> SecretVersion:
        """DescribeSecret, and a move of AWSCURRENT to the pending version."""
        secret_id = self._prefix + name
        known = self._api.describe(secret_id)
        pending = self._at(known, name, PENDING)
        self._api.move(secret_id, CURRENT, pending, version_of(known), [name])
        # A label that stays does no harm: what is current is not pending any more.
        with contextlib.suppress(SecretsError):
            self._api.drop(secret_id, PENDING, pending)
        return SecretVersion(name, pending, (CURRENT,))

    def unstage(self, name: str) -> None:
        """DescribeSecret, and AWSPENDING taken off its version."""
        self._drop(name, PENDING)

    def retire(self, name: str) -> None:
        """DescribeSecret, and AWSPREVIOUS taken off its version."""
        self._drop(name, PREVIOUS)

    def rollback(self, name: str, version: str) -> SecretVersion:
        """DescribeSecret, GetSecretValue of the old version, and a move of AWSCURRENT to it."""
        secret_id = self._prefix + name
        # In this order, so that what somebody else writes meanwhile is a conflict.
        known = self._api.describe(secret_id)
        current, old = version_of(known), self.get(name, version)
        if old.version == current:
            raise already_current(name, current, self._api.place)
        self._end_rotation(name, known)
        self._api.move(secret_id, CURRENT, old.version, current, [name])
        return SecretVersion(name, old.version, (CURRENT,))

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
        except VersionConflict as exc:
            conflict, deleted = exc, False
        except WaitsForDeletion:
            conflict, deleted = None, True
        except SecretNotFound:
            conflict, deleted = None, False
        if conflict:
            if not self._is_empty(name):
                raise conflict
            return self._api.put(secret_id, value)
        if deleted:
            return self._put_back(name, value, expected)
        return self._api.create(secret_id, value, self._key_id)

    def _put_back(self, name: str, value: str, expected: str | None) -> str:
        # The name is not free for 7 to 30 days; who puts it again wants it back now.
        secret_id = self._prefix + name
        known = self._api.describe(secret_id)
        self._api.restore(secret_id)
        if pending := version_of(known, PENDING):  # it was deleted with the name
            self._api.drop(secret_id, PENDING, pending)
        if expected is None or not version_of(known):
            return self._api.put(secret_id, value)
        if not known.get("DeletedDate"):  # somebody else wanted it back, and was faster
            raise self._api.conflict([name])
        return self._swap(name, value, version_of(known))

    def _known(self, name: str) -> dict[str, Any]:
        """DescribeSecret; empty if there is no such secret."""
        try:
            return self._api.describe(self._prefix + name)
        except SecretNotFound:
            return {}

    def _is_empty(self, name: str) -> bool:
        """Whether a secret is known to have no version, as CloudFormation may leave it."""
        with contextlib.suppress(AccessDenied):
            known = self._known(name)
            return bool(known) and not known.get("DeletedDate") and not version_of(known)
        return False

    def _create_unseen(self, name: str, value: str, denied: AccessDenied) -> str:
        """Create a secret that may not be described.

        A secret that does not exist has no ARN, so a policy for those of its names may not cover it
        before it is created. If it exists, the denial was about it.
        """
        try:
            return self._api.create(self._prefix + name, value, self._key_id)
        except (VersionConflict, WaitsForDeletion):
            pass
        raise denied

    def _end_rotation(self, name: str, known: Mapping[str, Any]) -> None:
        """Take AWSPENDING off the current version, before another one becomes the current.

        The service's own rotation leaves it there, and so does a promotion that is cut short. On
        what is not current any more it would make an old value a pending one.
        """
        current = version_of(known)
        if current and labelled(known, "AWSPENDING") == current and not known.get("DeletedDate"):
            self._api.drop(self._prefix + name, PENDING, current)

    def _at(self, known: Mapping[str, Any], name: str, stage: str) -> str:
        version = version_of(known, stage)
        if not version:
            raise SecretNotFound(f"{name} has no version {stage}", names=[name])
        return version

    def _drop(self, name: str, stage: str) -> None:
        secret_id = self._prefix + name
        self._api.drop(secret_id, stage, self._at(self._api.describe(secret_id), name, stage))

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


class Writes:
    """Writes of names side by side, and what is known of each when that ends too early.

    Args:
        names: what writes one.
        place: the store, as the log names it.
        expected: as given to `BaseStore.put_many`.

    Attributes:
        stored: what is known to be stored.
        failed: what failed; from the first on, no other write begins.
    """

    def __init__(
        self,
        names: Names | SecretDocument,
        place: str,
        expected: Mapping[str, str] | None,
    ) -> None:
        self._names = names
        self._place = place
        self._expected = expected
        self._open: dict[str, None] = {}
        self.stored: dict[str, SecretVersion] = {}
        self.failed: list[BaseException] = []

    def one(self, name: str, value: str) -> None:
        """Write one name; a failure is kept, so that others that have begun are waited for."""
        self._open[name] = None  # before it is asked whether to begin, so that none is missed
        if self.failed:
            del self._open[name]
            return
        try:
            (self.stored[name],) = self._names.put_many({name: value}, self._expected)
        except StoreUnavailable as exc:  # it may be stored nevertheless: an answer may be lost
            self.failed.append(exc)
        except SecretsError as exc:
            self.failed.append(exc)
            del self._open[name]
        else:
            del self._open[name]

    def error(self) -> SecretsError:
        """The first failure, with what is known of the others."""
        unknown = self._unknown()
        first = next(exc for exc in self.failed if isinstance(exc, SecretsError))
        error = stored_before(first, sorted(self.stored), "meanwhile")
        if not unknown:
            return error
        message = f"{error.message}; not known whether stored: {', '.join(unknown)}"
        return type(error)(message, hint=error.hint, names=error.names)

    def interrupted(self, exc: BaseException) -> None:
        """No other write begins; the log says what is known of those that have."""
        self.failed.append(exc)
        unknown, stored = self._unknown(), sorted(self.stored)
        if stored or unknown:
            logger.warning(
                "writing to %s was interrupted; stored: %s; not known whether stored: %s",
                self._place,
                ", ".join(stored) or "none",
                ", ".join(unknown) or "none",
            )

    def _unknown(self) -> list[str]:
        # One that ends in between is in both.
        return [name for name in sorted(self._open) if name not in self.stored]


def _age(versions: Iterable[SecretVersion]) -> Age:
    written = [entry.created for entry in versions if CURRENT in entry.stages]
    others = [entry for entry in versions if not {CURRENT, PENDING} & {*entry.stages}]
    return Age(rotated=bool(others), written=written[0] if written else None)
