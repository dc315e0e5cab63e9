"""Stores whose values are read as settings read them, to prove the contract of reads on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_kms_secrets.aws import LightService
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.types import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_kms_secrets.backends.base import BaseStore
    from django_kms_secrets.types import Secret


def reads_through(twin: BaseStore, store_class: type[BaseStore], **options: Any) -> BaseStore:
    """A store that writes, and whose values a twin reads that is opened for that only."""

    class Twins(store_class):  # type: ignore[misc, valid-type]
        def open(self) -> None:
            super().open()
            twin.open_to_read()
            assert {type(service) for service in twin.services} == {LightService}

        def close(self) -> None:
            super().close()
            twin.close()

        def get(self, name: str, *, version: str = CURRENT) -> Secret:
            return twin.get(name, version=version)

        def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
            return twin.get_many(names)

        def get_stages(self, name: str) -> dict[str, Secret]:
            return twin.get_stages(name)

    return Twins(**options)


def light_credstash(**options: Any) -> BaseStore:
    return reads_through(CredStashStore(**options), CredStashStore, **options)


def light_secretsmanager(**options: Any) -> BaseStore:
    return reads_through(SecretsManagerStore(**options), SecretsManagerStore, **options)
