"""A document as one secret of Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...exceptions import SecretNotFound, StoreNotReady
from ...types import CURRENT, PENDING, SecretVersion
from ..document import Document
from .api import stages, version_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..contents import Contents
    from .api import Api


class SecretDocument(Document):
    """One secret whose value is a JSON object.

    Args:
        api: the operations.
        secret_id: the document's name or ARN.
        key_id: the KMS key for a new document, or None for the account's default.
    """

    pending_because = "its rotation by AWS is under way, or has failed"
    otherwise = "use prefix= for secrets that are single values"

    def __init__(self, api: Api, secret_id: str, key_id: str | None) -> None:
        super().__init__(api.place)
        self._api = api
        self._secret_id = secret_id
        self._key_id = key_id
        # Versions on which the service's own rotation has left AWSPENDING.
        self._rotated: set[str] = set()

    def read(self, version: str = CURRENT) -> Contents:
        """One GetSecretValue."""
        try:
            reply = self._api.value(self._secret_id, version)
        except SecretNotFound:
            if version != CURRENT:
                raise
        else:
            if {"AWSCURRENT", "AWSPENDING"} <= {*reply.get("VersionStages", ())}:
                self._rotated.add(reply["VersionId"])
            return self.parsed(reply["SecretString"], reply["VersionId"], reply.get("CreatedDate"))
        raise StoreNotReady(
            f"there is no {self.place}",
            hint="`secrets setup` creates it; or check secret_id and region_name",
        )

    def write(self, contents: Contents, names: Collection[str]) -> str:
        """A swap of AWSCURRENT."""
        text = contents.text()
        if contents.version in self._rotated:
            # Left on the document before, the label would make its old values pending ones.
            self._api.drop(self._secret_id, PENDING, contents.version)
        return self._api.swap(self._secret_id, text, contents.version, [*names])

    def versions(self, name: str) -> list[SecretVersion]:
        """ListSecretVersionIds."""
        return [
            SecretVersion(
                name,
                entry["VersionId"],
                stages(entry.get("VersionStages", ())),
                entry["CreatedDate"],
            )
            for entry in self._api.versions(self._secret_id)
        ]

    def whole_pending(self) -> str:
        """DescribeSecret."""
        return version_of(self._api.describe(self._secret_id), PENDING)

    def drop_pending(self, version: str) -> None:
        """AWSPENDING is taken off it."""
        self._api.drop(self._secret_id, PENDING, version)

    def setup(self) -> bool:
        """Create the document, empty; restore it if it was deleted, fill it if it has no value."""
        try:
            known = self._api.describe(self._secret_id)
        except SecretNotFound:
            known = {}
        if not known:
            self._api.create(self._secret_id, "{}", self._key_id)
            return True
        if known.get("DeletedDate"):
            self._api.restore(self._secret_id)
            return True
        if not version_of(known):  # as CloudFormation and Terraform leave it
            self._api.put(self._secret_id, "{}")
            return True
        return False
