"""Offline mode: settings import, no store is touched, every secret is empty.

It is what lets ``manage.py secrets setup`` run before there is anything to read, and
``collectstatic`` run in an image build. Whatever signs or connects then fails loudly.
"""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import Any

from .exceptions import SecretsError
from .types import SecretStr

VARIABLE = "KMS_SECRETS_OFFLINE"
#: The management command whose own run is always offline.
COMMAND = "secrets"

#: Of django-stubs: mypy imports it, and then it imports the settings in that same process.
PLUGIN = "mypy_django_plugin"

_ON = {"1", "true", "yes", "on"}
_OFF = {"", "0", "false", "no", "off"}


def is_offline() -> bool:
    """Whether this process may touch a store at import.

    Returns:
        True if `VARIABLE` is set to 1, or this process is ``manage.py secrets …`` or its help, or
        mypy with the plugin of django-stubs.

    Raises:
        SecretsError: `VARIABLE` is neither on nor off.
    """
    return is_asked_for() or _runs_our_command(sys.argv) or PLUGIN in sys.modules


def is_asked_for() -> bool:
    """Whether `VARIABLE` is set to 1.

    Raises:
        SecretsError: it is neither on nor off.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value in _ON:
        return True
    if value not in _OFF:
        raise SecretsError(
            f"{VARIABLE} is neither on nor off", hint=f"set {VARIABLE}=1, or unset it"
        )
    return False


def _runs_our_command(argv: list[str]) -> bool:
    program = PurePath(argv[0]) if argv else PurePath()
    if program.name == "__main__.py" and program.parent.name == "django":
        program = PurePath("django-admin")  # python -m django
    command = argv[2:3] if argv[1:2] == ["help"] else argv[1:2]
    return program.stem in {"manage", "django-admin"} and command == [COMMAND]


class EmptyText(SecretStr):
    """The empty string, which can also be asked for a key as if it were a tree."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return self if isinstance(key, str) else super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return self if default is None else default

    def keys(self) -> tuple[()]:
        return ()


class EmptyTree(dict[str, Any]):
    """A tree in which every key is there and empty, so that settings can reach into it."""

    def __missing__(self, key: str) -> EmptyText:
        return EmptyText()

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return EmptyText() if default is None else default
