"""The credentials that need no boto3: of the environment, and of a container's role."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ..types import SecretStr

if TYPE_CHECKING:
    from collections.abc import Mapping

_RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_AUTHORIZATION = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
_AUTHORIZATION_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

#: Where the container's agent is, for a relative URI; and where it may be without TLS, beside
#: loopback addresses.
#: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
_ECS = "http://169.254.170.2"
_HOSTS = {"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost"}


class Credentials(NamedTuple):
    """What requests are signed with.

    Attributes:
        access_key: the id of the access key.
        secret_key: its secret.
        token: of a session; "" for none.
    """

    access_key: str
    secret_key: SecretStr
    token: SecretStr


def why_not(environ: Mapping[str, str]) -> str:
    """Why only boto3 has the credentials; "" if they can be had here."""
    if environ.get("AWS_ACCESS_KEY_ID"):
        if not environ.get("AWS_SECRET_ACCESS_KEY"):
            return "AWS_SECRET_ACCESS_KEY is missing"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            if not _fits_a_header(environ.get(name, "")):
                return f"{name} does not fit into a header"
        return ""
    if _RELATIVE not in environ and _FULL not in environ:
        return "the credentials are neither in the environment nor a container's"
    if not _is_allowed(container_url(environ)):
        return f"{_RELATIVE if _RELATIVE in environ else _FULL} is no URL of a container's agent"
    return ""


def from_environment(environ: Mapping[str, str]) -> Credentials | None:
    """The credentials of the environment, if it has some."""
    if not environ.get("AWS_ACCESS_KEY_ID"):
        return None
    return Credentials(
        environ["AWS_ACCESS_KEY_ID"],
        SecretStr(environ["AWS_SECRET_ACCESS_KEY"]),
        SecretStr(environ.get("AWS_SESSION_TOKEN", "")),
    )


def container_url(environ: Mapping[str, str]) -> str:
    """Whom to ask for the credentials of the container's role."""
    return _ECS + environ[_RELATIVE] if _RELATIVE in environ else environ[_FULL]


def container_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """How to ask.

    Raises:
        OSError: the token is in a file that cannot be read.
        ValueError: it cannot be a header.
    """
    token = environ.get(_AUTHORIZATION)
    if _AUTHORIZATION_FILE in environ:
        with open(environ[_AUTHORIZATION_FILE], encoding="utf-8") as file:  # noqa: PTH123
            token = file.read()
    if token is None:
        return {"Accept": "application/json"}
    if not _fits_a_header(token):
        raise ValueError("the token does not fit into a header")
    return {"Accept": "application/json", "Authorization": SecretStr(token)}


def from_reply(reply: object) -> Credentials | None:
    """The credentials in the reply of a container's agent; None if it has none."""
    if not isinstance(reply, dict):
        return None
    # A token may be null, of credentials that are no session's.
    token = "" if "Token" in reply and reply["Token"] is None else reply.get("Token")
    parts = [reply.get("AccessKeyId"), reply.get("SecretAccessKey"), token]
    if not all(isinstance(part, str) and _fits_a_header(part) for part in parts):
        return None
    access_key, secret_key, token = parts
    return Credentials(str(access_key), SecretStr(secret_key), SecretStr(token))


def _is_allowed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or not _fits_a_header(url) or " " in url:
        return False
    if parts.scheme == "https":
        return True
    return parts.scheme == "http" and (host in _HOSTS or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
