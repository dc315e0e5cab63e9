"""How settings are read without boto3: when that is possible, and which of the two it is.

Importing boto3 and making a client takes longer than all requests of a usual fetch. So reads are
sent by a few modules over the standard library, wherever they do exactly what boto3 would do. What
they do not know is left to boto3; `reason` is the only place that decides.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import credentials, endpoints

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What OPTIONS["transport"] may be: the light one where it can, or boto3 always.
AUTO, BOTO3 = "auto", "boto3"

#: What `reason` says if boto3 is not needed.
LIGHT = "light"

# Variables with a say in what boto3 does, in ways that only boto3 knows. A test compares them, and
# those that are served, with the variables that botocore reads.
_OF_BOTO3 = (
    "AWS_ACCOUNT_ID",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE",
    "AWS_AUTH_SCHEME_PREFERENCE",
    "AWS_CA_BUNDLE",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_CSM_ENABLED",
    "AWS_DATA_PATH",
    "AWS_DEFAULTS_MODE",
    "AWS_DEFAULT_PROFILE",
    "AWS_DISABLE_HOST_PREFIX_INJECTION",
    "AWS_ENDPOINT_DISCOVERY_ENABLED",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_MAX_ATTEMPTS",
    "AWS_PROFILE",
    "AWS_RETRY_MODE",
    "AWS_ROLE_ARN",
    "AWS_SECURITY_TOKEN",
    "AWS_SIGV4A_SIGNING_REGION_SET",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BOTOCORE_EXPERIMENTAL__PLUGINS",
    "BOTO_CONFIG",
    "REQUESTS_CA_BUNDLE",
)
_PROXIES = ("http_proxy", "https_proxy")
# A file of AWS's configuration is read by boto3 if it is there; the variable names another one.
_FILES = (
    ("AWS_CONFIG_FILE", "~/.aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ("", "~/.aws/models"),
    ("", "~/.boto"),
    ("", "/etc/boto.cfg"),
)


def reason(
    regions: Mapping[str, str | None],
    *,
    profile_name: str | None,
    endpoint_url: str | None,
    transport: str = AUTO,
) -> str:
    """Decide what a store's reads go through. Nothing is sent.

    Args:
        regions: the services to ask, each with its region (None: the default region).
        profile_name, endpoint_url, transport: the OPTIONS of the store.

    Returns:
        `LIGHT`, or why it is boto3.
    """
    if transport == BOTO3:
        return 'OPTIONS["transport"] is "boto3"'
    if profile_name is not None:
        return 'OPTIONS["profile_name"] is set'
    return (
        _surroundings()
        or credentials.why_not(os.environ)
        or endpoints.why_not(regions, endpoint_url, os.environ)
        or LIGHT
    )


def is_mocked() -> bool:
    """Whether moto answers boto3 in this process, by ``mock_aws``; it answers nobody else."""
    stubber = getattr(sys.modules.get("moto.core.models"), "botocore_stubber", None)
    return bool(getattr(stubber, "enabled", False))


def _surroundings() -> str:
    if is_mocked():
        return "moto answers boto3 in this process"
    if sys.platform in ("win32", "darwin"):
        return "proxies and certificates are the system's own business here"
    for name in os.environ:
        if name in _OF_BOTO3 or name.lower() in _PROXIES or name.startswith("AWS_BEARER_TOKEN_"):
            return f"{name} is set"
    for variable, usual in _FILES:
        path = os.environ.get(variable, usual)
        full = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111 - pathlib costs more
        if os.path.exists(full):  # noqa: PTH110
            return f"{path} exists"
    return ""
