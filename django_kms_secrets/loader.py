"""``load()``: one fetch at first use, then a mapping of masked strings in memory."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from . import snapshot
from .config import URL_VARIABLE, Config, read_config
from .exceptions import SecretNotFound, SecretsError
from .formats import tree
from .offline import EmptyText, EmptyTree, is_offline
from .recording import Recording, Source
from .redaction import Loaded
from .types import PREVIOUS, STAGES, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Collection

    from .backends.base import BaseStore
    from .env import SecretsEnv

T = TypeVar("T")

logger = logging.getLogger("django_kms_secrets")


def load(source: Mapping[str, Any] | str | None = None) -> Secrets:
    """Read a configuration; the store itself is read when the first secret is asked for.

    Args:
        source: a dict with BACKEND, OPTIONS and NAMES, a URL, or None for the URL in
            ``$KMS_SECRETS_URL``.

    Returns:
        The secrets. In offline mode every one of them is empty, and no store is touched.

    Raises:
        SecretsError: the configuration is not valid.
    """
    if is_offline():
        return Secrets((), Recording((source,)))
    return Secrets((_Layer(source),))


class _Layer:
    """One store, and what to fetch from it."""

    def __init__(self, source: Source) -> None:
        self._source = source if source is not None else os.environ.get(URL_VARIABLE) or None
        # What `secrets run` has fetched for this configuration; it has looked at that, too. The
        # store's modules, which take longer to import than all this, are not needed then.
        self._handed = snapshot.find(self._source)
        if self._handed is None:
            self.store  # noqa: B018 - a configuration that is not valid is an error now
        else:
            self._source = deepcopy(self._source)

    @cached_property
    def config(self) -> Config:
        return read_config(self._source)

    @cached_property
    def store(self) -> BaseStore:
        return self.config.make_store()

    @property
    def names(self) -> tuple[str, ...] | None:
        return self._handed.names if self._handed else self.config.names

    @property
    def place(self) -> str:
        return self._handed.place if self._handed else self.store.place

    def ask_store(self) -> None:
        """From now on, use nothing that was handed on."""
        self._handed = None

    def fetch(self, only: Collection[str] | None, *, anew: bool) -> dict[str, SecretStr]:
        """The current values: of all that is configured, or of some names of these."""
        if self._handed and self._handed.is_fresh and not anew:
            return self._handed.values
        names = self.names
        if only is not None:
            names = tuple(name for name in only if names is None or name in names)
        if names == ():
            return {}
        with self.store.reading() as store:
            return {name: secret.value for name, secret in store.get_many(names).items()}

    def stages(self, name: str) -> dict[str, SecretStr]:
        """The values of a name that are in use, by stage."""
        if self._handed and self._handed.is_fresh and name in self._handed.stages:
            return self._handed.stages[name]
        with self.store.reading() as store:
            return {stage: secret.value for stage, secret in store.get_stages(name).items()}


class Secrets(Mapping[str, SecretStr]):
    """The secrets of one store, or of several in layers, as a read-only mapping.

    They are fetched once, at first use, and kept in memory; nothing else of the fetch survives,
    no client, thread or socket. It may be used from any thread, and after a fork.

    ``SHARED | APP`` layers two of them: the right side wins, as with dicts.

    Attributes:
        offline: whether offline mode made every one of them empty.
    """

    def __init__(self, layers: tuple[_Layer, ...], recording: Recording | None = None) -> None:
        self._layers = layers
        self._recording = recording
        self.offline = recording is not None
        self._lock = threading.RLock()
        self._values: dict[str, SecretStr] | None = None
        self._origin: dict[str, _Layer] = {}
        self._stages: dict[str, dict[str, SecretStr]] = {}
        # What the filters of `reporting`, `log` and `sentry` hide, as long as this object lives.
        self._loaded = Loaded()
        _LIVING[id(self)] = self

    def __getitem__(self, name: str) -> SecretStr:
        """The value of a name, or of a dotted name in a JSON tree.

        Raises:
            SecretNotFound: it is missing; all names of NAMES that are missing are in one error.
        """
        if self._recording:
            self._recording.note(name, required=True)
            return EmptyText()
        value = tree.reach(self._fetched(), name)
        if value is tree.MISSING:
            self._raise_missing(name)
        return self._text_of(value)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if self._recording:
            self._recording.note(name, required=False)
            return False
        return tree.reach(self._fetched(), name) is not tree.MISSING

    def __iter__(self) -> Iterator[str]:
        if self._recording:
            self._recording.whole = True
            return iter(())
        return iter(self._fetched())

    def __len__(self) -> int:
        if self._recording:
            self._recording.whole = True
            return 0
        return len(self._fetched())

    def __or__(self, other: Secrets) -> Secrets:
        if not isinstance(other, Secrets):
            return NotImplemented
        recordings = [found for found in (self._recording, other._recording) if found]
        sources = tuple(source for found in recordings for source in found.sources)
        return Secrets(self._layers + other._layers, Recording(sources) if recordings else None)

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
        if not self.offline and not self._is_fetched(name):
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
        if self._recording:
            self._recording.note(name, required=True)
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

        if not self._recording:
            return DatabaseSecret(self, name).entry(**entry)
        if name:
            self._recording.note(name, required=True)
        else:
            self._recording.whole = True
        return {}

    def refresh(self, *names: str) -> frozenset[str]:
        """Fetch again, and send the signal `secrets_changed` if a value is another one.

        If it fails, the old values stay and the error is raised.

        Args:
            names: only these, or trees that dotted names reach into; left out, all.

        Returns:
            The names whose value changed, appeared or went.
        """
        changed = self._fetch_anew(*names)
        self._announce(changed)
        return changed

    def _fetch_anew(self, *names: str) -> frozenset[str]:
        if self.offline:
            return frozenset()
        with self._lock:
            old = self._values or {}
            if names and self._values is not None:
                self._fetch_some(self._known_roots(names))
            else:
                self._values, self._origin = self._fetch(anew=True)
                self._stages = {}
            # Not before: what was handed on is in force until there is something newer.
            for layer in self._layers:
                layer.ask_store()
            new = self._values
        return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

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

    def _fetched(self) -> dict[str, SecretStr]:
        values = self._values
        if values is not None:
            return values
        with self._lock:
            if self._values is None:
                self._values, self._origin = self._fetch()
            return self._values

    def _fetch(
        self, only: Collection[str] | None = None, *, anew: bool = False
    ) -> tuple[dict[str, SecretStr], dict[str, _Layer]]:
        values: dict[str, SecretStr] = {}
        origin: dict[str, _Layer] = {}
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
        if self._recording:
            self._recording.staged.add(name)
        return name in self

    def _in_stages(self, name: str) -> dict[str, SecretStr]:
        """The values of a name that are in use, by stage."""
        with self._lock:
            if name not in self._stages:
                root = self._root_of(name)
                values = self._origin[root].stages(root) if root else {}
                self._loaded.add(values.values())
                reached = {stage: self._reach(root, val, name) for stage, val in values.items()}
                self._stages[name] = {stage: value for stage, value in reached.items() if value}
            return self._stages[name]

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
        if not self._is_fetched(name):
            raise SecretNotFound(
                f"{name} is not among NAMES, so it was not fetched from {self.place}",
                hint=f'add "{name}" to NAMES',
                names=[name],
            )
        values = self._fetched()
        wanted = {wanted for layer in self._layers for wanted in layer.names or ()}
        missing = {wanted for wanted in wanted if tree.reach(values, wanted) is tree.MISSING}
        if not any(name.startswith(f"{root}.") for root in (*missing, *values)):
            missing.add(name)
        elif not missing:
            missing = {name}
        listed = sorted(missing)
        raise SecretNotFound(
            f"{self.place} lacks {', '.join(listed)}",
            hint=f"`manage.py secrets put {listed[0]}` writes one, "
            "`manage.py secrets putall FILE` all of a file",
            names=listed,
        )


# By their id: a mapping has no hash.
_LIVING: weakref.WeakValueDictionary[int, Secrets] = weakref.WeakValueDictionary()


def in_use() -> list[Config]:
    """What the `Secrets` of this process were loaded with, each once. Nothing is fetched."""
    found: list[Config] = []
    for secrets in list(_LIVING.values()):
        found += [layer.config for layer in secrets._layers if layer.config not in found]
    return found


def in_environment() -> list[str]:
    """Names of fetched secrets that the process environment has too, with the same value."""
    return sorted(
        {
            name
            for secrets in list(_LIVING.values())
            for name, value in (secrets._values or {}).items()
            if value and os.environ.get(name) == value
        }
    )


def _renew_locks() -> None:
    """In a process that was forked during a read: the thread that has the lock is not in it."""
    for secrets in list(_LIVING.values()):
        secrets._lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)
