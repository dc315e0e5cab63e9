"""Secrets in the memory of this process, for tests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..types import CURRENT, PENDING, PREVIOUS, Secret, SecretStr, SecretVersion, masked
from .base import (
    ABSENT,
    BaseStore,
    already_pending,
    checked,
    expect,
    not_for_servers,
    not_found,
)
from .capabilities import Age, AgedStore, StagedStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.core.checks import CheckMessage

_LOCK = threading.Lock()


@dataclass
class _Versions:
    """What is kept of one name."""

    last: int = 0
    # Those that are or were current, in the order in which they became it, and the pending one.
    kept: list[Secret] = field(default_factory=list)
    pending: Secret | None = None

    def make(self, name: str, value: str) -> Secret:
        self.last += 1
        return Secret(name, SecretStr(value), str(self.last))

    def find(self, version: str) -> Secret | None:
        ranks = {CURRENT: 1, PREVIOUS: 2}
        if version in ranks:
            return self.kept[-ranks[version]] if len(self.kept) >= ranks[version] else None
        if version == PENDING:
            return self.pending
        return next((s for s in (*self.kept, self.pending) if s and s.version == version), None)


# Store name -> secret name -> its versions.
_STORES: dict[str, dict[str, _Versions]] = {}


class LocMemStore(BaseStore, StagedStore, AgedStore):
    """A dict in this process. Stores of the same name share it.

    Options:
        name (str): which dict; ``default``.
    """

    scheme = "locmem"
    is_local = True

    def __init__(self, *, name: str = "default") -> None:
        self.name = name
        self._secrets = _STORES.setdefault(name, {})

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """``locmem://NAME``; without NAME the default."""
        return {"name": location, **query} if location else dict(query)

    @property
    def url(self) -> str:
        """What ``load()`` takes for it."""
        return f"locmem://{quote(self.name)}"

    @property
    def place(self) -> str:
        """The store's name."""
        return f"memory store {self.name}"

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """Look it up."""
        found = self._secrets.get(name, _Versions()).find(version)
        if found is None:
            raise not_found(name, self, version=version)
        return found

    def list_secrets(self) -> Sequence[SecretVersion]:
        """Every version of every name."""
        return [entry for name in sorted(self._secrets) for entry in _entries(self._secrets[name])]

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Append a version."""
        value = masked(value)
        checked(name, value)
        with _LOCK:
            versions = self._secrets.get(name, _Versions())
            current = versions.find(CURRENT)
            expect(expected, current.version if current else ABSENT, name, self)
            versions.kept.append(versions.make(name, value))
            self._secrets[name] = versions
            return SecretVersion(name, versions.kept[-1].version, (CURRENT,))

    def delete(self, name: str) -> None:
        """Forget the name."""
        with _LOCK:
            if self._secrets.pop(name, None) is None:
                raise not_found(name, self)

    def stage(self, name: str, value: str) -> SecretVersion:
        """Keep it beside the others."""
        value = masked(value)
        checked(name, value)
        with _LOCK:
            versions = self._versions(name)
            if versions.pending:
                raise already_pending(name, self.place)
            versions.pending = versions.make(name, value)
            return SecretVersion(name, versions.pending.version, (PENDING,))

    def promote(self, name: str) -> SecretVersion:
        """Append the pending version."""
        with _LOCK:
            versions = self._versions(name, PENDING)
            pending, versions.pending = versions.pending, None
            versions.kept += [pending] if pending else []
            return SecretVersion(name, versions.kept[-1].version, (CURRENT,))

    def unstage(self, name: str) -> None:
        """Forget the pending version."""
        with _LOCK:
            self._versions(name, PENDING).pending = None

    def retire(self, name: str) -> None:
        """Forget all that were current before the current one."""
        with _LOCK:
            del self._versions(name, PREVIOUS).kept[:-1]

    def ages(self, entries: Sequence[SecretVersion]) -> Mapping[str, Age]:
        """By the number of the current version; there are no dates."""
        return {
            entry.name: Age(rotated=entry.version != "1")
            for entry in entries
            if CURRENT in entry.stages
        }

    def check_deployment(self) -> Iterable[CheckMessage]:
        """W005: it is for tests."""
        return [not_for_servers(self)]

    def _versions(self, name: str, needed: str = CURRENT) -> _Versions:
        """What is kept of a name, if it has a version at that stage."""
        versions = self._secrets.get(name, _Versions())
        if not versions.find(needed):
            raise not_found(name, self, version=needed)
        return versions


def _entries(versions: _Versions) -> list[SecretVersion]:
    """The versions of a name, oldest first, the pending one last."""
    stages = {
        secret.version: (stage,)
        for stage in (PENDING, CURRENT, PREVIOUS)
        if (secret := versions.find(stage))
    }
    pending = [versions.pending] if versions.pending else []
    return [
        SecretVersion(secret.name, secret.version, stages.get(secret.version, ()))
        for secret in (*versions.kept, *pending)
    ]
