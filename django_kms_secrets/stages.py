"""Where the versions of one secret stand, without their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .backends.base import not_found
from .exceptions import AccessDenied, DecryptionError, SecretIntegrityError, is_of_values
from .types import CURRENT, PENDING, PREVIOUS, STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from .backends.base import BaseStore
    from .types import SecretVersion


@dataclass(frozen=True)
class Stages:
    """The history of one secret, and which of its versions are in use.

    Attributes:
        history: all versions that are known, oldest first.
        ids: the version in which the value of each stage is found. A document of Secrets Manager
            keeps several in one version.
    """

    history: tuple[SecretVersion, ...]
    ids: Mapping[str, str]

    @property
    def current(self) -> str:
        """The version that is in force."""
        return self.ids[CURRENT]

    @property
    def pending(self) -> bool:
        """Whether a value is pending."""
        return PENDING in self.ids

    @property
    def previous(self) -> bool:
        """Whether there is a value that was in force before the current one."""
        return PREVIOUS in self.ids

    @property
    def next_steps(self) -> list[str]:
        """The steps of a rotation that are possible from here, the one that is due first."""
        if self.pending:
            return ["promote", "abandon"]
        return ["retire", "stage"] if self.previous else ["stage"]

    def created(self, stage: str) -> datetime | None:
        """When the version of a stage was written, where the service records that."""
        for entry in self.history:
            if entry.version == self.ids[stage] and entry.created:
                return entry.created
        return None


def stages_of(store: BaseStore, name: str) -> Stages:
    """Read where a secret stands.

    Raises:
        SecretNotFound: there is no such name, or it has no current version.
    """
    history = tuple(store.history(name))
    ids = _ids_of_values(store, name)
    stages = listed_stages(history) if ids is None else _stages(history, ids)
    if CURRENT not in stages.ids:
        raise not_found(name, store)
    return stages


def listed_stages(entries: Sequence[SecretVersion]) -> Stages:
    """Where a secret stands, by the entries of a listing; no store is asked."""
    ids = {stage: entry.version for entry in entries for stage in entry.stages}
    return _stages(entries, ids)


def _stages(history: Sequence[SecretVersion], ids: Mapping[str, str]) -> Stages:
    return Stages(tuple(history), {stage: ids[stage] for stage in STAGES if stage in ids})


def _ids_of_values(store: BaseStore, name: str) -> dict[str, str] | None:
    """The versions of the stages; None if the values cannot be read.

    Who may not decrypt, or finds a damaged value, still has the history to go by.
    """
    try:
        return {stage: secret.version for stage, secret in store.get_stages(name).items()}
    except (AccessDenied, DecryptionError, SecretIntegrityError) as exc:
        if not is_of_values(exc):
            raise
        return None
