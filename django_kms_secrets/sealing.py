"""The last known good copy, sealed by a data key of KMS, so that it may lie on any disk.

It is sealed as a CredStash record is. It opens only while KMS answers, and lets us.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from .exceptions import SecretsError
from .types import SecretBytes, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .aws import Service
    from .backends.base import BaseStore
    from .backends.capabilities import AWSStore
    from .backends.credstash.keys import DataKey, DataKeys
    from .backends.iam import Statement
    from .config import Config

#: Of the encryption context of every copy.
_PURPOSE = ("django-kms-secrets", "last-known-good")


class Seal:
    """What seals and opens the copy of one configuration.

    Args:
        key_id: the KMS key.
        store: the store, whose account and time limits count here too.
        binding: what KMS is told of the configuration: it opens the copy for no other.

    Raises:
        SecretsError: the store is not in AWS.
    """

    def __init__(self, key_id: str, store: BaseStore, binding: str) -> None:
        from .backends.capabilities import AWSStore

        if not isinstance(store, AWSStore):
            raise SecretsError(
                f"the key_id of LAST_KNOWN_GOOD is not for {store.place}, which is not in AWS",
                hint="leave it out, and give a path in memory",
            )
        self._key_id = key_id
        self._store: AWSStore = store
        self._context = {_PURPOSE[0]: _PURPOSE[1], "configuration": binding}

    def sealed(self, content: SecretBytes) -> dict[str, str]:
        """Seal it under a new data key.

        Raises:
            SecretsError: KMS gives none.
        """
        from . import envelope
        from .aws import open_services

        key = self._ask_kms(open_services, lambda keys: keys.generate(self._context))
        record = envelope.seal(content, data_key=key.plain, encrypted_key=key.encrypted)
        encoded = envelope.encode(record).items()
        return {n: text.decode() if isinstance(text, bytes) else text for n, text in encoded}

    def opened(self, sealed: Mapping[str, object]) -> Any:
        """Open what was sealed: the JSON in it, masked.

        Raises:
            SecretsError: KMS does not open it, or it was changed.
        """
        from . import envelope
        from .aws import open_readers

        record = envelope.decode(sealed)
        key = self._ask_kms(
            partial(open_readers, transport=self._store.transport),
            lambda keys: keys.decrypt(
                record.key, self._context, name="", where="the last known good copy"
            ),
        )
        content = SecretBytes(envelope.unseal(record, data_key=key.plain))
        return masked(json.loads(SecretStr(content.decode())))

    def _ask_kms(
        self, open_them: Callable[..., list[Service]], task: Callable[[DataKeys], DataKey]
    ) -> DataKey:
        from .backends.credstash.keys import DataKeys
        from .deadline import Deadline, run_all

        store = self._store
        (service,) = open_them(
            {"kms": _region_of(self._key_id, store)},
            profile_name=store.profile_name,
            endpoint_url=store.endpoint_url,
            timeouts=store.timeouts,
        )
        try:
            return run_all(
                [lambda: task(DataKeys(service, self._key_id))],
                deadline=Deadline(store.timeouts.overall),
                services=[service],
            )[0]
        finally:
            service.close()


def statements(config: Config, store: AWSStore, keys: Sequence[str]) -> list[Statement]:
    """What to allow to who reads settings, for the copy alone.

    Args:
        config: the configuration; without a copy that KMS seals nothing is needed.
        store: its store.
        keys: the ARNs that are known of its keys, for a key_id that tells none.
    """
    from .backends.iam import KeyOf, Statement, key_arn

    if not (config.last_known_good and config.last_known_good.key_id):
        return []
    key_id = config.last_known_good.key_id
    key = key_arn(key_id, _region_of(key_id, store))
    resources = keys if keys and isinstance(key, KeyOf) else [key]
    name, value = _PURPOSE
    conditions = {"StringEquals": {f"kms:EncryptionContext:{name}": [value]}}
    return [
        Statement("LastKnownGood", ["kms:Decrypt", "kms:GenerateDataKey"], resources, conditions)
    ]


def _region_of(key_id: str, store: AWSStore) -> str | None:
    if key_id.count(":") > 3:  # an ARN
        return key_id.split(":")[3]
    return store.regions.get("kms", store.region_name)
