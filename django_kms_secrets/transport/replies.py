"""What the services reply to reads: JSON into what boto3 makes of it."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from http.client import responses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    #: A member's reader, the members of a structure, the one shape of a list's entries, or of a
    #: map's values (under "*").
    Shape = Callable[[Any], Any] | Mapping[str, Any] | list[Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    value.encode("utf-8")  # half of a character is an error, here and not where it is shown
    return value


def _blob(value: Any) -> bytes:
    return base64.b64decode(_text(value))


def _moment(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no moment")
    try:
        return datetime.fromtimestamp(value, timezone.utc)
    except (OverflowError, OSError):
        pass
    raise ValueError("no moment")


def _any(value: Any) -> Any:
    return value


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
# The stores use S and B; what else stands there is left as it is.
_ATTRIBUTE = dict.fromkeys(("N", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"), _any)
_ITEM = {"*": {**_ATTRIBUTE, "S": _text, "B": _blob}}
_PAGE = {"Items": [_ITEM], "LastEvaluatedKey": _ITEM}
_SECRET = {
    "ARN": _text,
    "Name": _text,
    "VersionId": _text,
    "SecretString": _text,
    "SecretBinary": _blob,
    "VersionStages": [_text],
    "CreatedDate": _moment,
}
_LISTED = {
    "ARN": _text,
    "Name": _text,
    "Description": _text,
    "KmsKeyId": _text,
    "LastChangedDate": _moment,
    "CreatedDate": _moment,
    "DeletedDate": _moment,
    "SecretVersionsToStages": {"*": [_text]},
}

#: The operations that reads are made of, and the members of their replies that are used.
SHAPES: dict[str, Shape] = {
    "Query": _PAGE,
    "Scan": _PAGE,
    "Decrypt": {"KeyId": _text, "Plaintext": _blob},
    "GetSecretValue": _SECRET,
    "BatchGetSecretValue": {
        "SecretValues": [_SECRET],
        "Errors": [{"SecretId": _text, "ErrorCode": _text, "Message": _text}],
        "NextToken": _text,
    },
    "ListSecrets": {"SecretList": [_LISTED], "NextToken": _text},
}


def read(operation: str, body: bytes) -> dict[str, Any]:
    """Read the reply of an operation that succeeded.

    Raises:
        ValueError: a member is not what it should be, or the text is no UTF-8.
        RecursionError: it is nested too deeply.
    """
    members: dict[str, Any] = _read(SHAPES[operation], parsed(body))
    return members


def read_error(status: int, body: bytes) -> tuple[str, str]:
    """Read an error: its code, and AWS's text.

    https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
    """
    if status >= 500 and (not body.strip() or body.strip().startswith(b"<html>")):
        return str(status), responses.get(status, "")
    reply = parsed(body)
    code = reply.get("__type", str(status))
    if code is None:
        code = "unknown"
    if not isinstance(code, str):
        raise ValueError("no code")
    code = code.split(":", 1)[0].rpartition("#")[2] or "unknown"
    text = reply.get("message", reply.get("Message"))
    return code, text if isinstance(text, str) else ""


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON object. As botocore has it, what is no JSON at all is a message.

    Raises:
        ValueError, RecursionError: as `read`.
    """
    text = body.decode("utf-8")
    try:
        parsed = json.loads(text or "{}")
    except ValueError:
        return {"message": text}
    if not isinstance(parsed, dict):
        raise ValueError("no object")
    return parsed


def _read(shape: Shape, value: Any) -> Any:
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError("no list")
        return [_read(shape[0], entry) for entry in value]
    if callable(shape):
        return shape(value)
    if not isinstance(value, dict):
        raise ValueError("no structure")
    if "*" in shape:
        return {name: _read(shape["*"], member) for name, member in value.items()}
    return {
        name: _read(inner, value[name])
        for name, inner in shape.items()
        if value.get(name) is not None
    }
