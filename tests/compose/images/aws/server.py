"""moto, for the tests: it writes down what it is asked, and denies as AWS does.

`server.py HOST PORT`. moto denies in XML, to whom AWS answers in JSON.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: moto's word -> the word of AWS's JSON services.
DENIALS = {
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}
DENIED = re.compile(rb"<Code>(\w+)</Code>\s*<Message>(.*?)</Message>", re.S)


class Server:
    """A WSGI application before moto's."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target:
            return self._moto(environ, start_response)
        # One write for the whole line: requests are answered by several threads.
        sys.stdout.write(f"asked: {target.rpartition('.')[2]}\n")
        sys.stdout.flush()
        started: list[Any] = []
        body = b"".join(self._moto(environ, lambda *arguments: started.extend(arguments)))
        status, headers, *_ = started
        found = DENIED.search(body)
        if found and found[1].decode() in DENIALS:
            reply = {"__type": DENIALS[found[1].decode()], "message": found[2].decode()}
            status, body = "400 Bad Request", json.dumps(reply).encode()
            headers = [("Content-Type", "application/x-amz-json-1.1")]
            headers += [("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]


class Quiet(WSGIRequestHandler):
    """Leaves out the log of requests: the server writes its own."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    run_simple(sys.argv[1], int(sys.argv[2]), Server(), threaded=True, request_handler=Quiet)
