"""Every way in which AWS cannot be asked: its own error, its text, its hint, and no value in it."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest

from django_kms_secrets import deadline
from django_kms_secrets.backends.base import ABSENT
from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.file import FileStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.config import read_config
from django_kms_secrets.deadline import Timeouts
from django_kms_secrets.exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    VersionConflict,
)
from django_kms_secrets.types import SecretStr

from ..server.silent import SilentServer, closed_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django_kms_secrets.backends.base import BaseStore

    from ..server.embedded import Refusal

PLANTED = "planted-value"
#: A class, the options that choose what it keeps, and its first request for all secrets.
REMOTE = {
    "credstash": (CredStashStore, {}, "Scan", "DynamoDB"),
    "document": (
        SecretsManagerStore,
        {"secret_id": "notes/production"},
        "GetSecretValue",
        "Secrets Manager",
    ),
    "names": (SecretsManagerStore, {"prefix": "notes/"}, "ListSecrets", "Secrets Manager"),
}


class Remote:
    """A store of AWS with options of the test's choice."""

    def __init__(self, name: str) -> None:
        self.store_class, self._options, self.operation, self.service = REMOTE[name]

    def __call__(self, **options: Any) -> BaseStore:
        return self.store_class(**self._options, **options)

    @property
    def permission(self) -> str:
        return f"{self.service.replace(' ', '').lower()}:{self.operation}"

    def filled(self) -> None:
        """Put a value into it."""
        with self() as store:
            store.setup()
            if isinstance(store, KeyedStore):
                store.setup_key()
            store.put_many({"A": PLANTED, "B": PLANTED, "C": PLANTED})


@pytest.fixture(params=REMOTE)
def remote(request: pytest.FixtureRequest) -> Remote:
    return Remote(request.param)


def refusing(*operations: str, code: str, status: int = 400) -> Any:
    """A fault of some operations; of all, if none is given."""

    def fault(operation: str, _: object) -> Refusal | None:
        return (status, code) if not operations or operation in operations else None

    return fault


def bare(exc: SecretsError) -> SecretsError:
    """Check that an error shows nothing but itself, and give it back."""
    assert exc.__context__ is None
    assert exc.__cause__ is None
    report = traceback.TracebackException.from_exception(exc, capture_locals=True)
    text = "".join(report.format())
    assert PLANTED not in text
    # The data keys of the embedded AWS are random: what is looked for are their types.
    assert "Plaintext': b" not in text
    return exc


# Configuration


def test_no_region_is_an_error_in_opening(remote, aws, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(StoreNotReady) as caught:
        remote().open()
    assert caught.value.message == "no AWS region is known"
    assert caught.value.hint == (
        'set OPTIONS["region_name"], or AWS_DEFAULT_REGION, or a region in the profile'
    )
    bare(caught.value)


@pytest.mark.parametrize("variable", [None, "AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_that_is_not_there_is_an_error_in_opening(remote, aws, monkeypatch, variable):
    if variable:
        monkeypatch.setenv(variable, "nobody")
    with pytest.raises(StoreNotReady) as caught:
        remote(profile_name=None if variable else "nobody").open()
    assert caught.value.message == "there is no AWS profile 'nobody'"
    assert "profile_name and AWS_PROFILE" in caught.value.hint
    bare(caught.value)


def test_a_profile_is_read_from_the_configuration_of_aws(remote, aws, monkeypatch, tmp_path):
    remote.filled()
    config = tmp_path / "config"
    config.write_text(
        "[profile notes]\nregion = ap-northeast-2\n"
        "aws_access_key_id = AKIAEMBEDDED\naws_secret_access_key = embedded\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable)
    with remote(profile_name="notes") as store:
        assert len(store.get_many(None)) == 3


def test_a_broken_configuration_of_aws_is_an_error_in_opening(remote, aws, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text(PLANTED)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(StoreNotReady) as caught:
        remote().open()
    assert caught.value.message == "the AWS configuration cannot be used (ConfigParseError)"
    assert caught.value.hint == "check ~/.aws/config and the AWS_* variables"
    bare(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "localhost:8000", "http://", "://x"])
def test_an_endpoint_that_is_no_url_is_an_error_in_opening(remote, aws, url):
    with pytest.raises(SecretsError) as caught:
        remote(endpoint_url=url).open()
    assert caught.value.message == f"endpoint_url {url!r} is not a URL"
    assert caught.value.hint == "write it as http://host:port, or leave it out"
    bare(caught.value)


@pytest.mark.parametrize("option", ["timeout", "connect_timeout", "read_timeout"])
@pytest.mark.parametrize("value", [0, -1, "x", "", None, "nan", "inf", float("inf"), 1e12, [1]])
def test_a_timeout_that_is_no_positive_number_is_an_error(remote, option, value):
    with pytest.raises(SecretsError) as caught:
        remote(**{option: value})
    assert caught.value.message == f"{option} {value!r} is not a number of seconds"
    assert caught.value.hint == "give a number above 0, and at most 86400"
    bare(caught.value)


def test_timeouts_may_be_text_as_in_a_url_and_are_ten_seconds_in_all_by_default(remote):
    assert remote(timeout="2.5", read_timeout="1").timeouts == Timeouts(2.5, 2.0, 1.0)
    assert remote().timeouts == Timeouts(overall=10.0, connect=2.0, read=5.0)


@pytest.mark.parametrize(
    "store_class", [CredStashStore, SecretsManagerStore, FileStore, LocMemStore]
)
def test_an_unknown_option_is_an_error_that_lists_the_known_ones(store_class):
    options = {
        "BACKEND": f"{store_class.__module__}.{store_class.__qualname__}",
        "OPTIONS": {"regoin_name": "ap-northeast-2"},
    }
    with pytest.raises(SecretsError) as caught:
        read_config(options).make_store()
    assert caught.value.message == f"'regoin_name' is not an option of {store_class.__name__}"
    if store_class in (CredStashStore, SecretsManagerStore):
        assert caught.value.hint.startswith("did you mean region_name? known: ")
        for option in ("region_name", "profile_name", "endpoint_url", "timeout"):
            assert option in caught.value.hint.split("known: ")[1]
    else:
        assert caught.value.hint in {"known: path", "known: name"}


def test_an_endpoint_in_the_environment_that_is_no_url_is_an_error(remote, aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(SecretsError) as caught:
        remote().open()
    assert caught.value.message == "an AWS_ENDPOINT_URL variable is not a URL"
    bare(caught.value)


# Credentials


def test_no_credentials_are_an_error_that_says_where_they_may_come_from(remote, aws, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with remote() as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"no AWS credentials for {remote.operation} of {remote.service}"
    )
    assert caught.value.hint == (
        "give the process a role (ECS task role, instance profile), or set AWS_PROFILE, or set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    bare(caught.value)


def test_half_of_the_credentials_are_an_error(remote, aws, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied) as caught:
        remote().open()
    assert caught.value.message == (
        "the AWS credentials could not be fetched (PartialCredentialsError)"
    )
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in caught.value.hint
    bare(caught.value)


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets where credentials come from: a container's endpoint, as ECS and EKS have it."""

    def use(endpoint: str) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint)
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)

    return use


def test_a_source_of_credentials_that_is_out_is_an_outage_in_opening(remote, aws, container):
    container(closed_port())
    with pytest.raises(StoreUnavailable) as caught:
        remote().open()
    assert caught.value.message == (
        "the AWS credentials could not be fetched (CredentialRetrievalError): their source is out"
    )
    assert "AWS_CONTAINER_CREDENTIALS_*" in caught.value.hint
    assert caught.value.is_outage
    bare(caught.value)


@pytest.mark.usefixtures("no_threads_left")
def test_credentials_that_do_not_come_are_an_error_at_the_deadline(remote, aws, container):
    with SilentServer() as server:
        container(server.endpoint)
        error, seconds = kept_waiting(remote(timeout=0.3).open)
    assert 0.2 < seconds < BUSY
    assert error.message == "no AWS credentials within 0.3 s"
    assert "AWS_CONTAINER_CREDENTIALS_*" in error.hint
    assert 'OPTIONS["timeout"]' in error.hint
    bare(error)


def test_credentials_of_a_web_identity_without_its_token_are_an_error(
    remote, aws, monkeypatch, tmp_path
):
    """They are fetched with the first request, and not in opening."""
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/site")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with remote() as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"the AWS credentials for {remote.operation} of {remote.service} could not be fetched "
        "(FileNotFoundError)"
    )
    bare(caught.value)


#: botocore's errors of getting credentials.
OF_CREDENTIALS = {
    type(error).__name__: error
    for error in (
        botocore.exceptions.CredentialRetrievalError(provider="x", error_msg=PLANTED),
        botocore.exceptions.MetadataRetrievalError(error_msg=PLANTED),
        botocore.exceptions.RefreshWithMFAUnsupportedError(),
        botocore.exceptions.SSOTokenLoadError(error_msg=PLANTED),
        botocore.exceptions.TokenRetrievalError(provider="x", error_msg=PLANTED),
        botocore.exceptions.UnauthorizedSSOTokenError(),
    )
}

#: What gives no credentials, and how that shows.
PROGRAMS = {
    "FileNotFoundError": "/nowhere/program",
    "JSONDecodeError": f"echo {PLANTED}",
    "CredentialRetrievalError": "false",
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_credentials_of_a_program_that_gives_none_are_an_error(
    remote, aws, monkeypatch, tmp_path, kind
):
    config = tmp_path / "config"
    config.write_text(f"[profile program]\ncredential_process = {PROGRAMS[kind]}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied) as caught:
        remote(profile_name="program").open()
    assert caught.value.message == f"the AWS credentials could not be fetched ({kind})"
    bare(caught.value)


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    """Sets where credentials come from: a profile with these lines."""

    def write(lines: str) -> str:
        config = tmp_path / "config"
        config.write_text(f"[profile site]\n{lines}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        return "site"

    return write


def test_credentials_that_have_expired_when_they_are_fetched_are_an_error(
    remote, aws, profile, tmp_path
):
    """botocore has a bare RuntimeError for them."""
    given = tmp_path / "given.json"
    given.write_text(
        '{"Version": 1, "AccessKeyId": "AKIAEMBEDDED", "SecretAccessKey": "' + PLANTED + '", '
        '"SessionToken": "' + PLANTED + '", "Expiration": "2001-01-01T00:00:00Z"}'
    )
    name = profile(f"credential_process = cat {given}")
    with remote(profile_name=name) as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"the AWS credentials for {remote.operation} of {remote.service} have expired, and their "
        "source gives no newer ones"
    )
    assert "look after the source" in caught.value.hint
    bare(caught.value)


def test_credentials_of_the_environment_that_have_expired_are_an_error(remote, aws, monkeypatch):
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2001-01-01T00:00:00Z")
    with pytest.raises(AccessDenied, match="have expired") as caught, remote() as store:
        store.get_many(None)
    bare(caught.value)


def test_a_sign_in_that_is_over_is_an_error_that_says_how_to_sign_in(remote, aws, profile):
    name = profile(
        "sso_account_id = 123456789012\nsso_role_name = site\nsso_region = eu-west-1\n"
        "sso_start_url = https://example.com/start"
    )
    with remote(profile_name=name) as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"the AWS credentials for {remote.operation} of {remote.service} could not be fetched "
        "(SSOTokenLoadError)"
    )
    assert caught.value.hint == "`aws sso login` signs in again"
    bare(caught.value)


@pytest.mark.parametrize("kind", sorted(OF_CREDENTIALS))
def test_every_error_of_a_source_of_credentials_is_one_of_the_family(
    remote, aws, monkeypatch, kind
):
    """Those that botocore has, raised where it fetches credentials."""

    def fails(*_: object) -> None:
        raise OF_CREDENTIALS[kind]

    with remote() as store:
        monkeypatch.setattr("botocore.credentials.Credentials.get_frozen_credentials", fails)
        with pytest.raises(AccessDenied) as caught:
            store.get_many(None)
    assert caught.value.message == (
        f"the AWS credentials for {remote.operation} of {remote.service} could not be fetched "
        f"({kind})"
    )
    bare(caught.value)


def test_a_role_that_may_not_be_assumed_is_not_taken_for_a_permission_that_is_missing(
    remote, aws, monkeypatch
):
    """AssumeRole is sent in the course of our request; its refusal is about credentials."""

    def fails(*_: object) -> None:
        reply = {"Error": {"Code": "AccessDenied", "Message": PLANTED}}
        raise botocore.exceptions.ClientError(reply, "AssumeRole")

    with remote() as store:
        monkeypatch.setattr("botocore.credentials.Credentials.get_frozen_credentials", fails)
        with pytest.raises(AccessDenied) as caught:
            store.get_many(None)
    assert caught.value.message == (
        f"the AWS credentials for {remote.operation} of {remote.service} could not be fetched "
        "(AssumeRole was refused, AccessDenied)"
    )
    assert "trust policy" in caught.value.hint
    assert caught.value.permission == ""
    bare(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "ExpiredTokenException",
        "ExpiredToken",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "MissingAuthenticationTokenException",
    ],
)
def test_credentials_that_are_not_valid_are_an_error(remote, aws, code):
    aws.faults.append(refusing(code=f"{code}#{PLANTED}"))
    with remote() as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"{remote.operation} was refused by {remote.service} at {aws.endpoint} ({code}): "
        "the credentials are not valid"
    )
    assert "expired" in caught.value.hint
    assert "`aws sts get-caller-identity`" in caught.value.hint
    bare(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    ],
)
@pytest.mark.parametrize("ahead, off", [(10800, "180 min behind"), (-600, "10 min ahead of")])
def test_a_refusal_that_a_wrong_clock_explains_says_so(remote, aws, monkeypatch, code, ahead, off):
    """The credentials are not at fault then."""
    monkeypatch.setattr(
        BaseHTTPRequestHandler, "date_time_string", lambda *_: formatdate(time.time() + ahead)
    )
    aws.faults.append(refusing(code=f"{code}#{PLANTED}", status=403))
    with remote() as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"{remote.operation} was refused by {remote.service} at {aws.endpoint} ({code}): "
        f"this machine's clock is {off} AWS's"
    )
    assert caught.value.hint == "set the clock by NTP (chrony, systemd-timesyncd)"
    bare(caught.value)


@pytest.mark.parametrize("code", ["RequestExpired", "RequestTimeTooSkewed"])
def test_a_request_of_another_time_is_one_though_the_clocks_agree(remote, aws, code):
    """These codes have no other meaning, so the copy of a last known good is not served for it."""
    aws.faults.append(refusing(code=code))
    with remote() as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message.endswith(f"({code}): by AWS's clock the request is of another time")
    assert "NTP" in caught.value.hint


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "RequestExpired"])
def test_a_role_that_a_wrong_clock_cannot_assume_is_said_to_be_that(remote, aws, monkeypatch, code):
    """The role's trust policy is not at fault then."""
    headers = {"date": formatdate(time.time() + 10800)}

    def fails(*_: object) -> None:
        reply = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPHeaders": headers}}
        raise botocore.exceptions.ClientError(reply, "AssumeRole")

    with remote() as store:
        monkeypatch.setattr("botocore.credentials.Credentials.get_frozen_credentials", fails)
        with pytest.raises(AccessDenied) as caught:
            store.get_many(None)
    assert caught.value.message.endswith(
        f"(AssumeRole was refused, {code}): this machine's clock is 180 min behind AWS's"
    )
    assert "NTP" in caught.value.hint
    bare(caught.value)


@pytest.mark.parametrize("code", ["AccessDeniedException", "AccessDenied"])
def test_a_denied_request_is_an_error_with_the_reason_and_the_permission(remote, aws, code):
    reason = f"User: arn:aws:iam::123456789012:user/site is not authorized: {remote.permission}"
    aws.faults.append(refusing(code=f"{code}#{reason}"))
    with remote() as store, pytest.raises(AccessDenied) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"{remote.operation} was refused by {remote.service} at {aws.endpoint} ({code}): {reason}"
    )
    assert caught.value.hint == f"allow {remote.permission} to this role or user"
    bare(caught.value)


def test_denied_is_never_taken_for_missing(remote, aws):
    remote.filled()
    aws.faults.append(refusing(code="AccessDeniedException"))
    with remote() as store:
        for use in (
            lambda: store.get("A"),
            lambda: store.get_many(["A"]),
            lambda: store.list_secrets(),
            lambda: store.history("A"),
            lambda: store.put("A", SecretStr(PLANTED)),
            lambda: store.put("A", SecretStr(PLANTED), expected=ABSENT),
            lambda: store.put_many({"A": SecretStr(PLANTED)}),
            lambda: store.delete("A"),
        ):
            with pytest.raises(AccessDenied) as caught:
                use()
            bare(caught.value)
        if not isinstance(store, SecretsManagerStore) or store.secret_id:
            with pytest.raises(AccessDenied):
                store.setup()


# The service


@pytest.mark.parametrize(
    "code, status",
    [
        ("ThrottlingException", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("RequestLimitExceeded", 400),
        ("TooManyRequestsException", 429),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_throttled_for_ever_is_an_error_at_the_deadline(remote, aws, clock, code, status):
    """And the error says what it is, not that nobody answered."""
    sent = itertools.count(1)

    def throttled(*_: object) -> Refusal:
        if next(sent) > 12:  # more than a client tries by itself
            clock.pass_by(60)
        return status, f"{code}#{PLANTED}"

    aws.faults.append(throttled)
    with remote(timeout=60) as store:
        error, _ = kept_waiting(lambda: store.get_many(None))
    assert next(sent) > 13
    assert isinstance(error, StoreUnavailable)
    assert error.message == (
        f"{remote.operation} was refused by {remote.service} at {aws.endpoint} ({code}): "
        "too many requests"
    )
    assert error.hint == "try again, or ask AWS for a higher quota"
    bare(error)


@pytest.mark.usefixtures("impatient")
def test_throttling_is_borne_more_often_than_a_client_tries(remote, aws, monkeypatch):
    monkeypatch.setattr(deadline, "_THROTTLED_PAUSE", 0.01)
    remote.filled()
    left = [1] * 20
    aws.faults.append(lambda *_: (400, "ThrottlingException") if left and left.pop() else None)
    with remote() as store:
        assert len(store.get_many(None)) == 3
    assert not left


def test_a_quota_that_is_used_up_is_an_error_after_some_attempts(remote, aws, impatient):
    """It is as full a moment later."""
    aws.faults.append(refusing(code=f"LimitExceededException#{PLANTED}", status=400))
    with aws.counted() as requests, remote() as store, pytest.raises(StoreUnavailable) as caught:
        store.get_many(None)
    assert "(LimitExceededException): too many requests" in caught.value.message
    assert requests.total() == len(impatient) + 1 <= 4
    bare(caught.value)


def test_throttled_once_is_no_error(remote, aws, impatient):
    remote.filled()
    left = [1, 1]

    def twice(operation: str, _: object) -> Refusal | None:
        return (400, "ThrottlingException") if left and left.pop() else None

    aws.faults.append(twice)
    with remote() as store:
        assert len(store.get_many(None)) == 3
    assert len(impatient) == 2


@pytest.mark.parametrize(
    "code, status",
    [
        ("InternalServerError", 500),
        ("InternalFailure", 400),
        ("ServiceUnavailable", 503),
        ("KMSInternalException", 400),
        ("RequestTimeout", 400),
        ("RequestTimeoutException", 408),
        ("PriorRequestNotComplete", 400),
        ("SomethingNew", 502),
    ],
)
def test_a_fault_of_the_service_is_an_error_that_says_so(remote, aws, impatient, code, status):
    aws.faults.append(refusing(code=f"{code}#{PLANTED}", status=status))
    with remote() as store, pytest.raises(StoreUnavailable) as caught:
        store.get_many(None)
    assert caught.value.message == (
        f"{remote.operation} was refused by {remote.service} at {aws.endpoint} ({code}): "
        "a fault at the service"
    )
    assert caught.value.hint == "try again"
    bare(caught.value)


def test_any_other_refusal_is_named_by_its_code_and_never_by_its_text(remote, aws):
    """For some codes AWS repeats the parameters, values included."""
    aws.faults.append(refusing(code=f"ValidationException#{PLANTED}"))
    with remote() as store:
        for use in (lambda: store.get_many(None), lambda: store.put("A", SecretStr(PLANTED))):
            with pytest.raises(SecretsError) as caught:
                use()
            assert type(caught.value) is SecretsError
            assert "(ValidationException)" in caught.value.message
            assert caught.value.hint.startswith("look up ValidationException in the API reference")
            bare(caught.value)


def test_a_reply_of_something_else_is_an_error(remote, aws):
    """Another program on that port answers 200 to everything."""
    aws.faults.append(lambda *_: (200, {"hello": PLANTED}))
    with remote() as store:
        for use in (
            lambda: store.get_many(None),
            lambda: store.list_secrets(),
            lambda: store.put("A", SecretStr(PLANTED), expected=ABSENT),
        ):
            with pytest.raises((StoreUnavailable, SecretIntegrityError)) as caught:
                use()
            assert PLANTED not in str(caught.value)
            bare(caught.value)
    if remote.operation != "GetSecretValue":
        assert "was answered without" in caught.value.message


def test_a_key_of_another_length_is_an_error_that_does_not_show_the_value(aws):
    remote = Remote("credstash")
    remote.filled()
    reply = {"Plaintext": "cGxhbnRlZA==", "CiphertextBlob": "cGxhbnRlZA==", "KeyId": "key"}
    aws.faults.append(lambda sent, _: (200, reply) if sent == "GenerateDataKey" else None)
    with remote() as store, pytest.raises(SecretIntegrityError) as caught:
        store.put("A", SecretStr(PLANTED))
    assert "its data key is not 64 bytes long" in caught.value.message
    bare(caught.value)


# The network


#: Seconds that a busy machine may add to a deadline.
BUSY = 30


def kept_waiting(use: Callable[[], object]) -> tuple[StoreUnavailable, float]:
    """What a store says in the end, and after how many seconds."""
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        use()
    return caught.value, time.monotonic() - start


@contextmanager
def hurried(remote: Remote, seconds: float, **options: Any) -> Iterator[BaseStore]:
    """A store that is opened in its own time, and then has only so many seconds.

    Each of its reads might take longer than `BUSY`.
    """
    with remote(read_timeout=10 * BUSY, **options) as store:
        store.timeouts = store.timeouts._replace(overall=seconds)
        yield store


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """After the test, and after the servers in it, every thread of a read comes to its end."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("kms-secrets"):
            thread.join(20)
            assert not thread.is_alive()


@pytest.mark.usefixtures("no_threads_left", "impatient")
def test_a_refused_connection_is_an_error_that_names_the_endpoint(remote, aws):
    endpoint = closed_port()
    with remote(endpoint_url=endpoint, timeout=30) as store:
        error, _ = kept_waiting(lambda: store.get_many(None))
    assert error.message == (
        f"{remote.operation} got no answer from {remote.service} at {endpoint} "
        "(EndpointConnectionError)"
    )
    assert error.hint == (
        "check region_name and endpoint_url, the network, and the VPC endpoint if any"
    )
    bare(error)


@pytest.mark.usefixtures("no_threads_left", "impatient")
def test_a_silent_server_is_an_error_after_the_read_timeout(remote, aws):
    with SilentServer() as server:
        with remote(endpoint_url=server.endpoint, timeout=30, read_timeout=0.05) as store:
            error, _ = kept_waiting(lambda: store.get_many(None))
        assert 1 <= server.connections <= 4
    assert error.message == (
        f"{remote.operation} got no answer from {remote.service} at {server.endpoint} "
        "(ReadTimeoutError)"
    )
    bare(error)


@pytest.mark.usefixtures("no_threads_left")
@pytest.mark.parametrize("trickle", [None, 0.02], ids=["silent", "trickling"])
def test_a_server_that_does_not_come_to_an_end_is_left_at_the_deadline(remote, aws, trickle):
    """A server that trickles is never silent for long: only the deadline ends it."""
    with (
        SilentServer(trickle) as server,
        hurried(remote, 0.5, endpoint_url=server.endpoint) as store,
    ):
        error, seconds = kept_waiting(lambda: store.get_many(None))
    assert 0.4 < seconds < BUSY
    assert error.message == (
        f"no answer within 0.5 s: {remote.operation} at {remote.service} at {server.endpoint}"
    )
    assert error.hint == (
        "check region_name and endpoint_url, the network, and the VPC endpoint if any; "
        'OPTIONS["timeout"] is the limit in seconds'
    )
    bare(error)


@pytest.mark.usefixtures("no_threads_left")
def test_every_operation_is_bounded_by_the_deadline(remote, aws):
    with (
        SilentServer() as server,
        hurried(remote, 0.2, endpoint_url=server.endpoint) as store,
    ):
        for use in (
            lambda: store.get("A"),
            lambda: store.get_many(["A", "B"]),
            lambda: store.list_secrets(),
            lambda: store.history("A"),
            lambda: store.put("A", SecretStr(PLANTED)),
            lambda: store.put("A", SecretStr(PLANTED), expected=ABSENT),
            lambda: store.put_many({"A": SecretStr(PLANTED), "B": SecretStr(PLANTED)}),
            lambda: store.delete("A"),
        ):
            error, seconds = kept_waiting(use)
            assert 0.1 < seconds < BUSY
            assert server.endpoint in error.message
            bare(error)


@pytest.mark.usefixtures("no_threads_left")
def test_setup_has_a_deadline_too(aws, monkeypatch):
    """Its own: a new table takes longer than a read."""
    monkeypatch.setattr("django_kms_secrets.backends.credstash.names.TABLE_SECONDS", 1.0)
    for setup, said in (
        (CredStashStore.setup, "no answer within 1 s: DescribeTable at DynamoDB at "),
        (CredStashStore.setup_key, "no answer within 0.5 s: DescribeKey at KMS at "),
    ):
        with (
            SilentServer() as server,
            hurried(Remote("credstash"), 0.5, endpoint_url=server.endpoint) as store,
        ):
            error, seconds = kept_waiting(partial(setup, store))
        assert 0.4 < seconds < BUSY
        assert error.message == said + server.endpoint


@pytest.mark.usefixtures("no_threads_left")
def test_a_deadline_is_for_all_secrets_together_and_not_for_each(aws):
    """Two hundred secrets, each within its own limits, are too late together."""
    remote = Remote("credstash")
    remote.filled()
    release = threading.Event()

    def slow(operation: str, _: object) -> None:
        if operation == "Query":
            release.wait(0.15)

    aws.faults.append(slow)
    names = [f"NAME_{number}" for number in range(200)]
    try:
        with hurried(remote, 0.5) as store:
            error, seconds = kept_waiting(lambda: store.get_many(names))
    finally:
        release.set()
    assert seconds < BUSY
    assert "no answer within 0.5 s: Query at DynamoDB" in error.message


@pytest.mark.usefixtures("no_threads_left")
def test_a_missed_deadline_names_only_the_service_that_did_not_answer(aws, clock):
    remote = Remote("credstash")
    remote.filled()
    release = threading.Event()

    def held(operation: str, _: object) -> None:
        if operation == "Decrypt":
            clock.pass_by(60)
            release.wait(60)

    aws.faults.append(held)
    try:
        with hurried(remote, 60) as store:
            error, _ = kept_waiting(lambda: store.get_many(None))
    finally:
        release.set()
    assert error.message == f"no answer within 60 s: Decrypt at KMS at {aws.endpoint}"
    bare(error)


@pytest.mark.usefixtures("no_threads_left")
def test_a_thread_that_is_left_behind_keeps_no_process_alive(aws):
    with SilentServer() as server:
        with hurried(Remote("names"), 0.1, endpoint_url=server.endpoint) as store:
            kept_waiting(lambda: store.get_many(None))
        left = [t for t in threading.enumerate() if t.name.startswith("kms-secrets")]
        assert left
        assert all(thread.daemon for thread in left)


# What an error shows


@pytest.fixture(params=["memory", ".env", "x.json", "x.yaml"])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> BaseStore:
    """A store without a network, with a value in it."""
    store: BaseStore
    if request.param == "memory":
        store = LocMemStore(name=str(tmp_path))
    else:
        store = FileStore(path=tmp_path / request.param)
    store.setup()
    store.put("A", PLANTED)
    return store


def test_no_traceback_of_a_local_store_shows_a_value(local):
    for kind, use in (
        (SecretNotFound, lambda: local.get("B")),
        (SecretNotFound, lambda: local.get("A", version="7")),
        (SecretNotFound, lambda: local.delete("B")),
        (SecretNotFound, lambda: local.history("B")),
        (VersionConflict, lambda: local.put("A", SecretStr(PLANTED), expected=ABSENT)),
        (SecretsError, lambda: local.put(" ", SecretStr(PLANTED))),
        (SecretsError, lambda: local.put_many({"A": SecretStr(PLANTED), " ": "x"})),
    ):
        with pytest.raises(kind) as caught:
            use()
        bare(caught.value)


BROKEN = {
    ".env": f"A={PLANTED}\nB\n",
    "x.json": f'{{"A": "{PLANTED}", "B": 1}}',
    "x.yaml": f"A: {PLANTED}\nA: {PLANTED}\n",
}


def test_no_traceback_of_a_broken_file_shows_a_value(tmp_path):
    for name in BROKEN:
        store = FileStore(path=tmp_path / name)
        store.path.write_text(BROKEN[name])
        for use in (
            partial(store.get, "A"),
            partial(store.delete, "A"),
            partial(store.put, "A", "x"),
            partial(store.put_many, {"A": "x"}),
        ):
            with pytest.raises(SecretsError) as caught:
                use()
            bare(caught.value)


def test_no_traceback_of_a_refused_dotenv_name_or_a_full_disk_shows_a_value(tmp_path):
    store = FileStore(path=tmp_path / "directory" / ".env")
    store.setup()
    store.put("A", PLANTED)
    with pytest.raises(SecretsError) as caught:
        store.put("B C", SecretStr(PLANTED))
    bare(caught.value)
    store.path.unlink()
    store.path.symlink_to(tmp_path / "elsewhere.env")
    (tmp_path / "elsewhere.env").write_text(f"A={PLANTED}\n")
    with pytest.raises(SecretsError) as caught:
        store.put("A", SecretStr(PLANTED))
    bare(caught.value)


OPERATIONS = {
    "credstash": [
        "Query",
        "Scan",
        "Decrypt",
        "GenerateDataKey",
        "PutItem",
        "TransactWriteItems",
        "DeleteItem",
    ],
    "document": [
        "GetSecretValue",
        "DescribeSecret",
        "ListSecretVersionIds",
        "PutSecretValue",
        "UpdateSecretVersionStage",
    ],
    "names": [
        "GetSecretValue",
        "BatchGetSecretValue",
        "ListSecrets",
        "DescribeSecret",
        "ListSecretVersionIds",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "CreateSecret",
        "RestoreSecret",
        "DeleteSecret",
    ],
}


@pytest.mark.parametrize("name", REMOTE)
def test_no_traceback_of_aws_shows_a_value_or_a_key(name, aws):
    """Each of the requests that an operation sends is refused once, at each use of it."""
    remote = Remote(name)
    remote.filled()
    refused = []
    with remote() as store:
        version = store.get("A").version
        uses = [
            lambda: store.get("A"),
            lambda: store.get("A", version=version),
            lambda: store.get_many(None),
            lambda: store.get_many(["A", "B"]),
            lambda: store.history("A"),
            lambda: store.list_secrets(),
            lambda: store.put("A", SecretStr(PLANTED)),
            lambda: store.put("A", SecretStr(PLANTED), expected=store.get("A").version),
            lambda: store.put_many({"B": SecretStr(PLANTED), "NEW": SecretStr(PLANTED)}),
            lambda: store.put("C", SecretStr(PLANTED), expected=ABSENT),
            lambda: store.delete("C"),
        ]
        for operation in OPERATIONS[name]:

            def refuse(sent: str, _: object, operation: str = operation) -> Refusal | None:
                if sent != operation:
                    return None
                refused.append(operation)
                return 400, f"AccessDeniedException#{operation}"

            aws.faults.append(refuse)
            for use in uses:
                error = error_of(use)
                if error is not None:
                    bare(error)
            aws.faults.remove(refuse)
    assert set(refused) == set(OPERATIONS[name])


def error_of(use: Callable[[], object]) -> SecretsError | None:
    try:
        use()
    except SecretsError as exc:
        return exc
    return None


def test_no_traceback_of_a_conflict_shows_a_value(remote, aws):
    remote.filled()
    with remote() as store:
        for expected in (ABSENT, "f" * 36, "7"):
            with pytest.raises(VersionConflict) as caught:
                store.put("A", SecretStr(PLANTED), expected=expected)
            bare(caught.value)


def test_no_traceback_of_a_record_that_cannot_be_opened_shows_a_value(aws, account):
    remote = Remote("credstash")
    remote.filled()
    account.put_item(account.item("B"), contents={"S": "*"})
    with remote() as store, pytest.raises(SecretIntegrityError) as caught:
        store.get_many(None)
    bare(caught.value)
    with remote(context={"env": "x"}) as store, pytest.raises(DecryptionError) as caught:
        store.get_many(None)
    bare(caught.value)
