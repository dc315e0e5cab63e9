"""Whose account it is: what boto3 knows without asking, and what AWS says when it is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .aws import (
    CREDENTIALS_HINT,
    SOURCE_ERRORS,
    Service,
    no_credentials,
    no_region,
    not_configured,
    open_services,
)
from .deadline import Deadline, run_all
from .exceptions import AccessDenied, SecretsError, StoreNotReady
from .transport import reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .aws import Refusals
    from .backends.capabilities import AWSStore


def default_region(profile_name: str | None) -> str:
    """The region of whoever names none: of the environment or the profile. Nothing is sent.

    Raises:
        StoreNotReady: there is none, or no such profile.
    """
    region = _session(profile_name).region_name
    if not region:
        raise no_region()
    return str(region)


def partition_of(region: str, profile_name: str | None) -> str:
    """The partition of a region, such as aws or aws-cn. Nothing is sent.

    Raises:
        StoreNotReady: botocore does not know the region.
    """
    from botocore.exceptions import BotoCoreError

    session = _session(profile_name)
    try:
        return str(session.get_partition_for_region(region))
    except BotoCoreError:
        pass
    raise StoreNotReady(
        f"{region} is no region that botocore knows", hint="check region_name, or update botocore"
    )


def caller(store: AWSStore) -> tuple[dict[str, Any], float | None]:
    """Whose the credentials are (Account, Arn), and how far the clock of STS is ahead of ours."""
    return _ask(store, "sts", "GetCallerIdentity", store.region_name)


def describe_key(store: AWSStore, key_id: str, region: str | None) -> dict[str, Any]:
    """What KMS knows of a key: Arn, KeyState and more.

    Raises:
        StoreNotReady: there is no such key.
    """
    missing = StoreNotReady(
        f"there is no KMS key {key_id} in {region or store.region_name or 'the default region'}",
        hint="check key_id and the region; for CredStash `secrets setup --create-key` creates it",
    )
    reply, _ = _ask(
        store,
        "kms",
        "DescribeKey",
        region or store.region_name,
        {"NotFoundException": lambda _: missing},
        KeyId=key_id,
    )
    key: dict[str, Any] = reply["KeyMetadata"]
    return key


def _ask(
    store: AWSStore,
    name: str,
    operation: str,
    region: str | None,
    refusals: Refusals | None = None,
    **parameters: Any,
) -> tuple[dict[str, Any], float | None]:
    """One request to another service than the store's, within the store's deadline."""
    (service,) = open_services(
        {name: region},
        profile_name=store.profile_name,
        endpoint_url=store.endpoint_url,
        timeouts=store.timeouts,
    )
    try:
        (reply,) = run_all(
            [partial(service.call, operation, refusals, **parameters)],
            deadline=Deadline(store.timeouts.overall),
            services=[service],
        )
    finally:
        service.client.close()
    return reply, service.clock


def _session(profile_name: str | None) -> Any:
    from botocore.exceptions import BotoCoreError

    boto3 = import_module("boto3")
    try:
        return boto3.session.Session(profile_name=profile_name)
    except BotoCoreError as exc:
        error = not_configured(exc)
    raise error


@dataclass(frozen=True)
class Credentials:
    """Where credentials come from, without them.

    Attributes:
        source: botocore's name of it, in words where we have some.
        expires: when; None if they do not.
    """

    source: str
    expires: datetime | None


_SOURCES = {
    "env": "the environment",
    "shared-credentials-file": "the AWS credentials file",
    "config-file": "the AWS configuration file",
    "iam-role": "the instance profile",
    "container-role": "the container's role",
    "custom-process": "a credential_process",
}


def credentials(store: AWSStore) -> Credentials:
    """Fetch the credentials, wherever they come from, within the store's deadline.

    Raises:
        AccessDenied: there are none, or their source fails.
        StoreUnavailable: it does not answer.
        StoreNotReady: the AWS configuration cannot be used.
    """
    session = _session(store.profile_name)
    deadline = Deadline(store.timeouts.overall)
    return run_all([lambda: _credentials(session)], deadline=deadline, services=())[0]


def _credentials(session: Any) -> Credentials:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = session.get_credentials()
        if found is not None:
            found.get_frozen_credentials()
            method = found.method or "unknown"
            return Credentials(_SOURCES.get(method, method), getattr(found, "_expiry_time", None))
        error: SecretsError = AccessDenied("there are no AWS credentials", hint=CREDENTIALS_HINT)
    except (BotoCoreError, ClientError, *SOURCE_ERRORS) as exc:
        error = no_credentials(exc)
    raise error


def transport_of(store: AWSStore) -> str:
    """What settings are read through: `transport.LIGHT`, or why it is boto3. Nothing is sent."""
    return reason(
        store.regions,
        profile_name=store.profile_name,
        endpoint_url=store.endpoint_url,
        transport=store.transport,
    )


def override_of(store: AWSStore, service: Service) -> str:
    """What sends a service's requests elsewhere than to AWS's own endpoint; "" for nothing."""
    meta = service.client.meta
    if store.endpoint_url:
        return 'OPTIONS["endpoint_url"]'
    suffix = meta.service_model.service_id.hyphenize().replace("-", "_").upper()
    for variable in (f"AWS_ENDPOINT_URL_{suffix}", "AWS_ENDPOINT_URL"):
        if os.environ.get(variable) == meta.endpoint_url:
            return variable
    host = urlsplit(meta.endpoint_url).hostname or ""
    own = host.endswith(tuple(f".{suffix}" for suffix in _suffixes()))
    return "" if own else "the AWS configuration file"


def _suffixes() -> Iterator[str]:
    """What the names of AWS's own endpoints end in, by botocore's list of the partitions."""
    from botocore.session import get_session

    for partition in get_session().get_data("partitions")["partitions"]:
        outputs = partition["outputs"]
        yield from (outputs["dnsSuffix"], outputs["dualStackDnsSuffix"])
