"""``load()``: one fetch at first use, then a mapping of masked strings in memory."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from . import overrides
from .config import seconds
from .exceptions import SecretNotFound, SecretsError, did_you_mean
from .formats import tree
from .layer import Layer
from .offline import EmptyText, EmptyTree, is_offline
from .recording import Recording
from .redaction import Loaded
from .types import CURRENT, PREVIOUS, STAGES, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Collection

    from .config import Config
    from .env import SecretsEnv

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("django_kms_secrets")

#: Seconds for which a failed refresh is not repeated: at first, and at most; twice as long each
#: time.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


def load(
    source: Mapping[str, Any] | str | None = None, *, max_age: float | str | None = None
) -> Secrets:
    """Read a configuration; the store itself is read when the first secret is asked for.

    Args:
        source: a dict with BACKEND, OPTIONS, NAMES and LAST_KNOWN_GOOD, a URL, or None for the
            URL in ``$KMS_SECRETS_URL``.
        max_age: a read of values that are older (seconds) fetches them anew; None for never. If
            that fails, the old ones stay.

    Returns:
        The secrets. In offline mode every one of them is empty, and no store is touched.

    Raises:
        SecretsError: the configuration is not valid.
    """
    age: float | None = None
    if max_age is not None:
        hint = "leave it out to keep the values as long as the process lives"
        age = seconds(max_age, f"max_age {max_age!r}", hint)
    if is_offline():
        return Secrets((), Recording((source,)))
    return Secrets((Layer(source),), max_age=age)


class _Pause:
    """When to ask again after a failure: later each time, and not all processes at once."""

    def __init__(self) -> None:
        self.until = float("-inf")
        self._error: SecretsError | None = None
        self._seconds = 0.0

    def failed(self, error: SecretsError | None = None) -> None:
        """Ask no sooner than in a while."""
        import random

        self._seconds = min(max(2 * self._seconds, FIRST_PAUSE), LONGEST_PAUSE)
        seconds = self._seconds * random.uniform(0.5, 1)  # noqa: S311 - it protects nothing
        self.until = monotonic() + seconds
        if error:
            error.retry_after = seconds
        self._error = copy(error)  # without its traceback, whose frames would live on

    def succeeded(self) -> None:
        """Ask whenever it is wanted."""
        self.until, self._error, self._seconds = float("-inf"), None, 0.0

    def check(self) -> None:
        """Raise the error again, as long as it holds."""
        left = self.until - monotonic()
        if self._error is None or left <= 0:
            return
        again = copy(self._error)
        again.retry_after = left
        again.message = f"{again.message} (not asked again before {left:.1f} s are over)"
        raise again


class Secrets(Mapping[str, SecretStr]):
    """The secrets of one store, or of several in layers, as a read-only mapping.

    They are fetched once, at first use, and kept in memory; nothing else of the fetch survives,
    no client, thread or socket. It may be used from any thread, and after a fork.

    ``SHARED | APP`` layers two of them: the right side wins, as with dicts.

    Attributes:
        offline: whether offline mode made every one of them empty.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        recording: Recording | None = None,
        max_age: float | None = None,
    ) -> None:
        self._layers = layers
        self._recording = recording
        self.offline: bool = recording is not None
        self._lock = threading.RLock()
        self._max_age = max_age
        # Who has this one refreshes. It is taken before the other, and never the other way round.
        self._refreshing = threading.RLock()
        self._refreshes = 0
        self._last: tuple[int, tuple[str, ...], frozenset[str]] = 0, (), frozenset()
        self._pause = _Pause()
        self._oldest = 0.0
        self._here = threading.local()
        self._values: dict[str, SecretStr] | None = None
        self._origin: dict[str, Layer] = {}
        self._stages: dict[str, dict[str, SecretStr]] = {}
        # What the filters of `reporting`, `log` and `sentry` hide, as long as this object lives.
        self._loaded = Loaded()
        _LIVING[id(self)] = self

    def __getitem__(self, name: str) -> SecretStr:
        """The value of a name, or of a dotted name in a JSON tree.

        Raises:
            SecretNotFound: it is missing; all names of NAMES that are missing are in one error.
        """
        if recording := self._recording_of(name):
            recording.note(name, required=True)
            return EmptyText()
        value = self._find(name)
        if value is tree.MISSING:
            self._raise_missing(name)
        return self._text_of(value)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if recording := self._recording_of(name):
            recording.note(name, required=False)
            return False
        return self._find(name) is not tree.MISSING

    def __iter__(self) -> Iterator[str]:
        if self._recording:
            self._recording.whole = True
            return iter(overrides.over(self, ()))
        return iter(overrides.over(self, self._read()))

    def __len__(self) -> int:
        if self._recording:
            self._recording.whole = True
            return len(overrides.over(self, ()))
        return len(overrides.over(self, self._read()))

    def __or__(self, other: Secrets) -> Secrets:
        if not isinstance(other, Secrets):
            return NotImplemented
        recordings = [found for found in (self._recording, other._recording) if found]
        sources = tuple(source for found in recordings for source in found.sources)
        ages = [age for age in (self._max_age, other._max_age) if age is not None]
        return Secrets(
            self._layers + other._layers,
            Recording(sources) if recordings else None,
            min(ages, default=None),
        )

    def __repr__(self) -> str:
        return f"<Secrets from {self.place}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Secrets hold plaintext and are not pickled; load them where they are used")

    @overload
    def get(self, name: str, /) -> SecretStr | None: ...
    @overload
    def get(self, name: str, /, default: SecretStr | T) -> SecretStr | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        """The value of a name, or the default where it is missing.

        A name that NAMES does not list is never fetched, so its default would hide a mistake: that
        is logged as a warning.
        """
        if name in self:
            return self[name]
        if not self.offline and not self._is_overridden(name) and not self._is_fetched(name):
            logger.warning(
                "%s is not among NAMES, so it is not fetched and its default is used: "
                "add it to NAMES",
                name,
            )
        return default

    def json(self, name: str) -> Any:
        """The JSON tree that a name holds, its strings masked.

        Raises:
            SecretNotFound: the name is missing.
            SecretsError: its value is not JSON; the value is not repeated.
        """
        if recording := self._recording_of(name):
            recording.note(name, required=True)
            return EmptyTree()
        try:
            return masked(tree.load(self[name]))
        except SecretNotFound:
            raise
        except SecretsError as exc:
            reason = exc.message
        raise SecretsError(
            f"{name} in {self.place} is {reason}",
            hint=f"`secrets put {name} @file.json` writes a tree",
            names=[name],
        )

    @property
    def env(self) -> SecretsEnv:
        """django-environ's casts, over these secrets first and the process environment second."""
        from .env import SecretsEnv

        return SecretsEnv(self)

    def previous(self, name: str) -> SecretStr | None:
        """The value that was in force before, or None. A read of its own, cached."""
        return self._in_stages(name).get(PREVIOUS) if self._has_stages(name) else None

    def fallbacks(self, name: str) -> list[SecretStr]:
        """The values beside `secrets[name]` that are to be honoured: pending, then previous.

        For ``SECRET_KEY_FALLBACKS``: a pending key must be accepted everywhere before it signs
        anywhere (Django ticket 35400). A read of its own, cached.
        """
        if not self._has_stages(name):
            return []
        # The current one is among them too, if it was promoted since the fetch: other hosts may
        # sign with it already.
        values = self._in_stages(name)
        own = self[name]
        return list(dict.fromkeys(values[s] for s in STAGES if values.get(s, own) != own))

    def database(self, name: str = "", **entry: Any) -> dict[str, Any]:
        """An entry of DATABASES whose engine reads the password anew when it was rotated.

        Args:
            name: a secret that is a database URL, or a JSON tree as Amazon RDS writes it
                (``username``, ``password``, ``host``, ``port``, ``dbname``, ``engine``); left out
                where the whole store is such a tree.
            entry: more keys of the entry, such as ``CONN_MAX_AGE=60``; ``NAME`` and the like
                replace what the secret says.

        Returns:
            The entry; offline an empty one, which Django takes for the dummy engine.

        Raises:
            SecretNotFound: the name is missing.
            SecretsError: it is no database this package has an engine for.
        """
        from .db.secret import DatabaseSecret

        recording = self._recording_of(name or "password")  # a tree without one is no database
        if not recording:
            return DatabaseSecret(self, name).entry(**entry)
        if name:
            recording.note(name, required=True)
        else:
            recording.whole = True
        return {}

    def refresh(self, *names: str) -> frozenset[str]:
        """Fetch again, and send the signal `secrets_changed` if a value is another one.

        If it fails, the old values stay and the error is raised; for a while, which its
        ``retry_after`` says, it is then raised again without asking. Threads that call this at
        the same time share one fetch, which none of them called before it began.

        Args:
            names: only these, or trees that dotted names reach into; left out, all.

        Returns:
            The names whose value changed, appeared or went.

        Raises:
            SecretsError: the store refused, or could not be asked.
        """
        wanted = self._refreshes + 1  # what began before this call may have missed a new value
        try:
            with self._refreshing:
                number, same, changed = self._last
                if number >= wanted and same == names:
                    return changed
                changed = self._refreshed(names)
        finally:
            self._log_news()
        self._announce(changed)
        return changed

    def _refreshed(self, names: tuple[str, ...]) -> frozenset[str]:
        self._pause.check()
        self._refreshes += 1
        number = self._refreshes
        try:
            changed = self._fetch_anew(*names)
        except SecretsError as exc:
            self._pause.failed(exc)
            raise
        self._pause.succeeded()
        self._last = number, names, changed
        return changed

    def _fetch_anew(self, *names: str) -> frozenset[str]:
        if self.offline:
            return frozenset()
        with self._lock:
            old = self._values or {}
            if names and self._values is not None:
                self._fetch_some(self._known_roots(names))
            else:
                self._fetch_all(anew=True)
                self._stages = {}
            # Not before: what was handed on is in force until there is something newer.
            for layer in self._layers:
                layer.ask_store()
            new = self._values or {}
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        return frozenset(name for name in changed if not self._is_overridden(name))

    def _log_news(self) -> None:
        """Log what the copies have to say; without a lock, for which a handler may wait."""
        news = [text for layer in self._layers for text in layer.news()]
        if getattr(self._here, "logs", False):
            return  # of what a handler reads meanwhile: to tell it that might have no end
        self._here.logs = True
        try:
            for text in news:
                logger.warning("%s", text)
        finally:
            self._here.logs = False

    def _announce(self, changed: frozenset[str]) -> None:
        if changed:
            from .signals import secrets_changed

            secrets_changed.send_robust(sender=type(self), secrets=self, names=changed)

    @property
    def place(self) -> str:
        """The stores, as errors name them."""
        if self.offline:
            return "nowhere: offline mode"
        return " | ".join(layer.place for layer in self._layers)

    def _recording_of(self, name: str) -> Recording | None:
        """Where it is noted that a name is asked for, in offline mode; a test may have given it."""
        return None if self._is_overridden(name) else self._recording

    def _is_overridden(self, name: str) -> bool:
        """Whether a test says what the name is."""
        return overrides.find(self, name) is not None

    def _find(self, name: str) -> Any:
        """The value of a name, or of a dotted name in a tree, or `tree.MISSING`."""
        given = overrides.find(self, name)
        if given is not None:
            return given.get(CURRENT, tree.MISSING)
        return tree.reach(self._read(), name)

    def _known(self, name: str) -> Any:
        """The same, as far as it is known without asking a store."""
        known = self._is_overridden(name) or self._values is not None
        with self._as_they_are():
            return self._find(name) if known else tree.MISSING

    def _read(self) -> dict[str, SecretStr]:
        """The values for a read from outside, which may be too old for it."""
        if self._is_due():
            self._renew()
        return self._fetched()

    def _is_due(self) -> bool:
        if self._max_age is None or self._values is None or getattr(self._here, "keeps", False):
            return False
        return monotonic() > max(self._oldest + self._max_age, self._pause.until)

    def _renew(self) -> None:
        """Refresh, unless another thread reads: this one does not wait, and has the old values."""
        changed: frozenset[str] = frozenset()
        problem = ""
        if not self._refreshing.acquire(blocking=False):
            return
        alone = self._lock.acquire(blocking=False)
        try:
            if not (alone and self._is_due()):  # another thread was first
                return
            with self._as_they_are():  # a handler of logs may read a secret
                changed = self._refreshed(())
        except Exception as exc:  # who reads has the old values, whatever a store does wrong
            problem = exc.message if isinstance(exc, SecretsError) else type(exc).__name__
            if not isinstance(exc, SecretsError):
                self._pause.failed()
        finally:
            if alone:
                self._lock.release()
            self._refreshing.release()
        self._log_news()
        if problem:
            logger.warning("%s: values stay in use after their max_age: %s", self.place, problem)
        self._announce(changed)

    @contextmanager
    def _as_they_are(self) -> Iterator[None]:
        """To the end of the block, reads of this thread renew nothing."""
        before = getattr(self._here, "keeps", False)
        self._here.keeps = True
        try:
            yield
        finally:
            self._here.keeps = before

    def _fetched(self) -> dict[str, SecretStr]:
        values = self._values
        if values is not None:
            return values
        try:
            with self._lock:
                if self._values is None:
                    self._fetch_all()
                return self._values or {}
        finally:
            self._log_news()

    def _fetch_all(self, *, anew: bool = False) -> None:
        self._values, self._origin = self._fetch(anew=anew)
        self._oldest = min((layer.fetched_at for layer in self._layers), default=0.0)
        if any(layer.served is not None for layer in self._layers):
            self._pause.failed()  # the store was out a moment ago

    def _fetch(
        self, only: Collection[str] | None = None, *, anew: bool = False
    ) -> tuple[dict[str, SecretStr], dict[str, Layer]]:
        values: dict[str, SecretStr] = {}
        origin: dict[str, Layer] = {}
        for layer in self._layers:
            found = layer.fetch(only, anew=anew)
            self._loaded.add(found.values())
            values.update(found)
            origin.update(dict.fromkeys(found, layer))
        return values, origin

    def _fetch_some(self, names: Collection[str]) -> None:
        values, origin = self._fetch(names, anew=True)

        def kept(mapping: Mapping[str, T]) -> dict[str, T]:
            return {name: value for name, value in mapping.items() if name not in names}

        self._values = {**kept(self._values or {}), **values}
        self._origin = {**kept(self._origin), **origin}
        self._stages = {
            name: values
            for name, values in self._stages.items()
            if not set(tree.roots(name)).intersection(names)
        }

    def _known_roots(self, names: Collection[str]) -> set[str]:
        """What to fetch for names: themselves, or the trees that dotted names reach into."""
        known = {*(self._values or ()), *(n for layer in self._layers for n in layer.names or ())}
        return {
            root
            for name in names
            for root in ([root for root in tree.roots(name) if root in known] or [name])
        }

    def _has_stages(self, name: str) -> bool:
        if recording := self._recording_of(name):
            recording.staged.add(name)
        return name in self

    def _in_stages(self, name: str) -> dict[str, SecretStr]:
        """The values of a name that are in use, by stage."""
        given = overrides.find(self, name)
        if given is not None:
            return {stage: self._text_of(value) for stage, value in given.items()}
        try:
            with self._lock:
                if name not in self._stages:
                    self._stages[name] = self._read_stages(name)
                return self._stages[name]
        finally:
            self._log_news()

    def _read_stages(self, name: str) -> dict[str, SecretStr]:
        root = self._root_of(name)
        values = self._origin[root].stages(root) if root else {}
        self._loaded.add(values.values())
        reached = {stage: self._reach(root, value, name) for stage, value in values.items()}
        return {stage: value for stage, value in reached.items() if value}

    def _reach(self, root: str, value: SecretStr, name: str) -> SecretStr:
        inner = tree.reach({root: value}, name)
        return SecretStr() if inner is tree.MISSING else self._text_of(inner)

    def _text_of(self, value: Any) -> SecretStr:
        """A value as it is handed out; a number's digits stand as no string in its tree."""
        text = SecretStr(tree.text_of(value))
        if not isinstance(value, str):
            self._loaded.add([text])
        return text

    def _root_of(self, name: str) -> str:
        """The fetched name that a name is, or reaches into; "" if there is none."""
        fetched = self._fetched()
        for root in tree.roots(name):
            if root in fetched and tree.reach({root: fetched[root]}, name) is not tree.MISSING:
                return root
        return ""

    def _is_fetched(self, name: str) -> bool:
        """Whether the stores were asked for this name, or for the tree it reaches into."""
        roots = set(tree.roots(name))
        return any(layer.names is None or roots & set(layer.names) for layer in self._layers)

    def _raise_missing(self, name: str) -> NoReturn:
        if self._is_overridden(name):
            raise SecretNotFound(
                f"{self.place} lacks {name}, as a test has it",
                hint=f"`override_secrets` of this test gives no value for {name}",
                names=[name],
            )
        wanted = {wanted for layer in self._layers for wanted in layer.names or ()}
        if not self._is_fetched(name):
            raise SecretNotFound(
                f"{name} is not among NAMES, so it was not fetched from {self.place}",
                hint=f'{did_you_mean([name], wanted)}add "{name}" to NAMES',
                names=[name],
            )
        values = self._fetched()
        missing = {wanted for wanted in wanted if tree.reach(values, wanted) is tree.MISSING}
        if not any(name.startswith(f"{root}.") for root in (*missing, *values)):
            missing.add(name)
        elif not missing:
            missing = {name}
        listed = sorted(missing)
        raise SecretNotFound(
            f"{self.place} lacks {', '.join(listed)}",
            hint=f"{did_you_mean(listed, values)}`manage.py secrets put {listed[0]}` writes one, "
            "`manage.py secrets putall FILE` all of a file",
            names=listed,
        )


# By their id: a mapping has no hash.
_LIVING: weakref.WeakValueDictionary[int, Secrets] = weakref.WeakValueDictionary()


def living() -> list[Secrets]:
    """The `Secrets` of this process."""
    # Not its values(): a thread that loads meanwhile would be an error.
    return [found for reference in _LIVING.valuerefs() if (found := reference()) is not None]


def loads() -> list[tuple[Config, ...]]:
    """What each `Secrets` of this process was loaded with, by its layers. Nothing is fetched."""
    return [tuple(layer.config for layer in found._layers) for found in living()]


def in_use() -> list[Config]:
    """The same without the layers, each configuration once."""
    found: list[Config] = []
    for configs in loads():
        found += [config for config in configs if config not in found]
    return found


def in_environment() -> list[str]:
    """Names of fetched secrets that the process environment has too, with the same value."""
    return sorted(
        {
            name
            for secrets in living()
            for name, value in (secrets._values or {}).items()
            if value and os.environ.get(name) == value
        }
    )


def served() -> list[tuple[str, float]]:
    """The stores in use whose values came from their last known good copy, and the age of that."""
    layers = {layer for secrets in living() for layer in secrets._layers}
    return sorted(
        (layer.place, monotonic() - layer.served) for layer in layers if layer.served is not None
    )


def _renew_locks() -> None:
    """In a process that was forked during a read: the thread that has the lock is not in it."""
    for secrets in living():
        secrets._lock, secrets._refreshing = threading.RLock(), threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)
