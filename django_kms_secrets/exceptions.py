"""The errors: one family, each with names and a hint, none with a value.

All of them are ``ImproperlyConfigured``, because that and ``ImportError`` are what Django turns
into a readable message when settings fail to import.
"""

from __future__ import annotations

from itertools import islice
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

    retry_after: float = 0.0

    def __init__(self, message: str, *, hint: str = "", names: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.names: tuple[str, ...] = tuple(sorted(names))

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

    Args:
        message, hint, names: as of every error of the family.
        is_outage: as below.

    Attributes:
        is_momentary: whether AWS refused it only because there were too many requests at once.
        is_outage: whether it was the store that gave no answer, or said that it cannot. False where
            something answered that is not beyond doubt the store: its certificate is not trusted,
            or its reply cannot be read.
    """

    is_momentary = False

    def __init__(
        self, message: str, *, hint: str = "", names: Iterable[str] = (), is_outage: bool = True
    ) -> None:
        super().__init__(message, hint=hint, names=names)
        self.is_outage = is_outage


#: So many words get a *did you mean*: each is compared with all that there are.
MOST_WORDS = 5


def did_you_mean(typed: Iterable[str], known: Iterable[str]) -> str:
    """The beginning of a hint: the known words that are most like those that were typed.

    What was typed is not repeated: it may be a value in the wrong place.

    Args:
        typed: words; one that is known is left out. The first `MOST_WORDS` count.
        known: what there is.

    Returns:
        A question and a space, or "".
    """
    # Only an error needs it, and every start of a site would pay for it.
    from difflib import get_close_matches

    folded = {word.casefold(): word for word in known}
    words = {word.casefold() for word in {*islice(typed, MOST_WORDS)}.difference(folded.values())}
    # At difflib's own 0.6 "frobnicate" is like "rotate".
    close = (get_close_matches(word, folded, n=1, cutoff=0.7) for word in words)
    found = sorted({folded[match] for matches in close for match in matches})
    return f"did you mean {', '.join(found)}? " if found else ""


def is_of_values(error: SecretsError) -> bool:
    """Whether an error is about values, or what may be done; not about the credentials."""
    return not isinstance(error, AccessDenied) or bool(error.permission or error.names)
