"""Secrets in the memory of this process, for tests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ..types import CURRENT, PENDING, PREVIOUS, Secret, SecretStr, SecretVersion
from .base import ABSENT, BaseStore, checked, expect, not_found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOCK = threading.Lock()
# Store name -> secret name -> values, oldest first; version n is the n-th of them.
_STORES: dict[str, dict[str, list[SecretStr]]] = {}


class LocMemStore(BaseStore):
    """A dict in this process. Stores of the same name share it.

    Options:
        name (str): which dict; ``default``.
    """

    scheme = "locmem"

    def __init__(self, *, name: str = "default") -> None:
        self.name = name
        self._values = _STORES.setdefault(name, {})

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """``locmem://NAME``; without NAME the default."""
        return {"name": location, **query} if location else dict(query)

    @property
    def place(self) -> str:
        """The store's name."""
        return f"memory store {self.name}"

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """Look it up."""
        values = self._values.get(name, [])
        wanted = {
            CURRENT: len(values),
            PREVIOUS: len(values) - 1,
            PENDING: 0,
        }.get(version) or (int(version) if version.isdecimal() else 0)
        if not 0 < wanted <= len(values):
            raise not_found(name, self, version=version)
        return Secret(name, values[wanted - 1], str(wanted))

    def list_secrets(self) -> Sequence[SecretVersion]:
        """Every version of every name."""
        return [
            SecretVersion(name, str(number), _stages(len(values) - number))
            for name, values in sorted(self._values.items())
            for number in range(1, len(values) + 1)
        ]

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Append a version."""
        checked(name, value)
        with _LOCK:
            values = self._values.get(name, [])
            at = str(len(values)) if values else ABSENT
            expect(expected, at, name, self)
            self._values[name] = [*values, SecretStr(value)]
        return SecretVersion(name, str(len(values) + 1), (CURRENT,))

    def delete(self, name: str) -> None:
        """Forget the name."""
        with _LOCK:
            if self._values.pop(name, None) is None:
                raise not_found(name, self)


def _stages(age: int) -> tuple[str, ...]:
    return {0: (CURRENT,), 1: (PREVIOUS,)}.get(age, ())
