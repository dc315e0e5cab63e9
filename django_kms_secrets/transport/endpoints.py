"""Where the services are, and whose certificates they are known by."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

# The partitions whose endpoints are named alike. A test compares them with botocore's rules.
_SUFFIXES = {
    **dict.fromkeys(("us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"), "amazonaws.com"),
    "us-gov": "amazonaws.com",
    "cn": "amazonaws.com.cn",
}
_VARIABLES = {
    "dynamodb": "AWS_ENDPOINT_URL_DYNAMODB",
    "kms": "AWS_ENDPOINT_URL_KMS",
    "secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER",
}
_HEX = set("0123456789abcdef")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_URL = rf"(https?)://({_LABEL}(\.{_LABEL})*)(?P<port>:[0-9]{{1,5}})?/?"


def region_of(region: str | None, environ: Mapping[str, str]) -> str:
    """The region, by boto3's rules; "" if none is known.

    boto3 does not read AWS_REGION.
    """
    return region or environ.get("AWS_DEFAULT_REGION", "")


def endpoint_of(
    service: str, region: str, endpoint_url: str | None, environ: Mapping[str, str]
) -> str:
    """The URL of a service; "" if only boto3 knows.

    Args:
        service: boto3's name of it.
        region: its region.
        endpoint_url: as the OPTIONS have it, or None.
        environ: the environment.
    """
    suffix = _suffix(region)
    if not suffix or service not in _VARIABLES:
        return ""
    other = endpoint_url or environ.get(_VARIABLES[service]) or environ.get("AWS_ENDPOINT_URL")
    if other:
        return other if _is_plain(other) else ""
    return f"https://{service}.{region}.{suffix}"


def _is_plain(url: str) -> bool:
    """Whether it is a scheme and a host, and a port that is not the scheme's own."""
    match = re.fullmatch(_PLAIN_URL, url)
    if not match:
        return False
    # botocore leaves the scheme's own port out of the Host that it signs.
    port, own = int((match["port"] or ":1")[1:]), {"http": 80, "https": 443}[match[1]]
    return 0 < port < 65536 and port != own


def _suffix(region: str) -> str:
    """What the names of the endpoints in a region end with: area-name-number, such as eu-west-1."""
    rest, _, number = region.rpartition("-")
    area, _, name = rest.rpartition("-")
    usual = region.isascii() and name.isalnum() and number.isdecimal()
    return _SUFFIXES.get(area, "") if usual else ""


def why_not(
    regions: Mapping[str, str | None], endpoint_url: str | None, environ: Mapping[str, str]
) -> str:
    """Why only boto3 can find the services; "" if they can be found here."""
    for service, named in regions.items():
        region = region_of(named, environ)
        if not region:
            return "no region is set"
        url = endpoint_of(service, region, endpoint_url, environ)
        if not url:
            return f"the endpoint of {service} in {region} is not a usual one"
        if url.startswith("https:") and not _authorities(environ):
            return "the system has no CA certificates"
    return ""


def tls(environ: Mapping[str, str]) -> SSLContext:
    """What checks the certificates of servers, by the authorities that the system trusts."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**_authorities(environ))
    return context


def _authorities(environ: Mapping[str, str]) -> dict[str, str]:
    """The CA certificates of OpenSSL's defaults: a file if it is asked for, a directory, a file.

    A directory is looked into for the one certificate that is needed. A file is parsed whole, some
    20 ms for what a system trusts, so one is taken beside a directory only if SSL_CERT_FILE is set.
    """
    import ssl

    usual = ssl.get_default_verify_paths()
    directories = environ.get(usual.openssl_capath_env) or usual.openssl_capath
    file = environ.get(usual.openssl_cafile_env, "")
    found = {}
    if any(_is_hashed(directory) for directory in directories.split(os.pathsep)):
        found["capath"] = directories
    elif not file:
        file = usual.openssl_cafile
    if os.path.isfile(file):  # noqa: PTH113 - pathlib costs more
        found["cafile"] = file
    return found


def _is_hashed(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            # OpenSSL finds a certificate by the hash of its subject: 8 digits, a dot, a number.
            return any(
                len(stem) == 8 and not set(stem) - _HEX and number.isdecimal()
                for stem, _, number in (entry.name.partition(".") for entry in entries)
            )
    except OSError:
        return False
