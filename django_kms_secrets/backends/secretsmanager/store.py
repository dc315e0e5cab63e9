"""The Secrets Manager store: its options, its client, and one of two ways to keep names in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ...aws import Service, checked_transport, open_readers, open_services
from ...deadline import TIMEOUTS, Deadline, Timeouts, run_all
from ...exceptions import SecretNotFound, SecretsError, StoreUnavailable
from ...transport import AUTO
from ...types import CURRENT, PENDING, PREVIOUS, Secret, SecretVersion, masked
from ..base import BaseStore, checked, not_found
from ..capabilities import (
    Age,
    AgedStore,
    DiagnosedStore,
    DocumentStore,
    PolicyStore,
    ReencryptedStore,
    RotatingStore,
    StagedStore,
)
from ..contents import refuse_reserved
from .api import Api, check_name, check_size, version_of
from .document import SecretDocument
from .names import Names, Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ..diagnosis import Check
    from ..iam import Statement

T = TypeVar("T")


class SecretsManagerStore(
    BaseStore,
    StagedStore,
    DocumentStore,
    RotatingStore,
    ReencryptedStore,
    AgedStore,
    PolicyStore,
    DiagnosedStore,
):
    """Secrets Manager: ``secret_id`` is one JSON document, ``prefix`` is one secret per name.

    Options (``secret_id`` or ``prefix``, not both):
        secret_id (str): the name or ARN of a secret whose value is a JSON object; its keys are
            the names, and all of them are written and versioned together.
        prefix (str): one secret per name, all names beginning with this; may be "".
        key_id (str): the KMS key for new secrets; the account's ``aws/secretsmanager``.
        region_name (str): boto3's default region.
        profile_name (str): a profile of the AWS configuration files.
        endpoint_url (str): another endpoint.
        recovery_days (int): days in which a deleted secret can be restored, 7 to 30; 30.
        timeout, connect_timeout, read_timeout (float): seconds; 10, 2 and 5.
        transport (str): ``auto``: settings are read without boto3, where it would do the same;
            ``boto3``: never.

    A binary secret (SecretBinary) is an error that says so.
    """

    scheme = "secretsmanager"

    def __init__(
        self,
        *,
        secret_id: str = "",
        prefix: str | None = None,
        key_id: str | None = None,
        region_name: str | None = None,
        profile_name: str | None = None,
        endpoint_url: str | None = None,
        recovery_days: int | str = 30,
        timeout: float | str = TIMEOUTS.overall,
        connect_timeout: float | str = TIMEOUTS.connect,
        read_timeout: float | str = TIMEOUTS.read,
        transport: str = AUTO,
    ) -> None:
        if bool(secret_id) == (prefix is not None):
            raise SecretsError(
                "SecretsManagerStore takes secret_id or prefix, one of them",
                hint="secret_id for one JSON document, prefix for one secret per name",
            )
        self.secret_id = secret_id
        self.prefix: str = prefix or ""
        self.key_id = key_id
        self.region_name = region_name
        self.profile_name = profile_name
        self.endpoint_url = endpoint_url
        self.recovery_days: int = _checked_days(recovery_days)
        self.timeouts: Timeouts = Timeouts.from_options(timeout, connect_timeout, read_timeout)
        self.transport: str = checked_transport(transport)
        self._services: list[Service] = []

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """``secretsmanager:///SECRET_ID?option=value`` or ``secretsmanager://?prefix=PREFIX``."""
        secret_id = location.removeprefix("/")
        return {"secret_id": secret_id, **query} if secret_id else dict(query)

    @property
    def place(self) -> str:
        """The document or the prefix, with its region."""
        what = f"secret {self.secret_id}" if self.secret_id else f"secrets under {self.prefix!r}"
        return f"Secrets Manager {what} in {self.region_name or 'the default region'}"

    @property
    def regions(self) -> Mapping[str, str | None]:
        """The service that it asks."""
        return {"secretsmanager": self.region_name}

    def open(self) -> None:
        """Make the client."""
        self._opened_with(
            open_services(
                self.regions,
                profile_name=self.profile_name,
                endpoint_url=self.endpoint_url,
                timeouts=self.timeouts,
            )
        )

    def open_to_read(self) -> None:
        """Make it, without boto3 where it would do the same."""
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
        """Close its sockets and forget it."""
        services, self._services = self._services, []
        for service in services:
            service.close()

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """One GetSecretValue."""
        return self._do(lambda names: names.get(name, version), name, version)

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """A document: one request. By name: one BatchGetSecretValue for every 20 names.

        All names under a prefix are listed first, by ListSecrets, 100 a request.
        """
        wanted = None if names is None else list(dict.fromkeys(names))
        if self.secret_id:
            return self._do(lambda names: names.get_many(wanted))
        # In this thread: how long it may take is known only when the listing is.
        return self._names(self._api()).get_many(wanted)

    def list_secrets(self) -> Sequence[SecretVersion]:
        """A document: one GetSecretValue. A prefix: ListSecrets."""
        return self._do(lambda names: names.list_secrets())

    def history(self, name: str) -> Sequence[SecretVersion]:
        """ListSecretVersionIds. A document has one history for all its names."""
        return self._do(lambda names: names.history(name), name)

    def get_stages(self, name: str) -> dict[str, Secret]:
        """A GetSecretValue for each stage."""
        return self._do(lambda names: names.get_stages(name))

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """A document: GetSecretValue and a swap. A name: DescribeSecret and a swap.

        A swap is PutSecretValue beside the current version, and a compare-and-set of AWSCURRENT.
        """
        value = masked(value)
        checked(name, value)
        return self._do(lambda names: names.put(name, value, expected), name)

    def put_many(
        self, values: Mapping[str, str], *, expected: Mapping[str, str] | None = None
    ) -> Sequence[SecretVersion]:
        """A document: one write for all. A prefix: one write for each, side by side.

        A name that is expected to be absent is a CreateSecret, one of which a version is expected
        a `put`; else it is a PutSecretValue, and a CreateSecret where there is none.

        Raises:
            VersionConflict: somebody else wrote first.
            SecretsError: the message says which names were stored. After a failure no other write
                begins.
        """
        values = masked(dict(values))
        self.validate(values)
        if self.secret_id:
            return self._do(lambda names: names.put_many(values, expected))
        return self._put_each(values, expected)

    def _put_each(
        self, values: Mapping[str, str], expected: Mapping[str, str] | None
    ) -> Sequence[SecretVersion]:
        api = self._api(len(values))
        writes = Writes(self._names(api), self.place, expected)
        try:
            api.run([partial(writes.one, *pair) for pair in values.items()], self.on_progress)
        except SecretsError as exc:  # the deadline passed
            writes.failed.append(exc)
        except BaseException as exc:  # Ctrl-C
            writes.interrupted(exc)
            raise
        if writes.failed:
            raise writes.error()
        return [writes.stored[name] for name in values]

    def apply(
        self,
        values: Mapping[str, str],
        removals: Iterable[str],
        *,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """A document: as `put`, all in one write. A prefix: `put_many`, and a `delete` of each."""
        values = masked(dict(values))
        if not self.secret_id:
            super().apply(values, removals, expected=expected)
            return
        self.validate(values)
        self._ask(lambda api: self._document(api).apply(values, removals, expected))

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
        self._ask(lambda api: self._document(api).put_stages(values, expected, dry_run=dry_run))

    def unreadable_before(self) -> str:
        """A GetSecretValue of AWSPREVIOUS."""
        return self._ask(lambda api: self._document(api).unreadable_before())

    def validate(self, values: Mapping[str, str]) -> None:
        """A document has a name of its own; of a secret of its own the service limits both."""
        values = masked(dict(values))
        super().validate(values)
        for name, value in values.items():
            if self.secret_id:
                refuse_reserved(name)
            else:
                if not f"{self.prefix}{name}".startswith("arn:"):  # of a secret that is there
                    check_name(self.prefix + name)
                check_size(name, value)

    def delete(self, name: str) -> None:
        """A document loses the name; a secret of its own can be restored for `recovery_days`."""
        self._do(lambda names: names.delete(name), name)

    # Rotating

    def rotate(self, name: str, value: str, *, expected: str) -> SecretVersion:
        """As `put`; a document keeps the value before it in itself."""
        value = masked(value)
        checked(name, value)
        return self._do(lambda names: names.rotate(name, value, expected), name)

    def stage(self, name: str, value: str) -> SecretVersion:
        """A document: GetSecretValue and a swap. A name: DescribeSecret and a swap."""
        value = masked(value)
        checked(name, value)
        return self._do(lambda names: names.stage(name, value), name)

    def promote(self, name: str) -> SecretVersion:
        """A document: GetSecretValue and a swap. A name: DescribeSecret and a move."""
        return self._do(lambda names: names.promote(name), name, PENDING)

    def unstage(self, name: str) -> None:
        """A document: GetSecretValue and a swap. A name: DescribeSecret, and AWSPENDING goes."""
        self._do(lambda names: names.unstage(name), name, PENDING)

    def retire(self, name: str) -> None:
        """A document: GetSecretValues and a swap. A name: DescribeSecret, and AWSPREVIOUS goes."""
        self._do(lambda names: names.retire(name), name, PREVIOUS)

    def rollback(self, name: str, version: str) -> SecretVersion:
        """A name: DescribeSecret, GetSecretValue, and a move of AWSCURRENT to the old version.

        A document gets a new version in which this name alone has its old value.
        """
        return self._do(lambda names: names.rollback(name, version), name, version)

    def start_rotation(self, name: str) -> str:
        """DescribeSecret and RotateSecret; a document rotates whole."""
        return self._ask(lambda api: api.rotate(self._id_of(name)), name)

    def has_rotated(self, name: str, version: str) -> bool:
        """DescribeSecret."""
        return self._ask(lambda api: version_of(api.describe(self._id_of(name))) == version, name)

    # Re-encrypting

    def to_reencrypt(self) -> Sequence[str]:
        """A document: itself. A prefix: ListSecrets."""
        if self.secret_id:
            return [self.secret_id]
        return sorted({entry.name for entry in self.list_secrets()})

    def options_to_reencrypt(
        self, *, key_id: str | None, context: Mapping[str, str] | None, bind_to_name: bool | None
    ) -> dict[str, Any]:
        """The KMS key; the encryption context is the service's own."""
        if context is not None or bind_to_name is not None:
            raise SecretsError(
                "Secrets Manager has an encryption context of its own, which cannot be changed",
                hint="only the KMS key can: --key-id",
            )
        return {"key_id": key_id} if key_id and key_id != self.key_id else {}

    def reencrypt(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """DescribeSecret and UpdateSecret for each; the service re-encrypts what has a stage."""
        key_id = self.key_id
        if not key_id:
            raise SecretsError("there is no KMS key to re-encrypt under", hint="give --key-id")

        def one(api: Api, name: str) -> SecretsError | None:
            try:
                done(name, api.reencrypt(self._id_of(name), key_id))
            except StoreUnavailable:
                raise
            except SecretsError as exc:
                return exc
            return None

        outcomes = self._ask(
            lambda api: api.run([partial(one, api, name) for name in names], self.on_progress),
            count=len(names),
        )
        failed = {name: exc for name, exc in zip(names, outcomes, strict=True) if exc}
        if failed:
            raise _not_reencrypted(failed, self.place)

    def setup(self) -> bool:
        """Create the document; a prefix needs nothing."""
        return self._do(lambda names: names.setup())

    # Permissions

    def statements(
        self, role: str, *, names: Sequence[str] | None, listing: bool, keys: Sequence[str]
    ) -> list[Statement]:
        """On the ARNs of the secrets; a document is one for all its names."""
        from .policy import Policy  # not when settings are imported

        policy = Policy(self.secret_id, self.prefix, self.key_id, self.region_name)
        return policy.of(role, names, listing, keys)

    # Looking after it

    def checks(self, names: Sequence[str] | None) -> Sequence[Check]:
        """A document's DescribeSecret, the settings' fetch, and what is pending."""
        from .diagnosis import Diagnosis

        return Diagnosis(self, bool(self.secret_id), names, self._described, self._waiting).checks()

    def _described(self) -> Mapping[str, Any]:
        try:
            return self._ask(lambda api: api.describe(self.secret_id))
        except SecretNotFound:
            return {}

    def _waiting(self, names: Collection[str]) -> list[str]:
        """Those that have a pending value, by what a reader may do."""
        if self.secret_id:
            from ..diagnosis import staged_names

            return staged_names(self, names)

        def one(api: Api, name: str) -> bool:
            try:
                return bool(api.value(self._id_of(name), PENDING))
            except SecretNotFound:
                return False

        ordered = list(names)
        tasks = self._ask(lambda api: api.run([partial(one, api, name) for name in ordered]))
        return [name for name, waits in zip(ordered, tasks, strict=True) if waits]

    @property
    def knows_ages_by_listing(self) -> bool:
        """Of a document; for a name the service has to be asked when its value was written."""
        return bool(self.secret_id)

    def ages(self, entries: Sequence[SecretVersion]) -> Mapping[str, Age]:
        """A prefix: DescribeSecret and ListSecretVersionIds for each name. A document: nothing."""
        return self._ask(lambda api: self._names(api).ages(entries), count=len(entries))

    # Shared

    def _id_of(self, name: str) -> str:
        return self.secret_id or f"{self.prefix}{name}"

    def _do(
        self, task: Callable[[Names | SecretDocument], T], name: str = "", version: str = CURRENT
    ) -> T:
        """Run a task on the names, as `_ask` does."""
        return self._ask(lambda api: task(self._names(api)), name, version)

    def _ask(
        self,
        task: Callable[[Api], T],
        name: str = "",
        version: str = CURRENT,
        *,
        count: int = 1,
    ) -> T:
        """Run a task of so many operations, within their deadline; errors are in our names."""
        api = self._api(count)
        try:
            return api.run([lambda: task(api)])[0]  # type: ignore[no-any-return]
        except SecretNotFound:
            if not name:
                raise
        raise not_found(name, self, version=version)

    def _api(self, count: int = 1) -> Api:
        """What runs so many operations, within their deadline."""
        services = self._services
        if not services:
            raise SecretsError(f"{type(self).__name__} is not open", hint="use `with store:`")
        deadline = Deadline(self.timeouts.for_many(count))

        def run(
            tasks: Sequence[Callable[[], Any]], done: Callable[[int, int], object] | None = None
        ) -> list[Any]:
            return run_all(tasks, deadline=deadline, services=services, done=done)

        def lengthen(records: int) -> None:
            deadline.lengthen(self.timeouts.for_bulk(records))

        return Api(services[0], self.place, self.prefix, run, lengthen, self.on_progress)

    def _names(self, api: Api) -> Names | SecretDocument:
        if self.secret_id:
            return self._document(api)
        return Names(api, self.prefix, self.key_id, self.recovery_days)

    def _document(self, api: Api) -> SecretDocument:
        return SecretDocument(api, self.secret_id, self.key_id)


def _not_reencrypted(failed: Mapping[str, SecretsError], place: str) -> SecretsError:
    first = next(iter(failed.values()))
    reasons = "\n".join(f"  {name}: {error.message}" for name, error in failed.items())
    return type(first)(
        f"not re-encrypted in {place}:\n{reasons}", hint=first.hint, names=list(failed)
    )


def _checked_days(days: int | str) -> int:
    # More digits than that may be more than int() takes.
    if str(days).isdecimal() and len(str(days)) <= 2 and 7 <= int(days) <= 30:
        return int(days)
    raise SecretsError(f"recovery_days {days!r} is not 7 to 30", hint="leave it out for 30")
