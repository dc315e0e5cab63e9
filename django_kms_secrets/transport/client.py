"""The client of one service: signed requests over connections that are kept, tried again in time.

It has what the stores use of a boto3 client, and gives its failures botocore's names, so that both
make the same errors.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import random
import select
import socket
import ssl
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from .._version import __version__
from . import credentials, endpoints, replies, sigv4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .credentials import Credentials

#: Requests for one answer. As in aws.py for boto3: four attempts.
ATTEMPTS = 4
# Seconds, doubled each time: of pauses after throttling, after other failures, and at most. Those
# after throttling are not botocore's 1 and 20: with these, many processes that start at once send
# fewer requests, and are all served in time (tests/faults/test_storm.py).
_THROTTLED_PAUSE, _PAUSE, _LONGEST_PAUSE = 3.0, 0.05, 4.0

# Bytes. The largest reply is a page of a Scan, 1 MB, or 20 secrets of 64 KB; JSON may need six
# bytes for one.
_LONGEST_REPLY = 32 * 1024 * 1024

_TARGETS = {
    "dynamodb": ("DynamoDB_20120810", "1.0"),
    "kms": ("TrentService", "1.1"),
    "secretsmanager": ("secretsmanager", "1.1"),
}

# botocore's lists (botocore/retries/standard.py).
_TRANSIENT_CODES = {"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"}
_TRANSIENT_STATUS = {500, 502, 503, 504}
_THROTTLED_CODES = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
_THROTTLED_STATUS = 429
# Failures that another attempt would only repeat.
_FINAL = {"SSLError"}

# For a container's agent: seconds for an attempt, attempts, seconds between them. botocore's.
_AGENT_SECONDS, _AGENT_ATTEMPTS, _AGENT_PAUSE = 2.0, 3, 1.0


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        reply: what a boto3 client returns, or its ClientError has as its response; its plaintexts
            hide themselves.
        code: AWS's code of an error; "" for none.
        failure: the name of botocore's exception for what gave no answer; "" for an answer.
        unreadable: why it is none of AWS's; "" for one that is.
    """

    reply: Mapping[str, Any] = {}
    code: str = ""
    failure: str = ""
    unreadable: str = ""

    @property
    def is_throttled(self) -> bool:
        """Whether there were too many requests."""
        return self.code in _THROTTLED_CODES or self._status == _THROTTLED_STATUS

    @property
    def is_final(self) -> bool:
        """Whether another attempt would be of no use."""
        if self.failure or self.unreadable:
            return self.failure in _FINAL or bool(self.unreadable)
        transient = self.code in _TRANSIENT_CODES or self._status in _TRANSIENT_STATUS
        return not (transient or self.is_throttled)

    @property
    def _status(self) -> int:
        return int(self.reply["ResponseMetadata"]["HTTPStatusCode"]) if self.reply else 0


class CredentialRetrievalError(Exception):
    """A container's agent gives none; botocore's exception for it has the same name.

    Args:
        is_outage: whether it gave no answer, or said that it cannot now.
    """

    def __init__(self, *, is_outage: bool) -> None:
        super().__init__()
        self.is_outage = is_outage


class Meta(NamedTuple):
    """What a boto3 client has under this name."""

    endpoint_url: str
    region_name: str


class Client:
    """The client of one service, for any thread.

    Args:
        service: boto3's name of it.
        region: its region.
        endpoint_url: its URL.
        credentials: whose requests these are.
        connect_timeout, read_timeout: seconds, as in `Timeouts`.
        context: for TLS; None where the URL has none.

    Attributes:
        meta: the URL and the region, as a boto3 client has them.
    """

    def __init__(
        self,
        service: str,
        region: str,
        endpoint_url: str,
        credentials: Credentials,
        *,
        connect_timeout: float,
        read_timeout: float,
        context: ssl.SSLContext | None,
    ) -> None:
        self.meta: Meta = Meta(endpoint_url, region)
        self._service = service
        self._credentials = credentials
        self._timeouts = connect_timeout, read_timeout
        self._context = context
        self._host = urlsplit(endpoint_url).netloc
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._closed = threading.Event()

    def send(self, operation: str, parameters: Mapping[str, Any]) -> Answer | None:
        """Send a read, up to `ATTEMPTS` times.

        Args:
            operation: AWS's name of it.
            parameters: the request, as for a boto3 client.

        Returns:
            The last answer; None if it is none of the reads in `replies.SHAPES`: nothing was sent.
        """
        if operation not in replies.SHAPES:
            return None
        body = json.dumps(parameters, default=_base64).encode()
        answer = self._attempt(operation, body)
        for attempt in range(ATTEMPTS - 1):
            if answer.is_final or self._closed.wait(_pause(answer, attempt)):
                break
            answer = self._attempt(operation, body)
        return answer

    def close(self) -> None:
        """Close the connections, also under a thread that waits; no further attempt is made."""
        self._closed.set()
        for connection in tuple(self._busy):
            sock = connection.sock
            with contextlib.suppress(OSError):  # it is closed meanwhile
                if sock is not None:
                    sock.shutdown(socket.SHUT_RDWR)
        while self._idle:
            self._idle.pop().close()

    def _attempt(self, operation: str, body: bytes) -> Answer:
        headers = self._headers(operation, body)
        while True:
            connection, is_kept = self._connection()
            self._busy.add(connection)
            status, lower, content, failure = _exchange(connection, "POST", "/", headers, body)
            self._busy.discard(connection)
            if failure:
                connection.close()
            else:
                self._idle.append(connection)
            if self._closed.is_set():
                self.close()
            # The other side may close a kept connection at any time: that says nothing about it.
            if not (is_kept and failure == "ConnectionClosedError"):
                return _answer(operation, status, lower, content, failure)

    def _connection(self) -> tuple[_Connection, bool]:
        """A connection, and whether it is one that was kept."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()
                if not connection.is_dropped:
                    return connection, True
                connection.close()
        return _Connection(self.meta.endpoint_url, self._timeouts, self._context), False

    def _headers(self, operation: str, body: bytes) -> dict[str, str]:
        target, version = _TARGETS[self._service]
        headers = {
            "Host": self._host,
            "Content-Type": f"application/x-amz-json-{version}",
            "X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            "X-Amz-Target": f"{target}.{operation}",
        }
        if self._credentials.token:
            headers["X-Amz-Security-Token"] = self._credentials.token
        signature = sigv4.authorization(
            "POST",
            headers,
            body,
            credentials=self._credentials,
            region=self.meta.region_name,
            service=self._service,
        )
        return {
            **headers,
            "Accept-Encoding": "identity",
            "Authorization": signature,
            "User-Agent": f"django-kms-secrets/{__version__}",
        }


def make_clients(
    regions: Mapping[str, str | None],
    endpoint_url: str | None,
    *,
    connect_timeout: float,
    read_timeout: float,
) -> list[Client]:
    """Make the clients of services, where `reason` says that boto3 is not needed.

    Args:
        regions: boto3's names of the services, each with its region.
        endpoint_url: as the OPTIONS have it, or None.
        connect_timeout, read_timeout: seconds.

    Raises:
        CredentialRetrievalError: the container's agent gives none.
        OSError, ValueError: its token cannot be read, or is none.
    """
    named = {name: endpoints.region_of(region, os.environ) for name, region in regions.items()}
    urls = {
        name: endpoints.endpoint_of(name, region, endpoint_url, os.environ)
        for name, region in named.items()
    }
    theirs = credentials.from_environment(os.environ) or _of_container()
    context = None
    if any(url.startswith("https:") for url in urls.values()):
        context = endpoints.tls(os.environ)
    return [
        Client(
            name,
            named[name],
            url,
            theirs,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            context=context,
        )
        for name, url in urls.items()
    ]


def _of_container() -> Credentials:
    url = credentials.container_url(os.environ)
    headers = credentials.container_headers(os.environ)
    context = endpoints.tls(os.environ) if url.startswith("https:") else None
    parts = urlsplit(url)
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    is_outage = False
    for attempt in range(_AGENT_ATTEMPTS):
        if attempt:
            time.sleep(_AGENT_PAUSE)
        connection = _Connection(url, (_AGENT_SECONDS, _AGENT_SECONDS), context)
        try:
            status, _, content, failure = _exchange(connection, "GET", path, headers, b"")
        finally:
            connection.close()
        if status == http.client.OK and not failure:
            with contextlib.suppress(ValueError, RecursionError):  # it is no JSON object
                found = credentials.from_reply(replies.parsed(content))
                if found:
                    return found
        cannot_now = status == _THROTTLED_STATUS or status >= 500
        is_outage = failure not in _FINAL if failure else cannot_now
    raise CredentialRetrievalError(is_outage=is_outage)


class _Connection(http.client.HTTPConnection):
    """A connection to the host of a URL, with TLS where the URL has it.

    Args:
        url: the URL.
        timeouts: seconds for connecting, and for one pause while reading.
        context: for TLS.
    """

    def __init__(
        self, url: str, timeouts: tuple[float, float], context: ssl.SSLContext | None
    ) -> None:
        parts = urlsplit(url)
        self._context = context if parts.scheme == "https" else None
        port = parts.port or (443 if self._context else 80)
        super().__init__(parts.hostname or "", port, timeout=timeouts[0])
        self._read_timeout = timeouts[1]

    def connect(self) -> None:
        # As bytes: of text Python would make an internationalized name, for which it imports a
        # codec, and hosts are ASCII here (see `endpoints`).
        host = self.host.encode("ascii")
        address: tuple[Any, int] = host, self.port
        sock = socket.create_connection(address, self.timeout)
        self.sock: socket.socket | None = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context:
            self.sock = sock = self._context.wrap_socket(sock, server_hostname=host)
        sock.settimeout(self._read_timeout)

    @property
    def is_dropped(self) -> bool:
        """Whether the other side has closed it, or has sent what nobody asked for.

        A reply that is there before its request is none to it.
        """
        if self.sock is None:
            return True
        watched = select.poll()  # select.select() knows no descriptors above 1023
        watched.register(self.sock, select.POLLIN)
        return bool(watched.poll(0))


def _exchange(
    connection: _Connection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
) -> tuple[int, Mapping[str, str], bytes, str]:
    """One request and its reply: status, headers in lower case, content, and what failed."""
    connected = False
    try:
        if connection.sock is None:
            connection.connect()
        connected = True
        connection.request(method, path, body or None, dict(headers))
        response = connection.getresponse()
        content = response.read(_LONGEST_REPLY)
        if response.read(1) or response.length:  # longer than it can be, or cut off
            return 0, {}, b"", "ConnectionClosedError"
        lower = {name.lower(): value for name, value in response.getheaders()}
        return response.status, lower, content, ""
    except (OSError, ValueError, http.client.HTTPException) as exc:
        # ValueError: of a chunk with a size below 0.
        return 0, {}, b"", _failure(exc, connected)


def _failure(exc: Exception, connected: bool) -> str:
    """botocore's name of what failed."""
    if isinstance(exc, TimeoutError):
        return "ReadTimeoutError" if connected else "ConnectTimeoutError"
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        return "SSLError"
    cut = connected or isinstance(exc, (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError))
    return "ConnectionClosedError" if cut else "EndpointConnectionError"


def _answer(
    operation: str, status: int, headers: Mapping[str, str], content: bytes, failure: str
) -> Answer:
    if failure:
        return Answer(failure=failure)
    checksum = headers.get("x-amz-crc32")  # of DynamoDB
    if checksum is not None and checksum != str(zlib.crc32(content)):
        return Answer(failure="ChecksumError")
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    try:
        if status <= http.client.MULTIPLE_CHOICES:
            return Answer({**replies.read(operation, content), "ResponseMetadata": metadata})
        code, text = replies.read_error(status, content)
    except (ValueError, RecursionError) as exc:
        return Answer(unreadable=type(exc).__name__)
    error = {"Code": code, "Message": text}
    return Answer({"Error": error, "ResponseMetadata": metadata}, code=code)


def _pause(answer: Answer, attempt: int) -> float:
    """Seconds until the next attempt: full jitter, so that many hosts do not come back at once."""
    pause = (_THROTTLED_PAUSE if answer.is_throttled else _PAUSE) * 2.0**attempt
    return random.uniform(0, min(pause, _LONGEST_PAUSE))  # noqa: S311 - it protects nothing


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not a parameter")
