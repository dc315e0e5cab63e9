"""One record per name: a table's secrets, read and written side by side."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ...deadline import Deadline, Timeouts
from ...exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
)
from ...types import CURRENT, PENDING, PREVIOUS, Secret, SecretVersion
from ..base import (
    ABSENT,
    already_current,
    already_pending,
    expect,
    expect_all,
    not_found,
    put_runs,
)
from ..capabilities import Age
from .table import LISTING, RECORD, TRANSACTION_ITEMS, Item, Table, transactions
from .versions import PENDING_VERSION, age, entries, entry, newest_of, next_version, padded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .records import Records

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("django_kms_secrets")

#: How long a new table may take to become active (seconds).
TABLE_SECONDS = 120.0


class Names:
    """Records of their own, with versions of their own.

    Args:
        table, records: where the records are, and what seals and opens them.
        place: the store, as errors name it.
        timeouts: for one operation.
        run: runs tasks side by side, by a deadline.
        deadline: of all operations together; None: each has one of its own.
        show: as of `BaseStore.followed`.
    """

    def __init__(
        self,
        table: Table,
        records: Records,
        place: str,
        timeouts: Timeouts,
        run: Callable[..., list[Any]],
        deadline: Deadline | None,
        show: Callable[[int, int], object] | None = None,
    ) -> None:
        self._table = table
        self._records = records
        self.place = place
        self.timeouts = timeouts
        self._run_by = run
        self._deadline = deadline
        self._show = show

    # Reading

    def get(self, name: str, version: str = CURRENT) -> Secret:
        """One Query and one Decrypt."""
        return self._run([partial(self._read, name, version)])[0]

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """All: one Scan and N Decrypts. By name: N Queries and N Decrypts, no Scan permission.

        Raises:
            DecryptionError, SecretIntegrityError, AccessDenied: secrets cannot be opened; the
                error names every one that cannot.
        """
        deadline = self._limit()
        if names is None:
            items = self._scan(RECORD, newest_of, deadline)
            reads = [partial(self._open, item) for item in newest_of(items)]
        else:
            reads = [partial(self._read, name, CURRENT) for name in dict.fromkeys(names)]
        deadline.lengthen(self.timeouts.for_bulk(len(reads)))
        outcomes = self._run([partial(_outcome, read) for read in reads], deadline, self._show)
        return {secret.name: secret for secret in _whole(outcomes, self.place)}

    def list_secrets(self) -> Sequence[SecretVersion]:
        """One Scan, without contents and keys."""
        versions: dict[str, list[Item]] = {}
        for item in self._scan(LISTING, list, self._limit()):
            versions.setdefault(item["name"], []).append(item)
        return [entry for name in sorted(versions) for entry in entries(versions[name])]

    def history(self, name: str) -> Sequence[SecretVersion]:
        """One Query."""
        items = self._run([partial(self._table.versions, name, LISTING)])[0]
        if not items:
            raise not_found(name, self)
        return entries(items)

    def get_stages(self, name: str) -> dict[str, Secret]:
        """A Query for the pending version, one for the others, and their Decrypts.

        A previous version that does not open is left out with a warning: nobody can honour it, and
        the current one decides whether a site starts.
        """
        deadline = self._limit()
        items = self._run([partial(self._in_use, name)], deadline)[0]
        reads = [partial(_outcome, partial(self._open, item)) for item in items.values()]
        outcomes = dict(zip(items, self._run(reads, deadline), strict=True))
        previous = outcomes.get(PREVIOUS)
        if isinstance(previous, SecretsError):
            logger.warning("the previous version does not count: %s", previous.message)
            del outcomes[PREVIOUS]
        _whole(list(outcomes.values()), self.place)
        return {stage: found for stage, found in outcomes.items() if isinstance(found, Secret)}

    def _in_use(self, name: str) -> dict[str, Item]:
        # The pending one first: a value that is promoted meanwhile is found twice, never missed.
        found = {PENDING: self._find(name, PENDING)}
        newest = self._table.newest(name, RECORD, 2)
        found.update(zip((CURRENT, PREVIOUS), newest, strict=False))
        return {stage: item for stage, item in found.items() if item}

    def _read(self, name: str, version: str) -> Secret:
        item = self._find(name, version)
        if item is None:
            raise not_found(name, self, version=version)
        return self._open(item)

    def _open(self, item: Item) -> Secret:
        return self._records.open(item).secret

    def _find(self, name: str, version: str) -> Item | None:
        if version == PENDING:
            return self._table.version(name, PENDING_VERSION)
        if version in (CURRENT, PREVIOUS):
            rank = (CURRENT, PREVIOUS).index(version)
            newest = self._table.newest(name, RECORD, rank + 1)
            return newest[rank] if len(newest) > rank else None
        # Up to credstash 1.12 explicit versions were stored as typed, without padding.
        return self._table.version(name, version) or self._table.version(name, padded(version))

    def _scan(
        self,
        attributes: Sequence[str],
        keep: Callable[[Iterable[Item]], list[Item]],
        deadline: Deadline,
    ) -> list[Item]:
        return self._table.fold(attributes, keep, lambda tasks: self._run(tasks, deadline))

    # Writing

    def put(self, name: str, value: str, expected: str | None = None) -> SecretVersion:
        """Query, GenerateDataKey, a conditional PutItem, and a Query that it is the newest."""
        return self._run([partial(self._put, name, value, expected=expected)])[0]

    def put_version(self, name: str, value: str, version: str, comment: str) -> SecretVersion:
        """Like `put`, under a number and with a comment of the writer's choice."""
        return self._run([partial(self._put, name, value, version=version, comment=comment)])[0]

    def put_after(
        self, latest: str, name: str, value: str, version: str, comment: str
    ) -> SecretVersion:
        """Like `put_version`, if the newest version is one that was read before: no first Query."""
        return self._run(
            [partial(self._put_after, latest, name, value, version=version, comment=comment)]
        )[0]

    def put_many(
        self, values: Mapping[str, str], expected: Mapping[str, str] | None = None
    ) -> Sequence[SecretVersion]:
        """Write in transactions of at most 100 records: each is stored whole or not at all.

        Raises:
            VersionConflict: somebody else wrote one of the names at the same time.
            SecretsError: the message of any failure says which names were stored before it.
        """
        names = list(values)
        # A name that shall be absent, too: DynamoDB looks only at the item that is written, version
        # 1, and of a name whose old versions were retired that one is free.
        newest = self._run_parts([partial(self._newest_version, name) for name in names])
        latest = dict(zip(names, newest, strict=True))
        expect_all(expected, latest, self)
        items = self._run_parts(
            [partial(self._sealed_after, latest[name], name, values[name]) for name in names],
            self._show,
        )
        return put_runs(transactions(items), self._put_run)

    def _run_parts(
        self, tasks: Sequence[Callable[[], T]], show: Callable[[int, int], object] | None = None
    ) -> list[T]:
        """Run as many as a transaction has records, and then the next: each has the time limit."""

        def shown(show: Callable[[int, int], object], before: int) -> Callable[[int, int], object]:
            return lambda done, _: show(before + done, len(tasks))

        return [
            result
            for start in range(0, len(tasks), TRANSACTION_ITEMS)
            for result in self._run(
                tasks[start : start + TRANSACTION_ITEMS], done=show and shown(show, start)
            )
        ]

    def delete(self, name: str) -> None:
        """Query, and a DeleteItem for each version."""
        self._run([partial(self._delete, name)])

    def _put(self, name: str, value: str, **options: Any) -> SecretVersion:
        return self._stored(self._sealed(name, value, **options))

    def _put_after(self, latest: str, name: str, value: str, **options: Any) -> SecretVersion:
        return self._stored(self._sealed_after(latest, name, value, **options))

    def _stored(self, item: Item) -> SecretVersion:
        self._table.put(item)
        return entry(item)

    def _put_run(self, run: Sequence[Item]) -> list[SecretVersion]:
        self._run([partial(self._table.put_all, run)])
        return [entry(item) for item in run]

    def _delete(self, name: str) -> None:
        versions = self._table.versions(name, ("name", "version"))
        if not versions:
            raise not_found(name, self)
        # Oldest first: a deletion that is cut short must not make an old value the current one.
        for item in versions:
            self._table.delete(name, item["version"])

    def _sealed(
        self,
        name: str,
        value: str,
        *,
        expected: str | None = None,
        version: str = "",
        comment: str = "",
    ) -> Item:
        """The item for the next version of a name, not written yet."""
        latest = self._newest_version(name)
        expect(expected, latest, name, self)
        return self._sealed_after(latest, name, value, version=version, comment=comment)

    def _newest_version(self, name: str) -> str:
        newest = self._table.newest(name, ("name", "version"))
        return newest[0]["version"] if newest else ABSENT

    def _sealed_after(
        self, latest: str, name: str, value: str, *, version: str = "", comment: str = ""
    ) -> Item:
        number = next_version(name, latest, version, self.place)
        return self._records.seal(name, number, value, comment)

    # Rotating

    def rotate(self, name: str, value: str, expected: str) -> SecretVersion:
        """As `put`."""
        return self.put(name, value, expected)

    def rollback(self, name: str, version: str) -> SecretVersion:
        """Two reads and a `put`."""
        current, old = self.get(name), self.get(name, version)
        if old.version == current.version:
            raise already_current(name, old.version, self.place)
        return self.put(name, old.value, current.version)

    def stage(self, name: str, value: str) -> SecretVersion:
        """Query, GenerateDataKey, and a conditional PutItem of version -1."""
        return self._run([partial(self._stage, name, value)])[0]

    def promote(self, name: str) -> SecretVersion:
        """Query, Decrypt, Query, GenerateDataKey, and one transaction that moves the value.

        The value is sealed anew, as the next version of its name.
        """
        return self._run([partial(self._promote, name)])[0]

    def unstage(self, name: str) -> None:
        """Query, and a conditional DeleteItem."""
        self._run([partial(self._unstage, name)])

    def retire(self, name: str) -> None:
        """Query, and a DeleteItem for every version that was current before.

        All of them, because the one before the previous would be the previous one otherwise.
        """
        self._run([partial(self._retire, name)])

    def _stage(self, name: str, value: str) -> SecretVersion:
        if not self._table.newest(name, ("name", "version")):
            raise not_found(name, self)
        item = self._records.seal(name, PENDING_VERSION, value)
        if not self._table.put_pending(item):
            raise already_pending(name, self.place)
        return entry(item, (PENDING,))

    def _promote(self, name: str) -> SecretVersion:
        pending = self._pending(name)
        item = self._sealed(name, self._open(pending).value)
        self._table.put_all([item], instead_of=[pending])
        return entry(item)

    def _unstage(self, name: str) -> None:
        self._table.delete_pending(self._pending(name))

    def _retire(self, name: str) -> None:
        versions = self._table.versions(name, LISTING)
        old = [found for found in entries(versions) if not {CURRENT, PENDING} & {*found.stages}]
        if not old:
            raise not_found(name, self, version=PREVIOUS)
        # Oldest first: cut short, the previous one is still there to be retired.
        for found in old:
            self._table.delete(name, found.version)

    def is_pending(self, name: str) -> bool:
        """One Query."""
        return self._run([partial(self._find, name, PENDING)])[0] is not None

    def _pending(self, name: str) -> Item:
        item = self._find(name, PENDING)
        if item is None:
            raise not_found(name, self, version=PENDING)
        return item

    # Re-encrypting

    def to_reencrypt(self) -> Sequence[str]:
        """One Scan."""
        return sorted({entry.name for entry in self.list_secrets()})

    def reencrypt(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """A GenerateDataKey, and for each secret two Queries, and a Decrypt for each version.

        To write: a GenerateDataKey, a Decrypt and a Query for each version, and one transaction.
        """
        from .reencryption import Reencryption

        if not names:
            return
        reencryption = Reencryption(self._table, self._records)
        key_id = self._run([partial(self._records.kms_key, names[0])])[0]
        self._each(
            names,
            lambda name: reencryption.run(name, key_id),
            done,
            "were not re-encrypted",
        )

    def prune(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """Two Queries, Decrypts, and a DeleteItem for each version that is not in use."""
        from .reencryption import Reencryption

        reencryption = Reencryption(self._table, self._records)
        self._each(names, reencryption.prune, done, "were not pruned")

    def _each(
        self,
        names: Sequence[str],
        task: Callable[[str], bool],
        done: Callable[[str, bool], None],
        failed: str,
    ) -> None:
        """Run a task for each secret. One that fails for its own reasons stops no other."""

        def one(name: str) -> SecretsError | None:
            try:
                done(name, task(name))
            except SecretsError as exc:
                if not exc.names:  # it would be the same for the others
                    raise
                return exc
            return None

        deadline = Deadline(self.timeouts.for_many(len(names)))
        tasks = [partial(one, name) for name in names]
        _whole(self._run(tasks, deadline, settle=True), self.place, failed)

    # Setting up

    def setup(self) -> bool:
        """Create the table, and wait until it is active."""
        deadline = Deadline(max(self.timeouts.overall, TABLE_SECONDS))
        return self._run([self._table.create], deadline)[0]

    # Looking after it

    def ages(self, entries: Sequence[SecretVersion]) -> Mapping[str, Age]:
        """By the numbers of the versions; nothing is sent."""
        names: dict[str, list[SecretVersion]] = {}
        for found in entries:
            names.setdefault(found.name, []).append(found)
        return {
            name: age(versions)
            for name, versions in names.items()
            if any(CURRENT in version.stages for version in versions)
        }

    # Shared

    def _limit(self) -> Deadline:
        return self._deadline or Deadline(self.timeouts.overall)

    def _run(
        self,
        tasks: Sequence[Callable[[], T]],
        deadline: Deadline | None = None,
        done: Callable[[int, int], object] | None = None,
        *,
        settle: bool = False,
    ) -> list[T]:
        return self._run_by(tasks, deadline or self._limit(), done, settle=settle)


def _outcome(read: Callable[[], Secret]) -> Secret | SecretsError | None:
    """A secret, None where it is missing, or the error that concerns only this secret."""
    try:
        return read()
    except SecretNotFound:
        return None
    except (DecryptionError, SecretIntegrityError, AccessDenied) as exc:
        if not exc.names:
            raise
        return exc


def _whole(
    outcomes: Sequence[Secret | SecretsError | None], place: str, failed: str = "cannot be opened"
) -> list[Secret]:
    """The secrets, or one error for all that failed."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, SecretsError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        reasons = "\n".join(f"  {error.message}" for error in errors)
        raise type(errors[0])(
            f"{len(errors)} secrets of {place} {failed}:\n{reasons}",
            hint=errors[0].hint,
            names={name for error in errors for name in error.names},
        )
    return [outcome for outcome in outcomes if isinstance(outcome, Secret)]
