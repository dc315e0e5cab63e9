"""The least that each role needs of a CredStash table and its KMS key."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...exceptions import SecretsError
from ..iam import Arn, Statement, key_arn, literal, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..iam import KeyOf
    from .records import Contexts

    Conditions = Mapping[str, Mapping[str, Sequence[str]]]

#: On items of the table. Who writes counts versions, so Query is always one of them.
ITEMS: dict[str, tuple[str, ...]] = {
    "reader": ("Query",),
    "writer": ("Query", "PutItem"),
    "rotator": ("Query", "PutItem", "DeleteItem", "ConditionCheckItem"),
    "admin": ("Query", "PutItem", "DeleteItem", "ConditionCheckItem"),
}
#: Whoever works on all there is: reencrypt, list, keys, getall, globs, putall --prune.
LISTERS = {"rotator", "admin"}
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
_TABLE = re.compile(r"[\w.-]{3,255}", re.ASCII)
_TABLE_ARN = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table/[\w.-]{3,255}", re.ASCII)
SCAN_NOTE = (
    "dynamodb:Scan sees every record of the table, encrypted: DynamoDB cannot narrow it to names"
)


@dataclass(frozen=True)
class Policy:
    """The statements for one table.

    Attributes:
        table, region: the table, by its name or its ARN, and its region.
        key_id, kms_region: the KMS key for new records, and its region.
        contexts: the encryption contexts of records.
        document: the one record that is read and written; "" for records of their own.
    """

    table: str
    region: str | None
    key_id: str
    kms_region: str | None
    contexts: Contexts
    document: str = ""

    def of(
        self, role: str, names: Sequence[str] | None, listing: bool, keys: Sequence[str]
    ) -> list[Statement]:
        """The statements for a role; see `PolicyStore.statements`."""
        if self.document:
            names = [self.document]
        elif role == "admin":
            names = None
        found = [self._items(role, names)]
        # The names in a document are in its value.
        if not self.document and (role in LISTERS or (listing and role == "reader")):
            found.append(
                Statement("ListTable", ["dynamodb:Scan"], [self._table], notes=[SCAN_NOTE])
            )
        found += self._records(role, names, keys)
        if role == "admin":
            found += self._setup(keys)
        return found

    @property
    def _table(self) -> str | Arn:
        if _TABLE_ARN.fullmatch(self.table):
            return self.table
        if _TABLE.fullmatch(self.table):
            return Arn("dynamodb", self.region, f"table/{self.table}")
        raise SecretsError(
            f"{self.table!r} is not the name or the ARN of a DynamoDB table",
            hint="check table: a name has 3 to 255 letters, digits, dots, hyphens and underscores",
        )

    def _items(self, role: str, names: Sequence[str] | None) -> Statement:
        prefix = self.contexts.prefix
        conditions: Conditions = {}
        if names is not None:
            full = [plain(prefix + name) for name in names]
            conditions = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": full}}
        elif prefix:
            below = [f"{literal(prefix)}*"]
            conditions = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": below}}
        actions = [f"dynamodb:{action}" for action in ITEMS[role]]
        return Statement("Items", actions, [self._table], conditions)

    def _records(
        self, role: str, names: Sequence[str] | None, keys: Sequence[str]
    ) -> list[Statement]:
        resources, conditions = self._keys(role, keys)
        actions = ["kms:Decrypt"] if role == "reader" else ["kms:Decrypt", "kms:GenerateDataKey"]
        first, *former = self._contexts(names)
        return [
            Statement("Records", actions, resources, {**conditions, **first}),
            *(
                Statement(
                    f"FormerRecords{number}", ["kms:Decrypt"], resources, {**conditions, **context}
                )
                for number, context in enumerate(former, 1)
            ),
        ]

    def _keys(
        self, role: str, keys: Sequence[str]
    ) -> tuple[Sequence[str | Arn | KeyOf], Conditions]:
        """The keys, and what they have to fulfil."""
        if keys:
            return keys, {}
        if role == "admin" and self._alias:
            # `setup --create-key` makes the key, so its ARN is not known before.
            named = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [plain(self._alias)]}}
            return [Arn("kms", self.kms_region, "key/*")], named
        return [key_arn(self.key_id, self.kms_region)], {}

    @property
    def _alias(self) -> str:
        return self.key_id if self.key_id.startswith("alias/") else ""

    def _contexts(self, names: Sequence[str] | None) -> list[Conditions]:
        """A condition for each context that a record may be read with, the present one first."""
        present = self._context(self.contexts.context, self.contexts.bind_to_name, names)
        found = [present]
        if self.contexts.former is not None:
            for bound in (False, True):
                condition = self._context(self.contexts.former, bound, names)
                if condition not in found:
                    found.append(condition)
        return found

    def _context(
        self, context: Mapping[str, str], bound: bool, names: Sequence[str] | None
    ) -> Conditions:
        """The condition for one context: these entries and no others."""
        pairs = {f"kms:EncryptionContext:{key}": [plain(context[key])] for key in sorted(context)}
        entries = [*sorted(context), *(("name", "version") if bound else ())]
        _see_that_case_does_not_matter(entries)
        if not entries:
            return {"Null": {"kms:EncryptionContextKeys": ["true"]}}
        conditions = {
            "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": [*map(plain, entries)]}
        }
        prefix = self.contexts.prefix
        if bound and names is not None:
            pairs["kms:EncryptionContext:name"] = [plain(prefix + name) for name in names]
        elif bound:
            below = {"kms:EncryptionContext:name": [f"{literal(prefix)}*"]}
            conditions["StringLike"] = below
        return {**conditions, "StringEquals": pairs} if pairs else conditions

    def _setup(self, keys: Sequence[str]) -> list[Statement]:
        resources, conditions = self._keys("admin", keys)
        found = [
            Statement(
                "SetUpTable", ["dynamodb:DescribeTable", "dynamodb:CreateTable"], [self._table]
            ),
            Statement("DescribeKey", ["kms:DescribeKey"], resources, conditions),
        ]
        if self._alias:
            alias = Arn("kms", self.kms_region, literal(self._alias))
            any_key = Arn("kms", self.kms_region, "key/*")
            found += [
                Statement("CreateKey", ["kms:CreateKey"], ["*"]),
                Statement("NameKey", ["kms:CreateAlias"], [alias, any_key]),
            ]
        return found


def _see_that_case_does_not_matter(entries: Sequence[str]) -> None:
    """IAM has no case in condition keys, and so asks for one value where there are two."""
    counted = Counter(entry.lower() for entry in entries)
    same = [entry for entry in entries if counted[entry.lower()] > 1]
    if same:
        raise SecretsError(
            f"keys of the encryption context differ only in case: {', '.join(map(repr, same))}",
            hint="IAM takes them for one; name one of them anew, as for a change of the context",
        )
