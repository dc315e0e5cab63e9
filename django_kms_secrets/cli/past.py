"""The values that a name had and has, and how they are written again: oldest first."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from ..backends.base import ABSENT
from ..backends.capabilities import StagedStore
from ..exceptions import DecryptionError, SecretIntegrityError, SecretsError
from ..types import CURRENT, PENDING, PREVIOUS, SecretVersion
from .plan import is_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..backends.base import BaseStore
    from ..types import Secret, SecretStr


logger: logging.Logger = logging.getLogger("django_kms_secrets")


class Past(NamedTuple):
    """What a store has of a name.

    Attributes:
        values: oldest first, the current one last, none twice in a row; empty: there is no such
            name.
        pending: the pending value, if any.
        version: the version that is current, or `ABSENT`.
        left_out: why older values cannot be read; empty if all can.
    """

    values: list[SecretStr]
    pending: SecretStr | None
    version: str
    left_out: tuple[str, ...] = ()

    def missing(self, wanted: Past) -> list[SecretStr] | None:
        """The values that are to be written yet; None: the two went different ways.

        Where the current values are the same, nothing is: what is older cannot be put before it.
        """
        if self.values[-1:] == wanted.values[-1:]:
            return []
        known = len(self.values)
        return wanted.values[known:] if wanted.values[:known] == self.values else None

    def ends_like(self, wanted: Past, written: Sequence[SecretStr]) -> bool:
        """Whether what was written is what is found, and the pending value, if one is wanted."""
        tail = self.values[len(self.values) - len(written) :]
        return (
            tail == list(written)
            and self.values[-1:] == wanted.values[-1:]
            and wanted.pending in (None, self.pending)
        )


def read_past(store: BaseStore, name: str, *, in_use: bool) -> Past:
    """Read what a store has of a name.

    An older value that does not open is left out: nobody can honour it, and it must not keep the
    others back. A permission that is missing is an error: others may have it.

    Args:
        store: where.
        name: which.
        in_use: only the previous, the current and the pending value, and nothing older: all that
            a document has of one name.
    """
    stages = store.get_stages(name)
    if CURRENT not in stages:
        return Past([], None, ABSENT)
    found: list[Secret] = []
    left_out: list[str] = []
    if is_document(store):
        found += [stages[stage] for stage in (PREVIOUS, CURRENT) if stage in stages]
    else:
        for entry in _older_first(store.history(name), in_use=in_use):
            try:
                found.append(store.get(name, version=entry.version))
            except (DecryptionError, SecretIntegrityError) as exc:
                if CURRENT in entry.stages:
                    raise
                left_out.append(exc.message)
    values = [value for value, _ in groupby(secret.value for secret in found)]
    pending = stages[PENDING].value if PENDING in stages else None
    return Past(values, pending, stages[CURRENT].version, tuple(left_out))


def _older_first(history: Iterable[SecretVersion], *, in_use: bool) -> list[SecretVersion]:
    """The versions that are or were current.

    A rollback may have moved a stage to a version that is not the last.
    """
    entries = [
        entry for entry in history if PENDING not in entry.stages and (entry.stages or not in_use)
    ]
    return sorted(entries, key=lambda entry: (CURRENT in entry.stages, PREVIOUS in entry.stages))


def write_past(
    store: BaseStore,
    name: str,
    values: Sequence[SecretStr],
    pending: SecretStr | None,
    found: Past,
) -> SecretVersion:
    """Write values one after another, each on the one before it, and one as pending.

    Args:
        store: where; a `StagedStore`.
        name: which.
        values: oldest first.
        pending: the value to stage, in the place of another one; None for none.
        found: what the store has.

    Returns:
        The version that is now current.

    Raises:
        VersionConflict: somebody else wrote meanwhile.
        SecretsError: the message of any failure says how many values were stored before it; after
            Ctrl-C, the log does.
    """
    assert isinstance(store, StagedStore)  # noqa: S101 - who calls this has seen to it
    at, stored, dropped = found.version, 0, False
    count = len(values) + (pending is not None)
    try:
        for value in values:
            write = store.put if at == ABSENT else store.rotate
            at = write(name, value, expected=at).version
            stored += 1
        if pending is not None:
            if found.pending is not None:
                store.unstage(name)
                dropped = True
            store.stage(name, pending)
        return SecretVersion(name, at, (CURRENT,))
    except SecretsError as exc:
        error = exc
    except BaseException:
        if done := _done(name, stored, count, dropped=dropped):
            logger.warning("a copy was interrupted%s", done)
        raise
    done = _done(name, stored, count, dropped=dropped)
    if not done:
        raise error
    raise type(error)(f"{error.message}{done}", hint=error.hint, names=error.names)


def _done(name: str, stored: int, count: int, *, dropped: bool) -> str:
    """What an interrupted copy of a name has done; "" for nothing."""
    values = f"; of {name}, {stored} of {count} values were stored" if stored else ""
    pending = f"; the value of {name} that was pending there is dropped" if dropped else ""
    return values + pending
