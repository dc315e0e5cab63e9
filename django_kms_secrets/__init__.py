"""Django settings that read their secrets from AWS: CredStash or Secrets Manager.

Importing this package costs nothing: no settings, no apps, no boto3, no network, no file.
"""

from ._version import __version__
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
