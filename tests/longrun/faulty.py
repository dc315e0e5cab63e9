"""A server that gives recorded replies, fast, and fails as networks and services fail."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import socketserver
import struct
import threading
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING

from ..server.scripted import reply

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A request by what it asks: its target and its body.
Asked = tuple[str, bytes]

#: Nothing is sent until the client gives up.
SILENT = "no reply"
#: What is sent instead of the reply.
FAULTS = {
    "throttled": reply(b'{"__type": "ThrottlingException", "message": "Rate exceeded"}', 400),
    "failed": reply(b'{"__type": "InternalFailure"}', 500),
    "unavailable": reply(b"<html>Service Unavailable</html>", 503),
    "half": reply(b'{"half": ', length=1000),
    "nonsense": b"\x00 this is no HTTP \xff\r\n\r\n",
    "closed": b"",
    "reset": b"",
    SILENT: b"",
}
RESET = struct.pack("ii", 1, 0)
#: After these the connection stays.
_ANSWERS = {"throttled", "failed", "unavailable"}

#: How often a burst of one fault begins, and how long it is at most. The clients ask four times, so
#: that some bursts are got over and some are not. The second is for silence, which takes long.
SHARE_OF_FAULTS = 0.05
LONGEST_BURST = 8, 4


class FaultyServer(socketserver.ThreadingTCPServer):
    """It listens on the loopback inside a ``with`` block.

    Args:
        upstream: the URL of who is asked once for each reply.
        marker: text in the replies after which nine digits are replaced by `serial`; or nothing.

    Attributes:
        endpoint: its URL.
        requests: how many came, by what was done to them: "answered", or the fault.
        serial: 0 and 1 in turn, for each reply that is sent whole.
        agents: the programs that sent them.
        is_faulty: whether there are faults now.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, upstream: str, marker: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: Counter[str] = Counter()
        self.serial = 0
        self.agents: set[str] = set()
        self.is_faulty = False
        self._upstream = upstream
        self._marker = re.compile(rf"({marker})\d{{9}}".encode()) if marker else None
        self._recorded: dict[Asked, bytes] = {}
        self._faults = self._sequence(random.Random(7))
        self._lock = threading.Lock()

    def __enter__(self) -> FaultyServer:
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(30)

    def _sequence(self, chance: random.Random) -> Iterator[str]:
        kinds = sorted(FAULTS)
        while True:
            if chance.random() < SHARE_OF_FAULTS:
                what = chance.choice(kinds)
                yield from [what] * chance.randint(1, LONGEST_BURST[what == SILENT])
            else:
                yield "answered"

    def next_answer(self, asked: Asked, signature: str) -> tuple[str, bytes]:
        """What is done to the next request, and what is sent."""
        with self._lock:
            what = next(self._faults) if self.is_faulty else "answered"
            self.requests[what] += 1
            if what != "answered":
                return what, FAULTS[what]
            if asked not in self._recorded:
                self._recorded[asked] = self._from_upstream(asked, signature)
            content = self._recorded[asked]
            self.serial = 1 - self.serial
            if self._marker:
                content = self._marker.sub(rb"\g<1>%09d" % self.serial, content)
        return what, reply(content)

    def _from_upstream(self, asked: Asked, signature: str) -> bytes:
        target, body = asked
        headers = {
            "X-Amz-Target": target,
            "Authorization": signature,
            "Content-Type": "application/x-amz-json-1.1",
        }
        request = urllib.request.Request(self._upstream, body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content


class _Handler(socketserver.StreamRequestHandler):
    server: FaultyServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            while self._request():
                pass

    def _request(self) -> bool:
        """Serve one request; whether the connection stays."""
        headers = {}
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if not headers:
            return False
        self.server.agents.add(headers["user-agent"].partition("/")[0])
        length = int(headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client has given up
            return False
        asked = headers["x-amz-target"], body
        what, sent = self.server.next_answer(asked, headers["authorization"])
        self.wfile.write(sent)
        if what == SILENT:
            self.rfile.read(1)
        if what == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return what == "answered" or what in _ANSWERS
