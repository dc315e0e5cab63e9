"""The CredStash store: a table, its data keys, and the envelope between them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ... import envelope
from ...aws import (
    Deadline,
    Service,
    Timeouts,
    checked_transport,
    open_readers,
    open_services,
    run_all,
)
from ...exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
)
from ...transport import AUTO
from ...types import CURRENT, PENDING, PREVIOUS, Secret, SecretVersion, masked
from ..base import BaseStore, already_pending, checked, expect, not_found, put_runs
from ..capabilities import (
    Age,
    AgedStore,
    KeyedStore,
    NumberedStore,
    PrunedStore,
    ReencryptedStore,
    StagedStore,
)
from ..diagnosis import DiagnosedStore
from ..iam import PolicyStore
from .keys import DataKeys
from .records import Contexts, Records
from .table import LISTING, RECORD, TRANSACTION_ITEMS, Item, Table, transactions
from .versions import (
    PENDING_VERSION,
    age,
    entries,
    entry,
    is_number,
    newest_of,
    next_version,
    padded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.core.checks import CheckMessage

    from ..diagnosis import Check
    from ..iam import Statement

T = TypeVar("T")

logger = logging.getLogger("django_kms_secrets")

#: What `bind_to_name` adds to the encryption context.
BOUND = {"name", "version"}
_CONTEXT_OPTIONS = {
    "context": "the encryption context",
    "former_context": "the former encryption context",
}
#: How long a new table may take to become active (seconds).
TABLE_SECONDS = 120.0


class CredStashStore(
    BaseStore,
    NumberedStore,
    KeyedStore,
    StagedStore,
    ReencryptedStore,
    PrunedStore,
    AgedStore,
    PolicyStore,
    DiagnosedStore,
):
    """A credstash table, read and written so that credstash 1.17.1 can share it.

    Options:
        table (str): the table; ``$CREDSTASH_DEFAULT_TABLE``, else ``credential-store``.
        key_id (str): the KMS key for new records; ``alias/credstash``.
        region_name (str): the table's region; boto3's default region.
        kms_region_name (str): the key's region; the table's region.
        profile_name (str): a profile of the AWS configuration files.
        endpoint_url (str): another endpoint for both services.
        context (dict of str): the KMS encryption context of every record; empty.
        bind_to_name (bool): add name and version to it, so that a record that was copied to
            another name or version does not open; False, because other readers of the format
            would have to be told both.
        former_context (dict of str): records written under this one, bound or not, are read as
            well, until `reencrypt` has been through; none.
        digest (str): the HMAC's digest for new records; ``SHA256``, which every reader knows.
        prefix (str): only names that begin with it are seen, and they are shown without it.
        timeout, connect_timeout, read_timeout (float): seconds; 10, 2 and 5.
        transport (str): ``auto``: settings are read without boto3, where it would do the same;
            ``boto3``: never.
    """

    scheme = "credstash"
    dict_options = ("context", "former_context")

    def __init__(
        self,
        *,
        table: str = "",
        key_id: str = "alias/credstash",
        region_name: str | None = None,
        kms_region_name: str | None = None,
        profile_name: str | None = None,
        endpoint_url: str | None = None,
        context: Mapping[str, str] | None = None,
        bind_to_name: bool | str = False,
        former_context: Mapping[str, str] | str | None = None,
        digest: str = envelope.DEFAULT_DIGEST,
        prefix: str = "",
        timeout: float | str = Timeouts.overall,
        connect_timeout: float | str = Timeouts.connect,
        read_timeout: float | str = Timeouts.read,
        transport: str = AUTO,
    ) -> None:
        self.table = table or os.environ.get("CREDSTASH_DEFAULT_TABLE") or "credential-store"
        self.key_id = key_id
        self.region_name = region_name
        self.kms_region_name = kms_region_name
        self.profile_name = profile_name
        self.endpoint_url = endpoint_url
        self.context = _checked_context("context", context or {})
        self.bind_to_name = _checked_flag("bind_to_name", bind_to_name)
        self.former_context = (
            None
            if former_context is None
            else _checked_context("former_context", former_context or {})
        )
        if self.bind_to_name and BOUND & {*self.context}:
            raise SecretsError(
                "with bind_to_name the encryption context has name and version of its own",
                hint='take them out of OPTIONS["context"]',
            )
        self.digest = _checked_digest(digest)
        self.prefix = prefix
        self.timeouts = Timeouts.from_options(timeout, connect_timeout, read_timeout)
        self.transport = checked_transport(transport)
        self._services: list[Service] = []

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """``credstash://TABLE?option=value``; without TABLE the default table."""
        return {"table": location, **query} if location else dict(query)

    @property
    def place(self) -> str:
        """The table with its region and prefix."""
        where = f"CredStash table {self.table} in {self.region_name or 'the default region'}"
        return f"{where} under {self.prefix}" if self.prefix else where

    @property
    def regions(self) -> Mapping[str, str | None]:
        """The services that it asks."""
        return {"dynamodb": self.region_name, "kms": self.kms_region_name or self.region_name}

    def open(self) -> None:
        """Make the two clients."""
        self._opened_with(
            open_services(
                self.regions,
                profile_name=self.profile_name,
                endpoint_url=self.endpoint_url,
                timeouts=self.timeouts,
            )
        )

    def open_to_read(self) -> None:
        """Make them, without boto3 where it would do the same."""
        self._opened_with(
            open_readers(
                self.regions,
                profile_name=self.profile_name,
                endpoint_url=self.endpoint_url,
                timeouts=self.timeouts,
                transport=self.transport,
            )
        )

    def _opened_with(self, services: list[Service]) -> None:
        self._services = services
        # From here on the region is known, also to errors after close().
        self.region_name = services[0].client.meta.region_name

    def close(self) -> None:
        """Close their sockets and forget them."""
        services, self._services = self._services, []
        for service in services:
            service.close()

    # Reading

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """One Query and one Decrypt."""
        return self._run([partial(self._read, name, version)])[0]

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """All: one Scan and N Decrypts. By name: N Queries and N Decrypts, no Scan permission.

        Raises:
            DecryptionError, SecretIntegrityError, AccessDenied: secrets cannot be opened; the
                error names every one that cannot.
        """
        deadline = Deadline(self.timeouts.overall)
        if names is None:
            items = self._scan(RECORD, newest_of, deadline)
            reads = [partial(self._open, item) for item in newest_of(items)]
        else:
            reads = [partial(self._read, name, CURRENT) for name in dict.fromkeys(names)]
        deadline.lengthen(self.timeouts.for_bulk(len(reads)))
        outcomes = self._run(
            [partial(_outcome, read) for read in reads], deadline, self.on_progress
        )
        return {secret.name: secret for secret in _whole(outcomes, self.place)}

    def list_secrets(self) -> Sequence[SecretVersion]:
        """One Scan, without contents and keys."""
        versions: dict[str, list[Item]] = {}
        for item in self._scan(LISTING, list, Deadline(self.timeouts.overall)):
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
        deadline = Deadline(self.timeouts.overall)
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

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Query, GenerateDataKey, a conditional PutItem, and a Query that it is the newest."""
        value = masked(value)
        return self._run([partial(self._put, name, value, expected=expected)])[0]

    def put_version(
        self, name: str, value: str, *, version: str = "", comment: str = ""
    ) -> SecretVersion:
        """Like `put`, under a number and with a comment of the writer's choice."""
        value = masked(value)
        if version and not is_number(version):
            raise SecretsError(
                f"version {version!r} of {name} is not a number", hint="leave it out for the next"
            )
        return self._run([partial(self._put, name, value, version=version, comment=comment)])[0]

    def put_many(self, values: Mapping[str, str]) -> Sequence[SecretVersion]:
        """Write in transactions of at most 100 records: each is stored whole or not at all.

        Raises:
            VersionConflict: somebody else wrote one of the names at the same time.
            SecretsError: the message of any failure says which names were stored before it.
        """
        values = masked(dict(values))
        for name, value in values.items():
            checked(name, value)
        seals = [partial(self._sealed, name, value) for name, value in values.items()]
        items = [
            item
            for start in range(0, len(seals), TRANSACTION_ITEMS)
            for item in self._run(
                seals[start : start + TRANSACTION_ITEMS], done=self._shown(start, len(seals))
            )
        ]
        return put_runs(transactions(items), self._put_run)

    def _shown(self, before: int, total: int) -> Callable[[int, int], object] | None:
        """`on_progress` for a part of the records, before which so many were done."""
        show = self.on_progress
        return show and (lambda done, _: show(before + done, total))

    def delete(self, name: str) -> None:
        """Query, and a DeleteItem for each version."""
        self._run([partial(self._delete, name)])

    def _put(self, name: str, value: str, **options: Any) -> SecretVersion:
        item = self._sealed(name, value, **options)
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
        checked(name, value)
        newest = self._table.newest(name, ("name", "version"))
        latest = newest[0]["version"] if newest else ""
        expect(expected, latest, name, self)
        number = next_version(name, latest, version, self.place)
        return self._records.seal(name, number, value, comment)

    # Rotating

    def stage(self, name: str, value: str) -> SecretVersion:
        """Query, GenerateDataKey, and a conditional PutItem of version -1."""
        value = masked(value)
        checked(name, value)
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

    def _pending(self, name: str) -> Item:
        item = self._find(name, PENDING)
        if item is None:
            raise not_found(name, self, version=PENDING)
        return item

    # Re-encrypting

    def options_to_reencrypt(
        self, *, key_id: str | None, context: Mapping[str, str] | None, bind_to_name: bool | None
    ) -> dict[str, Any]:
        """Another context, or binding, makes the context until now the former one."""
        wanted = {"key_id": key_id, "context": context, "bind_to_name": bind_to_name}
        changes: dict[str, Any] = {
            option: value
            for option, value in wanted.items()
            if value is not None and value != getattr(self, option)
        }
        if "context" in changes or "bind_to_name" in changes:
            if self.former_context not in (None, self.context):
                raise SecretsError(
                    "OPTIONS have a former_context already, so the change before this one is not "
                    "over",
                    hint="run `secrets reencrypt` with the context that OPTIONS have, take "
                    "former_context out, then begin the next change",
                )
            changes["former_context"] = self.context
        return changes

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
        _whole(self._run([partial(one, name) for name in names], deadline), self.place, failed)

    # Setting up

    def setup(self) -> bool:
        """Create the table, billed on demand, and wait until it is active."""
        deadline = Deadline(max(self.timeouts.overall, TABLE_SECONDS))
        return self._run([self._table.create], deadline)[0]

    def setup_key(self) -> bool:
        """Create a KMS key and the alias that `key_id` names."""
        return self._run([partial(self._keys.create, f"Secrets in the table {self.table}")])[0]

    # Permissions

    def statements(
        self, role: str, *, names: Sequence[str] | None, listing: bool, keys: Sequence[str]
    ) -> list[Statement]:
        """By name: Query, narrowed to the names. A Scan cannot be narrowed."""
        from .policy import Policy  # not when settings are imported

        kms_region = self.kms_region_name or self.region_name
        policy = Policy(self.table, self.region_name, self.key_id, kms_region, self._contexts)
        return policy.of(role, names, listing, keys)

    # Looking after it

    def checks(self, names: Sequence[str] | None) -> Sequence[Check]:
        """DescribeTable, DescribeKey, the settings' Queries or Scan, one Decrypt, then all."""
        from .diagnosis import Diagnosis

        return Diagnosis(
            self._table,
            self._keys,
            self._records,
            self.key_id,
            names,
            self._run,
            lambda: len(self.get_many(names)),
        ).checks()

    def check_deployment(self) -> Iterable[CheckMessage]:
        """W007: a record opens wherever somebody copies it to."""
        from django.core.checks import Warning  # noqa: A004

        if self.context or self.bind_to_name:
            return []
        return [
            Warning(
                f"records of {self.place} have no encryption context: one that was copied to "
                "another name, or from another environment under the same key, opens",
                hint='set "context": {"env": "production"} or "bind_to_name": True in OPTIONS, '
                "then `secrets reencrypt`",
                id="kms_secrets.W007",
            )
        ]

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

    @property
    def _table(self) -> Table:
        return Table(self._opened()[0], self.table, self.prefix, self.place)

    @property
    def _keys(self) -> DataKeys:
        return DataKeys(self._opened()[1], self.key_id)

    @property
    def _records(self) -> Records:
        return Records(self._keys, self._contexts, self.digest, self.place)

    @property
    def _contexts(self) -> Contexts:
        return Contexts(self.context, self.bind_to_name, self.former_context, self.prefix)

    def _opened(self) -> list[Service]:
        if not self._services:
            raise SecretsError(f"{type(self).__name__} is not open", hint="use `with store:`")
        return self._services

    def _run(
        self,
        tasks: Sequence[Callable[[], T]],
        deadline: Deadline | None = None,
        done: Callable[[int, int], object] | None = None,
    ) -> list[T]:
        return run_all(
            tasks,
            deadline=deadline or Deadline(self.timeouts.overall),
            services=self._opened(),
            done=done,
        )


def _checked_context(option: str, context: Mapping[str, str] | str) -> dict[str, str]:
    pairs = dict(context) if isinstance(context, Mapping) else {"": ""}
    if not all(isinstance(part, str) and part for pair in pairs.items() for part in pair):
        raise SecretsError(
            f"{_CONTEXT_OPTIONS[option]} is not a dict of non-empty strings",
            hint=f'write OPTIONS["{option}"] as {{"env": "production"}}, or '
            f"?{option}.env=production",
        )
    return pairs


def _checked_flag(option: str, value: bool | str) -> bool:
    known = {True: True, False: False, "true": True, "false": False}
    if not isinstance(value, (bool, str)) or value not in known:
        raise SecretsError(f"{option} is neither true nor false", hint="write it as one of them")
    return known[value]


def _checked_digest(digest: str) -> str:
    if digest not in envelope.DIGESTS:
        raise SecretsError(
            f"digest {digest!r} is not one of {', '.join(envelope.DIGESTS)}",
            hint="leave it out for SHA256, which every reader of the format knows",
        )
    return digest


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
