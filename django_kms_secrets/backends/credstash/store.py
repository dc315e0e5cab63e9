"""The CredStash store: a table, its data keys, and the envelope between them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ... import envelope
from ...aws import Deadline, Service, Timeouts, open_services, run_all
from ...exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    VersionConflict,
)
from ...types import CURRENT, PENDING, PREVIOUS, Secret, SecretBytes, SecretVersion
from ..base import (
    BaseStore,
    KeyedStore,
    NumberedStore,
    checked,
    expect,
    not_found,
    put_runs,
    secret_text,
)
from .keys import DataKeys
from .table import (
    ITEM_BYTES,
    LISTING,
    RECORD,
    TRANSACTION_ITEMS,
    Item,
    Table,
    size_of,
    transactions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")

logger = logging.getLogger("django_kms_secrets")

#: credstash pads a version with zeros to this many characters, so that text sorts as numbers do.
VERSION_WIDTH = 19
#: How long a new table may take to become active (seconds).
TABLE_SECONDS = 120.0


class CredStashStore(BaseStore, NumberedStore, KeyedStore):
    """A credstash table, read and written so that credstash 1.17.1 can share it.

    Options:
        table (str): the table; ``$CREDSTASH_DEFAULT_TABLE``, else ``credential-store``.
        key_id (str): the KMS key for new records; ``alias/credstash``.
        region_name (str): the table's region; boto3's default region.
        kms_region_name (str): the key's region; the table's region.
        profile_name (str): a profile of the AWS configuration files.
        endpoint_url (str): another endpoint for both services.
        context (dict of str): the KMS encryption context of every record; empty.
        digest (str): the HMAC's digest for new records; ``SHA256``, which every reader knows.
        prefix (str): only names that begin with it are seen, and they are shown without it.
        timeout, connect_timeout, read_timeout (float): seconds; 10, 2 and 5.
    """

    scheme = "credstash"

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
        digest: str = envelope.DEFAULT_DIGEST,
        prefix: str = "",
        timeout: float | str = Timeouts.overall,
        connect_timeout: float | str = Timeouts.connect,
        read_timeout: float | str = Timeouts.read,
    ) -> None:
        self.table = table or os.environ.get("CREDSTASH_DEFAULT_TABLE") or "credential-store"
        self.key_id = key_id
        self.region_name = region_name
        self.kms_region_name = kms_region_name
        self.profile_name = profile_name
        self.endpoint_url = endpoint_url
        self.context = _checked_context(context or {})
        self.digest = _checked_digest(digest)
        self.prefix = prefix
        self.timeouts = Timeouts.from_options(timeout, connect_timeout, read_timeout)
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

    def open(self) -> None:
        """Make the two clients."""
        self._services = open_services(
            {"dynamodb": self.region_name, "kms": self.kms_region_name or self.region_name},
            profile_name=self.profile_name,
            endpoint_url=self.endpoint_url,
            timeouts=self.timeouts,
        )
        # From here on the region is known, also to errors after close().
        self.region_name = self._services[0].client.meta.region_name

    def close(self) -> None:
        """Close their sockets and forget them."""
        services, self._services = self._services, []
        for service in services:
            service.client.close()

    # Reading

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """Query and Decrypt; GetItem and Decrypt for a version id."""
        return self._run([partial(self._read, name, version)])[0]

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """All: one Scan and N Decrypts. By name: N Queries and N Decrypts, no Scan permission.

        Raises:
            DecryptionError, SecretIntegrityError, AccessDenied: secrets cannot be opened; the
                error names every one that cannot.
        """
        deadline = Deadline(self.timeouts.overall)
        if names is None:
            items = self._run([self._scan_newest], deadline)[0]
            reads = [partial(self._unseal, item) for item in items]
        else:
            reads = [partial(self._read, name, CURRENT) for name in dict.fromkeys(names)]
        outcomes = self._run([partial(_outcome, read) for read in reads], deadline)
        return {secret.name: secret for secret in _whole(outcomes, self.place)}

    def list_secrets(self) -> Sequence[SecretVersion]:
        """One Scan, without contents and keys."""
        versions: dict[str, list[Item]] = {}
        for item in self._run([lambda: list(self._table.scan(LISTING))])[0]:
            versions.setdefault(item["name"], []).append(item)
        return [entry for name in sorted(versions) for entry in _entries(versions[name])]

    def history(self, name: str) -> Sequence[SecretVersion]:
        """One Query."""
        items = self._run([partial(self._table.versions, name, LISTING)])[0]
        if not items:
            raise not_found(name, self)
        return _entries(items)

    def _read(self, name: str, version: str) -> Secret:
        item = self._find(name, version)
        if item is None:
            raise not_found(name, self, version=version)
        return self._unseal(item)

    def _find(self, name: str, version: str) -> Item | None:
        if version == PENDING:
            return None
        if version in (CURRENT, PREVIOUS):
            rank = (CURRENT, PREVIOUS).index(version)
            newest = self._table.newest(name, RECORD, rank + 1)
            return newest[rank] if len(newest) > rank else None
        # Up to credstash 1.12 explicit versions were stored as typed, without padding.
        return self._table.version(name, version) or self._table.version(name, _padded(version))

    def _scan_newest(self) -> list[Item]:
        newest: dict[str, Item] = {}
        for item in self._table.scan(RECORD):
            known = newest.get(item["name"])
            if known is None or item["version"] > known["version"]:
                newest[item["name"]] = item
        return list(newest.values())

    def _unseal(self, item: Item) -> Secret:
        name, version = item["name"], item["version"]
        where = f"{name} version {version} in {self.place}"
        if version.isdigit() and len(version) < VERSION_WIDTH:
            logger.warning(
                "%s is not padded to %d digits, so it sorts after every newer version; "
                "delete it and put it again",
                where,
                VERSION_WIDTH,
            )
        text, reason = None, "its contents are not UTF-8 text"
        try:
            record = envelope.decode(item)
            data_key = self._keys.decrypt(record.key, name=name, where=where)
            text = secret_text(envelope.unseal(record, data_key=data_key))
        except SecretIntegrityError as exc:
            reason = exc.message
        if text is None:
            raise SecretIntegrityError(
                f"{where}: {reason}",
                hint="the record was damaged or tampered with; `secrets history` lists older "
                "versions, `secrets put` writes a new one",
                names=[name],
            )
        return Secret(name, text, version)

    # Writing

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Query, GenerateDataKey, a conditional PutItem, and a Query that it is the newest."""
        return self._run([partial(self._put, name, value, expected=expected)])[0]

    def put_version(
        self, name: str, value: str, *, version: str = "", comment: str = ""
    ) -> SecretVersion:
        """Like `put`, under a number and with a comment of the writer's choice."""
        if version and not _is_number(version):
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
        for name, value in values.items():
            checked(name, value)
        seals = [partial(self._sealed, name, value) for name, value in values.items()]
        items = [
            item
            for start in range(0, len(seals), TRANSACTION_ITEMS)
            for item in self._run(seals[start : start + TRANSACTION_ITEMS])
        ]
        return put_runs(transactions(items), self._put_run)

    def delete(self, name: str) -> None:
        """Query, and a DeleteItem for each version."""
        self._run([partial(self._delete, name)])

    def _put(self, name: str, value: str, **options: Any) -> SecretVersion:
        item = self._sealed(name, value, **options)
        self._table.put(item)
        return _entry(item)

    def _put_run(self, run: Sequence[Item]) -> list[SecretVersion]:
        self._run([partial(self._table.put_all, run)])
        return [_entry(item) for item in run]

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
        item: Item = {"name": name, "version": self._next_version(name, latest, version)}
        # A data key of its own for every record: envelope.py says what sharing one would do.
        data_key, encrypted_key = self._keys.generate()
        record = envelope.seal(
            SecretBytes(value.encode("utf-8")),
            data_key=data_key,
            encrypted_key=encrypted_key,
            digest=self.digest,
        )
        item.update(envelope.encode(record))
        if comment:
            item["comment"] = comment
        if (size := size_of(item)) > ITEM_BYTES:
            raise SecretsError(
                f"{name} makes an item of {size:,} bytes; DynamoDB takes {ITEM_BYTES:,}",
                hint="keep large values elsewhere (S3) and only their key here",
                names=[name],
            )
        return item

    def _next_version(self, name: str, latest: str, wanted: str) -> str:
        again = f"`secrets delete {name}`, then put it again"
        if not wanted and latest and not _is_number(latest):
            raise VersionConflict(
                f"the newest version of {name} in {self.place} is {latest!r}, which is no number",
                hint=again,
                names=[name],
            )
        version = _padded(wanted or str(int(latest or 0) + 1))
        if version <= latest:
            raise VersionConflict(
                f"{name} version {version} would not be the newest in {self.place}: "
                f"{latest} sorts after it",
                hint="leave the version out for the next number" if wanted else again,
                names=[name],
            )
        return version

    # Setting up

    def setup(self) -> bool:
        """Create the table, billed on demand, and wait until it is active."""
        deadline = Deadline(max(self.timeouts.overall, TABLE_SECONDS))
        return self._run([self._table.create], deadline)[0]

    def setup_key(self) -> bool:
        """Create a KMS key and the alias that `key_id` names."""
        return self._run([partial(self._keys.create, f"Secrets in the table {self.table}")])[0]

    # Shared

    @property
    def _table(self) -> Table:
        return Table(self._opened()[0], self.table, self.prefix, self.place)

    @property
    def _keys(self) -> DataKeys:
        return DataKeys(self._opened()[1], self.key_id, self.context)

    def _opened(self) -> list[Service]:
        if not self._services:
            raise SecretsError(f"{type(self).__name__} is not open", hint="use `with store:`")
        return self._services

    def _run(self, tasks: Sequence[Callable[[], T]], deadline: Deadline | None = None) -> list[T]:
        return run_all(
            tasks,
            deadline=deadline or Deadline(self.timeouts.overall),
            services=self._opened(),
        )


def _checked_context(context: Mapping[str, str]) -> dict[str, str]:
    pairs = dict(context) if isinstance(context, Mapping) else {"": ""}
    if not all(isinstance(part, str) and part for pair in pairs.items() for part in pair):
        raise SecretsError(
            "the encryption context is not a dict of non-empty strings",
            hint='write OPTIONS["context"] as {"env": "production"}, or ?context.env=production',
        )
    return pairs


def _checked_digest(digest: str) -> str:
    if digest not in envelope.DIGESTS:
        raise SecretsError(
            f"digest {digest!r} is not one of {', '.join(envelope.DIGESTS)}",
            hint="leave it out for SHA256, which every reader of the format knows",
        )
    return digest


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit()


def _padded(version: str) -> str:
    return version.rjust(VERSION_WIDTH, "0")


def _entries(items: Sequence[Item]) -> list[SecretVersion]:
    """The versions of one name, oldest first; the two newest know their stage."""
    ordered = sorted(items, key=lambda item: str(item["version"]))
    stages = {len(ordered) - 1: (CURRENT,), len(ordered) - 2: (PREVIOUS,)}
    return [_entry(item, stages.get(rank, ())) for rank, item in enumerate(ordered)]


def _entry(item: Item, stages: tuple[str, ...] = (CURRENT,)) -> SecretVersion:
    return SecretVersion(item["name"], item["version"], stages, comment=item.get("comment", ""))


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


def _whole(outcomes: Sequence[Secret | SecretsError | None], place: str) -> list[Secret]:
    """The secrets, or one error for all that could not be opened."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, SecretsError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        reasons = "\n".join(f"  {error.message}" for error in errors)
        raise type(errors[0])(
            f"{len(errors)} secrets of {place} cannot be opened:\n{reasons}",
            hint=errors[0].hint,
            names=[name for error in errors for name in error.names],
        )
    return [outcome for outcome in outcomes if isinstance(outcome, Secret)]
