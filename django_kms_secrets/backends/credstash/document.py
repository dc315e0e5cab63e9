"""A document as one record of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ...exceptions import (
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    VersionConflict,
)
from ...types import CURRENT, SecretVersion
from ..base import ABSENT, in_stages, not_found
from ..document import Document
from .records import TooLarge
from .versions import PENDING_VERSION, next_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ...types import Secret
    from ..contents import Contents
    from .names import Names

T = TypeVar("T")


class TableDocument(Document):
    """One record whose value is a JSON object; other readers of the format see one secret.

    Args:
        names: the records of the table.
        document: the name of the record.
        place: the document, as errors name it.
    """

    pending_because = "it was staged as one record"
    otherwise = "leave document out of OPTIONS for records that are single values"

    def __init__(self, names: Names, document: str, place: str) -> None:
        super().__init__(place)
        self._names = names
        self._document = document

    def read(self, version: str = CURRENT) -> Contents:
        """One Query and one Decrypt."""
        try:
            found = self._opened(lambda: self._names.get(self._document, version))
        except SecretNotFound:
            if version != CURRENT:
                raise
        else:
            return self._parsed(found)
        raise self._missing()

    def read_stages(self) -> dict[str, Contents]:
        """A Query for the pending version, one for the others, and their Decrypts."""
        found = self._opened(lambda: self._names.get_stages(self._document))
        if CURRENT not in found:
            raise self._missing()
        return in_stages(lambda stage: self._at(found, stage))

    def write(self, contents: Contents, names: Collection[str]) -> str:
        """GenerateDataKey, a conditional PutItem, and a Query that it is the newest."""
        return self._write(contents, names).version

    def put_version(self, name: str, value: str, version: str, comment: str) -> SecretVersion:
        """Like `put`; the number and the comment are those of the whole document."""
        contents = self.read()
        self._change(contents, {name: value})
        return self._write(contents, [name], version, comment)._replace(name=name)

    def versions(self, name: str) -> list[SecretVersion]:
        """One Query."""
        return [entry._replace(name=name) for entry in self._names.history(self._document)]

    def whole_pending(self) -> str:
        """One Query: whether somebody has staged the record."""
        return PENDING_VERSION if self._names.is_pending(self._document) else ""

    def drop_pending(self, version: str) -> None:  # noqa: ARG002
        """Query, and a conditional DeleteItem."""
        self._names.unstage(self._document)

    def to_reencrypt(self) -> Sequence[str]:
        """The document, whole."""
        return [self._document]

    def setup(self) -> bool:
        """Create the document, empty, in a table that is there."""
        try:
            self._names.put(self._document, "{}", ABSENT)
        except VersionConflict:
            return False
        return True

    def _opened(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except SecretIntegrityError as exc:
            damaged = exc
        raise SecretIntegrityError(
            damaged.message,
            hint="it was damaged or tampered with; where OPTIONS have no document it is a record "
            f"like any other: `secrets history {self._document}` lists its versions, "
            f"`secrets put {self._document} @FILE` writes a new one",
            names=damaged.names,
        )

    def _parsed(self, found: Secret) -> Contents:
        return self.parsed(found.value, found.version)

    def _at(self, found: Mapping[str, Secret], stage: str) -> Contents:
        if stage not in found:
            raise not_found(self._document, self, version=stage)
        return self._parsed(found[stage])

    def _write(
        self, contents: Contents, names: Collection[str], version: str = "", comment: str = ""
    ) -> SecretVersion:
        error: SecretsError
        text = contents.text()
        try:
            return self._names.put_after(contents.version, self._document, text, version, comment)
        except TooLarge as exc:
            error = SecretsError(
                exc.message,
                hint="leave document out of OPTIONS: secrets that are records of their own have "
                "this room each",
                names=names,
            )
        except VersionConflict as exc:
            hint = exc.hint if self._counts_on(contents.version) else self._begin_again()
            error = VersionConflict(exc.message, hint=hint, names=names)
        raise error

    def _counts_on(self, latest: str) -> bool:
        """Whether any version can come after one."""
        try:
            next_version(self._document, latest, "", self.place)
        except VersionConflict:
            return False
        return True

    def _begin_again(self) -> str:
        return (
            f"`secrets getall -o FILE`, `secrets delete {self._document}` with document left out "
            "of OPTIONS, then with it `secrets setup` and `secrets putall FILE`; pending and "
            "previous values are lost"
        )

    def _missing(self) -> StoreNotReady:
        return StoreNotReady(
            f"there is no {self.place}",
            hint="`secrets setup` creates it; or check document, table and region_name",
        )
