"""The same values under another KMS key or encryption context, one secret after another."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...exceptions import DecryptionError, SecretIntegrityError, SecretNotFound
from ...types import SecretBytes
from .table import LISTING, RECORD
from .versions import PENDING_VERSION, next_version

if TYPE_CHECKING:
    from .records import Opened, Records
    from .table import Item, Table

logger: logging.Logger = logging.getLogger("django_kms_secrets")


class Reencryption:
    """Writes what is in use of a secret anew: its current, its previous and its pending version.

    All three, so that a rotation that is under way is where it was. A previous version whose value
    is the current one's, or that does not open, is not in use.

    Args:
        table: where the records are.
        records: opens the old ones, and seals the new ones.
    """

    def __init__(self, table: Table, records: Records) -> None:
        self._table = table
        self._records = records

    def run(self, name: str, key_id: str) -> bool:
        """Re-encrypt one secret, all of it or nothing; False if there was nothing to do.

        Args:
            name: which one.
            key_id: the ARN of the KMS key that new records get.

        Raises:
            VersionConflict: somebody else wrote to it at the same time.
            DecryptionError, SecretIntegrityError, AccessDenied: it does not open.
        """
        in_use = self._in_use(self._newest(name))
        version = in_use[-1].item["version"]
        pending = self._table.version(name, PENDING_VERSION)
        if pending:
            in_use.append(_Version(pending, self._records.open(pending)))
        if all(old.opened.key_id == key_id and not old.opened.former for old in in_use):
            return False
        items = []
        for old in in_use:
            if old.item is pending:
                version = PENDING_VERSION
            else:
                version = next_version(name, version, "", self._records.place)
            items.append(self._sealed(old, version))
        # A version that was deleted meanwhile must not come back: somebody retired it.
        self._table.put_all(
            items,
            instead_of=[pending] if pending else [],
            unchanged=[old.item for old in in_use if old.item is not pending],
        )
        for item in items:
            self._check_stored(item)
        return True

    def prune(self, name: str) -> bool:
        """Delete the versions of one secret that are not in use; False if there were none.

        A previous version that does not open stays: its key may be enabled again.
        """
        newest = self._newest(name)
        kept = {PENDING_VERSION, *(old.item["version"] for old in self._in_use(newest))}
        kept |= {
            item["version"]
            for item in newest[1:]
            if item["version"] not in kept and not self._opened(item)
        }
        versions = [item["version"] for item in self._table.versions(name, LISTING)]
        # Only what is older than the current one, should somebody have written a moment ago. Oldest
        # first: a deletion that is cut short leaves what it would have left for the next run.
        old = [version for version in versions if version < max(kept) and version not in kept]
        for version in old:
            self._table.delete(name, version)
        return bool(old)

    def _newest(self, name: str) -> list[Item]:
        """The current version, and the previous one if there is one."""
        newest = self._table.newest(name, (*RECORD, "comment"), 2)
        if not newest:
            raise SecretNotFound(
                f"{name} is not in {self._records.place}",
                hint="`secrets keys` lists what is there",
                names=[name],
            )
        return newest

    def _in_use(self, newest: list[Item]) -> list[_Version]:
        """The previous version, if it is in use, and the current one."""
        current = _Version(newest[0], self._records.open(newest[0]))
        previous = self._opened(newest[1]) if len(newest) > 1 else None
        if previous and not _same(previous.opened, current.opened):
            return [previous, current]
        return [current]

    def _opened(self, item: Item) -> _Version | None:
        """A previous version; None if it does not open.

        A permission that is missing is an error: others may have it, and honour this version.
        """
        try:
            return _Version(item, self._records.open(item))
        except (DecryptionError, SecretIntegrityError) as exc:
            logger.warning("the previous version does not count: %s", exc.message)
            return None

    def _sealed(self, old: _Version, version: str) -> Item:
        """A new record, which is opened again before it may take the place of the old one."""
        secret = old.opened.secret
        comment = old.item.get("comment", "")
        item = self._records.seal(secret.name, version, secret.value, comment)
        if not _same(self._records.open(item), old.opened):
            raise _unequal(secret.name, self._records.place)
        return item

    def _check_stored(self, item: Item) -> None:
        stored = self._table.version(item["name"], item["version"])
        if stored is None or any(stored.get(attribute) != item[attribute] for attribute in RECORD):
            raise _unequal(item["name"], self._records.place)


@dataclass(frozen=True)
class _Version:
    item: Item
    opened: Opened


def _same(one: Opened, other: Opened) -> bool:
    values = (SecretBytes(opened.secret.value.encode("utf-8")) for opened in (one, other))
    return hmac.compare_digest(*values)


def _unequal(name: str, place: str) -> SecretIntegrityError:
    return SecretIntegrityError(
        f"{name} was re-encrypted in {place}, and is not what it was when it is read back",
        hint=f"`secrets history {name}` lists its versions, `secrets rollback` goes back to one",
        names=[name],
    )
