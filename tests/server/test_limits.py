"""The guard itself: what AWS refuses is refused through the running server, and no more."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from . import embedded, limits

if TYPE_CHECKING:
    from .embedded import EmbeddedAWS

SERVICES = {
    "secretsmanager": ("secretsmanager", "1.1"),
    "DynamoDB_20120810": ("dynamodb", "1.0"),
    "TrentService": ("kms", "1.1"),
}


def send(aws: EmbeddedAWS, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Send a request as it is: botocore would refuse some of these itself."""
    service, version = SERVICES[target.partition(".")[0]]
    request = urllib.request.Request(
        aws.endpoint,
        data=json.dumps(body).encode(),
        headers={
            "X-Amz-Target": target,
            "Content-Type": f"application/x-amz-json-{version}",
            "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAEMBEDDED/20260101/ap-northeast-2/"
            f"{service}/aws4_request, SignedHeaders=host, Signature=x",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def ids(count: int) -> list[str]:
    return [f"NAME_{number}" for number in range(count)]


def filters(count: int, values: int) -> list[dict[str, Any]]:
    return [{"Key": "name", "Values": ids(values)} for _ in range(count)]


def value(size: int) -> str:
    """Text of two-byte characters: the limits count bytes."""
    return "é" * (size // 2) + "x" * (size % 2)


def item(size: int, name: str = "A", version: str = "1") -> dict[str, Any]:
    """An item of exactly that many bytes, attribute names included."""
    rest = len("name" + name + "version" + version + "contents" + "hmac") + 3
    return {
        "name": {"S": name},
        "version": {"S": version},
        "hmac": {"B": "AAAA"},
        "contents": {"S": value(size - rest)},
    }


def put(**parameters: Any) -> dict[str, Any]:
    return {"Put": {"TableName": "credential-store", **parameters}}


def puts(count: int, size: int = 100) -> dict[str, Any]:
    items = [put(Item=item(size, version=f"{number:03}")) for number in range(count)]
    return {"TransactItems": items}


def keys(count: int) -> dict[str, Any]:
    found = [{"name": {"S": name}, "version": {"S": "1"}} for name in ids(count)]
    return {"RequestItems": {"credential-store": {"Keys": found}}}


KB, MB = 1024, 1024 * 1024
BATCH, LIST = "secretsmanager.BatchGetSecretValue", "secretsmanager.ListSecrets"
CREATE, PUT = "secretsmanager.CreateSecret", "secretsmanager.PutSecretValue"
UPDATE, DELETE = "secretsmanager.UpdateSecret", "secretsmanager.DeleteSecret"
PUT_ITEM, TRANSACT = "DynamoDB_20120810.PutItem", "DynamoDB_20120810.TransactWriteItems"
BATCH_GET, ENCRYPT = "DynamoDB_20120810.BatchGetItem", "TrentService.Encrypt"

#: What is refused, and why.
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "21 ids": (BATCH, {"SecretIdList": ids(21)}, "SecretIdList has 1 to 20 ids"),
    "no ids and no filters": (BATCH, {}, "SecretIdList or Filters, one of them"),
    "an empty list of ids": (BATCH, {"SecretIdList": []}, "SecretIdList or Filters, one of them"),
    "ids and filters": (
        BATCH,
        {"SecretIdList": ids(1), "Filters": filters(1, 1)},
        "SecretIdList or Filters, one of them",
    ),
    "MaxResults with ids": (
        BATCH,
        {"SecretIdList": ids(1), "MaxResults": 5},
        "MaxResults goes with Filters only",
    ),
    "21 results": (BATCH, {"Filters": filters(1, 1), "MaxResults": 21}, "MaxResults is 1 to 20"),
    "0 results": (BATCH, {"Filters": filters(1, 1), "MaxResults": 0}, "MaxResults is 1 to 20"),
    "11 filters": (BATCH, {"Filters": filters(11, 1)}, "at most 10 filters of 1 to 10 values"),
    "11 values": (BATCH, {"Filters": filters(1, 11)}, "at most 10 filters of 1 to 10 values"),
    "no values": (BATCH, {"Filters": filters(1, 0)}, "at most 10 filters of 1 to 10 values"),
    "11 filters of a listing": (LIST, {"Filters": filters(11, 1)}, "at most 10 filters"),
    "11 values of a listing": (LIST, {"Filters": filters(1, 11)}, "at most 10 filters"),
    "101 results of a listing": (LIST, {"MaxResults": 101}, "MaxResults is 1 to 100"),
    "0 results of a listing": (LIST, {"MaxResults": 0}, "MaxResults is 1 to 100"),
    **{
        f"{target.partition('.')[2]} of {what}": (target, {name: "A", **body}, reason)
        for target, name in ((CREATE, "Name"), (PUT, "SecretId"), (UPDATE, "SecretId"))
        for what, body, reason in (
            ("65,537 bytes", {"SecretString": value(65_537)}, "at most 65,536 bytes"),
            ("nothing", {"SecretString": ""}, "a value has at least 1 byte"),
            ("a short token", {"ClientRequestToken": "x" * 31}, "32 to 64 characters"),
            ("a long token", {"ClientRequestToken": "x" * 65}, "32 to 64 characters"),
        )
    },
    **{
        f"the name {name[:4]}": (CREATE, {"Name": name, "SecretString": "x"}, "a name has 1 to 512")
        for name in ("", "n\u00e4me", "a b", "a\n", "x" * 513)
    },
    "6 days": (DELETE, {"SecretId": "A", "RecoveryWindowInDays": 6}, "7 to 30 days"),
    "31 days": (DELETE, {"SecretId": "A", "RecoveryWindowInDays": 31}, "7 to 30 days"),
    "an item of 400 KB and a byte": (
        PUT_ITEM,
        {"TableName": "credential-store", "Item": item(400 * KB + 1)},
        "an item has at most 400 KB",
    ),
    "an item of 400 KB and a byte in a transaction": (
        TRANSACT,
        puts(1, 400 * KB + 1),
        "an item has at most 400 KB",
    ),
    "101 items": (TRANSACT, puts(101), "a transaction has 1 to 100 items"),
    "no items": (TRANSACT, puts(0), "a transaction has 1 to 100 items"),
    "4 MB and some bytes": (TRANSACT, puts(11, 400 * KB), "a transaction has at most 4 MB"),
    "an item twice": (
        TRANSACT,
        {"TransactItems": [put(Item=item(100)), put(Item=item(90))]},
        "a transaction names an item only once",
    ),
    "101 keys": (BATCH_GET, keys(101), "a batch has 1 to 100 keys"),
    "no keys": (BATCH_GET, keys(0), "a batch has 1 to 100 keys"),
    "4,097 bytes": (
        ENCRYPT,
        {"KeyId": "alias/credstash", "Plaintext": "A" * 5464},
        "KMS encrypts at most 4,096 bytes",
    ),
}


@pytest.mark.parametrize("target, body, reason", REFUSED.values(), ids=REFUSED)
def test_what_aws_refuses_is_refused(aws, target, body, reason):
    status, reply = send(aws, target, body)
    assert status == 400
    assert reply["__type"] == "ValidationException"
    assert reason in reply["message"]


#: The largest that is let through, each after what it needs.
NEEDS = [
    (CREATE, {"Name": "A", "SecretString": "x"}),
    ("TrentService.CreateKey", {}),
    (
        "DynamoDB_20120810.CreateTable",
        {
            "TableName": "credential-store",
            "KeySchema": [
                {"AttributeName": "name", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "name", "AttributeType": "S"},
                {"AttributeName": "version", "AttributeType": "S"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        },
    ),
]
TAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "20 ids": (BATCH, {"SecretIdList": ids(20)}),
    "1 id": (BATCH, {"SecretIdList": ids(1)}),
    "10 filters of 10 values, 20 results": (
        BATCH,
        {"Filters": filters(10, 10), "MaxResults": 20},
    ),
    "1 result": (BATCH, {"Filters": filters(1, 1), "MaxResults": 1}),
    "10 filters of a listing, 100 results": (
        LIST,
        {"Filters": filters(10, 10), "MaxResults": 100},
    ),
    "a listing": (LIST, {}),
    "65,536 bytes and the longest token": (
        CREATE,
        {"Name": "B", "SecretString": value(65_536), "ClientRequestToken": "x" * 64},
    ),
    "the longest name": (CREATE, {"Name": "aZ0/_+=.@-!".ljust(512, "x"), "SecretString": "x"}),
    "one byte and the shortest token": (
        PUT,
        {"SecretId": "A", "SecretString": "y", "ClientRequestToken": "x" * 32},
    ),
    "an update": (
        UPDATE,
        {"SecretId": "A", "SecretString": value(65_536), "ClientRequestToken": "x" * 32},
    ),
    "7 days": (DELETE, {"SecretId": "A", "RecoveryWindowInDays": 7}),
    "30 days": (DELETE, {"SecretId": "A", "RecoveryWindowInDays": 30}),
    "no days": (DELETE, {"SecretId": "A"}),
    "no recovery": (DELETE, {"SecretId": "A", "ForceDeleteWithoutRecovery": True}),
    "100 items": (TRANSACT, puts(100)),
    "1 item": (TRANSACT, puts(1)),
    "10 items of 390 KB": (TRANSACT, puts(10, 390 * KB)),
    "100 keys": (BATCH_GET, keys(100)),
    "4,096 bytes": (ENCRYPT, {"KeyId": "alias/credstash", "Plaintext": "A" * 5460 + "AA=="}),
}


@pytest.mark.parametrize("target, body", TAKEN.values(), ids=TAKEN)
def test_the_largest_is_let_through(aws, target, body):
    key = ""
    for needed, parameters in NEEDS:
        status, reply = send(aws, needed, parameters)
        assert status == 200, reply
        key = reply.get("KeyMetadata", {}).get("KeyId", key)
    if "KeyId" in body:
        body = {**body, "KeyId": key}
    status, reply = send(aws, target, body)
    assert status == 200, reply


def test_sizes_that_moto_counts_otherwise_are_counted_as_dynamodb_does():
    """moto counts a binary attribute as its base64, so the largest items stop at moto."""
    assert limits.violation("PutItem", {"Item": item(400 * KB)}) is None
    assert limits.violation("TransactWriteItems", puts(10, 400 * KB)) is None
    largest = puts(10, 400 * KB)
    largest["TransactItems"].append(put(Item=item(96 * KB, version="last")))
    assert limits.violation("TransactWriteItems", largest) is None
    largest["TransactItems"][-1] = put(Item=item(96 * KB + 1, version="last"))
    assert limits.violation("TransactWriteItems", largest) == "a transaction has at most 4 MB"


def test_every_rule_is_tried():
    rules = {
        name[1:]
        for name, rule in vars(limits).items()
        if callable(rule) and name[0] == "_" and name[1].isupper()
    }
    tried = {target.partition(".")[2] for target, *_ in REFUSED.values()}
    assert tried == rules
    assert {target.partition(".")[2] for target, _ in TAKEN.values()} | {"PutItem"} == rules


def test_an_operation_without_a_rule_is_let_through(aws):
    status, reply = send(aws, "TrentService.ListKeys", {})
    assert (status, reply["Keys"]) == (200, [])


@pytest.mark.parametrize("operation", ["PutSecretValue", "CreateSecret"])
def test_a_deleted_secret_takes_no_value_until_it_is_restored(aws, operation):
    send(aws, CREATE, {"Name": "A", "SecretString": "x"})
    send(aws, DELETE, {"SecretId": "A"})
    name = "SecretId" if operation == "PutSecretValue" else "Name"
    status, reply = send(aws, f"secretsmanager.{operation}", {name: "A", "SecretString": "y"})
    assert (status, reply["__type"]) == (400, "InvalidRequestException")
    send(aws, "secretsmanager.RestoreSecret", {"SecretId": "A"})
    status, _ = send(aws, PUT, {"SecretId": "A", "SecretString": "y"})
    assert status == 200


def test_a_moved_current_version_stays_the_only_one(aws):
    """moto forgets the move, and the next put would leave two current versions."""
    first, second = "1" * 32, "2" * 32
    send(aws, CREATE, {"Name": "A", "SecretString": "x", "ClientRequestToken": first})
    body = {"SecretId": "A", "SecretString": "y", "ClientRequestToken": second}
    send(aws, PUT, {**body, "VersionStages": ["mine"]})
    move = {"VersionStage": "AWSCURRENT", "MoveToVersionId": second, "RemoveFromVersionId": first}
    send(aws, "secretsmanager.UpdateSecretVersionStage", {"SecretId": "A", **move})
    send(aws, PUT, {"SecretId": "A", "SecretString": "z"})
    _, reply = send(aws, "secretsmanager.DescribeSecret", {"SecretId": "A"})
    stages = [stage for stages in reply["VersionIdsToStages"].values() for stage in stages]
    assert sorted(stages) == ["AWSCURRENT", "AWSPREVIOUS"]
    _, reply = send(aws, BATCH, {"SecretIdList": ["A"]})
    assert reply["SecretValues"][0]["SecretString"] == "z"


def test_a_secret_without_a_value_does_not_fail_the_others_of_a_batch(aws):
    send(aws, CREATE, {"Name": "A"})
    send(aws, CREATE, {"Name": "B", "SecretString": "x"})
    status, reply = send(aws, BATCH, {"SecretIdList": ["A", "B", "C"]})
    assert status == 200
    assert [entry["Name"] for entry in reply["SecretValues"]] == ["B"]
    assert [(error["SecretId"], error["ErrorCode"]) for error in reply["Errors"]] == [
        ("A", "ResourceNotFoundException"),
        ("C", "ResourceNotFoundException"),
    ]


def test_requests_are_counted_by_service_and_operation_and_forgotten_by_a_reset(aws):
    with aws.counted() as requests:
        send(aws, "TrentService.ListKeys", {})
        send(aws, "TrentService.ListKeys", {})
        send(aws, LIST, {})
    assert requests == {"trentservice.ListKeys": 2, "secretsmanager.ListSecrets": 1}
    send(aws, CREATE, {"Name": "A"})
    aws.reset()
    assert aws.requests == []
    assert send(aws, LIST, {})[1]["SecretList"] == []


def test_a_fault_answers_in_the_place_of_moto(aws):
    aws.faults.append(lambda operation, body: (400, "Refused#why") if body.get("Limit") else None)
    aws.faults.append(lambda operation, _: (200, {"Keys": [operation]}))
    reply = send(aws, "TrentService.ListKeys", {"Limit": 5})
    assert reply == (400, {"__type": "Refused", "message": "why"})
    assert send(aws, "TrentService.ListKeys", {}) == (200, {"Keys": ["ListKeys"]})


def test_what_was_sent_by_who_is_gone_is_done_when_it_is_settled(aws, monkeypatch):
    """Also where the server reads it late, or has not even taken the connection."""
    setup = embedded._QuietHandler.setup

    def late(handler):
        time.sleep(0.2)
        setup(handler)

    monkeypatch.setattr(embedded._QuietHandler, "setup", late)
    body = json.dumps({"Name": "A", "SecretString": "x"})
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {CREATE}\r\nContent-Length: {len(body)}"
    address = "127.0.0.1", int(aws.endpoint.rpartition(":")[2])
    with socket.create_connection(address, 30) as gone:
        gone.sendall(f"{head}\r\n\r\n{body}".encode())
    aws.settle(30)
    assert aws.requests == ["secretsmanager.CreateSecret"]
