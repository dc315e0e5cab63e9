"""What stores and doctor say to each other: checks, and what they saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..exceptions import AccessDenied, SecretNotFound, StoreNotReady
from ..types import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from .base import BaseStore

#: How a check ends, from good to bad.
OK, SKIPPED, WARNING, ERROR = "ok", "skipped", "warning", "error"


#: The way out of states of a KMS key.
#: https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
_KEY_HINTS = {
    "Creating": "wait until it is made",
    "Disabled": "`aws kms enable-key` enables it",
    "PendingDeletion": "`aws kms cancel-key-deletion`, then `aws kms enable-key`: after the "
    "deletion nothing under it can be read, ever",
}

# An update moves an alias or a replica's primary; the key goes on working.
_WORKING = {"Enabled", "Updating"}
_USAGE, _SPEC = "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"


@dataclass(frozen=True)
class Seen:
    """What a check saw.

    Attributes:
        text: in one sentence, without a value.
        state: OK, SKIPPED or WARNING. What is wrong is an exception.
        hint: what to do about it.
    """

    text: str
    state: str = OK
    hint: str = ""


@dataclass(frozen=True)
class Check:
    """One look at a store.

    Attributes:
        name: of what.
        look: looks, and reads only; a SecretsError is what is wrong.
        needs: checks that must not have failed, or this one need not be tried.
    """

    name: str
    look: Callable[[], Seen]
    needs: Sequence[str] = ()


def not_allowed(error: AccessDenied) -> Seen:
    """A check that a reader need not be able to make, and cannot.

    Raises:
        AccessDenied: it is not a permission that is missing, but the credentials.
    """
    if not error.permission:
        raise error
    return Seen(f"{error.permission} is not allowed, and no reader needs it", SKIPPED)


def key_state(key_id: str, describe: Callable[[], Mapping[str, Any]]) -> Seen:
    """What the state of a KMS key means.

    Args:
        key_id: the key, as OPTIONS have it.
        describe: DescribeKey.

    Raises:
        StoreNotReady: it cannot be used.
        AccessDenied: it is not a permission that is missing, but the credentials.
    """
    try:
        key = describe()
        state, usage = key["KeyState"], key.get("KeyUsage", _USAGE)
    except AccessDenied as exc:
        denied = exc
    except StoreNotReady as exc:
        return Seen(f"{exc.message}: nothing new can be written", WARNING, exc.hint)
    else:
        if state not in _WORKING:
            hint = _KEY_HINTS.get(state, "nothing opens in this state: see the key's page in KMS")
            raise StoreNotReady(f"the KMS key {key_id} is {state}", hint=hint)
        if usage != _USAGE or key.get("KeySpec", _SPEC) != _SPEC:
            raise StoreNotReady(
                f"the KMS key {key_id} makes no data keys: it is for {usage}, {key.get('KeySpec')}",
                hint=f"it takes a key for {_USAGE}, {_SPEC}, which `aws kms create-key` makes",
            )
        return Seen(f"the KMS key {key_id} is {state}")
    return not_allowed(denied)


def counted(count: int, what: str) -> str:
    """A number of things, in words."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def readable(count: int) -> Seen:
    """The settings' own fetch went through: so many secrets."""
    return Seen(f"the settings can read {counted(count, 'secret')}")


def names_there(names: Sequence[str] | None, found: Collection[str], place: str) -> Seen:
    """Whether all that the settings read is there.

    Raises:
        SecretNotFound: some are missing.
    """
    missing = [name for name in names or () if name not in found]
    if missing:
        raise SecretNotFound(
            f"{len(missing)} of {len(names or ())} NAMES are not in {place}: {', '.join(missing)}",
            hint=f"`secrets put {missing[0]}` writes one, `secrets keys` lists what is there",
            names=missing,
        )
    if not found:
        return Seen(f"there is nothing in {place}", WARNING, "`secrets putall FILE` fills it")
    return Seen(f"all {len(names)} NAMES are there" if names else counted(len(found), "name"))


def pending_names(names: Sequence[str]) -> Seen:
    """Which rotations are not over."""
    if not names:
        return Seen("no value is pending")
    return Seen(
        f"a value is pending: {', '.join(names)}",
        WARNING,
        f"`secrets rotate {names[0]} --promote`, or --abandon, once every host is deployed",
    )


def staged_names(store: BaseStore, names: Collection[str]) -> list[str]:
    """Those of some names that a listing shows a pending value for."""
    found = {entry.name for entry in store.list_secrets() if PENDING in entry.stages}
    return [name for name in names if name in found]
