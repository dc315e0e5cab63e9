"""IAM in small: what a request asks for, and whether a policy allows it.

moto looks at actions only. This looks at resources and conditions too, as far as our policies use
them: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.kms.models import kms_backends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ACCOUNT = "123456789012"
REGION = "ap-northeast-2"
#: As AWS adds it to the name of a secret.
SUFFIX = "-AbC123"

#: What a part of a transaction is to IAM, and where its key is.
PARTS = {
    "Put": ("dynamodb:PutItem", "Item"),
    "Delete": ("dynamodb:DeleteItem", "Key"),
    "ConditionCheck": ("dynamodb:ConditionCheckItem", "Key"),
}
ON_ITEMS = {"PutItem": "Item", "DeleteItem": "Key"}
KMS = {"Decrypt", "GenerateDataKey", "DescribeKey", "CreateKey", "CreateAlias"}
DYNAMODB = {"Query", "Scan", "PutItem", "DeleteItem", "DescribeTable", "CreateTable"}


@dataclass(frozen=True)
class Ask:
    """One thing that IAM decides on: an action on a resource, with what is known of it."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class Keys:
    """moto's KMS keys, and the aliases that name them."""

    def __init__(self) -> None:
        self._backend: Any = kms_backends[ACCOUNT][REGION]

    def arn(self, body: Mapping[str, Any]) -> str:
        """The ARN of the key that a request uses; "" for an alias that names none."""
        named = body.get("KeyId")
        if named is None:  # moto's ciphertext begins with the id of its key
            named = base64.b64decode(body["CiphertextBlob"])[:36].decode()
        for key, aliases in self._aliases():
            if named in aliases or named in {key, arn("kms", f"key/{key}")}:
                return arn("kms", f"key/{key}")
        return ""

    def names_of(self, key: str) -> list[str]:
        return [alias for known, names in self._aliases() for alias in names if known in key]

    def _aliases(self) -> list[tuple[str, list[str]]]:
        return [(key, list(kept.aliases)) for key, kept in self._backend.keys.items()]


def asks(operation: str, body: Mapping[str, Any], keys: Keys) -> Iterator[Ask]:
    """What IAM decides on for one request."""
    if operation == "TransactWriteItems":
        for part in body["TransactItems"]:
            for kind, item in part.items():
                action, where = PARTS[kind]
                yield _item(action, item, item[where]["name"]["S"])
    elif operation == "Query":
        yield _item("dynamodb:Query", body, body["ExpressionAttributeValues"][":name"]["S"])
    elif operation in ON_ITEMS:
        yield _item(f"dynamodb:{operation}", body, body[ON_ITEMS[operation]]["name"]["S"])
    elif operation in DYNAMODB:
        yield Ask(f"dynamodb:{operation}", arn("dynamodb", f"table/{body['TableName']}"))
    elif operation in KMS:
        yield from _kms(operation, body, keys)
    else:
        yield from _secrets(operation, body)


def _item(action: str, request: Mapping[str, Any], name: str) -> Ask:
    table = arn("dynamodb", f"table/{request['TableName']}")
    return Ask(action, table, {"dynamodb:LeadingKeys": [name]})


def _kms(operation: str, body: Mapping[str, Any], keys: Keys) -> Iterator[Ask]:
    if operation == "CreateKey":
        yield Ask("kms:CreateKey", "*")
        return
    if operation == "CreateAlias":
        yield Ask("kms:CreateAlias", arn("kms", body["AliasName"]))
        yield Ask("kms:CreateAlias", keys.arn({"KeyId": body["TargetKeyId"]}))
        return
    if not (key := keys.arn(body)):
        return  # AWS says first that there is no such key
    pairs = body.get("EncryptionContext") or {}
    context = {f"kms:EncryptionContext:{name}": [value] for name, value in pairs.items()}
    if pairs:
        context["kms:EncryptionContextKeys"] = list(pairs)
    if aliases := keys.names_of(key):
        context["kms:ResourceAliases"] = aliases
    yield Ask(f"kms:{operation}", key, context)


def _secrets(operation: str, body: Mapping[str, Any]) -> Iterator[Ask]:
    action = f"secretsmanager:{operation}"
    if operation in {"ListSecrets", "BatchGetSecretValue"}:
        yield Ask(action, "*")
        for name in body.get("SecretIdList", ()):
            yield Ask("secretsmanager:GetSecretValue", _secret(name))
        return
    yield Ask(action, _secret(body.get("SecretId") or body["Name"]))


def _secret(name: str) -> str:
    if name.startswith("arn:"):
        return name
    return arn("secretsmanager", f"secret:{name}{SUFFIX}")


def allows(policy: Mapping[str, Any], ask: Ask) -> bool:
    """Whether a statement of a policy allows it."""
    return any(_fits(statement, ask) for statement in policy["Statement"])


def _fits(statement: Mapping[str, Any], ask: Ask) -> bool:
    return (
        ask.action in statement["Action"]
        and any(_like(resource, ask.resource) for resource in statement["Resource"])
        and all(
            _holds(operator, values, ask.context.get(key, ()))
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, values: Sequence[str], found: Sequence[str]) -> bool:
    if operator == "Null":
        return (not found) == (values == "true")
    quantifier, _, plain = operator.rpartition(":")
    compare = {"StringEquals": _equal, "StringLike": _like}[plain]
    each = [any(compare(value, one) for value in values) for one in found]
    if quantifier == "ForAllValues":
        return all(each)
    if quantifier == "ForAnyValue":
        return any(each)
    assert len(found) <= 1
    return bool(each) and each[0]


#: A variable that stands for one character.
_VARIABLE = re.compile(r"\$\{([$*?])\}")


def _equal(value: str, found: str) -> bool:
    assert "${" not in _VARIABLE.sub("", value)
    return _VARIABLE.sub(lambda match: match[1], value) == found


def _like(pattern: str, found: str) -> bool:
    parts = re.split(r"(\$\{[$*?]\}|[*?])", pattern)
    wild = {"*": ".*", "?": "."}
    regex = "".join(
        wild.get(part) or re.escape(part[2] if _VARIABLE.fullmatch(part) else part)
        for part in parts
    )
    return re.fullmatch(regex, found, re.DOTALL) is not None
