"""What stores and policies say to each other: statements, and the ARNs in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import SecretsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-id
_KEY_ID = re.compile(r"mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: https://docs.aws.amazon.com/kms/latest/APIReference/API_AliasListEntry.html
_ALIAS = re.compile(r"(arn:[\w-]+:kms:[\w-]+:\d{12}:)?alias/[\w/-]+", re.ASCII)

#: What a fact is that goes into a policy, wherever it comes from.
ACCOUNT = re.compile(r"\d{12}", re.ASCII)
KEY_ARN = re.compile(r"arn:[\w-]+:kms:[\w-]+:\d{12}:key/[\w-]+", re.ASCII)

#: Whom `capabilities.PolicyStore.statements` knows.
ROLES = ("reader", "writer", "rotator", "admin")


@dataclass(frozen=True)
class Arn:
    """An ARN whose partition and account only its reader knows.

    Attributes:
        service: as ARNs call it.
        region: None for the default region.
        resource: what stands after the account; * and ? are wildcards (see `literal`).
    """

    service: str
    region: str | None
    resource: str


@dataclass(frozen=True)
class KeyOf:
    """The ARN of the KMS key that an alias names: AWS has to be asked.

    Attributes:
        key_id: the alias, or the alias's ARN.
        region: None for the default region.
    """

    key_id: str
    region: str | None


@dataclass(frozen=True)
class Statement:
    """What a policy allows.

    Attributes:
        sid: its name in the policy.
        actions: such as ``dynamodb:Query``.
        resources: on what; ``*`` where AWS knows no resource.
        conditions: operator -> condition key -> values, any of which will do.
        notes: what whoever grants it should know.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str | Arn | KeyOf]
    conditions: Mapping[str, Mapping[str, Sequence[str | Arn]]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def literal(text: str) -> str:
    """Text of a policy in which no character is a wildcard or begins a variable."""
    return "".join(f"${{{char}}}" if char in "$*?" else char for char in text)


def plain(text: str) -> str:
    """Text of a policy where there are no wildcards, in which nothing is a variable."""
    return text.replace("$", "${$}")


def key_arn(key_id: str, region: str | None) -> str | Arn | KeyOf:
    """The ARN of a KMS key, as far as it can be told from how it is named in OPTIONS.

    Raises:
        SecretsError: this names no key.
    """
    if _ALIAS.fullmatch(key_id):
        return KeyOf(key_id, region)
    if KEY_ARN.fullmatch(key_id):
        return key_id
    if _KEY_ID.fullmatch(key_id):
        return Arn("kms", region, f"key/{key_id}")
    raise SecretsError(
        f"key_id {key_id!r} is not the id, the alias or the ARN of a KMS key",
        hint="an alias begins with alias/",
    )
