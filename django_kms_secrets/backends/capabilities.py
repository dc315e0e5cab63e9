"""What only some stores can: small interfaces beside `BaseStore`."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from ..aws import Service
    from ..deadline import Timeouts
    from ..types import SecretVersion
    from .diagnosis import Check
    from .iam import Statement


class NumberedStore(abc.ABC):
    """A store whose writer may number and comment a version."""

    @abc.abstractmethod
    def put_version(
        self, name: str, value: str, *, version: str = "", comment: str = ""
    ) -> SecretVersion:
        """Write a version under a number of the writer's choice.

        Args:
            name: the name, without the store's prefix.
            value: the value.
            version: a number greater than the current one; "" for the next.
            comment: a note, stored unencrypted.

        Raises:
            VersionConflict: the number is taken, or would not be the newest.
        """


class StagedStore(abc.ABC):
    """A store that can hold a value beside the current one, until it takes its place.

    That makes a rotation in two phases: `stage`, `promote`, `retire`. A name has at most one
    pending value.
    """

    @abc.abstractmethod
    def stage(self, name: str, value: str) -> SecretVersion:
        """Write a value as the pending version; the current one stays current.

        Returns:
            The pending version.

        Raises:
            SecretNotFound: the name has no current value.
            VersionConflict: a value is pending already.
        """

    @abc.abstractmethod
    def promote(self, name: str) -> SecretVersion:
        """Make the pending version the current one, and the current one the previous.

        Returns:
            The version that is now current.

        Raises:
            SecretNotFound: no value is pending.
            VersionConflict: somebody else wrote at the same time.
        """

    @abc.abstractmethod
    def unstage(self, name: str) -> None:
        """Drop the pending version.

        Raises:
            SecretNotFound: no value is pending.
        """

    @abc.abstractmethod
    def retire(self, name: str) -> None:
        """Drop the previous version, so that nothing honours it any more.

        Raises:
            SecretNotFound: there is no previous version.
        """


class DocumentStore(abc.ABC):
    """A store that can keep all its names in one document."""

    @abc.abstractmethod
    def put_stages(
        self,
        values: Mapping[str, Mapping[str, str]],
        *,
        expected: Mapping[str, str],
        dry_run: bool = False,
    ) -> None:
        """Write values of many names at their stages, all in one write to the document.

        Args:
            values: by name, the values by stage: the current one, and maybe a previous and a
                pending one; each takes the place of what is there.
            expected: by name, the version id that must still be current, or `ABSENT`.
            dry_run: do all but the write.

        Raises:
            VersionConflict: somebody else wrote first, or another value of a tree or its leaf is
                pending; nothing is written.
            SecretsError: a tree and its leaf would not have the values that are given; nothing is
                written.
        """

    @abc.abstractmethod
    def unreadable_before(self) -> str:
        """Why the document before the current one does not open; "" if it does, or there is none.

        What it has at PREVIOUS is then not known of a name whose previous value is not kept apart.
        """


class ReencryptedStore(abc.ABC):
    """A store whose values KMS keys protect, and that can put them under another one."""

    @abc.abstractmethod
    def options_to_reencrypt(
        self, *, key_id: str | None, context: Mapping[str, str] | None, bind_to_name: bool | None
    ) -> dict[str, Any]:
        """The OPTIONS to change, so that `reencrypt` puts versions under something else.

        With them the store still reads what was written without them.

        Args:
            key_id, context, bind_to_name: what shall be; None for what may stay as it is.

        Returns:
            Those that are not what they have to be.

        Raises:
            SecretsError: this kind of store has no such thing, or a change before it is not over.
        """

    @abc.abstractmethod
    def to_reencrypt(self) -> Sequence[str]:
        """List what is re-encrypted each by itself: the names, or the document they are in."""

    @abc.abstractmethod
    def reencrypt(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """Put the versions in use under the KMS key and encryption context that the options name.

        A secret is re-encrypted whole or not at all. What is done already is left as it is, so that
        an interrupted run can be repeated.

        Args:
            names: which ones, as `to_reencrypt` gave them.
            done: called for each, from any thread, with whether there was something to do.

        Raises:
            SecretsError: some could not be re-encrypted; all others were.
        """


class PrunedStore(abc.ABC):
    """A store that keeps old versions until they are deleted."""

    @abc.abstractmethod
    def prune(self, names: Sequence[str], done: Callable[[str, bool], None]) -> None:
        """Delete the versions that are not in use: neither current, previous nor pending.

        Args:
            names: of which secrets.
            done: called for each, from any thread, with whether there was something to delete.
        """


class RotatingStore(abc.ABC):
    """A store whose service can rotate a secret by itself, with a function that it calls."""

    @abc.abstractmethod
    def start_rotation(self, name: str) -> str:
        """Let the service begin to rotate a secret.

        Returns:
            The id of the version that is current when the rotation is done.

        Raises:
            SecretNotFound: there is no such name.
            StoreNotReady: no function is configured for it.
            VersionConflict: a rotation is under way.
        """

    @abc.abstractmethod
    def has_rotated(self, name: str, version: str) -> bool:
        """Whether a rotation is done: whether that version is current.

        Args:
            name: the name, without the store's prefix.
            version: what `start_rotation` gave.
        """


class Age(NamedTuple):
    """How old the current value of a secret is, as far as its store knows.

    Attributes:
        rotated: whether there was another value before it; None where that is not known.
        written: when it was written, or, if not `exact`, the day that it is not younger than;
            None where the service records no dates.
        exact: whether that is the date of this value.
    """

    rotated: bool | None
    written: datetime | None = None
    exact: bool = True


class AgedStore(abc.ABC):
    """A store that knows something of how old its values are."""

    @property
    def knows_ages_by_listing(self) -> bool:
        """Whether `ages` sends nothing: all that it goes by is what `list_secrets` gave."""
        return True

    @abc.abstractmethod
    def ages(self, entries: Sequence[SecretVersion]) -> Mapping[str, Age]:
        """How old the current values are; no value is read for it.

        Args:
            entries: what `list_secrets` gave of the names that are asked about.

        Returns:
            An age for each name that has a current value.
        """


class KeyedStore(abc.ABC):
    """A store that can make the KMS key it needs."""

    @abc.abstractmethod
    def setup_key(self) -> bool:
        """Create the KMS key and its alias, if they are missing.

        Returns:
            True if the key was created, False if it was there.
        """


class AWSStore(abc.ABC):
    """A store in AWS: what its clients are made of."""

    region_name: str | None
    profile_name: str | None
    endpoint_url: str | None
    timeouts: Timeouts
    transport: str
    _services: list[Service]

    @property
    @abc.abstractmethod
    def regions(self) -> Mapping[str, str | None]:
        """boto3's names of the services, each with its region (None: the default region)."""

    @property
    def services(self) -> Sequence[Service]:
        """The services that it asks, between ``open`` and ``close``."""
        return tuple(self._services)


class PolicyStore(AWSStore):
    """A store behind IAM, which knows the least that a role of its users needs."""

    @abc.abstractmethod
    def statements(
        self,
        role: str,
        *,
        names: Sequence[str] | None,
        listing: bool,
        keys: Sequence[str],
    ) -> list[Statement]:
        """What to allow to a role, by the OPTIONS alone: nothing is opened or sent.

        Args:
            role: one of `iam.ROLES`: a reader has the settings' fetch, fallbacks and previous
                values; a writer put and putall; a rotator rotate, rollback and reencrypt; an admin
                every verb.
            names: which names, without the store's prefix; None for all under the prefix. An admin
                has them all.
            listing: whether a reader reads all there is, and so has to list it.
            keys: the ARNs of the KMS keys; empty for what OPTIONS say.
        """


class DiagnosedStore(AWSStore):
    """A store that knows what can be wrong with it."""

    @abc.abstractmethod
    def checks(self, names: Sequence[str] | None) -> Sequence[Check]:
        """What to look at, in this order, between ``open`` and ``close``.

        Args:
            names: what the settings read; None for all there is.
        """
