"""What ``secrets run`` hands on to a process tree: a sealed file in memory, and its reading.

The file has no name. `VARIABLE` says in which process, and under which descriptor, it is open. Who
may read it is who may read the memory of that process: its user, and root. A process reads it
through the descriptor that it inherited or, where its parent closed that one, through ``/proc``.

What is not beyond doubt the file of our own `secrets run` is not used, and the store is asked as if
it were not there: no file can keep a site from starting.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .exceptions import SecretsError
from .types import SecretBytes, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

logger: logging.Logger = logging.getLogger("django_kms_secrets")

VARIABLE = "KMS_SECRETS_SNAPSHOT"
#: More is never read, whatever a file says of its size (bytes).
MAX_BYTES = 64 * 1024 * 1024

_FORMAT = 1
# As many digits as fit into what the system takes for each.
_PLACE = r"([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,19})"
# Scripts redirect descriptors of one digit (exec 3>log), and would close ours without a word.
_FIRST_DESCRIPTOR = 10
_NOEXEC_SEAL = 0x8  # MFD_NOEXEC_SEAL of Linux 6.3, which Python has no name for

# Who gives up credentials, or has them renewed, still reads the same store.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
}
# Settings of other things, in names like those: what is read is the same.
_NO_MATTER = (
    "AWS_CLI_",
    "AWS_DEFAULT_OUTPUT",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_",
    "AWS_MAX_ATTEMPTS",
    "AWS_PAGER",
    "AWS_RETRY_MODE",
    "AWS_S3_",
    "AWS_STORAGE_",
    "AWS_XRAY_",
)


class Handed(NamedTuple):
    """What was fetched for one configuration.

    Attributes:
        place: the store, as errors name it.
        names: what was fetched; None for everything in the store.
        values: the current values, by name.
        stages: of some names the values that are in use, by stage.
        until: when it is too old to be used, by `now`.
        began: when it was fetched, by `now`.
    """

    place: str
    names: tuple[str, ...] | None
    values: dict[str, SecretStr]
    stages: dict[str, dict[str, SecretStr]]
    until: float
    began: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether it may still be used."""
        return now() <= self.until

    @property
    def age(self) -> float:
        """How old it is (seconds)."""
        return now() - self.began


class _UnusableError(Exception):
    """Why the file is not used, in words without a value."""


class _TooOldError(_UnusableError):
    """As it will be with every file, in time."""


def now() -> float:
    """Seconds since the machine started, whatever is done to its clock; sleep counts."""
    # The file is gone when the machine starts again, and all its processes agree on this clock.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def key_of(source: Mapping[str, Any] | str) -> str | None:
    """A configuration as text that is the same in every process; None where there is no such text.

    Args:
        source: a dict, or a URL.
    """
    try:
        return json.dumps(source, sort_keys=True)
    except (TypeError, ValueError):  # an option is an object
        return None


# Writing


def is_possible() -> bool:
    """Whether this platform has files in memory that are sealed."""
    return hasattr(os, "memfd_create") and hasattr(time, "CLOCK_BOOTTIME")


def write(found: Mapping[str, Handed | None], *, began: float, max_age: float) -> str:
    """Make the file, open and inheritable in this process.

    Args:
        found: what was fetched, by `key_of` its configuration; None where that is always read
            where it is.
        began: when fetching began, by `now`.
        max_age: how long it may be used (seconds).

    Returns:
        Where it is, for `VARIABLE`.

    Raises:
        SecretsError: it is too large, or the system refuses it.
    """
    stores = {
        key: one
        and {"place": one.place, "names": one.names, "values": one.values, "stages": one.stages}
        for key, one in found.items()
    }
    document = {
        "format": _FORMAT,
        "began": began,
        "max_age": max_age,
        "surroundings": surroundings(),
        "stores": stores,
    }
    content = SecretBytes(json.dumps(document).encode())
    if len(content) > MAX_BYTES:
        raise SecretsError(
            f"what was fetched is more than {MAX_BYTES // 1024**2} MB", hint="list NAMES"
        )
    try:
        descriptor = _sealed(content)
    except OSError as exc:
        reason = exc.strerror
    else:
        return f"{os.getpid()}:{descriptor}:{os.fstat(descriptor).st_ino}"
    raise SecretsError(
        f"the system refuses a file in memory: {reason}",
        hint="start the command without `run`: its processes fetch by themselves",
    )


def _sealed(content: bytes) -> int:
    import fcntl

    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        made = os.memfd_create("secrets", flags | _NOEXEC_SEAL)
    except OSError:  # the kernel is older
        made = os.memfd_create("secrets", flags)
    try:
        os.fchmod(made, 0o400)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(made, rest) :]
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, _seals())
        return fcntl.fcntl(made, fcntl.F_DUPFD, _FIRST_DESCRIPTOR)  # which is inheritable
    finally:
        os.close(made)


def _seals() -> int:
    import fcntl

    return fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def surroundings() -> dict[str, str]:
    """What decides beside a configuration which account and region are read."""
    return {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(("AWS_", "CREDSTASH_")) or name == "BOTO_CONFIG")
        and name not in _CREDENTIALS
        and not name.startswith(_NO_MATTER)
    } | {
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", ""),
        # Profiles are there, and the credentials of one account or another.
        "HOME": os.path.expanduser("~"),  # noqa: PTH111 - a home need not exist
    }


# Reading


def find(source: Mapping[str, Any] | str | None) -> Handed | None:
    """What was handed on to this process for a configuration, if it can be used.

    Args:
        source: a dict or a URL; None for nothing.
    """
    place = os.environ.get(VARIABLE, "")
    if not (place and source and is_possible()):
        return None
    try:
        return _chosen(_document(place), source)
    except _TooOldError as exc:
        logger.info(_UNUSED, exc)
        return None
    except _UnusableError as exc:
        reason = str(exc)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = "it is not of the form that `secrets run` writes"
    _warn(reason)
    return None


_UNUSED = "what `secrets run` handed on is not used: %s"


@cache
def _warn(reason: str) -> None:
    """Say once in a process why it fetches by itself, though it was handed something."""
    logger.warning(_UNUSED, reason)


def close_outer() -> None:
    """Let the next program of this process not inherit a file that was handed on to this one."""
    match = re.fullmatch(_PLACE, os.environ.get(VARIABLE, ""))
    if match and is_possible() and _is_ours(int(match[2]), int(match[3])):
        os.set_inheritable(int(match[2]), False)


def _document(place: str) -> Any:
    match = re.fullmatch(_PLACE, place)
    if not match:
        raise _UnusableError(f"{VARIABLE} is not of the form process:descriptor:inode")
    process, descriptor, inode = map(int, match.groups())
    if _is_ours(descriptor, inode):
        return _content(descriptor)
    path = Path(f"/proc/{process}/fd/{descriptor}")
    # Looked at before it is opened: opening a device may do something.
    _check(path.stat(), inode)
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not _is_ours(opened, inode):
            raise _UnusableError("the file was exchanged")
        return _content(opened)
    finally:
        os.close(opened)


def _is_ours(descriptor: int, inode: int) -> bool:
    import fcntl

    try:
        _check(os.fstat(descriptor), inode)
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _seals() == _seals()
    except (OSError, _UnusableError):  # the former also where it cannot have seals
        return False


def _check(status: os.stat_result, inode: int) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_ino != inode:
        raise _UnusableError("another file is in its place")
    # Of root: a server that was started by it, and gave up its rights since.
    if status.st_uid not in (os.geteuid(), 0):
        raise _UnusableError("the file in its place is somebody else's")


def _content(descriptor: int) -> Any:
    size = os.fstat(descriptor).st_size
    if size > MAX_BYTES:
        raise _UnusableError("the file in its place is too large")
    # The offset is shared by all that inherited it. What is sealed is read whole at once.
    return masked(json.loads(SecretStr(os.pread(descriptor, size, 0).decode())))


def _chosen(document: Any, source: Mapping[str, Any] | str) -> Handed | None:
    """The part of a document that is of a configuration."""
    if document["format"] != _FORMAT:
        raise _UnusableError("another version of this package wrote it")
    began, max_age = document["began"], document["max_age"]
    if not 0 <= now() - began <= max_age:
        raise _TooOldError(f"it is older than {max_age} s")
    if _are_others(document["surroundings"]):
        raise _UnusableError("HOME, or a variable that says which account or region, is another")
    key = key_of(source)
    if key not in document["stores"]:
        raise _UnusableError("it has nothing of this configuration")
    one = document["stores"][key]
    if one is None:
        return None
    names = one["names"]
    return Handed(
        str(one["place"]),
        None if names is None else tuple(map(str, names)),
        _texts(one["values"]),
        {name: _texts(stages) for name, stages in one["stages"].items()},
        began + max_age,
        began,
    )


def _are_others(then: Mapping[str, str]) -> bool:
    here = surroundings()
    # Without credentials there is no other account.
    here["AWS_ACCESS_KEY_ID"] = here["AWS_ACCESS_KEY_ID"] or then["AWS_ACCESS_KEY_ID"]
    return here != then


def _texts(found: Mapping[str, Any]) -> dict[str, SecretStr]:
    if not all(isinstance(value, SecretStr) for value in found.values()):
        raise TypeError
    return dict(found)
