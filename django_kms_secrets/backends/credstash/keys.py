"""The data keys of a CredStash table: KMS, under one key and one encryption context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ...envelope import DATA_KEY_BYTES
from ...exceptions import AccessDenied, DecryptionError, SecretsError, StoreNotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...aws import Refusals, Service


class DataKey(NamedTuple):
    """A data key.

    Attributes:
        plain: its bytes; their ``repr`` is masked.
        encrypted: the same as KMS encrypted it.
        key_id: the ARN of the KMS key that did.
    """

    plain: bytes
    encrypted: bytes
    key_id: str


class DataKeys:
    """Makes and opens data keys.

    Args:
        kms: the service.
        key_id: the KMS key for new data keys: an alias, an id or an ARN.
    """

    def __init__(self, kms: Service, key_id: str) -> None:
        self._kms = kms
        self._key_id = key_id

    def generate(self, context: Mapping[str, str]) -> DataKey:
        """Make a data key.

        Args:
            context: the encryption context it can be opened with.

        Raises:
            StoreNotReady: the KMS key does not exist or is disabled.
        """
        reply = self._kms.call(
            "GenerateDataKey",
            self._no_key(),
            KeyId=self._key_id,
            NumberOfBytes=DATA_KEY_BYTES,
            EncryptionContext=dict(context),
        )
        return DataKey(reply["Plaintext"], reply["CiphertextBlob"], reply["KeyId"])

    def decrypt(
        self, encrypted_key: bytes, context: Mapping[str, str], *, name: str, where: str
    ) -> DataKey:
        """Open a data key. As in credstash, any key that may be used is accepted.

        Args:
            encrypted_key: as KMS gave it.
            context: the encryption context it was made with.
            name: the secret it belongs to, for errors.
            where: the record it belongs to, for errors.

        Raises:
            DecryptionError: another encryption context, another region, or the key is disabled.
            AccessDenied: KMS denies the use of the key.
        """
        reply = self._kms.call(
            "Decrypt",
            _cannot_decrypt(name, where, context),
            CiphertextBlob=encrypted_key,
            EncryptionContext=dict(context),
        )
        return DataKey(reply["Plaintext"], encrypted_key, reply["KeyId"])

    def describe(self) -> dict[str, Any]:
        """What KMS knows of the key for new data keys.

        Raises:
            StoreNotReady: it does not exist.
        """
        reply = self._kms.call("DescribeKey", self._no_key(), KeyId=self._key_id)
        key: dict[str, Any] = reply["KeyMetadata"]
        return key

    def create(self, description: str) -> bool:
        """Create the KMS key and the alias that names it, if the key does not exist.

        Returns:
            True if it was created.

        Raises:
            StoreNotReady: ``key_id`` is no alias, so a new key could not get that name.
        """
        try:
            self.describe()
        except StoreNotReady:
            if not self._key_id.startswith("alias/"):
                raise
        else:
            return False
        key = self._kms.call("CreateKey", Description=description)
        self._kms.call(
            "CreateAlias", AliasName=self._key_id, TargetKeyId=key["KeyMetadata"]["KeyId"]
        )
        return True

    def _no_key(self) -> Refusals:
        key = f"{self._key_id} at {self._kms.place}"

        def missing(_: object) -> SecretsError:
            return StoreNotReady(
                f"there is no KMS key {key}",
                hint="`secrets setup --create-key` creates it; or check key_id and the region",
            )

        def disabled(_: object) -> SecretsError:
            return StoreNotReady(
                f"the KMS key {key} is disabled or will be deleted",
                hint="enable it, cancel its deletion, or set key_id to another key",
            )

        return {
            "NotFoundException": missing,
            "DisabledException": disabled,
            "KMSInvalidStateException": disabled,
        }


def _cannot_decrypt(name: str, where: str, context: Mapping[str, str]) -> Refusals:
    keys = ", ".join(sorted(context)) or "empty"

    def because(
        kind: type[SecretsError], reason: str, hint: str
    ) -> Callable[[Mapping[str, Any]], SecretsError]:
        return lambda _: kind(f"{where}: {reason}", hint=hint, names=[name])

    wrong_key = because(
        DecryptionError,
        "KMS would not decrypt its data key",
        'the encryption context must be the one it was written with (OPTIONS["context"] is '
        f"now: {keys}), and kms_region_name the region of its key",
    )
    lost_key = because(
        DecryptionError,
        "its KMS key is disabled, will be deleted or is gone",
        "enable the key or cancel its deletion",
    )
    denied = because(
        AccessDenied,
        "KMS denies the use of its key",
        f"allow kms:Decrypt on the key, for this encryption context (now: {keys}), to this "
        "role or user; KMS answers the same where kms_region_name is not the key's region",
    )
    return {
        "InvalidCiphertextException": wrong_key,
        "IncorrectKeyException": wrong_key,
        "NotFoundException": lost_key,
        "DisabledException": lost_key,
        "KMSInvalidStateException": lost_key,
        "AccessDeniedException": denied,
    }
