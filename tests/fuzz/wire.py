"""AWS at the wire: whatever bytes a target wants, in the place of an HTTP reply.

Everything above is real: our stores, boto3, botocore's parsers and its retries, our own transport.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

from django_kms_secrets import envelope
from django_kms_secrets.deadline import Deadline
from django_kms_secrets.transport import client

from . import MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: After so many requests the replies are empty, so that pages come to an end.
REQUESTS = 40

DATA_KEY = bytes(range(64))
BLOB = b"sealed key"


class _Raw:
    """The body of a reply, as urllib3 gives it to botocore."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


@contextlib.contextmanager
def answering(replies: Sequence[tuple[int, bytes]]) -> Iterator[None]:
    """Answer every request with the next of these, status and body; after the last from the first.

    Nothing waits between attempts, so that what is made of the replies hangs on them alone, and
    not on how many attempts there is time for. At the end there is no thread that would ask again.
    """
    sent = 0
    headers = {"content-type": "application/x-amz-json-1.1", "date": "Thu, 01 Jan 1970"}

    def answer() -> tuple[int, bytes]:
        nonlocal sent
        sent += 1
        return replies[(sent - 1) % len(replies)] if sent <= REQUESTS else (200, b"{}")

    def send(_: object, request: Any) -> AWSResponse:
        status, body = answer()
        response = AWSResponse(request.url, status, headers, _Raw(body))
        assert response.content is not None
        return response

    def exchange(*_: object) -> tuple[int, dict[str, str], bytes, str]:
        status, body = answer()
        return status, headers, body, ""

    with (
        mock.patch.object(URLLib3Session, "send", send),
        mock.patch("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None)),
        mock.patch.object(client, "_exchange", exchange),
        mock.patch.object(client, "_pause", return_value=0.0),
        mock.patch.object(Deadline, "pause", lambda deadline: deadline.remaining() > 0),
    ):
        yield
        for thread in threading.enumerate():
            if thread.name == "kms-secrets":
                thread.join()


def record(name: str = "A", version: str = "1", value: str = MARKER) -> dict[str, Any]:
    """An item as a CredStash table has it, typed as DynamoDB types it."""
    sealed = envelope.seal(value.encode(), data_key=DATA_KEY, encrypted_key=BLOB)
    typed = {
        "key": {"S": base64.b64encode(sealed.key).decode()},
        "contents": {"S": base64.b64encode(sealed.contents).decode()},
        "hmac": {"B": base64.b64encode(sealed.tag.hex().encode()).decode()},
        "digest": {"S": sealed.digest},
    }
    return {"name": {"S": name}, "version": {"S": version.rjust(19, "0")}, **typed}


#: What KMS answers to Decrypt, and to GenerateDataKey.
KEY = {
    "Plaintext": base64.b64encode(DATA_KEY).decode(),
    "CiphertextBlob": base64.b64encode(BLOB).decode(),
    "KeyId": "arn:aws:kms:ap-northeast-2:123456789012:key/1",
}


def text(*replies: Any, status: int = 200) -> str:
    """Replies as a corpus file has them: one a line, the status before the body."""
    return "".join(f"{status} {json.dumps(reply)}\n" for reply in replies)
