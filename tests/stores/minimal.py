"""The least that a store of somebody else has to write: the abstract methods, and nothing more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from django_kms_secrets.backends.base import ABSENT, BaseStore, checked, expect, not_found
from django_kms_secrets.types import CURRENT, Secret, SecretStr, SecretVersion, masked

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOCK = threading.Lock()
_STORES: dict[str, dict[str, tuple[int, str]]] = {}


class MinimalStore(BaseStore):
    """A dict of numbered values. Everything else is `BaseStore`'s."""

    scheme = "minimal"

    def __init__(self, *, name: str) -> None:
        self._values = _STORES.setdefault(name, {})

    @property
    def place(self) -> str:
        return "minimal store"

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        number, value = self._values.get(name, (0, ""))
        if not number or version not in (CURRENT, str(number)):
            raise not_found(name, self, version=version)
        return Secret(name, SecretStr(value), str(number))

    def list_secrets(self) -> Sequence[SecretVersion]:
        return [
            SecretVersion(name, str(number), (CURRENT,))
            for name, (number, _) in sorted(self._values.items())
        ]

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        value = masked(value)
        checked(name, value)
        with _LOCK:
            number = self._values.get(name, (0, ""))[0]
            expect(expected, str(number) if number else ABSENT, name, self)
            self._values[name] = (number + 1, value)
        return SecretVersion(name, str(number + 1), (CURRENT,))

    def delete(self, name: str) -> None:
        with _LOCK:
            if self._values.pop(name, None) is None:
                raise not_found(name, self)
