"""Values into records and back: the envelope, its data key, and the context that binds the key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ... import envelope
from ...exceptions import AccessDenied, DecryptionError, SecretIntegrityError, SecretsError
from ...types import Secret, SecretBytes
from ..base import secret_text
from .table import ITEM_BYTES, NAME_BYTES, size_of
from .versions import PENDING_VERSION, WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import DataKey, DataKeys
    from .table import Item

logger: logging.Logger = logging.getLogger("django_kms_secrets")


class Contexts(NamedTuple):
    """The encryption contexts of records.

    Attributes:
        context: of every record.
        bind_to_name: whether name and version are part of it, so that KMS opens a record only as
            what it was written for.
        former: what records may have been written with before, bound or not; None for nothing.
        prefix: what stands before every name in the table.
    """

    context: Mapping[str, str]
    bind_to_name: bool
    former: Mapping[str, str] | None
    prefix: str

    def of(self, name: str, version: str) -> dict[str, str]:
        """What a record is written with."""
        return self._bound(self.context, name, version) if self.bind_to_name else dict(self.context)

    def to_read(self, name: str, version: str) -> list[dict[str, str]]:
        """What a record may be read with: what it would be written with first."""
        contexts = [self.of(name, version)]
        if self.former is not None:
            for context in (dict(self.former), self._bound(self.former, name, version)):
                if context not in contexts:
                    contexts.append(context)
        return contexts

    def _bound(self, context: Mapping[str, str], name: str, version: str) -> dict[str, str]:
        return {**context, "name": self.prefix + name, "version": version}


class Opened(NamedTuple):
    """A record that was opened.

    Attributes:
        secret: what was in it.
        key_id: the ARN of the KMS key that opened it.
        former: whether that took a former encryption context.
    """

    secret: Secret
    key_id: str
    former: bool


class TooLarge(SecretsError):
    """What was sealed is larger than an item can be; nothing was written."""


def check_size(name: str, value: str, prefix: str) -> None:
    """See that an item might hold a value: in base64, with its name, and some hundred bytes more.

    Raises:
        TooLarge: it would not, whatever its data key is.
        SecretsError: the name is too long.
    """
    size = len(f"{prefix}{name}".encode())
    if size > NAME_BYTES:
        raise SecretsError(
            f"a name of {size:,} bytes, with its prefix: DynamoDB takes {NAME_BYTES:,}: {name}",
            hint="take a shorter one",
            names=[name],
        )
    _refuse_too_large(name, size + 4 * -(-len(value.encode()) // 3))


def _refuse_too_large(name: str, size: int) -> None:
    if size > ITEM_BYTES:
        raise TooLarge(
            f"{name} makes an item of {size:,} bytes; DynamoDB takes {ITEM_BYTES:,}",
            hint="keep large values elsewhere (S3) and only their key here",
            names=[name],
        )


class Records:
    """Seals values, and opens records.

    Args:
        keys: where data keys come from.
        contexts: what they are bound to.
        digest: of the HMAC of new records.
        place: the store, as errors name it.

    Attributes:
        place: as given.
    """

    def __init__(self, keys: DataKeys, contexts: Contexts, digest: str, place: str) -> None:
        self._keys = keys
        self._contexts = contexts
        self._digest = digest
        self.place = place

    def seal(self, name: str, version: str, value: str, comment: str = "") -> Item:
        """Make the item that holds a value; nothing is written.

        Raises:
            TooLarge: it is too large for an item.
        """
        # A data key of its own for every record: envelope.py says what sharing one would do.
        data_key = self._keys.generate(self._contexts.of(name, version))
        record = envelope.seal(
            SecretBytes(value.encode("utf-8")),
            data_key=data_key.plain,
            encrypted_key=data_key.encrypted,
            digest=self._digest,
        )
        item: Item = {"name": name, "version": version, **envelope.encode(record)}
        if comment:
            item["comment"] = comment
        _refuse_too_large(name, size_of(item))
        return item

    def open(self, item: Item) -> Opened:
        """Open an item.

        Raises:
            SecretIntegrityError: it is not what its writer sealed.
            DecryptionError, AccessDenied: KMS does not open its data key.
        """
        name, version = item["name"], item["version"]
        where = f"{name} version {version} in {self.place}"
        if version.isdigit() and len(version) < WIDTH:
            logger.warning(
                "%s is not padded to %d digits, so it sorts after every newer version; "
                "delete it and put it again",
                where,
                WIDTH,
            )
        opened, reason = None, "its contents are not UTF-8 text"
        try:
            record = envelope.decode(item)
            data_key, former = self._data_key(record.key, name, version, where)
            text = secret_text(envelope.unseal(record, data_key=data_key.plain))
            if text is not None:
                opened = Opened(Secret(name, text, version), data_key.key_id, former)
        except SecretIntegrityError as exc:
            reason = exc.message
        if opened is None:
            raise SecretIntegrityError(
                f"{where}: {reason}",
                hint="the record was damaged or tampered with; `secrets history` lists older "
                "versions, `secrets put` writes a new one",
                names=[name],
            )
        return opened

    def kms_key(self, name: str) -> str:
        """The ARN of the KMS key that a new record of a name gets.

        It is asked for with a data key that seals nothing: GenerateDataKey is what a writer may do
        anyway, and DescribeKey would be one more permission.
        """
        return self._keys.generate(self._contexts.of(name, PENDING_VERSION)).key_id

    def _data_key(
        self, encrypted_key: bytes, name: str, version: str, where: str
    ) -> tuple[DataKey, bool]:
        """Open a data key; also say whether that took a former context."""
        first, *former = self._contexts.to_read(name, version)
        try:
            return self._keys.decrypt(encrypted_key, first, name=name, where=where), False
        except (DecryptionError, AccessDenied) as exc:
            error = exc
        for context in former:
            try:
                return self._keys.decrypt(encrypted_key, context, name=name, where=where), True
            except (DecryptionError, AccessDenied):
                continue
        raise error
