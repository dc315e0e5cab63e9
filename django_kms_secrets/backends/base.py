"""What every store is: the interface, and the checks all of them share."""

from __future__ import annotations

import abc
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from ..exceptions import (
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    VersionConflict,
)
from ..types import CURRENT, PENDING, PREVIOUS, STAGES, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from django.core.checks import CheckMessage
    from typing_extensions import Self

    from ..types import Secret, SecretVersion

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("django_kms_secrets")

#: Versions that ``put`` may be told to expect: "" means that the name must not exist yet.
ABSENT = ""


class Placed(Protocol):
    """What errors can name."""

    @property
    def place(self) -> str: ...


class BaseStore(abc.ABC):
    """Where secrets live: one table, one document, one name prefix or one file.

    A subclass takes its OPTIONS as keyword-only arguments of ``__init__``; their names are the
    only spelling an option has, and its ``__init__`` touches nothing but them. Between ``open``
    and ``close`` (or inside ``with store:``) the other methods may be called, from any thread.

    A value that is written is masked first, ``value = masked(value)``: the traceback of an error
    shows the variables of the frames.
    """

    #: What a store that works on many records calls meanwhile; see `followed`.
    on_progress: Callable[[int, int], object] | None = None

    #: What a URL of this store begins with.
    scheme: ClassVar[str] = ""
    #: Whether a read costs next to nothing, so that it is not worth handing on (``secrets run``).
    is_local: ClassVar[bool] = False
    #: The options that are dicts, which a URL writes as ``?option.key=value``.
    dict_options: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """Read the OPTIONS of a URL ``scheme://location?query``.

        Args:
            location: what stands between ``://`` and ``?``, unquoted.
            query: the query's keys; ``context.env=x`` has become ``{"context": {"env": "x"}}``.
        """
        if location:
            raise SecretsError(
                f"a {cls.scheme}:// URL has no location",
                hint=f"write it as {cls.scheme}://?option=value",
            )
        return dict(query)

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """The store as errors and tables name it."""

    def open(self) -> None:  # noqa: B027
        """Make what talks to the service; boto3 is imported here, not before."""

    def open_to_read(self) -> None:
        """As `open`, for who only reads values: `get`, `get_many` and `get_stages`.

        A store that has a faster way than `open` takes it here. Settings are read with this.
        """
        self.open()

    def close(self) -> None:  # noqa: B027
        """Let go of it: no client, thread or socket survives."""

    @contextmanager
    def reading(self) -> Iterator[Self]:
        """`open_to_read`, and `close` at the end of the block."""
        self.open_to_read()
        try:
            yield self
        finally:
            self.close()

    def read_values(self, names: Iterable[str] | None) -> dict[str, SecretStr]:
        """`get_many` of a store that is not open: the values alone, by name."""
        with self.reading() as store:
            return {name: secret.value for name, secret in store.get_many(names).items()}

    def read_stages(self, name: str) -> dict[str, SecretStr]:
        """`get_stages` of a store that is not open: the values alone, by stage."""
        with self.reading() as store:
            return {stage: secret.value for stage, secret in store.get_stages(name).items()}

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextmanager
    def followed(self, show: Callable[[int, int], object]) -> Iterator[None]:
        """Show how far its bulk operations are, to the end of the block.

        Args:
            show: called from any thread with how many records are done, and of how many.
        """
        self.on_progress = show
        try:
            yield
        finally:
            self.on_progress = None

    @abc.abstractmethod
    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """Read one secret.

        Args:
            name: the name, without the store's prefix.
            version: CURRENT, PREVIOUS, PENDING or a version id of this store.

        Raises:
            SecretNotFound: there is no such name or version.
        """

    @abc.abstractmethod
    def list_secrets(self) -> Sequence[SecretVersion]:
        """List what is stored, without values: sorted by name, then oldest version first."""

    @abc.abstractmethod
    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Write a new version and make it current.

        Args:
            name: the name, without the store's prefix.
            value: the value.
            expected: the version id that must still be current, `ABSENT` if the name must not
                exist yet, or None for no expectation.

        Returns:
            The version that is now current.

        Raises:
            VersionConflict: somebody else wrote first.
        """

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Delete a secret with all its versions.

        Raises:
            SecretNotFound: there is no such name.
        """

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """Read the current versions of many secrets, in as few requests as the service allows.

        Args:
            names: which ones; None for all.

        Returns:
            Those found. A name that is not there is left out; anything else that goes wrong is
            an error: a read is whole or raises.
        """
        if names is None:
            names = {entry.name for entry in self.list_secrets()}
        found = {}
        for name in dict.fromkeys(names):
            try:
                found[name] = self.get(name)
            except SecretNotFound:
                continue
        return found

    def get_stages(self, name: str) -> dict[str, Secret]:
        """Read the versions of a secret that are in use.

        They are read in the order of `STAGES`, the order in which a value goes through them: one
        that is promoted meanwhile may be found twice, and is never missed.

        Returns:
            The versions that there are, by stage; none if there is no such name.
        """
        return in_stages(lambda stage: self.get(name, version=stage))

    def put_many(
        self, values: Mapping[str, str], *, expected: Mapping[str, str] | None = None
    ) -> Sequence[SecretVersion]:
        """Write many secrets; all or none where the service can, else in parts that are.

        Args:
            values: the values, by name.
            expected: by name, the version id that must still be current, or `ABSENT`; of a name
                that is left out nothing is expected.

        Returns:
            The versions that are now current, in the order of ``values``.

        Raises:
            VersionConflict: somebody else wrote first; of the part that the names belong to
                nothing is written.
            SecretsError: the message of any failure says which names were stored before it.
        """
        values = masked(dict(values))
        self.validate(values)
        known = expected or {}
        return put_runs(
            values.items(),
            lambda pair: [self.put(*pair, expected=known.get(pair[0]))],
            len(values),
            self.on_progress,
        )

    def apply(
        self,
        values: Mapping[str, str],
        removals: Iterable[str],
        *,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """Write many secrets and delete others: one write, where all are in one document or file.

        Elsewhere it is `put_many`, and then a `delete` of each.

        Args:
            values: the values, by name.
            removals: the names that shall be gone; some may be gone already.
            expected: as of `put_many`. Of a removal it counts where all is one write.

        Raises:
            VersionConflict: somebody else wrote first.
            SecretsError: the message of any failure says which names were stored and deleted
                before it.
        """
        values = masked(dict(values))
        stored = [entry.name for entry in self.put_many(values, expected=expected)]
        deleted: list[str] = []
        for name in removals:
            try:
                with suppress(SecretNotFound):  # somebody else has deleted it
                    self.delete(name)
                deleted.append(name)
                continue
            except SecretsError as exc:
                error = stored_before(exc, stored, deleted=deleted)
            except BaseException:
                log_what_was_done(stored, deleted)
                raise
            raise error

    def rotate(self, name: str, value: str, *, expected: str) -> SecretVersion:
        """Write a new value and make it current, and the value before it the previous one.

        A put does that as well, where versions belong to names.

        Args:
            name: the name, without the store's prefix.
            value: the new value.
            expected: the version id that must still be current.

        Raises:
            VersionConflict: somebody else wrote first.
        """
        value = masked(value)
        return self.put(name, value, expected=expected)

    def rollback(self, name: str, version: str) -> SecretVersion:
        """Make the value of an old version the current one again.

        Args:
            name: the name, without the store's prefix.
            version: PREVIOUS or a version id, as `history` lists it.

        Returns:
            The version that is now current: a new one, with the old value.

        Raises:
            SecretNotFound: there is no such name or version.
            VersionConflict: somebody else wrote at the same time, or it is the current version.
        """
        current = self.get(name)
        old = self.get(name, version=version)
        if old.version == current.version:
            raise already_current(name, old.version, self.place)
        return self.put(name, old.value, expected=current.version)

    def history(self, name: str) -> Sequence[SecretVersion]:
        """List the versions of one secret, oldest first, without values.

        Raises:
            SecretNotFound: there is no such name.
        """
        versions = [entry for entry in self.list_secrets() if entry.name == name]
        if not versions:
            raise not_found(name, self)
        return versions

    def validate(self, values: Mapping[str, str]) -> None:
        """See that it could hold values, as far as they alone say so: nothing is sent.

        What writes many, or would, calls it before anything is written.

        Args:
            values: the values, by name.

        Raises:
            SecretsError: a name or a value is refused.
        """
        values = masked(dict(values))
        checked_all(values)

    def setup(self) -> bool:
        """Create what the store needs, if it is missing.

        Returns:
            True if something was created, False if all was there.
        """
        return False

    def check(self) -> Iterable[CheckMessage]:
        """Look at the OPTIONS, offline, for what a system check should report."""
        return ()

    def check_deployment(self) -> Iterable[CheckMessage]:
        """The same, for what ``check --deploy`` should report where DEBUG is off."""
        return ()


def checked(name: str, value: str = "") -> None:
    """Refuse a name or value that no store could give back unchanged.

    Raises:
        SecretsError: the name is empty or has control characters, or the value is no text.
    """
    if not isinstance(name, str) or not name or not name.isprintable() or name != name.strip():
        raise SecretsError(
            f"{name!r} is not a name for a secret",
            hint="a name is one or more printable characters, with no space at either end",
        )
    if not isinstance(value, str):
        raise SecretsError(f"the value of {name} is not text", hint="give a str", names=[name])
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise SecretsError(
            f"the value of {name} is not valid Unicode text (it has a lone surrogate)",
            hint="store bytes as base64",
            names=[name],
        )


def checked_all(values: Mapping[str, str]) -> None:
    """`checked` for each; masked already, since the frame that calls this is in the traceback.

    Raises:
        SecretsError: a name or a value is refused.
    """
    for name, value in values.items():
        checked(name, value)


def expect(expected: str | None, at: str, name: str, store: Placed) -> None:
    """Refuse a write whose expectation of the current version is not met.

    Args:
        expected: as given to `BaseStore.put`.
        at: the version that is current, or `ABSENT`.
        name: the secret.
        store: where it is.

    Raises:
        VersionConflict: they differ.
    """
    if expected is not None and expected != at:
        raise VersionConflict(
            f"{name} in {store.place} is at version {at or '(none)'}, "
            f"not at {expected or '(none)'}",
            hint="somebody else wrote it; read it again and decide",
            names=[name],
        )


def expect_all(expected: Mapping[str, str] | None, at: Mapping[str, str], store: Placed) -> None:
    """As `expect`, of many names.

    Args:
        expected: as given to `BaseStore.put_many`.
        at: of each name that is to be written, the version that is current, or `ABSENT`.
        store: where they are.

    Raises:
        VersionConflict: some differ; it names all of them.
    """
    known = expected or {}
    wrong = [name for name, version in at.items() if known.get(name, version) != version]
    if len(wrong) == 1:
        expect(known[wrong[0]], at[wrong[0]], wrong[0], store)
    if wrong:
        raise VersionConflict(
            f"{', '.join(wrong)} in {store.place} are not at the versions that are expected",
            hint="somebody else wrote them; read them again and decide",
            names=wrong,
        )


def put_runs(
    runs: Iterable[T],
    put: Callable[[T], Sequence[SecretVersion]],
    total: int = 0,
    show: Callable[[int, int], object] | None = None,
) -> list[SecretVersion]:
    """Write one run after another; an error says which names were stored before it.

    What is no error of ours, such as Ctrl-C, stays as it is: then the log says it.

    Args:
        runs: what is written whole or not at all, each.
        put: writes one of them.
        total: how many records that are.
        show: as of `BaseStore.followed`.

    Returns:
        All versions written, in their order.
    """
    stored: list[SecretVersion] = []
    for run in runs:
        try:
            stored += put(run)
            if show:
                show(len(stored), total)
            continue
        except SecretsError as exc:
            error = stored_before(exc, [entry.name for entry in stored])
        except BaseException:
            log_what_was_done([entry.name for entry in stored])
            raise
        raise error
    return stored


def log_what_was_done(stored: Sequence[str], deleted: Sequence[str] = ()) -> None:
    """Log what a bulk write did before Ctrl-C or the like; nothing, if that is nothing."""
    if stored or deleted:
        logger.warning("a bulk write was interrupted; %s", _done(stored, deleted, "before that"))


def _done(stored: Sequence[str], deleted: Sequence[str], when: str) -> str:
    both = (("stored", stored), ("deleted", deleted))
    return "; ".join(f"{what} {when}: {', '.join(names)}" for what, names in both if names)


def stored_before(
    error: SecretsError,
    stored: Sequence[str],
    when: str = "before that",
    *,
    deleted: Sequence[str] = (),
) -> SecretsError:
    """The error of a bulk write, with what was stored and deleted nevertheless."""
    if not (stored or deleted):
        return error
    message = f"{error.message}; but {_done(stored, deleted, when)}"
    again = "then the same `secrets putall` or `secrets copy` again writes only the rest"
    hint = f"{error.hint or 'mend that'}; {again}"
    return type(error)(message, hint=hint, names=error.names)


def not_found(name: str, store: Placed, *, version: str = CURRENT) -> SecretNotFound:
    """The error for a name, or a version of it, that the store does not have."""
    if version == CURRENT:
        return SecretNotFound(
            f"{name} is not in {store.place}",
            hint=f"`secrets put {name}` writes it, `secrets keys` lists what is there",
            names=[name],
        )
    if version == PENDING:
        return SecretNotFound(
            f"no value of {name} is pending in {store.place}",
            hint=f"`secrets rotate {name} --stage` makes one",
            names=[name],
        )
    return SecretNotFound(
        f"{name} has no version {version} in {store.place}",
        hint=f"`secrets history {name}` lists its versions",
        names=[name],
    )


def in_stages(read: Callable[[str], T]) -> dict[str, T]:
    """What there is at each stage, read in the order in which a value goes through them.

    A previous version that does not open is left out with a warning: nobody can honour it, and the
    current one decides whether a site starts. A permission that is missing is an error: others may
    have it.

    Args:
        read: reads one stage, or raises SecretNotFound.
    """
    found = {}
    for stage in STAGES:
        try:
            found[stage] = read(stage)
        except SecretNotFound:
            continue
        except (DecryptionError, SecretIntegrityError) as exc:
            if stage != PREVIOUS:
                raise
            logger.warning("the previous version does not count: %s", exc.message)
    return found


def already_pending(name: str, place: str) -> VersionConflict:
    """The error for a second value that would be pending."""
    return VersionConflict(
        f"a value of {name} is pending already in {place}",
        hint=f"`secrets rotate {name} --promote` or `--abandon` comes first",
        names=[name],
    )


def already_current(name: str, version: str, place: str) -> VersionConflict:
    """The error for a rollback to where the store is."""
    return VersionConflict(
        f"version {version} of {name} in {place} is the current one",
        hint=f"`secrets history {name}` lists the others",
        names=[name],
    )


def not_for_servers(store: BaseStore) -> CheckMessage:
    """W005, of a store that has nothing to protect it but the machine it is on."""
    from django.core.checks import Warning  # noqa: A004

    return Warning(
        f"DEBUG is off, and secrets come from {store.place}, which is for development and tests",
        hint="read them from a CredStash table or Secrets Manager where the site is served",
        id="kms_secrets.W005",
    )


def secret_text(data: bytes) -> SecretStr | None:
    """Decode UTF-8; None where it is not. (The codec's own error would carry the bytes.)"""
    try:
        return SecretStr(data.decode("utf-8"))
    except UnicodeDecodeError:
        return None
