"""The least that each role needs of a document in Secrets Manager, or of names under a prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..iam import Arn, Statement, key_arn, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

#: On the document.
DOCUMENT: dict[str, tuple[str, ...]] = {
    "reader": ("GetSecretValue",),
    "writer": ("GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"),
    "rotator": (
        "DescribeSecret",
        "GetSecretValue",
        "ListSecretVersionIds",
        "PutSecretValue",
        "RotateSecret",
        "UpdateSecret",
        "UpdateSecretVersionStage",
    ),
}
DOCUMENT["admin"] = (*DOCUMENT["rotator"], "CreateSecret", "RestoreSecret")
#: On secrets of their own.
NAMES: dict[str, tuple[str, ...]] = {
    "reader": ("GetSecretValue",),
    "writer": (
        "CreateSecret",
        "DescribeSecret",
        "GetSecretValue",
        "PutSecretValue",
        "RestoreSecret",
        "UpdateSecretVersionStage",
    ),
    "rotator": DOCUMENT["rotator"],
}
NAMES["admin"] = (*DOCUMENT["rotator"], "CreateSecret", "RestoreSecret", "DeleteSecret")
#: On a KMS key that is not the service's own.
KEY: dict[str, tuple[str, ...]] = {
    "reader": ("Decrypt",),
    "writer": ("Decrypt", "GenerateDataKey"),
    "rotator": ("Decrypt", "Encrypt", "GenerateDataKey"),
    "admin": ("Decrypt", "Encrypt", "GenerateDataKey"),
}
#: Whoever works on all names: reencrypt, list, keys, getall, globs, putall --prune.
LISTERS = {"rotator", "admin"}
#: Whoever reads several names at once. A rotator reads one after another.
BATCHERS = {"reader", "writer", "admin"}

#: What AWS adds to a secret's name in its ARN.
SUFFIX = "-??????"
_HAS_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")
#: The service tries a key under this name when a secret gets it.
#: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
TRIAL = "RequestToValidateKeyAccess"
LAMBDA_NOTE = (
    "`secrets rotate --lambda` needs lambda:InvokeFunction too, on the function of the secret"
)
KEY_NOTE = (
    "no key_id is given: for secrets under a KMS key of your own, which need kms:Decrypt on it, "
    "give --key-arn ARN"
)


@dataclass(frozen=True)
class Policy:
    """The statements for one document or prefix.

    Attributes:
        secret_id: the document's name or ARN; "" for secrets of their own.
        prefix: what their names begin with.
        key_id: their KMS key; None for the service's own.
        region: where they are.
    """

    secret_id: str
    prefix: str
    key_id: str | None
    region: str | None

    def of(
        self, role: str, names: Sequence[str] | None, listing: bool, keys: Sequence[str]
    ) -> list[Statement]:
        """The statements for a role; see `PolicyStore.statements`."""
        secrets = self._secrets(None if role == "admin" else names)
        actions = DOCUMENT if self.secret_id else NAMES
        wanted = {
            LAMBDA_NOTE: "RotateSecret" in actions[role],
            KEY_NOTE: not (self.key_id or keys),
        }
        notes = [note for note, needed in wanted.items() if needed]
        found = [Statement("Secrets", _of("secretsmanager", actions[role]), secrets, notes=notes)]
        if not self.secret_id:
            # These know no resource. What they give is what GetSecretValue allows, and names.
            both = {
                "BatchGetSecretValue": role in BATCHERS,
                "ListSecrets": role in LISTERS or (listing and role == "reader"),
            }
            finding = [action for action, needed in both.items() if needed]
            found.append(Statement("FindSecrets", _of("secretsmanager", finding), ["*"]))
        if self.key_id or keys:
            found.append(self._key(role, secrets, keys))
        return found

    def _secrets(self, names: Sequence[str] | None) -> list[str | Arn]:
        if self.secret_id.startswith("arn:"):
            arn = literal(self.secret_id)
            # A name may end like that too (db-master), in an ARN without AWS's characters.
            whole = [arn] if _HAS_SUFFIX.search(arn) else []
            return [*whole, arn + SUFFIX]
        if self.secret_id:
            return [self._secret(literal(self.secret_id) + SUFFIX)]
        if names is None:
            return [self._secret(f"{literal(self.prefix)}*")]
        return [self._secret(literal(self.prefix + name) + SUFFIX) for name in names]

    def _secret(self, pattern: str) -> Arn:
        return Arn("secretsmanager", self.region, f"secret:{pattern}")

    def _key(self, role: str, secrets: list[str | Arn], keys: Sequence[str]) -> Statement:
        trial = [] if role == "reader" else [TRIAL]
        return Statement(
            "Key",
            _of("kms", KEY[role]),
            keys or [key_arn(self.key_id or "", self.region)],
            {
                "StringLike": {
                    "kms:EncryptionContext:SecretARN": [*secrets, *trial],
                    "kms:ViaService": ["secretsmanager.*"],
                }
            },
        )


def _of(service: str, actions: Sequence[str]) -> list[str]:
    return [f"{service}:{action}" for action in sorted(actions)]
