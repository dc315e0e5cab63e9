"""Whose account it is: what boto3 knows without asking, and what AWS says when it is asked."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aws import Deadline, Service, open_services, run_all
from .exceptions import StoreNotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .backends.base import AWSStore


def default_region(profile_name: str | None) -> str:
    """The region of whoever names none: of the environment or the profile. Nothing is sent.

    Raises:
        StoreNotReady: there is none, or no such profile.
    """
    region = _session(profile_name).region_name
    if not region:
        raise StoreNotReady(
            "no AWS region is known",
            hint='set OPTIONS["region_name"], or AWS_DEFAULT_REGION, or a region in the profile',
        )
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


def caller(store: AWSStore) -> dict[str, Any]:
    """Whose the credentials are, by STS: Account and Arn."""
    return ask(store, "sts", "GetCallerIdentity", store.region_name)


def describe_key(store: AWSStore, key_id: str, region: str | None) -> dict[str, Any]:
    """What KMS knows of a key: Arn, KeyState and more."""
    reply = ask(store, "kms", "DescribeKey", region or store.region_name, KeyId=key_id)
    return dict(reply["KeyMetadata"])


def ask(
    store: AWSStore, service: str, operation: str, region: str | None, **parameters: Any
) -> dict[str, Any]:
    """One request to another service than the store's, within the store's deadline."""
    (opened,) = open_services(
        {service: region},
        profile_name=store.profile_name,
        endpoint_url=store.endpoint_url,
        timeouts=store.timeouts,
    )
    try:
        return _send([opened], store, partial(opened.call, operation, **parameters))
    finally:
        opened.client.close()


def _send(services: Sequence[Service], store: AWSStore, task: Any) -> dict[str, Any]:
    deadline = Deadline(store.timeouts.overall)
    return dict(run_all([task], deadline=deadline, services=services)[0])


def _session(profile_name: str | None) -> Any:
    from botocore.exceptions import BotoCoreError

    boto3 = import_module("boto3")
    try:
        return boto3.session.Session(profile_name=profile_name)
    except BotoCoreError as exc:
        kind = type(exc).__name__
    raise StoreNotReady(
        f"the AWS configuration cannot be used ({kind})",
        hint="check profile_name, AWS_PROFILE, ~/.aws/config and the AWS_* variables",
    )
