"""Credentials of a container's role: asked for, and found or not, as boto3 does."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import pytest
from packaging.version import Version

from django_kms_secrets import AccessDenied, SecretsError, StoreUnavailable, transport
from django_kms_secrets.aws import open_readers, open_services
from django_kms_secrets.deadline import Timeouts
from django_kms_secrets.transport import client, credentials

from ..server.scripted import ScriptedServer, reply
from ..server.silent import closed_port

if TYPE_CHECKING:
    from collections.abc import Callable

REGIONS = {"kms": "us-east-1"}
OPTIONS: dict[str, Any] = {
    "profile_name": None,
    "endpoint_url": "http://127.0.0.1:4566",
    "timeouts": Timeouts(overall=60),
}
GOOD = {
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "planted-key",
    "Token": "planted-token",
    "Expiration": "2099-01-01T00:00:00Z",
    "RoleArn": "arn:aws:iam::123456789012:role/task",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nobody waits between attempts."""
    monkeypatch.setattr(client, "_AGENT_PAUSE", 0)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)


def script(*replies: bytes) -> Callable[..., Any]:
    """Gives the replies one after another, to each transport anew."""
    asked = iter(range(1000))
    return lambda connection: connection.sendall(replies[next(asked) % len(replies)]) or True


def ours() -> tuple[str, str, str | None]:
    (service,) = open_readers(REGIONS, transport="auto", **OPTIONS)
    assert type(service).__name__ == "LightService"
    found = service.client._credentials
    service.close()
    return str(found.access_key), str(found.secret_key), str(found.token)


def theirs() -> tuple[str, str, str | None]:
    found = boto3.session.Session().get_credentials().get_frozen_credentials()
    return found.access_key, found.secret_key, found.token


def lines(head: str) -> set[str]:
    """The lines of a request that matter."""
    kept = ("get ", "accept:", "authorization:", "host:")
    return {line.lower() for line in head.splitlines() if line.lower().startswith(kept)}


@pytest.mark.parametrize("uri", ["", "/", "/v2/credentials/uuid", "/v2/x?a=b&c=%20"])
@pytest.mark.parametrize("how", ["no token", "token", "file", "both"])
def test_the_agent_is_asked_as_boto3_asks_it(uri, how, set_environment, tmp_path):
    file = tmp_path / "token"
    file.write_text("from the file")
    set_environment(
        AWS_CONTAINER_AUTHORIZATION_TOKEN="in the variable" if how in ("token", "both") else None,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file) if how in ("file", "both") else None,
    )
    with ScriptedServer(script(reply(json.dumps(GOOD).encode()))) as agent:
        set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.endpoint + uri)
        assert ours() == theirs() == ("ASIAEXAMPLE", "planted-key", "planted-token")
    (mine, _), (other, _) = agent.requests
    assert lines(mine) == lines(other)


def test_a_relative_uri_comes_before_a_full_one(set_environment, monkeypatch):
    with ScriptedServer(script(reply(json.dumps(GOOD).encode()))) as agent:
        monkeypatch.setattr(credentials, "_ECS", agent.endpoint)
        set_environment(
            AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/uuid",
            AWS_CONTAINER_CREDENTIALS_FULL_URI=closed_port(),
        )
        assert ours()[0] == "ASIAEXAMPLE"
    assert agent.requests[0][0].startswith("GET /v2/uuid ")


def test_a_relative_uri_is_of_the_address_that_botocore_knows():
    from botocore.utils import ContainerMetadataFetcher

    url = credentials.container_url({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/uuid"})
    assert url == ContainerMetadataFetcher().full_url("/v2/uuid")


def test_keys_in_the_environment_come_first(set_environment):
    set_environment(
        AWS_ACCESS_KEY_ID="A",
        AWS_SECRET_ACCESS_KEY="B",
        AWS_CONTAINER_CREDENTIALS_FULL_URI=closed_port(),
    )
    assert ours() == ("A", "B", "")
    assert theirs() == ("A", "B", None)


@pytest.mark.parametrize(
    "bad, error",
    [
        (reply(b"", 500), StoreUnavailable),
        (reply(b"", 429), StoreUnavailable),
        (b"", StoreUnavailable),
        (reply(b"not yet", 404), AccessDenied),
        (reply(b"Received non 200 response 500 ", 403), AccessDenied),
        (reply(b"", 302, "Location: /elsewhere"), AccessDenied),
        (reply(b"{"), AccessDenied),
        (reply(json.dumps(GOOD).encode(), 201), AccessDenied),
    ],
    ids=[
        *("fault", "throttling", "cut off", "missing", "refusal", "redirection", "no JSON"),
        "another success",
    ],
)
def test_a_failure_is_borne_twice_and_then_an_error(bad, error, set_environment):
    """An agent that is out is an outage; one that gives no credentials denies them."""
    good = reply(json.dumps(GOOD).encode())
    with ScriptedServer(script(bad, bad, good)) as agent:
        set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.endpoint)
        assert ours() == theirs()
    with ScriptedServer(script(bad)) as agent:
        set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.endpoint)
        assert_the_same_error(error)
    assert len(agent.requests) == 6


def test_an_agent_that_is_not_there_is_the_same_error(set_environment):
    set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=closed_port())
    assert_the_same_error(StoreUnavailable)


def test_a_token_file_that_is_not_there_is_the_same_error(set_environment, tmp_path):
    set_environment(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=closed_port(),
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "none"),
    )
    assert_the_same_error(AccessDenied)


def assert_the_same_error(kind: type[SecretsError]) -> None:
    with pytest.raises(kind) as mine:
        open_readers(REGIONS, transport="auto", **OPTIONS)
    with pytest.raises(kind) as other:
        open_services(REGIONS, **OPTIONS)
    assert (mine.value.message, mine.value.hint) == (other.value.message, other.value.hint)
    assert mine.value.__context__ is None


def test_credentials_of_no_session_have_no_token(set_environment):
    with ScriptedServer(script(reply(json.dumps({**GOOD, "Token": None}).encode()))) as agent:
        set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.endpoint)
        assert ours()[2] == ""
        assert theirs()[2] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"AccessKeyId": "A"},
        {**GOOD, "SecretAccessKey": 7},
        {**GOOD, "Token": "planted\r\nX-Header: x"},
    ],
    ids=str,
)
def test_a_reply_that_is_no_credentials_is_an_error(body, set_environment):
    """boto3 lets a KeyError through, or signs with what it got."""
    with ScriptedServer(script(reply(json.dumps(body).encode()))) as agent:
        set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.endpoint)
        with pytest.raises(AccessDenied) as caught:
            open_readers(REGIONS, transport="auto", **OPTIONS)
    assert caught.value.message == (
        "the AWS credentials could not be fetched (CredentialRetrievalError)"
    )


@pytest.mark.parametrize("token", ["two\nlines", "ends\r", "ümlaut"])
def test_a_token_that_fits_into_no_header_is_an_error_without_it(token, set_environment):
    set_environment(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=closed_port(), AWS_CONTAINER_AUTHORIZATION_TOKEN=token
    )
    with pytest.raises(AccessDenied) as caught:
        open_readers(REGIONS, transport="auto", **OPTIONS)
    assert caught.value.message == "the AWS credentials could not be fetched (ValueError)"


HOSTS = {
    "http://169.254.170.2/x": True,
    "http://169.254.170.23/x": True,
    "http://[fd00:ec2::23]/x": True,
    "http://localhost:8080/x": True,
    "http://127.0.0.1/x": True,
    "http://127.9.9.9/x": True,
    "http://[::1]/x": True,
    "https://agent.example/x": True,
    "http://agent.example/x": False,
    "http://169.254.169.254/x": False,
    "http://localhost.example/x": False,
    "http://10.0.0.1/x": False,
}


@pytest.mark.parametrize("url", HOSTS)
def test_an_agent_may_be_where_botocore_lets_it_be(url, set_environment):
    from botocore.utils import ContainerMetadataFetcher

    def known() -> bool:
        try:
            ContainerMetadataFetcher()._validate_allowed_url(url)
        except ValueError:
            return False
        return True

    variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=url)
    reason = credentials.why_not(os.environ)
    assert (reason == "") is HOSTS[url]
    # https, anywhere, since botocore 1.43: what it did not know before is no harm.
    if not url.startswith("https:") or Version(botocore.__version__) >= Version("1.43"):
        assert known() is HOSTS[url]
    assert reason in ("", f"{variable} is no URL of a container's agent")


@pytest.mark.parametrize(
    "url", ["", "agent", "ftp://localhost/x", "http://", "http://[", "http://localhost/a b"]
)
def test_what_is_no_url_is_left_to_boto3(url, set_environment):
    set_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=url)
    found = transport.reason(REGIONS, profile_name=None, endpoint_url=None)
    assert found == "AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL of a container's agent"


def test_an_agent_may_be_asked_over_tls(set_environment, certificates):
    good = script(reply(json.dumps(GOOD).encode()))
    with ScriptedServer(good, certificates.server) as agent:
        set_environment(
            AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.endpoint,
            SSL_CERT_DIR=str(certificates.directory),
        )
        assert ours()[0] == "ASIAEXAMPLE"
        set_environment(SSL_CERT_DIR=None)
        with pytest.raises(AccessDenied):
            ours()
