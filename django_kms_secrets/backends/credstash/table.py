"""The DynamoDB table of a CredStash store: its items, without DynamoDB's ways of saying it."""

from __future__ import annotations

import itertools
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from ...exceptions import (
    SecretIntegrityError,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    VersionConflict,
)
from .versions import PENDING_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ...aws import Refusals, Service

#: DynamoDB's limits: bytes of one item and of its partition key, items and bytes of one
#: transaction.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
ITEM_BYTES = 400 * 1024
NAME_BYTES = 2048
TRANSACTION_ITEMS = 100
TRANSACTION_BYTES = 4 * 1024 * 1024

#: From how many pages on a Scan is begun anew, in so many segments side by side. Up to there a page
#: after the other is as fast, and fewer requests. 34 pages take half of the time in segments if a
#: page needs 100 ms to come, as large ones do; more segments only hold more pages in memory.
PAGES_ALONE = 3
SEGMENTS = 4

#: Reasons of a cancelled transaction that pass.
_TOO_MANY = {"ProvisionedThroughputExceeded", "ThrottlingError"}

#: What a read of values needs, and what a listing needs.
RECORD = ("name", "version", "key", "contents", "hmac", "digest")
LISTING = ("name", "version", "comment")

#: A row: attribute name -> text, or bytes for ``hmac``.
Item = dict[str, Any]


class Table:
    """One table, or the part of it whose names begin with a prefix.

    Args:
        dynamodb: the service.
        table: the table's name.
        prefix: added to every name that goes in, taken off every name that comes out.
        place: the store, as errors name it.
    """

    def __init__(self, dynamodb: Service, table: str, prefix: str, place: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._prefix = prefix
        self._place = place

    def versions(self, name: str, attributes: Sequence[str]) -> list[Item]:
        """All versions of one name, oldest first."""
        return list(self._query(name, attributes))

    def newest(self, name: str, attributes: Sequence[str], count: int = 1) -> list[Item]:
        """The newest versions of one name, newest first: those whose text sorts last."""
        found = self._query(name, attributes, ScanIndexForward=False, Limit=count)
        return [item for item in found if item["version"] != PENDING_VERSION]

    def version(self, name: str, version: str) -> Item | None:
        """One version of one name, under exactly this spelling.

        By a Query, as everything else is read: GetItem would be one more permission.
        """
        found = list(
            self._query(
                name,
                (*RECORD, "comment"),
                KeyConditionExpression="#name = :name AND #version = :version",
                ExpressionAttributeValues={
                    ":name": {"S": self._prefix + name},
                    ":version": {"S": version},
                },
            )
        )
        if found and found[0]["version"] != version:
            raise self._dynamodb.mixed_up("Query")
        return found[0] if found else None

    def scan(self, attributes: Sequence[str]) -> Iterator[Item]:
        """Every version of every name, one page after the other."""
        return self._scan(attributes)

    def fold(
        self,
        attributes: Sequence[str],
        keep: Callable[[Iterable[Item]], list[Item]],
        run: Callable[[Sequence[Callable[[], list[Item]]]], list[list[Item]]],
    ) -> list[Item]:
        """What is kept of every version of every name; no page stays in memory.

        Args:
            attributes: what is read of each.
            keep: takes some versions, and gives those of them that are kept.
            run: runs tasks side by side.
        """
        try:
            return run([lambda: keep(self._scan(attributes, most=PAGES_ALONE))])[0]
        except _Large:
            pass
        segments = [
            self._scan(attributes, Segment=number, TotalSegments=SEGMENTS)
            for number in range(SEGMENTS)
        ]
        kept = run([partial(keep, segment) for segment in segments])
        return [item for items in kept for item in items]

    def put(self, item: Item) -> None:
        """Write a version that does not exist yet, and see that it is the newest.

        Raises:
            VersionConflict: it exists, or a newer one was written at the same time.
        """
        name = item["name"]
        if not self._put_new(item):
            raise self._raced([name])
        newest = self.newest(name, ("name", "version"))
        if any(found["version"] > item["version"] for found in newest):
            raise VersionConflict(
                f"{name} version {item['version']} was stored in {self._place}, but somebody else "
                f"stored {newest[0]['version']} at the same time, which is newer",
                hint="look at `secrets history`, then try again",
                names=[name],
            )

    def put_all(
        self,
        items: Sequence[Item],
        instead_of: Sequence[Item] = (),
        unchanged: Sequence[Item] = (),
    ) -> None:
        """Write versions that do not exist yet, all or none; what one transaction takes.

        Args:
            items: what to write.
            instead_of: what they take the place of: deleted, or overwritten by the item of the same
                version, in the same transaction.
            unchanged: what else must still be as it was read.

        Raises:
            VersionConflict: one exists, is being written, or what it takes the place of or depends
                on is not what it was.
        """
        old = {(item["name"], item["version"]): item for item in instead_of}
        puts = [
            {"Put": self._put_request(item, old.pop((item["name"], item["version"]), None))}
            for item in items
        ]
        deletes = [{"Delete": self._conditional(item)} for item in old.values()]
        checks = [{"ConditionCheck": self._conditional(item)} for item in unchanged]
        names = [item["name"] for item in (*items, *old.values(), *unchanged)]
        # With a token of its own it is no second write when it is sent again after a lost answer:
        # DynamoDB repeats the success of the first. botocore's own token would be another one when
        # `Service.call` sends it again after throttling.
        # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
        self._call(
            "TransactWriteItems",
            {"TransactionCanceledException": lambda reply: self._cancelled(names, reply)},
            TransactItems=[*puts, *deletes, *checks],
            ClientRequestToken=str(uuid.uuid4()),
        )

    def put_pending(self, item: Item) -> bool:
        """Write the pending version.

        Returns:
            False if there is another one already.
        """
        return self._put_new(item)

    def delete(self, name: str, version: str) -> None:
        """Delete one version."""
        self._call("DeleteItem", TableName=self._table, Key=self._key(name, version))

    def delete_pending(self, item: Item) -> None:
        """Delete the pending version, if it still is this one.

        Raises:
            VersionConflict: it is another one.
        """
        try:
            self._call("DeleteItem", self._if_not([item["name"]]), **self._conditional(item))
        except VersionConflict as exc:
            conflict = exc
        else:
            return
        # The condition also fails when a deletion whose answer was lost is repeated.
        if self.version(item["name"], item["version"]):
            raise conflict

    def create(self) -> bool:
        """Create the table, billed on demand, and wait until it is active.

        Returns:
            True if this call created it.
        """
        if self._status() == "ACTIVE":
            return False
        try:
            self._call(
                "CreateTable",
                {"ResourceInUseException": lambda _: _BeingCreated("somebody else was faster")},
                KeySchema=[
                    {"AttributeName": "name", "KeyType": "HASH"},
                    {"AttributeName": "version", "KeyType": "RANGE"},
                ],
                AttributeDefinitions=[
                    {"AttributeName": "name", "AttributeType": "S"},
                    {"AttributeName": "version", "AttributeType": "S"},
                ],
                BillingMode="PAY_PER_REQUEST",
            )
            created = True
        except _BeingCreated:
            created = False
        while self._status() != "ACTIVE":  # bounded by the deadline of the store's operation
            time.sleep(0.5)
        return created

    def describe(self) -> dict[str, Any]:
        """What DynamoDB knows of the table.

        Raises:
            StoreNotReady: there is none.
        """
        table: dict[str, Any] = self._call("DescribeTable")["Table"]
        return table

    def _status(self) -> str:
        try:
            return str(self.describe()["TableStatus"])
        except StoreNotReady:
            return ""

    def _query(self, name: str, attributes: Sequence[str], **parameters: Any) -> Iterator[Item]:
        for item in self._pages(
            "Query",
            attributes,
            {
                "KeyConditionExpression": "#name = :name",
                "ExpressionAttributeValues": {":name": {"S": self._prefix + name}},
                **parameters,
            },
        ):
            if item["name"] != name:
                raise self._dynamodb.mixed_up("Query")
            yield item

    def _scan(
        self, attributes: Sequence[str], most: int | None = None, **parameters: Any
    ) -> Iterator[Item]:
        if self._prefix:
            parameters["FilterExpression"] = "begins_with(#name, :prefix)"
            parameters["ExpressionAttributeValues"] = {":prefix": {"S": self._prefix}}
        # A name that is only the prefix is nobody's of ours.
        return (item for item in self._pages("Scan", attributes, parameters, most) if item["name"])

    def _pages(
        self,
        operation: str,
        attributes: Sequence[str],
        parameters: Mapping[str, Any],
        most: int | None = None,
    ) -> Iterator[Item]:
        """The items of all pages.

        Raises:
            _Large: there are more pages than that.
        """
        # Most of the attributes are reserved words of DynamoDB, hence the placeholders.
        request = {
            "ConsistentRead": True,
            "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
            "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
            **parameters,
        }
        first = None
        for page in itertools.count(1):
            reply = self._call(operation, **request)
            items = reply["Items"]
            end, start = reply.get("LastEvaluatedKey"), request.get("ExclusiveStartKey")
            # Each page begins, and ends, behind the one before.
            if (items and items[0] == first) or (end and end == start):
                raise self._dynamodb.mixed_up(operation)
            yield from map(self._item, items)
            if not end:
                return
            if "Limit" in request:  # a page of 1 MB may have less: two large records, say
                request["Limit"] -= len(items)
                if request["Limit"] <= 0:
                    return
            if page == most:
                raise _Large
            first, items = items[0] if items else first, None
            request["ExclusiveStartKey"] = end
            del reply  # before the next page comes: each is a megabyte, and ten as objects

    def _call(
        self, operation: str, refusals: Refusals | None = None, **parameters: Any
    ) -> dict[str, Any]:
        if operation != "TransactWriteItems":
            parameters["TableName"] = self._table
        no_table = {
            "ResourceNotFoundException": lambda _: StoreNotReady(
                f"there is no {self._place}",
                hint="`secrets setup` creates it; or check table and region_name",
            )
        }
        return self._dynamodb.call(operation, {**no_table, **(refusals or {})}, **parameters)

    def _key(self, name: str, version: str) -> dict[str, dict[str, str]]:
        return {"name": {"S": self._prefix + name}, "version": {"S": version}}

    def _item(self, typed: Mapping[str, Mapping[str, Any]]) -> Item:
        item: Item = {name: next(iter(value.values()), None) for name, value in typed.items()}
        if not all(isinstance(item.get(key), str) for key in ("name", "version")):
            raise SecretIntegrityError(
                f"an item of the {self._place} has no name, or no version, that is text",
                hint="is it a table of credstash? `secrets doctor` looks at its schema",
            )
        item["name"] = item["name"].removeprefix(self._prefix)
        return item

    def _put_new(self, item: Item) -> bool:
        """Write a version; False if another writer's exists."""
        try:
            self._call("PutItem", self._if_not([item["name"]]), **self._put_request(item))
        except VersionConflict:
            pass
        else:
            return True
        # The condition also fails when a write whose answer was lost is sent again. No two records
        # have the same data key, so the key tells whose record it is.
        found = self.version(item["name"], item["version"])
        return found is not None and found.get("key") == item["key"]

    def _put_request(self, item: Item, old: Item | None = None) -> dict[str, Any]:
        typed = {
            name: {"B" if isinstance(value, bytes) else "S": value} for name, value in item.items()
        }
        # Versions are immutable, so the pair of name and version must not exist; only the pending
        # one may be overwritten, by whoever knows which it is.
        unchanged = (
            _unchanged(old)
            if old
            else {
                "ConditionExpression": "attribute_not_exists(#name)",
                "ExpressionAttributeNames": {"#name": "name"},
            }
        )
        return {
            "TableName": self._table,
            "Item": {**typed, "name": {"S": self._prefix + item["name"]}},
            **unchanged,
        }

    def _conditional(self, item: Item) -> dict[str, Any]:
        key = self._key(item["name"], item["version"])
        return {"TableName": self._table, "Key": key, **_unchanged(item)}

    def _if_not(self, names: Sequence[str]) -> Refusals:
        return {"ConditionalCheckFailedException": lambda _: self._raced(names)}

    def _raced(self, names: Sequence[str]) -> SecretsError:
        return VersionConflict(
            f"somebody else wrote to {self._place} at the same time: {', '.join(names)}; "
            "nothing was stored",
            hint="look at `secrets history`, then try again",
            names=names,
        )

    def _cancelled(self, names: Sequence[str], reply: Mapping[str, Any]) -> SecretsError:
        # One reason for each item, in their order; "None" for those that were not at fault.
        reasons = [reason.get("Code", "None") for reason in reply.get("CancellationReasons", ())]
        clashes = [
            name
            for name, reason in zip(names, reasons, strict=False)
            if reason in {"ConditionalCheckFailed", "TransactionConflict"}
        ]
        if clashes:
            return self._raced(clashes)
        causes = {reason for reason in reasons if reason != "None"}
        cancelled = StoreUnavailable(
            f"TransactWriteItems was cancelled by {self._dynamodb.place} "
            f"({', '.join(sorted(causes)) or 'no reason given'}); nothing was stored",
            hint="try again",
        )
        # It is sent again with the same token, which only a success uses up.
        cancelled.is_momentary = bool(causes) and causes <= _TOO_MANY
        return cancelled


class _Large(Exception):
    """A table has more pages than are read one after another."""


class _BeingCreated(SecretsError):
    """The table exists since a moment ago."""


def _unchanged(item: Item) -> dict[str, Any]:
    """The condition that a record is still the one that was read: its data key is its own."""
    if not isinstance(item.get("key"), str):
        raise SecretIntegrityError(
            f"{item['name']} version {item['version']}: its attribute 'key' is missing or no text",
            hint="the record was damaged or tampered with; `secrets delete` removes all versions",
            names=[item["name"]],
        )
    return {
        "ConditionExpression": "#key = :key",
        "ExpressionAttributeNames": {"#key": "key"},
        "ExpressionAttributeValues": {":key": {"S": item["key"]}},
    }


def size_of(item: Item) -> int:
    """What an item weighs against DynamoDB's limits (bytes)."""
    return sum(
        len(name) + len(value if isinstance(value, bytes) else value.encode("utf-8"))
        for name, value in item.items()
    )


def transactions(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Cut items into runs that one transaction takes each."""
    run: list[Item] = []
    weight = 0
    for item in items:
        size = size_of(item)
        if run and (len(run) == TRANSACTION_ITEMS or weight + size > TRANSACTION_BYTES):
            yield run
            run, weight = [], 0
        run.append(item)
        weight += size
    if run:
        yield run
