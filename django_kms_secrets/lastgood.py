"""The last known good values: a copy that settings start from while their store is out.

It is written after each fetch, and read when the store gave no answer, or said that it cannot:
`StoreUnavailable.is_outage`. When the store refuses, the copy is removed: what was revoked or
deleted ends there.

The file is in memory (tmpfs, ramfs) and good for this boot; or a data key of KMS seals it, and it
may lie on any disk. It then opens only while KMS answers, and lets us.

Many processes write it, and each by what it has asked the store at some moment. It goes by the last
of these moments: a lock (``.NAME.UID.lock``) is held from reading it to writing it. Nothing that
was asked before the moment of the last refusal, which stands in ``NAME.refused``, is kept or used:
that needs no lock, so a refusal waits for nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import files, snapshot
from .exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
)
from .sealing import Seal
from .types import SecretBytes, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .backends.base import BaseStore
    from .config import Config

_FORMAT = 1
_IN_MEMORY = {"tmpfs", "ramfs"}
_MOUNTS = Path("/proc/self/mountinfo")
_BOOT = Path("/proc/sys/kernel/random/boot_id")

#: For how long a store that was out is not asked again for what else is in the copy (seconds).
STILL_OUT = 60.0

# AWS takes no request of a clock that is farther off (seconds).
_FAR_OFF = 300.0

#: The store answered: after these there is nothing good to remember.
_REFUSALS = (AccessDenied, DecryptionError, SecretIntegrityError, SecretNotFound, StoreNotReady)

# A container is told by these who it is, each time it starts, and not which account it reads.
_OF_A_CONTAINER = {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"}

#: The part of a copy that has the current values. Others have the name of a secret, and its values
#: by stage; no secret has an empty name.
_CURRENT = ""

#: Before a name: the moment at which it was read anew, without the rest. No name begins so.
_ALONE = " "


class _UnusableError(Exception):
    """Why the copy is not used, in words without a value."""


class _OverError(_UnusableError):
    """It will never be used again."""


class _Part(NamedTuple):
    """What one read of the store gave.

    Attributes:
        fetched: when that read began (seconds since the epoch).
        boot: in which boot of the machine; "" where that is not known.
        since: the same moment, by `snapshot.now`.
        values: by name, or by stage.
    """

    fetched: float
    boot: str
    since: float
    values: dict[str, SecretStr]

    @classmethod
    def now(cls) -> _Part:
        boot = _boot()
        return cls(time.time(), boot, snapshot.now() if boot else 0.0, {})

    def is_before(self, other: _Part) -> bool:
        if self.boot and self.boot == other.boot:
            return self.since <= other.since
        return self.fetched <= other.fetched


class LastKnownGood:
    """The copy of one configuration.

    Args:
        config: the configuration, which says where it is.
        store: its store.

    Attributes:
        served: when the oldest of what it gave instead of the store was fetched, by
            `time.monotonic`; None while the store itself gives the values.

    Raises:
        SecretsError: the path is not in memory, and nothing seals it; or the configuration cannot
            be recognised in another process.
    """

    def __init__(self, config: Config, store: BaseStore) -> None:
        if config.last_known_good is None:
            raise TypeError("the configuration has no LAST_KNOWN_GOOD")
        if not hasattr(os, "O_NOFOLLOW"):
            raise SecretsError(
                "LAST_KNOWN_GOOD is not for this platform: files have no owner here that counts",
                hint="leave it out",
            )
        options = config.last_known_good
        self._path = Path(options.path)
        self._max_age = options.max_age
        self._store = store
        self._binding = _binding(config)
        self._seal = Seal(options.key_id, store, self._binding) if options.key_id else None
        self._news: list[str] = []
        self._out = float("-inf")
        self.served: float | None = None
        if not self._seal:
            _check_memory(self._path.parent)

    def news(self) -> list[str]:
        """What is to be logged, once: where no lock is held. Handlers of logs have locks too."""
        news, self._news = self._news, []
        return news

    def values(
        self, ask: Callable[[], dict[str, SecretStr]], *, serve: bool
    ) -> dict[str, SecretStr]:
        """All current values: of the store or, while it is out, of the copy.

        Args:
            ask: reads them from the store.
            serve: whether the copy may be given.

        Raises:
            SecretsError: the store's: it refused, or it is out and the copy cannot be used.
        """
        return self._asked(_CURRENT, ask, serve=serve)

    def some(
        self, ask: Callable[[], dict[str, SecretStr]], names: Collection[str]
    ) -> dict[str, SecretStr]:
        """The current values of some names, of the store alone; the copy takes them over."""
        part = _Part.now()
        found = self._from_store(ask)

        def changed(kept: dict[str, _Part]) -> dict[str, _Part]:
            last = {name for name in names if not _is_late(part, kept, _CURRENT, _ALONE + name)}
            kept = {**kept, **{_ALONE + name: part for name in last}}
            if _CURRENT not in kept:
                return kept
            whole = kept[_CURRENT]  # which stays as old as the oldest of its values
            others = {name: value for name, value in whole.values.items() if name not in last}
            anew = {name: value for name, value in found.items() if name in last}
            return _of_those_in(whole._replace(values={**others, **anew}), kept)

        self._change(changed)
        return found

    def stages(self, name: str, ask: Callable[[], dict[str, SecretStr]]) -> dict[str, SecretStr]:
        """The values of a name that are in use, by stage; else as `values`."""
        # Who has waited for a time limit need not do so again for every name.
        if time.monotonic() - self._out < STILL_OUT and name in (kept := self._kept()):
            return kept[name].values
        return self._asked(name, ask, serve=True)

    def age(self) -> float:
        """How old the copy is (seconds).

        Raises:
            SecretsError: it cannot be used now, or there is none.
        """
        try:
            return self._age(self._part(_CURRENT), *self._moments())
        except _UnusableError as exc:
            reason = str(exc)
        raise SecretsError(
            f"the last known good copy at {self._path} cannot be used: {reason}",
            hint="the next fetch writes it: look for a warning in its log",
        )

    def _asked(
        self, name: str, ask: Callable[[], dict[str, SecretStr]], *, serve: bool
    ) -> dict[str, SecretStr]:
        part = _Part.now()
        try:
            part = part._replace(values=self._from_store(ask))
        except StoreUnavailable as exc:
            if not (serve and exc.is_outage):
                raise
            error = exc
        else:
            self._take(name, part)
            return part.values
        found = self._served(name, error)
        if found is None:
            raise error
        return found

    def _from_store(self, ask: Callable[[], dict[str, SecretStr]]) -> dict[str, SecretStr]:
        try:
            return ask()
        except _REFUSALS as exc:
            self._refuse(exc.message)
            raise

    def _take(self, name: str, part: _Part) -> None:
        if name == _CURRENT:
            self.served, self._out = None, float("-inf")

        def changed(kept: dict[str, _Part]) -> dict[str, _Part]:
            alone = [_ALONE + name] if name else [other for other in kept if other[:1] == _ALONE]
            if _is_refused(part, *self._moments()) or _is_late(part, kept, name, *alone):
                return kept
            there = {**kept, name: part}
            return _of_those_in(there[_CURRENT], there) if _CURRENT in there else there

        self._change(changed)

    def _served(self, name: str, error: SecretsError) -> dict[str, SecretStr] | None:
        place = self._store.place
        try:
            part = self._part(name)
            age = self._age(part, *self._moments())
        except _OverError as exc:
            reason = str(exc)
            self._remove(reason)
        except _UnusableError as exc:
            reason = str(exc)
        except SecretsError as exc:  # KMS does not open it
            reason = exc.message
            if isinstance(exc, _REFUSALS):
                self._refuse(reason)
        else:
            what = f"what is staged of {name}" if name else "every value"
            self._news.append(
                f"{place} is out, and {what} comes from the last known good copy of {words(age)} "
                f"ago: {error.message}"
            )
            self._out = time.monotonic()
            self.served = min(self.served or self._out, self._out - age)
            return part.values
        self._news.append(f"{place} is out, and the last known good copy is not used: {reason}")
        return None

    def _moments(self) -> tuple[_Part, _Part | None]:
        """Now, and the last refusal. All parts of a copy are held against one look at both."""
        return _Part.now(), self._refused()

    def _age(self, part: _Part, now: _Part, refused: _Part | None) -> float:
        if _is_refused(part, now, refused):
            raise _OverError("the store has refused since it was read")
        if part.boot and part.boot == now.boot:
            age = now.since - part.since  # by a clock that nobody can set
        elif self._seal:
            age = now.fetched - part.fetched  # KMS takes no request of a clock that is far off
        else:
            raise _UnusableError("another boot of this machine wrote it")
        if age != age:  # Python reads NaN from JSON, and it is neither more nor less than anything
            raise _UnusableError("it has no age")
        if age < 0:
            raise _UnusableError("it is from the future")
        if age > self._max_age:
            raise _OverError(f"it is older than {self._max_age:g} s")
        return age

    # The file

    def _part(self, name: str) -> _Part:
        parts = self._parts()
        if name not in parts:
            raise _UnusableError(f"it has nothing of {name or 'all names'}")
        return parts[name]

    def _kept(self) -> dict[str, _Part]:
        """What there is of it that may still be used; nothing is logged."""
        try:
            parts = self._parts()
        except (_UnusableError, SecretsError):
            return {}
        moments = self._moments()
        return {name: part for name, part in parts.items() if self._is_usable(part, *moments)}

    def _is_usable(self, part: _Part, now: _Part, refused: _Part | None) -> bool:
        try:
            self._age(part, now, refused)
        except _UnusableError:
            return False
        return True

    def _parts(self) -> dict[str, _Part]:
        """Read it.

        Raises:
            _UnusableError: there is none, or it is not one of ours.
            SecretsError: KMS does not open it.
        """
        outer = self._outer(self._path)
        try:
            parts = self._seal.opened(outer["sealed"]) if self._seal else outer["parts"]
            return {name: _part_of(part) for name, part in parts.items()}
        except _DAMAGE:
            pass
        raise _UnusableError(_NOT_OURS)

    def _outer(self, path: Path, *, exposed: bool = False) -> Any:
        try:
            outer = _read(path, exposed=exposed)
            if outer["format"] != _FORMAT:
                raise _UnusableError("another version of this package wrote it")
            if outer["for"] != self._binding:
                raise _UnusableError(
                    "it is of another configuration, or of other variables AWS_… or HOME"
                )
        except FileNotFoundError:
            reason = "there is none"
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
        except _DAMAGE:
            reason = _NOT_OURS
        else:
            return outer
        raise _UnusableError(reason)

    def _change(self, changed: Callable[[dict[str, _Part]], dict[str, _Part]]) -> None:
        """Read it, and write what becomes of it, while no other process does.

        If that fails the site has its secrets nevertheless.
        """
        # One of each user: what root made in a deployment, the site's user could not open.
        lock = self._path.with_name(f".{self._path.name}.{os.geteuid()}.lock")
        try:
            if not self._seal:
                _check_memory(self._path.parent)  # it may have been unmounted
            with files.locked(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW):
                kept = self._kept()
                parts = changed(kept)
                if parts != kept:
                    self._write(parts)
        except SecretsError as exc:
            text = f"the last known good copy of {self._store.place} is not kept: {exc.message}"
            if _is_new(text):
                self._news.append(text)

    def _write(self, parts: Mapping[str, _Part]) -> None:
        content = {name: part._asdict() for name, part in parts.items()}
        outer: dict[str, Any] = {"format": _FORMAT, "for": self._binding}
        if self._seal:
            outer["sealed"] = self._seal.sealed(SecretBytes(json.dumps(content).encode()))
        else:
            outer["parts"] = content
        files.write_private(self._path, SecretStr(json.dumps(outer)))

    @property
    def _refusal(self) -> Path:
        """Where it says when the store refused last."""
        return self._path.with_name(f"{self._path.name}.refused")

    def _refuse(self, why: str) -> None:
        """End it, and what another process has read before this moment and will write later."""
        moment = {"format": _FORMAT, "for": self._binding, "refused": _Part.now()._asdict()}
        try:
            files.write_private(self._refusal, json.dumps(moment))
        except SecretsError as exc:
            self._news.append(f"{exc.message}; another process may write what was refused")
        self._remove(why)

    def _refused(self) -> _Part | None:
        """When the store refused last; None if it has not, in this configuration."""
        try:
            return _part_of(self._outer(self._refusal)["refused"])
        except (_UnusableError, *_DAMAGE):
            return None

    def _remove(self, why: str) -> None:
        """Remove it, if it is of this configuration."""
        try:
            self._outer(self._path, exposed=True)  # above all then
            self._path.unlink()
        except _UnusableError:
            return
        except OSError as exc:
            self._news.append(f"cannot remove {self._path}: {exc.strerror}")
            return
        self._news.append(f"the last known good copy at {self._path} is removed: {why}")


_NOT_OURS = "it is not of the form that this package writes"

# What reading such a file raises.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)


def words(seconds: float) -> str:
    """An age for people."""
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _of_those_in(whole: _Part, kept: Mapping[str, _Part]) -> dict[str, _Part]:
    """The whole, and the parts that are of a name which there still is."""
    names = (name for name in kept if name[:1] == _ALONE or name in whole.values)
    return {_CURRENT: whole} | {name: kept[name] for name in names}


def _is_late(part: _Part, kept: Mapping[str, _Part], *names: str) -> bool:
    """Whether what the copy has of these was asked for at the same moment, or later."""
    return any(part.is_before(kept[name]) for name in names if name in kept)


def _is_refused(part: _Part, now: _Part, refused: _Part | None) -> bool:
    """Whether the store has refused since it was asked for this."""
    if refused is None:
        return False
    was_another_boot = bool(part.boot and refused.boot) and part.boot == now.boot != refused.boot
    if was_another_boot and refused.fetched > now.fetched + _FAR_OFF:
        # A clock that was ahead stamped the refusal, in a boot before: ours is not far off, as AWS
        # gave the part, or KMS opened it.
        return False
    return part.is_before(refused)


def _is_new(text: str) -> bool:
    """Whether this process has not said it."""
    new = text not in _said
    _said.add(text)
    return new


_said: set[str] = set()


def _boot() -> str:
    """Which boot of the machine this is; "" where that is not known."""
    try:
        return _BOOT.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _binding(config: Config) -> str:
    """What has to be the same in who writes it and who reads it, as a fingerprint."""
    key = snapshot.key_of(config.source)
    if key is None:
        raise SecretsError(
            "LAST_KNOWN_GOOD needs OPTIONS of text, numbers, lists and dicts alone",
            hint="write them as text",
        )
    around = {
        name: value
        for name, value in snapshot.surroundings().items()
        if name not in _OF_A_CONTAINER
    }
    return hashlib.sha256(json.dumps([key, around], sort_keys=True).encode()).hexdigest()


def _check_memory(directory: Path) -> None:
    try:
        device = directory.stat().st_dev
    except (OSError, ValueError) as exc:
        problem = f"cannot be looked at: {getattr(exc, 'strerror', None) or type(exc).__name__}"
    else:
        if _filesystem(device) in _IN_MEMORY:
            return
        problem = "is not in memory"
    raise SecretsError(
        f"LAST_KNOWN_GOOD would be in {directory}, which {problem}",
        hint="make it a directory of a tmpfs, such as /run/site or /dev/shm; or give a key_id: "
        "then KMS seals the copy, and it may lie on a disk",
    )


def _filesystem(device: int) -> str:
    """The type of the file system of a device; "" where the system does not say."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:  # a system other than Linux
        return ""
    mounts = [line.split() for line in lines]
    # proc_pid_mountinfo(5): the third field is the device, and the type comes after a "-".
    return next((found[found.index("-") + 1] for found in mounts if found[2] == number), "")


def _read(path: Path, *, exposed: bool = False) -> Any:
    """What is in a file of our own, or root's; if `exposed`, even one that others can write."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableError("it is no regular file")
        if status.st_uid not in (os.geteuid(), 0):
            raise _UnusableError("it belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077 and not exposed:
            raise _UnusableError("others can read or write it")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = SecretBytes(file.read(files.MAX_BYTES + 1))
    finally:
        os.close(descriptor)
    if len(content) > files.MAX_BYTES:
        raise _UnusableError("it is too large")
    return masked(json.loads(SecretStr(content.decode())))


def _part_of(found: Mapping[str, Any]) -> _Part:
    values = found["values"]
    if not all(isinstance(value, SecretStr) for value in values.values()):
        raise TypeError
    return _Part(float(found["fetched"]), str(found["boot"]), float(found["since"]), dict(values))
