"""The CredStash store: its options, and a table and its data keys behind names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ... import envelope
from ...aws import Service, checked_transport, open_readers, open_services
from ...deadline import TIMEOUTS, Deadline, Timeouts, run_all
from ...exceptions import SecretsError
from ...transport import AUTO
from ...types import CURRENT, Secret, SecretVersion, masked
from ..base import BaseStore, checked
from ..capabilities import (
    Age,
    AgedStore,
    DiagnosedStore,
    DocumentStore,
    KeyedStore,
    NumberedStore,
    PolicyStore,
    PrunedStore,
    ReencryptedStore,
    StagedStore,
)
from ..contents import refuse_reserved
from .document import TableDocument
from .keys import DataKeys
from .names import Names
from .records import Contexts, Records, check_size
from .table import Table
from .versions import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.core.checks import CheckMessage

    from ..diagnosis import Check
    from ..iam import Statement

T = TypeVar("T")

#: What `bind_to_name` adds to the encryption context.
BOUND = {"name", "version"}
_CONTEXT_OPTIONS = {
    "context": "the encryption context",
    "former_context": "the former encryption context",
}


class CredStashStore(
    BaseStore,
    NumberedStore,
    KeyedStore,
    StagedStore,
    DocumentStore,
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
        document (str): one record whose value is a JSON object; its keys are the names, and all
            of them are read, written and versioned together. Not with prefix.
        timeout, connect_timeout, read_timeout (float): seconds; 10, 2 and 5.
        transport (str): ``auto``: settings are read without boto3, where it would do the same;
            ``boto3``: never.
    """

    scheme = "credstash"
    dict_options: ClassVar[tuple[str, ...]] = ("context", "former_context")

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
        document: str = "",
        timeout: float | str = TIMEOUTS.overall,
        connect_timeout: float | str = TIMEOUTS.connect,
        read_timeout: float | str = TIMEOUTS.read,
        transport: str = AUTO,
    ) -> None:
        self.table: str = table or os.environ.get("CREDSTASH_DEFAULT_TABLE") or "credential-store"
        self.key_id = key_id
        self.region_name = region_name
        self.kms_region_name = kms_region_name
        self.profile_name = profile_name
        self.endpoint_url = endpoint_url
        self.context: dict[str, str] = _checked_context("context", context or {})
        self.bind_to_name: bool = _checked_flag("bind_to_name", bind_to_name)
        self.former_context: dict[str, str] | None = (
            None
            if former_context is None
            else _checked_context("former_context", former_context or {})
        )
        if self.bind_to_name and BOUND & {*self.context}:
            raise SecretsError(
                "with bind_to_name the encryption context has name and version of its own",
                hint='take them out of OPTIONS["context"]',
            )
        self.digest: str = _checked_digest(digest)
        if document and prefix:
            raise SecretsError(
                "CredStashStore takes document or prefix, not both",
                hint="document for one JSON document, prefix for one record per name",
            )
        if document:
            checked(document)
        self.prefix = prefix
        self.document = document
        self.timeouts: Timeouts = Timeouts.from_options(timeout, connect_timeout, read_timeout)
        self.transport: str = checked_transport(transport)
        self._services: list[Service] = []

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """``credstash://TABLE?option=value``; without TABLE the default table.

        Raises:
            SecretsError: document is empty, as an unset variable of a shell leaves it.
        """
        if query.get("document") == "":
            raise SecretsError(
                "document in the credstash:// URL is empty, which would be the whole table",
                hint="name the document, or leave document out for the table",
            )
        return {"table": location, **query} if location else dict(query)

    @property
    def place(self) -> str:
        """The table with its region and prefix, or the document in it."""
        return (
            f"CredStash document {self.document} in {self._part}" if self.document else self._part
        )

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
        return self._names.get(name, version)

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """All: one Scan and N Decrypts. By name: N Queries and N Decrypts, no Scan permission.

        A document: one Query and one Decrypt.

        Raises:
            DecryptionError, SecretIntegrityError, AccessDenied: secrets cannot be opened; the
                error names every one that cannot.
        """
        return self._names.get_many(names)

    def list_secrets(self) -> Sequence[SecretVersion]:
        """One Scan, without contents and keys. A document: one Query and one Decrypt."""
        return self._names.list_secrets()

    def history(self, name: str) -> Sequence[SecretVersion]:
        """One Query. A document: two and a Decrypt, for one history of all its names."""
        return self._names.history(name)

    def get_stages(self, name: str) -> dict[str, Secret]:
        """A Query for the pending version, one for the others, and their Decrypts."""
        return self._names.get_stages(name)

    # Writing

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Query, GenerateDataKey, a conditional PutItem, and a Query that it is the newest.

        A document, as in every write: a Decrypt as well.
        """
        value = masked(value)
        checked(name, value)
        return self._names.put(name, value, expected)

    def put_version(
        self, name: str, value: str, *, version: str = "", comment: str = ""
    ) -> SecretVersion:
        """Like `put`, under a number and with a comment of the writer's choice.

        In a document they are those of the whole document.
        """
        value = masked(value)
        checked(name, value)
        if version and not is_number(version):
            raise SecretsError(
                f"version {version!r} of {name} is not a number", hint="leave it out for the next"
            )
        return self._names.put_version(name, value, version, comment)

    def put_many(
        self, values: Mapping[str, str], *, expected: Mapping[str, str] | None = None
    ) -> Sequence[SecretVersion]:
        """Write in transactions of at most 100 records and 4 MB; a document in one write.

        For each record a Query and a GenerateDataKey.

        Raises:
            VersionConflict: somebody else wrote one of the names at the same time. Where a version
                differs before the first transaction, nothing is written at all.
            SecretsError: the message of any failure says which names were stored before it.
        """
        values = masked(dict(values))
        self.validate(values)
        return self._names.put_many(values, expected)

    def apply(
        self,
        values: Mapping[str, str],
        removals: Iterable[str],
        *,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """A document: as `put`, all in one write. Records: `put_many`, and a `delete` of each."""
        values = masked(dict(values))
        names = self._names
        if not isinstance(names, TableDocument):
            super().apply(values, removals, expected=expected)
            return
        self.validate(values)
        names.apply(values, removals, expected)

    def put_stages(
        self,
        values: Mapping[str, Mapping[str, str]],
        *,
        expected: Mapping[str, str],
        dry_run: bool = False,
    ) -> None:
        """A document: as `put`, all in one write."""
        values = masked({name: dict(stages) for name, stages in values.items()})
        for name, stages in values.items():
            for value in stages.values():
                self.validate({name: value})
        self._whole.put_stages(values, expected, dry_run=dry_run)

    def unreadable_before(self) -> str:
        """A Query and a Decrypt of the version before."""
        return self._whole.unreadable_before()

    def validate(self, values: Mapping[str, str]) -> None:
        """A document has a name of its own; a record of its own is not too large for an item."""
        values = masked(dict(values))
        super().validate(values)
        for name, value in values.items():
            if self.document:
                refuse_reserved(name)
            else:
                check_size(name, value, self.prefix)

    def delete(self, name: str) -> None:
        """Query, and a DeleteItem for each version; a document loses the name."""
        self._names.delete(name)

    # Rotating

    def rotate(self, name: str, value: str, *, expected: str) -> SecretVersion:
        """As `put`; a document keeps the value before it in itself."""
        value = masked(value)
        checked(name, value)
        return self._names.rotate(name, value, expected)

    def stage(self, name: str, value: str) -> SecretVersion:
        """Query, GenerateDataKey, and a conditional PutItem of version -1.

        A document keeps the value in itself: as `get_stages`, and a write.
        """
        value = masked(value)
        checked(name, value)
        return self._names.stage(name, value)

    def promote(self, name: str) -> SecretVersion:
        """Query, Decrypt, Query, GenerateDataKey, and one transaction that moves the value.

        A document: as `put`.
        """
        return self._names.promote(name)

    def unstage(self, name: str) -> None:
        """Query, and a conditional DeleteItem. A document: as `put`."""
        self._names.unstage(name)

    def retire(self, name: str) -> None:
        """Query, and a DeleteItem for every version that was current before.

        A document: as `get_stages`, and a write.
        """
        self._names.retire(name)

    def rollback(self, name: str, version: str) -> SecretVersion:
        """Two reads and a `put`. In a document this name alone has its old value again."""
        return self._names.rollback(name, version)

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
        """One Scan. A document: itself."""
        return self._names.to_reencrypt()

    def reencrypt(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """A GenerateDataKey, and for each secret two Queries, and a Decrypt for each version.

        To write: a GenerateDataKey, a Decrypt and a Query for each version, and one transaction.
        """
        self._records_by_name().reencrypt(names, done)

    def prune(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """Two Queries, Decrypts, and a DeleteItem for each version that is not in use."""
        self._records_by_name().prune(names, done)

    # Setting up

    def setup(self) -> bool:
        """Create the table, billed on demand, and wait until it is active; then the document."""
        created = self._records_by_name().setup()
        # What a table takes to become active is not taken from the time for the document.
        return self._names.setup() or created if self.document else created

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
        policy = Policy(
            self.table, self.region_name, self.key_id, kms_region, self._contexts, self.document
        )
        return policy.of(role, names, listing, keys)

    # Looking after it

    def checks(self, names: Sequence[str] | None) -> Sequence[Check]:
        """DescribeTable, DescribeKey, the settings' Queries or Scan, one Decrypt, then all."""
        from .diagnosis import Diagnosis, DocumentDiagnosis

        parts = self._table, self._keys, self._records, self.key_id
        if self.document:
            return DocumentDiagnosis(*parts, self._run, self.document, self, names).checks()
        return Diagnosis(*parts, names, self._run, lambda: len(self.get_many(names))).checks()

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
        """By the numbers of the versions, or by what the document keeps; nothing is sent."""
        return self._names.ages(entries)

    # Shared

    @property
    def _whole(self) -> TableDocument:
        names = self._names
        assert isinstance(names, TableDocument)  # noqa: S101 - who calls this has seen to it
        return names

    @property
    def _names(self) -> Names | TableDocument:
        if not self.document:
            return self._records_by_name()
        names = self._records_by_name(Deadline(self.timeouts.overall))
        return TableDocument(names, self.document, self.place)

    def _records_by_name(self, deadline: Deadline | None = None) -> Names:
        return Names(
            self._table,
            self._records,
            self._part,
            self.timeouts,
            self._run,
            deadline,
            self.on_progress,
        )

    @property
    def _part(self) -> str:
        """What is seen of the table, as errors name it."""
        where = f"CredStash table {self.table} in {self.region_name or 'the default region'}"
        return f"{where} under {self.prefix}" if self.prefix else where

    @property
    def _table(self) -> Table:
        return Table(self._opened()[0], self.table, self.prefix, self._part)

    @property
    def _keys(self) -> DataKeys:
        return DataKeys(self._opened()[1], self.key_id)

    @property
    def _records(self) -> Records:
        return Records(self._keys, self._contexts, self.digest, self._part)

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
        *,
        settle: bool = False,
    ) -> list[T]:
        return run_all(
            tasks,
            deadline=deadline or Deadline(self.timeouts.overall),
            services=self._opened(),
            done=done,
            settle=settle,
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
