"""The errors: one family, each with names and a hint, none with a value.

All of them are ``ImproperlyConfigured``, because that and ``ImportError`` are what Django turns
into a readable message when settings fail to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterable


class SecretsError(ImproperlyConfigured):
    """The root of the family; raised itself where the configuration is wrong.

    Args:
        message: what is wrong and where, in one sentence. Names, never values.
        hint: what to do about it.
        names: the secrets concerned.

    Attributes:
        message, hint: as given.
        names: as a tuple, sorted.
        retry_after: of `Secrets.refresh`: seconds until it asks again; before that it raises the
            same error at once.
    """

    retry_after = 0.0

    def __init__(self, message: str, *, hint: str = "", names: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.names = tuple(sorted(names))

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class SecretNotFound(SecretsError, KeyError):
    """The store answered: it has no such name or version. ``names`` lists all that are missing."""


class StoreNotReady(SecretsError):
    """The table, the secret, the key or the region that the store needs does not exist yet."""


class AccessDenied(SecretsError):
    """There are no credentials, they are not valid, or they may not do this.

    Attributes:
        permission: the one that is missing, such as ``dynamodb:Query``, where that is what it is.
    """

    permission = ""


class DecryptionError(SecretsError):
    """KMS would not open the data key: most often another encryption context or another key."""


class SecretIntegrityError(SecretsError):
    """The stored record is not what its writer sealed, or is no text."""


class VersionConflict(SecretsError):
    """Somebody else wrote first, or the version asked for would not become the newest."""


class StoreUnavailable(SecretsError):
    """The store could not be asked: no network, a time-out, throttling, or a fault at the service.

    It says nothing about whether a secret exists.

    Attributes:
        is_momentary: whether AWS refused it only because there were too many requests at once.
        is_outage: whether it was the store that gave no answer, or said that it cannot. False where
            something answered that is not beyond doubt the store: its certificate is not trusted,
            or its reply cannot be read.
    """

    is_momentary = False
    is_outage = True
