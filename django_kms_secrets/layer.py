"""One store as a configuration names it, and what to fetch from it."""

from __future__ import annotations

import os
from copy import deepcopy
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING

from . import snapshot
from .config import URL_VARIABLE, Config, read_config

if TYPE_CHECKING:
    from collections.abc import Collection

    from .backends.base import BaseStore
    from .lastgood import LastKnownGood
    from .recording import Source
    from .types import SecretStr


class Layer:
    """One store, and what to fetch from it.

    Args:
        source: as for `load`.

    Raises:
        SecretsError: the configuration is not valid.

    Attributes:
        fetched_at: when that which it gave last was fetched, by `monotonic`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source if source is not None else os.environ.get(URL_VARIABLE) or None
        # What `secrets run` has fetched for this configuration; it has looked at that, too. The
        # store's modules, which take longer to import than all this, are not needed then.
        self._handed = snapshot.find(self._source)
        self.fetched_at: float = 0.0
        if self._handed is None:
            self.last_good  # noqa: B018 - a configuration that is not valid is an error now
        else:
            self._source = deepcopy(self._source)

    @cached_property
    def config(self) -> Config:
        """The configuration, read."""
        return read_config(self._source)

    @cached_property
    def store(self) -> BaseStore:
        """The store, not opened."""
        return self.config.make_store()

    @cached_property
    def last_good(self) -> LastKnownGood | None:
        """The copy for when the store is out, where one is configured."""
        store = self.store
        if self.config.last_known_good is None:
            return None
        from .lastgood import LastKnownGood

        return LastKnownGood(self.config, store)

    @property
    def _made(self) -> LastKnownGood | None:
        """The same, if anything has asked for it: what was handed on needs none."""
        return vars(self).get("last_good")

    @property
    def served(self) -> float | None:
        """When the values that came from the copy were fetched, by `monotonic`; else None."""
        return self._made.served if self._made else None

    def news(self) -> list[str]:
        """What the copy has to say, once."""
        return self._made.news() if self._made else []

    @property
    def names(self) -> tuple[str, ...] | None:
        """What to fetch; None for all that the store has."""
        return self._handed.names if self._handed else self.config.names

    @property
    def place(self) -> str:
        """The store, as errors name it."""
        return self._handed.place if self._handed else self.store.place

    def ask_store(self) -> None:
        """From now on, use nothing that was handed on."""
        self._handed = None

    def fetch(self, only: Collection[str] | None, *, anew: bool) -> dict[str, SecretStr]:
        """The current values, by name.

        Args:
            only: names of those that are configured; None for all of them.
            anew: use nothing that was handed on, and no copy of an earlier fetch.

        Raises:
            SecretsError: the store refused, or could not be asked.
        """
        if self._handed and self._handed.is_fresh and not anew:
            self.fetched_at = monotonic() - self._handed.age
            return self._handed.values
        names = self.names
        if only is not None:
            names = tuple(name for name in only if names is None or name in names)
        if names == ():
            return {}
        ask = partial(self.store.read_values, names)
        self.fetched_at = monotonic()
        if self.last_good is None:
            return ask()
        if only is not None:
            return self.last_good.some(ask, only)
        values = self.last_good.values(ask, serve=not anew)
        if self.served is not None:
            self.fetched_at = self.served
        return values

    def stages(self, name: str) -> dict[str, SecretStr]:
        """The values of a name that are in use, by stage.

        Raises:
            SecretsError: the store refused, or could not be asked.
        """
        if self._handed and self._handed.is_fresh and name in self._handed.stages:
            return self._handed.stages[name]
        ask = partial(self.store.read_stages, name)
        return self.last_good.stages(name, ask) if self.last_good else ask()
