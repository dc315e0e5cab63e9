"""A server between a client and the embedded AWS, which does what a fault says."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from werkzeug.test import Client

from ..server.scripted import ScriptedServer, reply, reset

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from ..server.embedded import EmbeddedAWS

Body = dict[str, Any]


@dataclass
class Exchange:
    """One request that has come, and whom its answer goes to.

    Attributes:
        operation: AWS's name of it.
        body: the request.
        memory: what a fault keeps between the requests of one use.
    """

    aws: EmbeddedAWS
    connection: socket.socket
    headers: dict[str, str]
    operation: str
    body: Body
    memory: dict[str, Any]

    def ask(self, **changes: Any) -> tuple[int, Body]:
        """What AWS answers to the request, with some of its members changed; None takes one out."""
        body = {k: v for k, v in {**self.body, **changes}.items() if v is not None}
        headers = _kept(self.headers)
        response = Client(self.aws).post("/", data=json.dumps(body), headers=headers)
        return response.status_code, json.loads(response.data or b"{}")

    def answer(self, status: int, body: Body | bytes, *headers: str) -> bool:
        """Send an answer; the connection stays."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        date = (
            () if any(line.startswith("Date:") for line in headers) else (f"Date: {formatdate()}",)
        )
        self.connection.sendall(reply(data, status, *headers, *date))
        return True

    def cut(self, body: Body, *, rudely: bool) -> bool:
        """Send half of an answer, and hang up."""
        data = json.dumps(body).encode()
        self.connection.sendall(reply(data[: len(data) // 2], length=len(data)))
        if rudely:
            reset(self.connection)
        return False

    def wait(self) -> bool:
        """Say nothing until the other side hangs up."""
        with contextlib.suppress(OSError):
            self.connection.recv(1)
        return False


def _kept(headers: dict[str, str]) -> dict[str, str]:
    names = ("x-amz-target", "content-type", "authorization", "x-amz-date")
    return {name: headers[name] for name in names if name in headers}


@dataclass(frozen=True)
class Fault:
    """What goes wrong, with which requests, and how that has to end.

    Attributes:
        act: what is done instead of passing the request on, and its answer back.
        operations: the ones it is done to; all if there are none.
        after: how many requests of a use pass before.
        times: how many are hit then.
        ends: how a use that was hit ends: "right", with an "error", or "either".
        of_values: whether it is one of values or permissions, so that a verb which compares goes on
            without what it cannot read, and says so.
        options: of the store.
    """

    act: Callable[[Exchange], bool]
    operations: tuple[str, ...] = ()
    after: int = 0
    times: int = 1_000_000
    ends: str = "error"
    of_values: bool = False
    options: dict[str, float] = field(default_factory=dict)


class Between(ScriptedServer):
    """A loopback server in front of the embedded AWS.

    Attributes:
        hits: how many requests the fault was done to, since `begin`.
        operations: all that ever came.
    """

    def __init__(
        self, aws: EmbeddedAWS, fault: Fault, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(lambda _: None, context)
        self._aws = aws
        self._fault = fault
        self._lock = threading.Lock()
        self.operations: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """A use of a store begins."""
        self.hits = self._passed = 0
        self._memory: dict[str, Any] = {}

    def _answer(self, connection: socket.socket, head: str, body: bytes) -> bool | None:
        lines = (line.partition(": ") for line in head.splitlines()[1:])
        headers = {name.lower(): value for name, _, value in lines}
        if "x-amz-target" not in headers:  # STS has another protocol; it is not what fails
            response = Client(self._aws).post("/", data=body, headers=_kept(headers))
            return not connection.sendall(reply(response.data, response.status_code))
        operation = headers["x-amz-target"].rpartition(".")[2]
        exchange = Exchange(
            self._aws, connection, headers, operation, json.loads(body), self._memory
        )
        self.operations.add(operation)
        if self._is_hit(operation):
            return self._fault.act(exchange)
        return exchange.answer(*exchange.ask())

    def _is_hit(self, operation: str) -> bool:
        fault = self._fault
        if fault.operations and operation not in fault.operations:
            return False
        with self._lock:
            self._passed += 1
            hit = fault.after < self._passed <= fault.after + fault.times
            self.hits += hit
        return hit
