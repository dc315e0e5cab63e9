"""AWS in this process: a real moto server over HTTP, which refuses what AWS refuses."""

from __future__ import annotations

import io
import json
import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from .limits import violation
from .mends import mend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .dynalite import Dynalite

REGION = "ap-northeast-2"

#: What a fault gives back instead of moto: a status, and the error code of the reply (a message
#: may follow after #), or the whole body of the reply.
Refusal = tuple[int, str | dict[str, Any]]

#: Headers that are between two programs, and not handed over.
_OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass
class EmbeddedAWS:
    """A moto server on a free loopback port.

    Attributes:
        endpoint: its URL.
        dynamodb: another implementation of DynamoDB, which has its requests instead of moto.
        requests: the operations it was sent, as ``Service.Operation``, in their order.
        faults: asked before moto with the operation and the body; a `Refusal` is sent instead.
        unanswered: operations that are carried out once more and then answered with a fault.
        transactions: tokens of DynamoDB's transactions that went through. AWS answers a repetition
            with the first one's success; moto would try it again.
        deleted: secrets in their recovery window: AWS takes no value for them, moto does.
    """

    endpoint: str = ""
    dynamodb: Dynalite | None = None
    requests: list[str] = field(default_factory=list)
    faults: list[Callable[[str, dict[str, Any]], Refusal | None]] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    transactions: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def start(self) -> None:
        mend()
        self._one_at_a_time = threading.Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = _Server("127.0.0.1", 0, self, _QuietHandler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Forget everything: a new account."""
        self.requests.clear()
        self.faults.clear()
        self.unanswered.clear()
        self.transactions.clear()
        self.deleted.clear()
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(request).close()
        if self.dynamodb:
            self.dynamodb.reset()

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count the operations that are sent inside the block; filled in at its end."""
        start, counter = len(self.requests), Counter[str]()
        yield counter
        counter.update(self.requests[start:])

    def settle(self, patience: float) -> None:
        """Wait until every request that has come is done, also of who is gone (seconds).

        It may not have been read yet, nor its connection been taken.
        """
        # Connections are taken in their order: with this one, those before it are.
        address = "127.0.0.1", self._server.server_port
        with socket.create_connection(address, patience) as last:
            last.shutdown(socket.SHUT_WR)
            assert last.recv(1) == b""
        self._server.wait_until_all_are_served(patience)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        operation, token = "", None
        if target:
            service, _, operation = target.partition(".")
            raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(raw)
            body = json.loads(raw or b"{}")
            self.requests.append(f"{service.partition('_')[0].lower()}.{operation}")
            refused = self._refusal(operation, body)
            if refused:
                return _answer(refused, start_response)
            if self.dynamodb and target.startswith("DynamoDB"):
                return self._handed_over(self.dynamodb, environ, raw, start_response)
            token = body.get("ClientRequestToken") if operation == "TransactWriteItems" else None
        # AWS's writes are atomic. moto's look first and write then, and another thread may come
        # between.
        with self._one_at_a_time:
            if token in self.transactions:
                return _answer((200, {}), start_response)
            answers: list[Any] = []
            reply = b"".join(self._moto(environ, lambda *answer: answers.append(answer)))
            if token and answers[0][0].startswith("200"):
                self.transactions.add(token)
        return self._given_back(operation, *answers[0], reply, start_response)

    def _handed_over(
        self,
        dynamodb: Dynalite,
        environ: dict[str, Any],
        raw: bytes,
        start_response: Callable[..., Any],
    ) -> Iterable[bytes]:
        """Let the other implementation answer; nothing of the request or of the reply changes."""
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_X_AMZ_") or name in {"HTTP_AUTHORIZATION", "CONTENT_TYPE"}
        }
        request = urllib.request.Request(dynamodb.endpoint, raw, headers)
        try:
            reply = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as refused:
            reply = refused
        with reply:
            status, body = f"{reply.status} {reply.reason}", reply.read()
            given = [pair for pair in reply.headers.items() if pair[0].lower() not in _OF_THE_HOP]
        operation = environ["HTTP_X_AMZ_TARGET"].partition(".")[2]
        return self._given_back(operation, status, given, body, start_response)

    def _given_back(
        self,
        operation: str,
        status: str,
        headers: list[tuple[str, str]],
        body: bytes,
        start_response: Callable[..., Any],
    ) -> Iterable[bytes]:
        if operation in self.unanswered:
            self.unanswered.remove(operation)
            return _answer((500, "InternalFailure"), start_response)
        start_response(status, headers)
        return [body]

    def _refusal(self, operation: str, body: dict[str, Any]) -> Refusal | None:
        for fault in self.faults:
            if refusal := fault(operation, body):
                return refusal
        if operation == "DeleteSecret":
            self.deleted.add(body["SecretId"])
        elif operation == "RestoreSecret":
            self.deleted.discard(body["SecretId"])
        elif operation in {"PutSecretValue", "CreateSecret"} and (
            body.get("SecretId", body.get("Name")) in self.deleted
        ):
            return 400, "InvalidRequestException#the secret is marked for deletion"
        broken = violation(operation, body)
        return (400, f"ValidationException#{broken}") if broken else None


def _answer(refusal: Refusal, start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, body = refusal
    if isinstance(body, str):
        code, _, message = body.partition("#")
        body = {"__type": code, "message": message or "refused by the test"}
    text = json.dumps(body).encode()
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(text)))]
    start_response(f"{status} from the test", headers)
    return [text]


class _Server(ThreadedWSGIServer):
    """It knows whom it serves: a connection has one request, and is closed after it."""

    def __init__(self, *args: Any) -> None:
        self._served = threading.Condition()
        self._taken = 0
        super().__init__(*args)

    def get_request(self) -> Any:
        taken = super().get_request()
        self._count(1)
        return taken

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._count(-1)

    def _count(self, more: int) -> None:
        with self._served:
            self._taken += more
            self._served.notify_all()

    def wait_until_all_are_served(self, patience: float) -> None:
        with self._served:
            assert self._served.wait_for(lambda: not self._taken, patience)


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        pass
