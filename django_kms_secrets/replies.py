"""What AWS answered, held against AWS's own description of it.

botocore reads a reply by that description, and does not look whether it is followed: a text may be
a number then, or a list be null. What is listening on another endpoint may answer anything.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .exceptions import StoreUnavailable
from .types import masked

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# By the names that botocore's models have for types.
_SCALARS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "blob": bytes,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "timestamp": datetime,
}
#: The members that are plaintext.
_SECRET = {"Plaintext", "SecretBinary", "SecretString"}

# AWS's codes look like this.
_CODE = r"[A-Za-z0-9_.:-]{1,100}"
#: What is shown of a reason that AWS gives (characters).
_MESSAGE = 1000


class Unreadable(Exception):
    """It is not what AWS answers. It never leaves `aws`: a reply stands in the frames behind it."""


class Reply(dict[str, Any]):
    """A structure in a reply. A member that AWS always sends, and that is missing, is an error."""

    def __init__(self, members: Mapping[str, Any], request: str) -> None:
        super().__init__(members)
        self._request = request

    def __missing__(self, name: str) -> Any:
        raise StoreUnavailable(
            f"{self._request} was answered without {name}",
            hint="check endpoint_url: something else than AWS may be listening there",
            is_outage=False,
        )


def checked(value: Any, shape: Any, request: str) -> Any:
    """A reply, or a part of one, whose members have their types; its plaintexts hide themselves.

    Args:
        value: as botocore gives it.
        shape: botocore's model of it.
        request: the operation and the place, for errors.

    Raises:
        Unreadable: a member has another type.
    """
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        known = shape.members
        members = {
            name: checked(masked(inner) if name in _SECRET else inner, known[name], request)
            for name, inner in value.items()
            if name in known
        }
        return Reply(members, request)
    if kind == "list" and isinstance(value, list):
        return [checked(inner, shape.member, request) for inner in value]
    if kind == "map" and isinstance(value, dict):
        return {name: checked(inner, shape.value, request) for name, inner in value.items()}
    if isinstance(value, _SCALARS.get(kind, ())):
        if isinstance(value, str):
            value.encode("utf-8")  # half of a character is an error, here and not where it is shown
        return value
    raise Unreadable(f"{shape.name} is no {kind}")


def hidden(value: Any, request: str) -> Any:
    """A reply whose members have their types already: its plaintexts hide themselves.

    Args:
        value: as `transport.replies.read` gives it.
        request: as in `checked`.
    """
    if isinstance(value, dict):
        members = {
            name: masked(inner) if name in _SECRET else hidden(inner, request)
            for name, inner in value.items()
        }
        return Reply(members, request)
    if isinstance(value, list):
        return [hidden(inner, request) for inner in value]
    return value


def refusal(response: Mapping[str, Any]) -> dict[str, Any]:
    """An error reply, as far as errors are made of it: texts that can be shown.

    Args:
        response: of botocore's ClientError.
    """
    error, reasons = response.get("Error"), response.get("CancellationReasons")
    error = error if isinstance(error, dict) else {}
    reasons = reasons if isinstance(reasons, list) else []
    code, message = code_of(error.get("Code")), error.get("Message")
    # Where AWS gave no code, botocore has taken the HTTP status for it, and, of what is no JSON,
    # the whole body for the message: there may be a value in it.
    shown = message[:_MESSAGE] if isinstance(message, str) and not code.isdigit() else ""
    return {
        "Error": {
            "Code": code,
            "Message": "".join(char if char.isprintable() else " " for char in shown),
        },
        "CancellationReasons": [
            {"Code": code_of(reason.get("Code", "None"))}
            for reason in reasons
            if isinstance(reason, dict)
        ],
        "ResponseMetadata": response.get("ResponseMetadata", {}),
    }


def without_echo(
    reply: dict[str, Any], parameters: Mapping[str, Any], known: Collection[str]
) -> dict[str, Any]:
    """An error reply in which nothing of the request's plaintexts stands.

    Args:
        reply: as `refusal` gives it.
        parameters: the request.
        known: codes that mean something here, whatever else they are a part of.
    """
    sent = [str(value) for name, value in parameters.items() if name in _SECRET and value]
    code, message = reply["Error"]["Code"], reply["Error"]["Message"]
    if code not in known and any(text in code for text in sent):
        code = "unknown"
    if any(text in message for text in sent):
        message = ""
    return {**reply, "Error": {"Code": code, "Message": message}}


def code_of(code: object) -> str:
    """An error code; "unknown" for what does not look like one."""
    return code if isinstance(code, str) and re.fullmatch(_CODE, code) else "unknown"
