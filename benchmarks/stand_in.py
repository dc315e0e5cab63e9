"""A stand-in for AWS that is never what a client waits for: everything is answered from memory.

It speaks as much of Secrets Manager, DynamoDB and KMS as the measured programs do, over HTTP/1.1
with connections kept open; what it does not know is refused, so that nothing is measured by
mistake. Signatures are not looked at. A latency is added to every reply as a network adds it:
requests that are under way together wait together.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import ssl
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from django_kms_secrets import envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    Reply = dict[str, Any]
    Item = dict[str, dict[str, str]]

DOCUMENT = "app/production"
PREFIX = "app/production/"
TABLE = "credential-store"

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
PAGE_BYTES = 1024 * 1024
#: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
BATCH_IDS = 20
#: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
VALUE_BYTES = 65_536
FILTER_VALUES = 10
#: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
LIST_PAGE = 100
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
TRANSACTION_ITEMS = 100

_KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/7c1de6a3-0000-4000-8000-000000000000"
# What KMS adds to a data key that it encrypts; about as much as the real one does.
_SEALED = b"sealed by the stand-in: ".ljust(152, b".")


class Refused(Exception):
    """An error reply: its code, and a message."""


class Counts(NamedTuple):
    """What was asked since the last time.

    Attributes:
        requests: how many.
        connections: how many were opened.
        operations: how many requests of each operation.
    """

    requests: int
    connections: int
    operations: dict[str, int]


class StandIn:
    """The server in a process of its own, and what its measurer can tell it.

    Args:
        certificate: the directory with ``server.pem`` and ``server.key``.
    """

    def __init__(self, certificate: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, certificate), daemon=True)

    def __enter__(self) -> StandIn:
        self._process.start()
        self.http, self.https = self._pipe.recv()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.join()

    def fill(
        self, values: Mapping[str, str], *, old_versions: int = 0, packed: bool = False
    ) -> None:
        """Store values in place of all that is there: as a document, by name, and as a table.

        They may be none: then the document is empty. What is too long for one is in none.

        Args:
            values: the secrets.
            old_versions: how many versions the table has of each before its current one.
            packed: the table has one item instead, the document.
        """
        self._ask("fill", dict(values), old_versions, packed)

    def delay(self, seconds: float) -> None:
        """Answer every request so much later."""
        self._ask("delay", seconds)

    def counts(self) -> Counts:
        """What was asked since the last call."""
        return Counts(*self._ask("counts"))

    def stored(self) -> dict[str, dict[str, str]]:
        """The current values: of the document, by name, and of the table, sealed or not."""
        found: dict[str, dict[str, str]] = self._ask("stored")
        return found

    def _ask(self, what: str, *args: Any) -> Any:
        self._pipe.send((what, args))
        return self._pipe.recv()


class _Account:
    """What is stored, and the operations on it."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.connections = 0
        self.operations: dict[str, int] = {}
        self.secrets: dict[str, Reply] = {}
        # Versions that are not current yet, by their ids.
        self.staged: dict[str, str] = {}
        # name -> version -> item; versions in their order.
        self.items: dict[str, dict[str, Item]] = {}
        self._pages: dict[str, bytes] = {}

    # What the measurer asks

    def fill(self, values: dict[str, str], old_versions: int, packed: bool) -> None:
        self.secrets, self.staged, self.items, self._pages = {}, {}, {}, {}
        document = json.dumps(values)
        if len(document) <= VALUE_BYTES:
            self._write_secret(DOCUMENT, document)
        for name, value in values.items():
            self._write_secret(PREFIX + name, value)
        for name, value in ({DOCUMENT: document} if packed else values).items():
            for number in range(old_versions + 1):
                self._put(_sealed(name, str(number + 1).rjust(19, "0"), value))

    def delay(self, seconds: float) -> None:
        self.latency = seconds

    def counts(self) -> Counts:
        found = Counts(sum(self.operations.values()), self.connections, self.operations)
        self.connections, self.operations = 0, {}
        return found

    def stored(self) -> dict[str, dict[str, str]]:
        return {
            "secrets": {name: secret["SecretString"] for name, secret in self.secrets.items()},
            "table": {
                name: _opened(list(items.values())[-1]) for name, items in self.items.items()
            },
        }

    def answer(self, target: str, body: bytes) -> bytes:
        """The reply to a request, as JSON."""
        operation = target.rpartition(".")[2]
        self.operations[operation] = self.operations.get(operation, 0) + 1
        method: Callable[[Reply], Reply | bytes] | None = getattr(self, operation, None)
        if method is None:
            raise Refused("UnknownOperationException", operation)
        reply = method(json.loads(body))
        return reply if isinstance(reply, bytes) else json.dumps(reply).encode()

    # Secrets Manager

    def GetSecretValue(self, request: Reply) -> Reply:  # noqa: N802
        return self._secret(request["SecretId"])

    def BatchGetSecretValue(self, request: Reply) -> Reply:  # noqa: N802
        if "Filters" not in request:
            ids = request["SecretIdList"]
            if len(ids) > BATCH_IDS:
                raise Refused("InvalidParameterException", f"more than {BATCH_IDS} ids")
            errors = [
                {"SecretId": name, "ErrorCode": "ResourceNotFoundException", "Message": ""}
                for name in ids
                if name not in self.secrets
            ]
            found = [self.secrets[name] for name in ids if name in self.secrets]
            return {"SecretValues": found, "Errors": errors}
        names, more = self._listed(request, BATCH_IDS)
        return {"SecretValues": [self._secret(name) for name in names], "Errors": [], **more}

    def ListSecrets(self, request: Reply) -> Reply:  # noqa: N802
        names, more = self._listed(request, LIST_PAGE)
        return {"SecretList": [self._described(name) for name in names], **more}

    def DescribeSecret(self, request: Reply) -> Reply:  # noqa: N802
        return self._described(request["SecretId"])

    def CreateSecret(self, request: Reply) -> Reply:  # noqa: N802
        if request["Name"] in self.secrets:
            raise Refused("ResourceExistsException", request["Name"])
        return self._write_secret(request["Name"], request["SecretString"])

    def PutSecretValue(self, request: Reply) -> Reply:  # noqa: N802
        self._secret(request["SecretId"])
        if "VersionStages" in request:
            self.staged[request["ClientRequestToken"]] = request["SecretString"]
            return {"Name": request["SecretId"], "VersionId": request["ClientRequestToken"]}
        return self._write_secret(request["SecretId"], request["SecretString"])

    def UpdateSecretVersionStage(self, request: Reply) -> Reply:  # noqa: N802
        known = self._secret(request["SecretId"])
        if "MoveToVersionId" not in request:  # of a label that nobody asks for
            return {}
        if request["RemoveFromVersionId"] != known["VersionId"]:
            raise Refused("InvalidParameterException", "another version is current")
        return self._write_secret(request["SecretId"], self.staged[request["MoveToVersionId"]])

    def _listed(self, request: Reply, most: int) -> tuple[list[str], Reply]:
        names = sorted(self.secrets)
        for condition in request.get("Filters", ()):
            if condition["Key"] != "name" or len(condition["Values"]) > FILTER_VALUES:
                raise Refused("InvalidParameterException", f"at most {FILTER_VALUES} names")
            names = [name for name in names if name.startswith(tuple(condition["Values"]))]
        start = int(request.get("NextToken", 0))
        end = start + min(most, request.get("MaxResults", most))
        return names[start:end], {"NextToken": str(end)} if end < len(names) else {}

    def _secret(self, name: str) -> Reply:
        try:
            return self.secrets[name]
        except KeyError:
            raise Refused("ResourceNotFoundException", name) from None

    def _described(self, name: str) -> Reply:
        secret = self._secret(name)
        version = {secret["VersionId"]: secret["VersionStages"]}
        return {
            "ARN": secret["ARN"],
            "Name": name,
            "LastChangedDate": secret["CreatedDate"],
            "VersionIdsToStages": version,
            "SecretVersionsToStages": version,
        }

    def _write_secret(self, name: str, value: str) -> Reply:
        self.secrets[name] = {
            "ARN": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": "7c1de6a3-0000-4000-8000-" + os.urandom(6).hex(),
            "SecretString": value,
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": 1700000000.0,
        }
        return {key: self.secrets[name][key] for key in ("ARN", "Name", "VersionId")}

    # KMS

    def GenerateDataKey(self, request: Reply) -> Reply:  # noqa: N802
        plain = os.urandom(request["NumberOfBytes"])
        return {
            "Plaintext": base64.b64encode(plain).decode(),
            "CiphertextBlob": base64.b64encode(_SEALED + plain).decode(),
            "KeyId": _KEY_ARN,
        }

    def Decrypt(self, request: Reply) -> Reply:  # noqa: N802
        blob = base64.b64decode(request["CiphertextBlob"])
        if not blob.startswith(_SEALED):
            raise Refused("InvalidCiphertextException", "not of this stand-in")
        return {"Plaintext": base64.b64encode(blob[len(_SEALED) :]).decode(), "KeyId": _KEY_ARN}

    # DynamoDB

    def Query(self, request: Reply) -> Reply:  # noqa: N802
        aliases, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        wanted = {}
        for condition in (
            request["KeyConditionExpression"].replace("(", "").replace(")", "").split(" AND ")
        ):
            name, _, value = condition.partition(" = ")
            wanted[aliases.get(name, name)] = values[value]["S"]
        if {*wanted} - {"name", "version"}:
            raise Refused("ValidationException", "the stand-in knows name and version")
        versions = self.items.get(wanted["name"], {})
        found = list(versions.values())
        if "version" in wanted:
            found = [versions[wanted["version"]]] if wanted["version"] in versions else []
        if not request.get("ScanIndexForward", True):
            found.reverse()
        return self._found(found[: request.get("Limit")], request)

    def Scan(self, request: Reply) -> bytes:  # noqa: N802
        # The same page is asked for by every process that is measured.
        key = json.dumps(request, sort_keys=True)
        if key not in self._pages:
            self._pages[key] = json.dumps(self._page(request)).encode()
        return self._pages[key]

    def _page(self, request: Reply) -> Reply:
        expression = request.get("FilterExpression", "")
        if expression not in ("", "begins_with(#name, :prefix)"):
            raise Refused("ValidationException", f"the stand-in cannot filter by {expression}")
        prefix = request["ExpressionAttributeValues"][":prefix"]["S"] if expression else ""
        segment, segments = request.get("Segment", 0), request.get("TotalSegments", 1)
        after = request.get("ExclusiveStartKey")
        passed = after is None
        found: list[Item] = []
        size = 0
        more: Reply = {}
        for name, versions in self.items.items():
            if zlib.crc32(name.encode()) % segments != segment:
                continue
            for item in versions.values():
                key = {"name": item["name"], "version": item["version"]}
                if not passed:
                    passed = key == after
                    continue
                # What is read counts, also what the filter or the projection then leaves out.
                size += sum(len(one) + len(*value.values()) for one, value in item.items())
                if name.startswith(prefix):
                    found.append(item)
                if size >= PAGE_BYTES:
                    more = {"LastEvaluatedKey": key}
                    return {**self._found(found, request), **more}
        return self._found(found, request)

    def GetItem(self, request: Reply) -> Reply:  # noqa: N802
        found = self._at(request["Key"])
        return {"Item": self._projected(found, request)} if found else {}

    def BatchGetItem(self, request: Reply) -> Reply:  # noqa: N802
        wanted = request["RequestItems"][TABLE]
        if len(wanted["Keys"]) > 100:
            raise Refused("ValidationException", "more than 100 keys")
        found = filter(None, map(self._at, wanted["Keys"]))
        return {
            "Responses": {TABLE: [self._projected(item, wanted) for item in found]},
            "UnprocessedKeys": {},
        }

    def PutItem(self, request: Reply) -> Reply:  # noqa: N802
        self._check(request)
        self._put(request["Item"])
        return {}

    def TransactWriteItems(self, request: Reply) -> Reply:  # noqa: N802
        puts = [item["Put"] for item in request["TransactItems"]]
        if len(puts) > TRANSACTION_ITEMS:
            raise Refused("ValidationException", f"more than {TRANSACTION_ITEMS} items")
        for put in puts:
            self._check(put)
        for put in puts:
            self._put(put["Item"])
        return {}

    def _at(self, key: Item) -> Item | None:
        return self.items.get(key["name"]["S"], {}).get(key["version"]["S"])

    def _check(self, request: Reply) -> None:
        condition = request.get("ConditionExpression", "")
        if condition and not condition.startswith("attribute_not_exists("):
            raise Refused("ValidationException", f"the stand-in does not know {condition}")
        if condition and self._at(request["Item"]):
            raise Refused("ConditionalCheckFailedException", "it exists")

    def _put(self, item: Item) -> None:
        versions = self.items.setdefault(item["name"]["S"], {})
        newest = next(reversed(versions), "")
        versions[item["version"]["S"]] = item
        if item["version"]["S"] < newest:
            self.items[item["name"]["S"]] = dict(sorted(versions.items()))
        self._pages = {}

    def _found(self, items: list[Item], request: Reply) -> Reply:
        shown = [self._projected(item, request) for item in items]
        return {"Items": shown, "Count": len(shown), "ScannedCount": len(shown)}

    @staticmethod
    def _projected(item: Item, request: Reply) -> Item:
        expression = request.get("ProjectionExpression")
        if not expression:
            return item
        aliases = request.get("ExpressionAttributeNames", {})
        names = [aliases.get(name.strip(), name.strip()) for name in expression.split(",")]
        return {name: item[name] for name in names if name in item}


def _sealed(name: str, version: str, value: str) -> Item:
    key = os.urandom(envelope.DATA_KEY_BYTES)
    record = envelope.seal(value.encode(), data_key=key, encrypted_key=_SEALED + key)
    attributes = {"name": name, "version": version, **envelope.encode(record)}
    return {
        name: {"B": base64.b64encode(value).decode()} if isinstance(value, bytes) else {"S": value}
        for name, value in attributes.items()
    }


def _opened(item: Item) -> str:
    attributes = {
        name: base64.b64decode(value["B"]) if "B" in value else value["S"]
        for name, value in item.items()
    }
    record = envelope.decode(attributes)
    return envelope.unseal(record, data_key=record.key[len(_SEALED) :]).decode()


class _Connection(asyncio.Protocol):
    """One connection: requests are read as they come, and answered in their order."""

    def __init__(self, account: _Account) -> None:
        self._account = account
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._account.connections += 1

    def data_received(self, data: bytes) -> None:
        arrived = self._loop.time()
        self._unread += data
        while True:
            head, separator, rest = self._unread.partition(b"\r\n\r\n")
            if not separator:
                return
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
            }
            if headers.get(b"expect") and not rest:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(headers.get(b"content-length", 0))
            if len(rest) < length:
                return
            self._unread = rest[length:]
            reply = self._reply(headers.get(b"x-amz-target", b"").decode(), rest[:length])
            if self._account.latency:
                self._loop.call_at(arrived + self._account.latency, self._transport.write, reply)
            else:
                self._transport.write(reply)

    def _reply(self, target: str, body: bytes) -> bytes:
        status = b"200 OK"
        try:
            content = self._account.answer(target, body)
        except Refused as refusal:
            code, message = refusal.args
            status = b"400 Bad Request"
            content = json.dumps({"__type": code, "message": message, "Message": message}).encode()
        return (
            b"HTTP/1.1 %b\r\nContent-Type: application/x-amz-json-1.1\r\n"
            b"x-amzn-RequestId: 7c1de6a3-0000-4000-8000-000000000000\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (status, len(content), content)
        )


def _serve(pipe: Connection, certificate: Path) -> None:
    asyncio.run(_listen(pipe, certificate))


async def _listen(pipe: Connection, certificate: Path) -> None:
    account = _Account()
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "server.pem", certificate / "server.key")
    servers = [
        await loop.create_server(
            lambda: _Connection(account), "127.0.0.1", 0, ssl=tls, backlog=1024
        )
        for tls in (None, context)
    ]
    pipe.send([server.sockets[0].getsockname()[1] for server in servers])
    ended = loop.create_future()

    def told() -> None:
        try:
            what, args = pipe.recv()
        except EOFError:  # the measurer is gone
            ended.set_result(None)
            return
        pipe.send(getattr(account, what)(*args))

    loop.add_reader(pipe.fileno(), told)
    await ended


def capacity(port: int, requests: int = 5000) -> float:
    """What the stand-in can do: GetSecretValue a second, over one connection."""
    import socket

    body = json.dumps({"SecretId": DOCUMENT}).encode()
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: secretsmanager.GetSecretValue\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        length = len(connection.recv(65536))
        start = time.perf_counter()
        waiting = 0
        sent = 0
        while sent < requests or waiting:
            # Some at a time: it is the server that is measured, not the way to it.
            if not waiting:
                connection.sendall(request * 50)
                sent += 50
                waiting = 50 * length
            waiting -= len(connection.recv(65536))
        return sent / (time.perf_counter() - start)
