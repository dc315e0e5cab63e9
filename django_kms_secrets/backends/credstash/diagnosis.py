"""What can be wrong with a CredStash table, its KMS key, and what is in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    StoreNotReady,
)
from ..diagnosis import (
    SKIPPED,
    WARNING,
    Check,
    Seen,
    counted,
    key_state,
    names_there,
    not_allowed,
    pending_names,
    readable,
    staged_names,
)
from .table import LISTING, RECORD
from .versions import PENDING_VERSION, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from ..base import BaseStore
    from .keys import DataKeys
    from .records import Records
    from .table import Item, Table

_KEY_SCHEMA = [("name", "HASH"), ("version", "RANGE")]


class Diagnosis:
    """The checks of one table.

    Args:
        table, keys, records: the parts of the store.
        key_id: the KMS key for new records, as OPTIONS have it.
        names: what the settings read; None for all there is.
        run: runs tasks side by side within the deadline of an operation.
        fetch: the settings' own read.
    """

    def __init__(
        self,
        table: Table,
        keys: DataKeys,
        records: Records,
        key_id: str,
        names: Sequence[str] | None,
        run: Callable[[Sequence[Callable[[], Any]]], list[Any]],
        fetch: Callable[[], int],
    ) -> None:
        self._table = table
        self._keys = keys
        self._records = records
        self._key_id = key_id
        self._names = names
        self._run = run
        self._fetch = fetch
        self._versions: dict[str, list[str]] = {}
        self._context_seen: Seen | DecryptionError = Seen(
            "there is no record to try it on", SKIPPED
        )

    def checks(self) -> list[Check]:
        """All of them, in their order."""
        read = "scan" if self._names is None else "query"
        return [
            Check("table", self._table_state),
            Check("key", self._key_state),
            Check(read, self._listing, ["table"]),
            Check("names", self._all_there, [read]),
            Check("decrypt", self._decryption, [read, "key"]),
            Check("context", self._context, ["decrypt"]),
            Check("fetch", self._whole, ["context", "names"]),
            Check("pending", self._pending, [read]),
            Check("versions", self._padding, [read]),
        ]

    def _table_state(self) -> Seen:
        try:
            (found,) = self._run([self._table.describe])
        except AccessDenied as exc:
            denied = exc
        else:
            return self._state(found)
        return not_allowed(denied)

    def _state(self, found: dict[str, Any]) -> Seen:
        place, status = self._records.place, found["TableStatus"]
        schema = [(key["AttributeName"], key["KeyType"]) for key in found["KeySchema"]]
        if sorted(schema) != _KEY_SCHEMA:
            raise StoreNotReady(
                f"{place} is not a table of credstash: its key is not name and version",
                hint="set table to another one; `secrets setup` creates it",
            )
        if status not in {"ACTIVE", "UPDATING"}:
            raise StoreNotReady(
                f"{place} is {status}, not ACTIVE", hint="wait until AWS is done with it"
            )
        return Seen(f"{place} is {status}")

    def _key_state(self) -> Seen:
        return key_state(self._key_id, lambda: self._run([self._keys.describe])[0])

    def _listing(self) -> Seen:
        if self._names is None:
            (items,) = self._run([lambda: list(self._table.scan(LISTING))])
        else:
            queries = [partial(self._table.versions, name, LISTING) for name in self._names]
            items = [item for found in self._run(queries) for item in found]
        for item in items:
            self._versions.setdefault(item["name"], []).append(item["version"])
        action = "dynamodb:Scan" if self._names is None else "dynamodb:Query"
        count = f"{counted(len(items), 'version')} of {counted(len(self._versions), 'name')}"
        return Seen(f"{action} is allowed: {count}")

    def _all_there(self) -> Seen:
        return names_there(self._names, self._current(), self._records.place)

    def _decryption(self) -> Seen:
        names = self._current()
        if not names:
            return Seen("there is no record to try it on", WARNING, "`secrets put NAME` writes one")
        (item,) = self._run([partial(self._newest, names[0])])
        where = f"{names[0]} version {item['version'].lstrip('0')}"
        try:
            (opened,) = self._run([partial(self._records.open, item)])
        except DecryptionError as exc:
            self._context_seen = exc
        except SecretIntegrityError:  # was decrypted first; the fetch says what is wrong with it
            self._context_seen = Seen(f"it is the one of {where}")
        else:
            self._context_seen = (
                Seen(
                    f"{where} opens with the former encryption context only",
                    WARNING,
                    "`secrets reencrypt` puts it under the present one",
                )
                if opened.former
                else Seen(f"it opens {where}")
            )
        return Seen("kms:Decrypt is allowed")

    def _context(self) -> Seen:
        if isinstance(self._context_seen, Seen):
            return self._context_seen
        raise self._context_seen

    def _newest(self, name: str) -> Item:
        for item in self._table.newest(name, RECORD):
            return item
        raise SecretNotFound(
            f"{name} was deleted from {self._records.place} meanwhile",
            hint="run it again",
            names=[name],
        )

    def _whole(self) -> Seen:
        return readable(self._fetch())

    def _pending(self) -> Seen:
        return pending_names(
            sorted(name for name, found in self._versions.items() if PENDING_VERSION in found)
        )

    def _padding(self) -> Seen:
        short = sorted(
            f"{name} version {version}"
            for name, found in self._versions.items()
            for version in found
            if version.isdigit() and len(version) < WIDTH
        )
        if not short:
            return Seen(f"all versions have {WIDTH} digits")
        return Seen(
            f"not padded to {WIDTH} digits, so sorted after every newer version: "
            f"{', '.join(short)}",
            WARNING,
            "delete the name and put it again, or let its only version be",
        )

    def _current(self) -> list[str]:
        return sorted(
            name for name, found in self._versions.items() if {*found} - {PENDING_VERSION}
        )


class DocumentDiagnosis(Diagnosis):
    """The checks of one document, which is one record of the table.

    Args:
        table, keys, records, key_id, run: as those of `Diagnosis`.
        document: the record.
        store: the store, open.
        names: what the settings read; None for all there is.
    """

    def __init__(
        self,
        table: Table,
        keys: DataKeys,
        records: Records,
        key_id: str,
        run: Callable[[Sequence[Callable[[], Any]]], list[Any]],
        document: str,
        store: BaseStore,
        names: Sequence[str] | None,
    ) -> None:
        super().__init__(table, keys, records, key_id, [document], run, self._fetched)
        self._document = document
        self._store = store
        self._wanted = names
        self._found: Collection[str] = ()

    def checks(self) -> list[Check]:
        """All of them, in their order."""
        return [
            Check("table", self._table_state),
            Check("key", self._key_state),
            Check("query", self._listing, ["table"]),
            Check("document", self._there, ["query"]),
            Check("decrypt", self._decryption, ["document", "key"]),
            Check("context", self._context, ["decrypt"]),
            Check("fetch", self._whole, ["context"]),
            Check("names", self._all_there, ["fetch"]),
            Check("pending", self._pending, ["fetch"]),
            Check("versions", self._padding, ["query"]),
        ]

    def _there(self) -> Seen:
        if not self._current():
            raise StoreNotReady(
                f"there is no {self._store.place}",
                hint="`secrets setup` creates it; or check document, table and region_name",
            )
        return Seen(f"{self._store.place} is there")

    def _fetched(self) -> int:
        self._found = self._store.get_many(self._wanted).keys()
        return len(self._found)

    def _all_there(self) -> Seen:
        return names_there(self._wanted, self._found, self._store.place)

    def _pending(self) -> Seen:
        if PENDING_VERSION in self._versions[self._document]:
            return Seen(
                f"the whole of {self._store.place} is pending",
                WARNING,
                "`secrets rotate NAME --abandon` drops it",
            )
        return pending_names(sorted(staged_names(self._store, self._found)))
