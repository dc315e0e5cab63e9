"""The way from a database connection back to its secret."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import SecretsError
from .entry import ROTATED, Credentials, credentials_of, entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..loader import Secrets

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("django_kms_secrets")

#: The key of an entry of DATABASES under which the engine finds its `DatabaseSecret`.
KEY = "SECRET"

#: Seconds. Where no version of a secret works, connections fail as often as requests come, and each
#: would be some four requests to AWS. Two seconds is soon enough to notice that it was mended.
REFRESH_INTERVAL = 2.0

# After a read that failed, the next one is not before this many times the seconds that it took. All
# threads that connect wait for a read: with an AWS that is silent, that would be most of the time.
_PAUSE = 3

# A connection is opened anew this often at most: enough for several rotations that overtake it.
_ATTEMPTS = 12


class DatabaseSecret:
    """A secret with the credentials of a database.

    What it knows, which credentials work, is shared by all objects of the same secret in a process.
    It is copied as itself, and pickled as its name only: another process finds its own, which its
    settings have made.

    Args:
        secrets: where the secret is.
        name: its name; "" where all of the store is the tree.
        user: the user, where the settings say another one than the secret.
    """

    def __init__(self, secrets: Secrets, name: str, user: str = "") -> None:
        self._key = (secrets.place, name, user)
        rotation = _ROTATIONS.get(self._key)
        if rotation is None or rotation.secrets is not secrets:
            rotation = _ROTATIONS[self._key] = _Rotation(secrets, name, user)
        self._found: _Rotation | None = rotation

    def entry(self, **entry: Any) -> dict[str, Any]:
        """Make the entry of DATABASES; see `Secrets.database`."""
        secrets, name = self._rotation.secrets, self._rotation.name
        made = entry_of(secrets, name)
        if "OPTIONS" in made and "OPTIONS" in entry:
            # Replaced as a whole, ?sslmode=require of a URL would be gone without a word.
            entry["OPTIONS"] = {**made["OPTIONS"], **entry["OPTIONS"]}
        made.update(entry)
        self._check(made)
        if "PASSWORD" not in entry:
            secret = made[KEY] = DatabaseSecret(secrets, name, str(entry.get("USER", "")))
            secret._rotation.give(Credentials(made["USER"], made["PASSWORD"]))
        return made

    @property
    def working(self) -> Credentials | None:
        """What the database took in the place of what the entry says; None if it never had to."""
        return self._rotation.working

    def gave(self, entry: Mapping[str, Any]) -> bool:
        """Whether the user and the password of an entry are this secret's.

        In a copy of the entry, ``{**DATABASES["default"], "USER": …}``, they may be others.
        """
        return self._rotation.gave(entry.get("USER"), entry.get("PASSWORD"))

    def connect(
        self,
        open_with: Callable[[Credentials], T],
        first: Credentials,
        is_refusal: Callable[[Exception], bool],
    ) -> T:
        """Open a connection; if the credentials are refused, with others of the secret.

        Args:
            open_with: opens it, with these credentials.
            first: what to try first.
            is_refusal: whether an error says that the credentials are refused.

        Raises:
            Exception: what `open_with` raised: for the first credentials, where all are refused.
        """
        try:
            return open_with(first)
        except Exception as exc:
            if not is_refusal(exc):
                raise
            refusal = exc
        tried = [first]
        for _ in range(_ATTEMPTS):
            other = self._rotation.after(tried)
            if other is None:
                break
            try:
                connection = open_with(other)
            except Exception as exc:
                if not is_refusal(exc):
                    raise
            else:
                self._rotation.adopt(other)
                return connection
            tried.append(other)
        # Here, and not in the first `except`, so that nothing of ours is in its context.
        try:
            raise refusal
        finally:
            del refusal  # it has a traceback, which has this frame

    def __repr__(self) -> str:
        place, name, _ = self._key
        return f"<DatabaseSecret {name} in {place}>" if name else f"<DatabaseSecret {place}>"

    def __copy__(self) -> DatabaseSecret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DatabaseSecret:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Django's parallel tests unpickle this in a new process before that has its settings
        # (django/test/runner.py, _init_worker), so it is looked for when it is used.
        return {"_key": self._key, "_found": None}

    @property
    def _rotation(self) -> _Rotation:
        if self._found is None:
            self._found = _ROTATIONS.get(self._key)
        if self._found is None:
            raise SecretsError(
                f"{self!r} was made in another process, and the settings of this one have none",
                hint="import the settings before connecting",
            )
        return self._found

    def _check(self, entry: dict[str, Any]) -> None:
        place, name, _ = self._key
        where = f"{name} in {place}" if name else place
        lacks = [key for key in ("USER", "PASSWORD", "ENGINE") if not entry.get(key)]
        if not lacks:
            return
        if lacks == ["ENGINE"]:
            hint = 'pass database(…, ENGINE="django_kms_secrets.db.postgresql") or …mysql'
        else:
            hint = 'the secret is a URL with both, or {"username": …, "password": …}'
        words = {"USER": "a username", "PASSWORD": "a password", "ENGINE": "an engine"}
        raise SecretsError(
            f"{where} lacks {' and '.join(words[key] for key in lacks)}",
            hint=hint,
            names=[name] if name else (),
        )


class _Rotation:
    """What a process knows of a secret, shared by its threads."""

    def __init__(self, secrets: Secrets, name: str, user: str) -> None:
        self.secrets = secrets
        self.name = name
        self.working: Credentials | None = None
        self._user = user
        # Reentrant: a store logs, and a handler of logs may use the database.
        self._lock = threading.RLock()
        self._known: list[Credentials] = []
        self._read_at = float("-inf")
        self._pause = 0.0
        self._again = False
        # Not as pairs: threads share the entry, and its two keys are set one after the other.
        self._users: set[str] = set()
        self._passwords: set[str] = set()

    def give(self, credentials: Credentials) -> None:
        """These are the secret's: an entry may have them."""
        self._users.add(credentials.user)
        self._passwords.add(credentials.password)

    def gave(self, user: object, password: object) -> bool:
        """Whether both were given."""
        return user in self._users and password in self._passwords

    def after(self, tried: Sequence[Credentials]) -> Credentials | None:
        """What to try after these were refused, or None; reads the secret if need be.

        One thread reads, and the others wait for it. It is not read again within
        `REFRESH_INTERVAL`, unless what was read was new, or has worked since: then it was rotated
        once more.
        """
        changed: frozenset[str] = frozenset()
        problem = ""
        with self._lock:
            if self.working is not None and self.working not in tried:
                return self.working  # another thread was first
            recent = time.monotonic() - self._read_at < max(REFRESH_INTERVAL, self._pause)
            other = self._untried(tried) if recent else None
            if other is None and (self._again or not recent):
                before = [*self._known, *tried]
                changed, problem = self._read()
                other = self._untried(tried)
                self._again = not problem and any(found not in before for found in self._known)
        # Without the lock: receivers, and handlers of logs, have locks of their own, and another
        # thread that has one of those may be waiting for this one.
        self.secrets._log_news()
        if problem:
            # The database's own error says what the caller has to know.
            logger.warning(
                "the database refused credentials of %s, and reading it anew failed: %s",
                self._label,
                problem,
            )
        self.secrets._announce(changed)
        return other

    def adopt(self, credentials: Credentials) -> None:
        """These worked where others were refused: all threads begin with them from now on."""
        with self._lock:
            self.working = credentials
            self._again = True
        logger.info("the database refused credentials of %s and took others of it", self._label)

    def _untried(self, tried: Sequence[Credentials]) -> Credentials | None:
        return next((found for found in self._known if found not in tried), None)

    def _read(self) -> tuple[frozenset[str], str]:
        """Read the secret; gives the names that changed, and what went wrong."""
        # The time of the beginning is for a handler of logs that comes back here, that of the end
        # for the threads that wait.
        self._read_at = began = time.monotonic()
        self._again = False
        known: list[Credentials] = []
        changed: frozenset[str] = frozenset()
        problem = ""
        try:
            changed = self.secrets._fetch_anew(*([self.name] if self.name else ROTATED))
            with self.secrets._as_they_are():  # a signal may not be sent while we have the lock
                for found in credentials_of(self.secrets, self.name):
                    known.append(found._replace(user=self._user) if self._user else found)
        except Exception as exc:
            problem = exc.message if isinstance(exc, SecretsError) else type(exc).__name__
        for found in known:
            self.give(found)  # before they are tried: an entry has them before they are adopted
        self._known = known
        self._read_at = time.monotonic()
        self._pause = _PAUSE * (self._read_at - began) if problem else 0.0
        return changed, problem

    @property
    def _label(self) -> str:
        return f"{self.name} in {self.secrets.place}" if self.name else self.secrets.place


_ROTATIONS: dict[tuple[str, str, str], _Rotation] = {}


def _forget_locks() -> None:
    """In a process that was forked during a read: the thread that has the locks is not in it."""
    for rotation in _ROTATIONS.values():
        rotation._lock = threading.RLock()
        rotation._read_at = float("-inf")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_locks)
