"""What can be wrong with a document in Secrets Manager, or with names under a prefix."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ...exceptions import AccessDenied, SecretNotFound, StoreNotReady
from ..diagnosis import (
    WARNING,
    Check,
    Seen,
    counted,
    names_there,
    not_allowed,
    pending_names,
    readable,
)
from .api import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from ..base import BaseStore


class Diagnosis:
    """The checks of one document or prefix.

    Args:
        store: the store, open.
        document: whether it is a document.
        names: what the settings read; None for all there is.
        describe: DescribeSecret of the document; empty if there is none.
        pending: which of some names have a pending value.
    """

    def __init__(
        self,
        store: BaseStore,
        document: bool,
        names: Sequence[str] | None,
        describe: Callable[[], Mapping[str, Any]],
        pending: Callable[[Collection[str]], list[str]],
    ) -> None:
        self._store = store
        self._document = document
        self._names = names
        self._describe = describe
        self._pending = pending
        self._known: Sequence[str] = names or ()
        self._there: list[str] = []
        self._found: Collection[str] = ()

    def checks(self) -> list[Check]:
        """All of them, in their order."""
        checks = self._of_document() if self._document else self._of_names()
        return [
            *checks,
            Check("fetch", self._fetch, [check.name for check in checks]),
            Check("names", self._all_there, ["fetch"]),
            Check("pending", self._waiting, ["fetch"]),
        ]

    def _of_document(self) -> list[Check]:
        return [Check("secret", self._state), Check("get", self._reading, ["secret"])]

    def _of_names(self) -> list[Check]:
        listing = [Check("list", self._listing)] if self._names is None else []
        get = Check("get", self._getting, [check.name for check in listing])
        return [*listing, get, Check("batch", self._batch, ["get"])]

    def _reading(self) -> Seen:
        count = len({entry.name for entry in self._store.list_secrets()})
        return Seen(f"secretsmanager:GetSecretValue is allowed: {counted(count, 'name')}")

    def _listing(self) -> Seen:
        self._known = sorted({entry.name for entry in self._store.list_secrets()})
        return Seen(f"secretsmanager:ListSecrets is allowed: {counted(len(self._known), 'name')}")

    def _getting(self) -> Seen:
        for name in self._known:
            with contextlib.suppress(SecretNotFound):
                self._store.get(name)
                self._there = [name]
                return Seen(f"secretsmanager:GetSecretValue is allowed, on {name}")
        return Seen("there is no secret to try it on", WARNING, "`secrets put NAME` writes one")

    def _batch(self) -> Seen:
        # One that is missing is no error of a batch, and a policy may allow those of NAMES only.
        self._store.get_many(self._there or list(self._known[:1]) or ["NAME"])
        return Seen("secretsmanager:BatchGetSecretValue is allowed")

    def _state(self) -> Seen:
        try:
            return self._judged(self._describe())
        except AccessDenied as exc:
            denied = exc
        return not_allowed(denied)

    def _judged(self, known: Mapping[str, Any]) -> Seen:
        place = self._store.place
        if not known:
            raise StoreNotReady(
                f"there is no {place}",
                hint="`secrets setup` creates it; or check secret_id and region_name",
            )
        if known.get("DeletedDate"):
            raise StoreNotReady(
                f"{place} was deleted and waits for that", hint="`secrets setup` restores it"
            )
        if not version_of(known):
            raise StoreNotReady(f"{place} has no value yet", hint="`secrets setup` fills it")
        return Seen(f"{place} is there")

    def _fetch(self) -> Seen:
        self._found = self._store.get_many(self._names).keys()
        return readable(len(self._found))

    def _all_there(self) -> Seen:
        return names_there(self._names, self._found, self._store.place)

    def _waiting(self) -> Seen:
        return pending_names(sorted(self._pending(self._found)))
