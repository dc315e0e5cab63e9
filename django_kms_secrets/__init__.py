"""Django settings that read their secrets from AWS: CredStash or Secrets Manager.

Importing this package costs nothing: no settings, no apps, no boto3, no network, no file. Nor does
it import a module of its own before a name is used: pytest, which finds the plugin, imports it in
every project of an environment. (PYTEST_DONT_REWRITE: there is no assertion in it, and pytest would
warn where settings came first.)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .exceptions import (
        AccessDenied,
        DecryptionError,
        SecretIntegrityError,
        SecretNotFound,
        SecretsError,
        StoreNotReady,
        StoreUnavailable,
        VersionConflict,
    )
    from .loader import Secrets, load
    from .types import SecretStr

__all__ = [
    "AccessDenied",
    "DecryptionError",
    "SecretIntegrityError",
    "SecretNotFound",
    "SecretStr",
    "Secrets",
    "SecretsError",
    "StoreNotReady",
    "StoreUnavailable",
    "VersionConflict",
    "__version__",
    "load",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    _MODULES = {"Secrets": "loader", "load": "loader", "SecretStr": "types"}

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{_MODULES.get(name, 'exceptions')}", __name__)
        return globals().setdefault(name, getattr(module, name))

    def __dir__():
        return sorted({*globals(), *__all__})
