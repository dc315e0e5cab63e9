"""AWS as the stores see it: clients with bounded time, whose errors are ours.

Every error is raised outside the ``except`` block that caught botocore's, so that neither
``__context__`` nor a traceback's frames carry a request body or a reply to a debug page.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from email.utils import parsedate_to_datetime
from functools import partial
from importlib import import_module
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from . import replies
from ._version import __version__
from .deadline import POOL_SIZE, Deadline, Over, Timeouts, current, run_all
from .exceptions import (
    AccessDenied,
    DecryptionError,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
)
from .transport import AUTO, BOTO3, LIGHT, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    #: Error code -> what makes an error of the reply that carried it.
    Refusals = Mapping[str, Callable[[Mapping[str, Any]], SecretsError]]

    #: What `guard` is: it gets the service, the operation and the request's parameters.
    Guard = Callable[["Service", str, Mapping[str, Any]], None]

#: Called before every request, where `testing.no_aws` has put it here; what it raises ends the
#: read or the write.
guard: Guard | None = None

SERVICE_NAMES = {
    "dynamodb": "DynamoDB",
    "kms": "KMS",
    "secretsmanager": "Secrets Manager",
    "sts": "STS",
}

_BAD_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
# AWS's codes for a signature of another time; and those that a wrong key has as well.
_OF_A_CLOCK = {"RequestExpired", "RequestTimeTooSkewed"}
_OF_A_SIGNATURE = {"InvalidSignatureException", "SignatureDoesNotMatch"}
# Seconds. AWS refuses what is 300 off, and the Date of a reply has no fractions and takes its time.
_CLOCK_IS_OFF = 240

# "403": a reply without a code of its own, as a proxy gives it.
_DENIED = {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedException"}
_THROTTLED = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}

# Of these, those that are no quota of how much there may be: nothing was done, and it may be asked
# again a moment later.
_MOMENTARY = _THROTTLED - {"LimitExceededException", "TransactionInProgressException"}
_FAULTS = {
    "DependencyTimeoutException",
    "IDPCommunicationError",  # of STS: the identity provider does not answer
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "KMSInternalException",
    "KeyUnavailableException",
    "PriorRequestNotComplete",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
}

_TOO_MANY_REQUESTS = 429

# By what the names of botocore's errors have in them.
_OF_CREDENTIALS = "Credential|Token|SSO|Login|MetadataRetrieval|MFA"
_OF_SIGNING_IN = "SSO|Login|TokenRetrieval"
_OF_CONFIGURATION = "Config|Profile|MissingDependency"

# Of a source that gives no answer; and what botocore says where a container's agent gives none, or
# answers that it cannot: there is no other sign of it.
_NO_ANSWER = {
    "ConnectionClosedError",
    "ConnectTimeoutError",
    "EndpointConnectionError",
    "ReadTimeoutError",
}
_AGENT_IS_OUT = r"Error retrieving metadata: Received (error when|non 200 response (429|5\d\d)\b)"

#: What botocore lets through from the sources of credentials: a file that cannot be read, a program
#: that writes nonsense; and its one RuntimeError, for what has expired when it is fetched.
#: (For the network it has errors of its own.)
SOURCE_ERRORS = (OSError, JSONDecodeError, RuntimeError)

# What botocore's parsers raise on what is no reply of AWS: other types, numbers and dates out of
# range, bytes that are no UTF-8. (RecursionError, for lists in lists in lists, is a RuntimeError.)
_PARSERS_OWN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

CREDENTIALS_HINT = (
    "give the process a role (ECS task role, instance profile), or set AWS_PROFILE, or set "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)

_KNOWN = _BAD_CREDENTIALS | _OF_A_CLOCK | _OF_A_SIGNATURE | _DENIED | _THROTTLED | _FAULTS

# Operations that IAM knows by other names: by what they do.
_PERMISSIONS = {"TransactWriteItems": "PutItem, DeleteItem and ConditionCheckItem"}


def checked_transport(transport: str) -> str:
    """Read OPTIONS["transport"].

    Raises:
        SecretsError: it is none of the two.
    """
    if transport not in (AUTO, BOTO3):
        raise SecretsError(
            f"transport {transport!r} is neither {AUTO} nor {BOTO3}",
            hint=f"leave it out for {AUTO}",
        )
    return transport


class Service:
    """One AWS service: a boto3 client whose replies hide their secrets and whose errors are ours.

    Attributes:
        client: the boto3 client.
        name: the service's name for people.
        clock: how far the service's clock is ahead of ours, by its last reply (seconds); None
            before that.
        waiting_for: operations that were sent and not yet answered, for the message of a missed
            deadline.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name
        self.clock: float | None = None
        self.waiting_for: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """The service with its endpoint, as errors name it."""
        return f"{self.name} at {self.client.meta.endpoint_url}"

    def call(
        self, operation: str, refusals: Refusals | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Send one request.

        Args:
            operation: AWS's name of it, such as ``PutItem``.
            refusals: for an error code of this operation, what makes our error of AWS's reply.
            parameters: the request.

        Returns:
            The reply; plaintexts in it are `SecretStr` and `SecretBytes`, and a member that AWS
            always sends and that is missing is an error.

        Raises:
            SecretsError: one of the family, from ``refusals`` or by the kind of failure.
        """
        if guard:
            guard(self, operation, parameters)
        run = current.get()
        while True:
            if run and run.is_over:
                # A thread that was left behind writes nothing any more, and reads no further page.
                raise Over(f"{operation} of {self.place} was not sent: it is over")
            self._waits(operation, 1)
            try:
                reply = self._send(operation, refusals or {}, parameters)
            finally:
                self._waits(operation, -1)
            if run:
                run.deadline.refusal = _throttling(reply)
                if run.deadline.refusal and run.deadline.pause():
                    continue
            if isinstance(reply, SecretsError):
                raise reply
            return reply

    def _waits(self, operation: str, change: int) -> None:
        with self._lock:
            self.waiting_for[operation] += change
            if not self.waiting_for[operation]:
                del self.waiting_for[operation]

    def close(self) -> None:
        """Close the sockets."""
        self.client.close()

    def _send(
        self, operation: str, refusals: Refusals, parameters: Mapping[str, Any]
    ) -> dict[str, Any] | SecretsError:
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return self._checked(
                operation, getattr(self.client, xform_name(operation))(**parameters)
            )
        except ClientError as exc:
            if exc.operation_name != operation:  # sent before ours, for credentials: AssumeRole
                return no_credentials(exc, f" for {operation} of {self.name}")
            return self._refusal(operation, exc.response, refusals, parameters)
        except (BotoCoreError, ResponseParserError) as exc:
            return self._failed(operation, exc)
        except replies.Unreadable as exc:
            return self._unreadable(operation, str(exc))
        except RuntimeError as exc:
            # One is for credentials that have expired. Others: a reply that is nested too deeply,
            # and a moment that is none.
            if type(exc) is RuntimeError and "credentials" in str(exc):
                return no_credentials(exc, f" for {operation} of {self.name}")
            return self._unreadable(operation, type(exc).__name__)
        except SOURCE_ERRORS as exc:
            return no_credentials(exc, f" for {operation} of {self.name}")
        except _PARSERS_OWN as exc:
            return self._unreadable(operation, type(exc).__name__)

    def _checked(self, operation: str, reply: dict[str, Any]) -> dict[str, Any]:
        self._read_clock(reply)
        shape = self.client.meta.service_model.operation_model(operation).output_shape
        request = f"{operation} of {self.place}"
        checked: dict[str, Any] = replies.checked(reply, shape, request) if shape else {}
        return checked

    def _refusal(
        self,
        operation: str,
        response: Mapping[str, Any],
        refusals: Refusals,
        parameters: Mapping[str, Any],
    ) -> SecretsError:
        self._read_clock(response)
        reply = replies.without_echo(replies.refusal(response), parameters, {*refusals, *_KNOWN})
        code = reply["Error"]["Code"]
        make = refusals.get(code)
        return make(reply) if make else self.refused(operation, code, reply)

    def mixed_up(self, operation: str) -> StoreUnavailable:
        """The error for an answer that is another request's, or a page that came before."""
        return StoreUnavailable(
            f"{operation} of {self.place} was answered with what was not asked for",
            hint="try again; if it stays so, look for what stands between here and AWS",
            is_outage=False,
        )

    def _unreadable(self, operation: str, reason: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"the answer to {operation} of {self.place} cannot be read ({reason})",
            hint="check endpoint_url: something else than AWS may be listening there",
            is_outage=False,
        )

    def _read_clock(self, reply: Mapping[str, Any]) -> None:
        ahead = _ahead(reply)
        self.clock = self.clock if ahead is None else ahead

    def refused(
        self,
        operation: str,
        code: str,
        reply: Mapping[str, Any] | None = None,
        *,
        subject: str = "",
    ) -> SecretsError:
        """The error for an error code that has no special meaning for the operation.

        Args:
            operation: AWS's name of it.
            code: AWS's error code.
            reply: the whole reply, where there is one.
            subject: the one secret of several that the code is about.
        """
        code = replies.code_of(code)
        where = f"{operation}{' of ' if subject else ''}{subject} was refused by {self.place}"
        where = f"{where} ({code})"
        reply = reply or {}
        if wrong_clock := _wrong_clock(where, code, self.clock):
            return wrong_clock
        if code in _BAD_CREDENTIALS:
            return AccessDenied(
                f"{where}: the credentials are not valid",
                hint="they may have expired, or belong to another account or partition; "
                "`aws sts get-caller-identity` shows whose they are",
            )
        if code in _DENIED:
            reason = reply.get("Error", {}).get("Message") or "no reason given"
            service = self.name.replace(" ", "").lower()
            permission = what = f"{service}:{_PERMISSIONS.get(operation, operation)}"
            if "Access to KMS is not allowed" in reason:  # Secrets Manager's, for the key it uses
                permission = "kms:Decrypt"
                what = f"{permission}, and kms:GenerateDataKey to write, on the secret's KMS key"
            error = AccessDenied(f"{where}: {reason}", hint=f"allow {what} to this role or user")
            error.permission = permission
            return error
        status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        if outage := _outage(where, code, status):
            return outage
        if code == "DecryptionFailure":
            return DecryptionError(
                f"{where}: KMS would not decrypt it",
                hint="allow kms:Decrypt on its key, and check that the key is enabled",
                names=[subject] if subject else (),
            )
        if 300 <= status < 400:  # AWS redirects none of these
            return self._unreadable(operation, f"HTTP status {status}")
        # AWS's own text is left out: for some codes it repeats the parameters, values included.
        return SecretsError(where, hint=f"look up {code} in the API reference of {self.name}")

    def _failed(self, operation: str, exc: Exception) -> SecretsError:
        kind = type(exc).__name__
        if kind in {"NoCredentialsError", "PartialCredentialsError"}:
            return AccessDenied(
                f"no AWS credentials for {operation} of {self.name}", hint=CREDENTIALS_HINT
            )
        if re.search(_OF_CREDENTIALS, kind):
            return no_credentials(exc, f" for {operation} of {self.name}")
        if re.search(_OF_CONFIGURATION, kind):
            return not_configured(exc)
        if kind == "ParamValidationError":
            return SecretsError(
                f"{operation} of {self.name} was not sent: a parameter is not valid",
                hint="check the names and OPTIONS",
            )
        return self._no_answer(operation, kind)

    def _no_answer(self, operation: str, reason: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"{operation} got no answer from {self.place} ({reason})",
            hint="check region_name and endpoint_url, the network, and the VPC endpoint if any",
            is_outage=reason != "SSLError",  # a certificate that is not trusted
        )


def _ahead(reply: Mapping[str, Any]) -> float | None:
    """How far the clock of who replied is ahead of ours (seconds); None where it has no date."""
    with contextlib.suppress(*_PARSERS_OWN):  # no date, or none that is one
        headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return parsedate_to_datetime(headers.get("date")).timestamp() - time.time()
    return None


def _wrong_clock(where: str, code: str, ahead: float | None) -> AccessDenied | None:
    """The error for a request that was signed by a wrong clock; None if it says something else.

    Args:
        where: what was refused.
        code: AWS's error code.
        ahead: how far AWS's clock is ahead of ours (seconds), where that is known.
    """
    is_off = ahead is not None and abs(ahead) > _CLOCK_IS_OFF
    if code not in _OF_A_CLOCK and not (is_off and code in _OF_A_SIGNATURE):
        return None
    reason = "by AWS's clock the request is of another time"
    hint = "set the clock by NTP (chrony, systemd-timesyncd)"
    if ahead is None or not is_off:
        hint = f"{hint}; or the credentials have expired"
    else:
        side = "behind" if ahead > 0 else "ahead of"
        reason = f"this machine's clock is {abs(ahead) / 60:.0f} min {side} AWS's"
    return AccessDenied(f"{where}: {reason}", hint=hint)


def _outage(where: str, code: str, status: int) -> StoreUnavailable | None:
    """The error for a service that says that it cannot now; None if it says something else."""
    if code in _THROTTLED or status == _TOO_MANY_REQUESTS:
        busy = StoreUnavailable(
            f"{where}: too many requests", hint="try again, or ask AWS for a higher quota"
        )
        busy.is_momentary = code in _MOMENTARY
        return busy
    if code in _FAULTS or status >= 500:
        return StoreUnavailable(f"{where}: a fault at the service", hint="try again")
    return None


def _throttling(reply: object) -> StoreUnavailable | None:
    """The error, if a request was refused only because there were too many."""
    return reply if isinstance(reply, StoreUnavailable) and reply.is_momentary else None


class LightService(Service):
    """A service that is only read from, by a `transport.client.Client` instead of boto3's."""

    def _send(
        self, operation: str, refusals: Refusals, parameters: Mapping[str, Any]
    ) -> dict[str, Any] | SecretsError:
        try:
            answer = self.client.send(operation, parameters)
        except Exception as exc:  # a frame behind it may have a reply
            return self._unreadable(operation, type(exc).__name__)
        if answer is None:
            return SecretsError(
                f"{operation} of {self.name} was not sent: the store was opened to read values",
                hint="use `with store:`",
            )
        if answer.failure:
            return self._no_answer(operation, answer.failure)
        if answer.unreadable:
            return self._unreadable(operation, answer.unreadable)
        if answer.code:
            return self._refusal(operation, answer.reply, refusals, parameters)
        self._read_clock(answer.reply)
        reply: dict[str, Any] = replies.hidden(answer.reply, f"{operation} of {self.place}")
        return reply


def open_services(
    names: Mapping[str, str | None],
    *,
    profile_name: str | None,
    endpoint_url: str | None,
    timeouts: Timeouts,
) -> list[Service]:
    """Make a boto3 client for each service. Nothing is sent yet.

    Args:
        names: boto3's service names, each with its region (None: boto3's default region).
        profile_name: a profile of the AWS configuration files, or None.
        endpoint_url: one endpoint for all services, or None for AWS's (``AWS_ENDPOINT_URL``
            and ``AWS_ENDPOINT_URL_<SERVICE>`` are then honoured by boto3).
        timeouts: for each client.

    Returns:
        The services, in the order of ``names``.

    Raises:
        StoreNotReady: no region is known, or the profile does not exist.
        AccessDenied: the source of the credentials gives none.
        StoreUnavailable: it does not answer.
        SecretsError: the endpoint is no URL.
    """
    # Making a client asks for credentials: the metadata service, a container's endpoint, a program.
    boto3 = import_module("boto3")
    make = partial(_make_services, boto3, names, profile_name, endpoint_url, timeouts)
    return run_all([make], deadline=Deadline(timeouts.overall), services=())[0]


def open_readers(
    names: Mapping[str, str | None],
    *,
    profile_name: str | None,
    endpoint_url: str | None,
    timeouts: Timeouts,
    transport: str,
) -> list[Service]:
    """As `open_services`, for reads only: without boto3 where it would do the same.

    Args:
        names, profile_name, endpoint_url, timeouts: as there.
        transport: ``auto``, or ``boto3`` for boto3 in any case.
    """
    options = {"profile_name": profile_name, "endpoint_url": endpoint_url}
    if reason(names, **options, transport=transport) != LIGHT:
        return open_services(names, **options, timeouts=timeouts)
    make = partial(_make_readers, names, endpoint_url, timeouts)
    return run_all([make], deadline=Deadline(timeouts.overall), services=())[0]


def _make_readers(
    names: Mapping[str, str | None], endpoint_url: str | None, timeouts: Timeouts
) -> list[Service]:
    from .transport.client import CredentialRetrievalError, make_clients

    try:
        clients = make_clients(
            names,
            endpoint_url,
            connect_timeout=timeouts.connect,
            read_timeout=timeouts.read,
        )
    except (CredentialRetrievalError, OSError, ValueError) as exc:
        # Of the container's agent or its token, or of the CA certificates.
        error = no_credentials(exc)
    else:
        return [
            LightService(client, SERVICE_NAMES[name])
            for name, client in zip(names, clients, strict=True)
        ]
    raise error


def _make_services(
    boto3: Any,  # its stubs do not know a service by a variable
    names: Mapping[str, str | None],
    profile_name: str | None,
    endpoint_url: str | None,
    timeouts: Timeouts,
) -> list[Service]:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
        retries={"mode": "standard", "total_max_attempts": 4},
        max_pool_connections=POOL_SIZE,
        user_agent_extra=f"django-kms-secrets/{__version__}",
    )
    try:
        session = boto3.session.Session(profile_name=profile_name)
        return [
            Service(
                session.client(
                    name,
                    region_name=region or None,  # an empty one would be a part of the host's name
                    endpoint_url=endpoint_url,
                    config=config,
                ),
                SERVICE_NAMES[name],
            )
            for name, region in names.items()
        ]
    except BotoCoreError as exc:
        error = not_configured(exc)
    except (ClientError, *SOURCE_ERRORS) as exc:
        error = no_credentials(exc)
    except ValueError:
        what = f"endpoint_url {endpoint_url!r}" if endpoint_url else "an AWS_ENDPOINT_URL variable"
        error = SecretsError(
            f"{what} is not a URL", hint="write it as http://host:port, or leave it out"
        )
    raise error


def not_configured(exc: Exception) -> SecretsError:
    """The error for an AWS configuration that botocore cannot use."""
    kind = type(exc).__name__
    if kind == "NoRegionError":
        return no_region()
    if kind == "ProfileNotFound":
        profile = getattr(exc, "kwargs", {}).get("profile")
        return StoreNotReady(
            f"there is no AWS profile {profile!r}",
            hint="check profile_name and AWS_PROFILE against the AWS configuration files",
        )
    if re.search(_OF_CREDENTIALS, kind):
        return no_credentials(exc)
    return StoreNotReady(
        f"the AWS configuration cannot be used ({kind})",
        hint="check ~/.aws/config and the AWS_* variables",
    )


def no_region() -> StoreNotReady:
    """The error where nothing says which region it is."""
    return StoreNotReady(
        "no AWS region is known",
        hint='set OPTIONS["region_name"], or AWS_DEFAULT_REGION, or a region in the profile',
    )


def no_credentials(exc: Exception, request: str = "") -> SecretsError:
    """The error for a source of credentials that fails: an outage, or that it gives none.

    Args:
        exc: what botocore raised, or let through.
        request: what they were for.
    """
    kind = type(exc).__name__
    if kind == "RuntimeError":
        return AccessDenied(
            f"the AWS credentials{request} have expired, and their source gives no newer ones",
            hint=f"look after the source, or {CREDENTIALS_HINT}",
        )
    where = f"the AWS credentials{request} could not be fetched"
    if operation := getattr(exc, "operation_name", ""):
        return _no_role(where, operation, getattr(exc, "response", {}))
    if _source_is_out(exc):
        return StoreUnavailable(
            f"{where} ({kind}): their source is out",
            hint="try again; if it stays so, check what AWS_CONTAINER_CREDENTIALS_* and the AWS "
            "configuration name as their source",
        )
    hint = "`aws sso login` signs in again" if re.search(_OF_SIGNING_IN, kind) else CREDENTIALS_HINT
    return AccessDenied(f"{where} ({kind})", hint=hint)


def _no_role(where: str, operation: str, response: Mapping[str, Any]) -> SecretsError:
    """The error for what STS answers, or AWS's sign-in."""
    reply = replies.refusal(response)
    code = reply["Error"]["Code"]
    where = f"{where} ({operation} was refused, {code})"
    status = reply["ResponseMetadata"].get("HTTPStatusCode", 400)
    hint = "check the role that the AWS configuration names, and the role's trust policy"
    return (
        _wrong_clock(where, code, _ahead(response))
        or _outage(where, code, status)
        or AccessDenied(where, hint=hint)
    )


def _source_is_out(exc: Exception) -> bool:
    """Whether a source of credentials gave no answer, or said that it cannot now."""
    said = str(getattr(exc, "kwargs", {}).get("error_msg"))
    return (
        type(exc).__name__ in _NO_ANSWER
        or getattr(exc, "is_outage", False)  # of the client without boto3
        or bool(re.match(_AGENT_IS_OUT, said))
    )
