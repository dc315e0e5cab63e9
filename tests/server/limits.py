"""What AWS refuses and moto accepts, checked on every request the tests send.

moto 5.2 takes 25 batch ids, 100 filter values and a 70,000 byte value. Each rule here names the
page of AWS that states it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

SM = "https://docs.aws.amazon.com/secretsmanager/latest/"
DDB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"

MB = 1024 * 1024


def violation(operation: str, body: dict[str, Any]) -> str | None:
    """What AWS would refuse about a request, or None."""
    check = globals().get(f"_{operation}")
    return check(body) if check else None


def _BatchGetSecretValue(body: dict[str, Any]) -> str | None:  # noqa: N802
    # SM + apireference/API_BatchGetSecretValue.html
    ids, filters = body.get("SecretIdList"), body.get("Filters")
    if bool(ids) == bool(filters):
        return "SecretIdList or Filters, one of them"
    if ids and not 1 <= len(ids) <= 20:
        return "SecretIdList has 1 to 20 ids"
    if ids and "MaxResults" in body:
        return "MaxResults goes with Filters only"
    if not 1 <= body.get("MaxResults", 20) <= 20:
        return "MaxResults is 1 to 20"
    return _filters(filters or [])


def _ListSecrets(body: dict[str, Any]) -> str | None:  # noqa: N802
    # SM + apireference/API_ListSecrets.html
    if not 1 <= body.get("MaxResults", 100) <= 100:
        return "MaxResults is 1 to 100"
    return _filters(body.get("Filters", []))


def _filters(filters: list[dict[str, Any]]) -> str | None:
    if len(filters) > 10 or any(not 1 <= len(entry["Values"]) <= 10 for entry in filters):
        return "at most 10 filters of 1 to 10 values"
    return None


def _value(body: dict[str, Any]) -> str | None:
    # SM + userguide/reference_limits.html
    if len(body.get("SecretString", "").encode()) > 65_536:
        return "a value has at most 65,536 bytes"
    if body.get("SecretString") == "":
        return "a value has at least 1 byte"
    token = body.get("ClientRequestToken")
    if token is not None and not 32 <= len(token) <= 64:
        return "ClientRequestToken has 32 to 64 characters"
    return None


def _CreateSecret(body: dict[str, Any]) -> str | None:  # noqa: N802
    # SM + apireference/API_CreateSecret.html
    if not re.fullmatch(r"[A-Za-z0-9/_+=.@!-]{1,512}", body["Name"]):
        return "a name has 1 to 512 characters of A-Z, a-z, 0-9 and /_+=.@-"
    return _value(body)


_PutSecretValue = _UpdateSecret = _value


def _DeleteSecret(body: dict[str, Any]) -> str | None:  # noqa: N802
    # SM + apireference/API_DeleteSecret.html
    if body.get("ForceDeleteWithoutRecovery"):
        return None
    return None if 7 <= body.get("RecoveryWindowInDays", 30) <= 30 else "7 to 30 days"


def _item_size(item: dict[str, Any]) -> int:
    size = 0
    for name, typed in item.items():
        kind, value = next(iter(typed.items()))
        content = base64.b64decode(value) if kind == "B" else str(value).encode()
        size += len(name.encode()) + len(content)
    return size


def _PutItem(body: dict[str, Any]) -> str | None:  # noqa: N802
    # DDB, "Items": 400 KB with attribute names
    return "an item has at most 400 KB" if _item_size(body["Item"]) > 400 * 1024 else None


def _TransactWriteItems(body: dict[str, Any]) -> str | None:  # noqa: N802
    # DDB, "Transactions": 100 items, 4 MB; an item at most once
    puts = [entry["Put"] for entry in body["TransactItems"] if "Put" in entry]
    if not 1 <= len(body["TransactItems"]) <= 100:
        return "a transaction has 1 to 100 items"
    sizes = [_item_size(put["Item"]) for put in puts]
    if any(size > 400 * 1024 for size in sizes):
        return "an item has at most 400 KB"
    if sum(sizes) > 4 * MB:
        return "a transaction has at most 4 MB"
    keys = [json.dumps([put["Item"]["name"], put["Item"]["version"]]) for put in puts]
    return None if len(set(keys)) == len(keys) else "a transaction names an item only once"


def _BatchGetItem(body: dict[str, Any]) -> str | None:  # noqa: N802
    # DDB, API-specific limits
    keys = sum(len(table["Keys"]) for table in body["RequestItems"].values())
    return None if 1 <= keys <= 100 else "a batch has 1 to 100 keys"


def _Encrypt(body: dict[str, Any]) -> str | None:  # noqa: N802
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
    too_long = len(base64.b64decode(body["Plaintext"])) > 4096
    return "KMS encrypts at most 4,096 bytes" if too_long else None
