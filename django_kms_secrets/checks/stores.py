"""Whether the stores that the settings read are right, and right for where they are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from ..backends.capabilities import AWSStore
from ..conf import configured_source
from ..config import read_config
from ..exceptions import SecretsError
from ..loader import in_use, served
from ..offline import VARIABLE, is_offline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..backends.base import BaseStore

#: Where boto3 takes an endpoint from, beside the OPTIONS.
_ENDPOINTS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
)

#: What the names of AWS's own endpoints end in, in every partition.
AWS_SUFFIXES = (
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "api.aws.ic.gov",
    "sc2s.sgov.gov",
    "api.aws.scloud",
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
)


def stores() -> list[tuple[BaseStore, Sequence[str] | None]]:
    """What is read, and which names of it: by every `Secrets` that lives, and by KMS_SECRETS.

    None at all where KMS_SECRETS is not valid, which `check_configuration` says.
    """
    try:
        return _stores()
    except SecretsError:
        return []


def _stores() -> list[tuple[BaseStore, Sequence[str] | None]]:
    configs = in_use()
    source = configured_source()
    if source is not None and (configured := read_config(source)) not in configs:
        configs.append(configured)
    return [(config.make_store(), config.names) for config in configs]


def check_configuration(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E001: the configuration in ``settings.KMS_SECRETS`` is not valid; what stores find always."""
    try:
        return [message for store, _ in _stores() for message in store.check()]
    except SecretsError as exc:
        return [Error(exc.message, hint=exc.hint, obj="KMS_SECRETS", id="kms_secrets.E001")]


def check_online(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E002, under ``--deploy``: the settings were imported in offline mode."""
    if not is_offline():
        return []
    return [
        Error(
            "the settings were imported in offline mode: every secret is empty",
            hint=f"unset {VARIABLE}; it is for image builds and the secrets command",
            id="kms_secrets.E002",
        )
    ]


def check_deployment(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Under ``--deploy``, where DEBUG is off: what stores find unfit for a server."""
    if settings.DEBUG:
        return []
    return [message for store, _ in stores() for message in store.check_deployment()]


def check_names(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W004, under ``--deploy``: everything in a store in AWS is fetched, a request for each part.

    A document is one value, which is fetched whole whatever NAMES say.
    """
    return [
        Warning(
            f"everything in {store.place} is fetched: the configuration has no NAMES",
            hint='list what the settings read in "NAMES": it takes no permission to list, and a '
            "name that is missing is found at the first read",
            id="kms_secrets.W004",
        )
        for store, names in stores()
        if names is None and isinstance(store, AWSStore) and not _is_document(store)
    ]


def _is_document(store: AWSStore) -> bool:
    return any(getattr(store, option, "") for option in ("secret_id", "document"))


def check_debug(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W008: DEBUG is on, and secrets come from AWS itself."""
    if not settings.DEBUG:
        return []
    return [
        Warning(
            f"DEBUG is on, and secrets come from {store.place}",
            hint="develop with a file, or with an emulator of AWS in endpoint_url; on a "
            "server, DEBUG = False",
            id="kms_secrets.W008",
        )
        for store, _ in stores()
        if isinstance(store, AWSStore) and not _is_elsewhere(store)
    ]


def _is_elsewhere(store: AWSStore) -> bool:
    """Whether requests go to something else than AWS, as far as the environment tells."""
    given = [store.endpoint_url or "", *(os.environ.get(name, "") for name in _ENDPOINTS)]
    urls = given[:1] if given[0] else list(filter(None, given))
    return bool(urls) and not any(map(_may_be_aws, urls))


def _may_be_aws(url: str) -> bool:
    """Whether an endpoint is AWS's own, which one in a VPC is too, or cannot be read."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return True
    return not host or host.endswith(tuple(f".{suffix}" for suffix in AWS_SUFFIXES))


def check_outage(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W009: a store was out, and its last known good copy is in use."""
    return [
        Warning(
            f"the secrets of {place} are from the last known good copy of "
            f"{age / 60:.0f} minutes ago",
            hint="`secrets doctor` says what is wrong with the store; restart when it is back",
            id="kms_secrets.W009",
        )
        for place, age in served()
    ]
