"""A server that answers as a test says, byte by byte, and notes what it was sent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from typing_extensions import Self

    #: What to do with a connection on which a request has come; it is closed after that, unless
    #: True says that it stays.
    Script = Callable[[socket.socket], bool | None]


class ScriptedServer:
    """A loopback server, with TLS if there is a context.

    Args:
        script: what to do with each request.
        context: for TLS.

    Attributes:
        requests: the head and the body of each request.
        connections: how many were taken.
    """

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self._script = script
        self._context = context
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if self._context else "http"
        self.endpoint = f"{scheme}://localhost:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            close(connection)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone, or does not trust us
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while (request := self._request(connection)) and self._answer(connection, *request):
                pass
        close(connection)

    def _answer(self, connection: socket.socket, head: str, body: bytes) -> bool | None:
        """Answer one request, as a script does."""
        return self._script(connection)

    def _request(self, connection: socket.socket) -> tuple[str, bytes] | None:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return None
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        lines = [line.lower() for line in head.decode().splitlines()]
        length = next((int(s.split(":")[1]) for s in lines if s.startswith("content-length:")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append((head.decode(), body))
        return head.decode(), body

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()


def close(connection: socket.socket) -> None:
    """End a connection, and wake who reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def reset(connection: socket.socket) -> None:
    """End a connection so that the other side gets an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def reply(body: bytes, status: int = 200, *headers: str, length: int | None = None) -> bytes:
    """A reply; ``length`` is what it says of its length, -1 for not a word."""
    lines = [f"HTTP/1.1 {status} Scripted", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body
