"""A server that does not answer: it takes a connection, and says nothing or never ends."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class SilentServer:
    """A loopback server that reads nothing and closes nothing before it is closed itself.

    Args:
        trickle: send one more byte of a header every so many seconds; None for not a word.
    """

    def __init__(self, trickle: float | None = None) -> None:
        self._trickle = trickle
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        # shutdown() wakes a thread that is in accept(); close() alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for connection in (self._listener, *self._connections):
            connection.close()

    @property
    def connections(self) -> int:
        """How many connections were taken so far."""
        return len(self._connections)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            if self._trickle is not None:
                self._start(self._send, connection, self._trickle)

    def _send(self, connection: socket.socket, pause: float) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self._closing.wait(pause):
                connection.sendall(b"x")
        except OSError:
            return

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


def closed_port() -> str:
    """The URL of a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
