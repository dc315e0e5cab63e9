"""A server that keeps its connections, as AWS does; werkzeug closes each after one reply."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

#: Answers every read of an empty store.
EMPTY = {"Items": [], "SecretList": [], "SecretString": "{}", "VersionId": "1"}


class _Server(ThreadingHTTPServer):
    #: Of five, more would be dropped when a pool of threads connects, and try again a second later.
    request_queue_size = 128


class KeepingServer:
    """A loopback server with one answer to all, which counts its connections.

    Attributes:
        opened, closed: how many connections there were, and how many of them the client closed.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self._change = threading.Condition()

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.count("opened")

            def finish(self) -> None:
                super().finish()
                server.count("closed")

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps({**EMPTY, "Name": asked.get("SecretId", "")}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def count(self, what: str) -> None:
        """Count one more."""
        with self._change:
            setattr(self, what, getattr(self, what) + 1)
            self._change.notify_all()

    def all_closed(self, seconds: float) -> bool:
        """Wait until the client has closed every connection."""
        with self._change:
            return self._change.wait_for(lambda: self.closed == self.opened, seconds)
