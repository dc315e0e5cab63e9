"""How many requests a read costs, and that no page and no batch is lost on the way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.types import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..server.embedded import EmbeddedAWS, Refusal
    from .conftest import Account

COUNTS = [1, 20, 21, 100]
#: Seconds: these tests count requests, on machines that may be busy.
PATIENCE = 60


def values(count: int) -> dict[str, str]:
    return {f"NAME_{number:03}": f"value {number}" for number in range(count)}


def texts(secrets: dict[str, Any]) -> dict[str, str]:
    return {name: secret.value for name, secret in secrets.items()}


@pytest.fixture
def credstash(aws: EmbeddedAWS) -> Iterator[CredStashStore]:
    with CredStashStore(timeout=PATIENCE) as store:
        store.setup()
        store.setup_key()
        yield store


@pytest.mark.parametrize("count", COUNTS)
def test_credstash_reads_all_in_pages_plus_n_and_names_in_two_n(credstash, aws, count):
    credstash.put_many(values(count))
    with aws.counted() as requests:
        assert texts(credstash.get_many(None)) == values(count)
    assert requests == {"dynamodb.Scan": 1, "trentservice.Decrypt": count}
    with aws.counted() as requests:
        assert texts(credstash.get_many(list(values(count)))) == values(count)
    assert requests == {"dynamodb.Query": count, "trentservice.Decrypt": count}


def test_credstash_decrypts_only_the_newest_version_of_a_name(credstash, aws):
    for _ in range(3):
        credstash.put_many(values(5))
    with aws.counted() as requests:
        credstash.get_many(None)
    assert requests == {"dynamodb.Scan": 1, "trentservice.Decrypt": 5}


def test_credstash_asks_for_a_missing_name_once_and_for_a_double_one_once(credstash, aws):
    credstash.put("A", "x")
    with aws.counted() as requests:
        credstash.get_many(["A", "MISSING", "A", "MISSING"])
    assert requests == {"dynamodb.Query": 2, "trentservice.Decrypt": 1}
    with aws.counted() as requests:
        credstash.get_many([])
    assert requests == {}


def test_credstash_get_and_put_cost_two_and_four_requests(credstash, aws):
    with aws.counted() as requests:
        credstash.put("A", "x")
    assert requests == {
        "dynamodb.Query": 2,
        "trentservice.GenerateDataKey": 1,
        "dynamodb.PutItem": 1,
    }
    with aws.counted() as requests:
        credstash.get("A")
    assert requests == {"dynamodb.Query": 1, "trentservice.Decrypt": 1}
    with aws.counted() as requests:
        credstash.get("A", version=f"{1:019}")
    assert requests == {"dynamodb.Query": 1, "trentservice.Decrypt": 1}


@pytest.mark.parametrize("count", COUNTS)
def test_credstash_looks_for_names_that_are_expected_to_be_absent(credstash, aws, count):
    with aws.counted() as requests:
        credstash.put_many(values(count), expected=dict.fromkeys(values(count), ""))
    assert requests == {
        "dynamodb.Query": count,
        "trentservice.GenerateDataKey": count,
        "dynamodb.TransactWriteItems": 1,
    }


def test_credstash_looks_again_for_what_was_read(credstash, aws):
    credstash.put_many(values(3))
    read = {name: secret.version for name, secret in credstash.get_many(None).items()}
    with aws.counted() as requests:
        credstash.put_many({**dict.fromkeys(read, "new"), "NEW": "x"}, expected={**read, "NEW": ""})
    assert requests == {
        "dynamodb.Query": 4,
        "trentservice.GenerateDataKey": 4,
        "dynamodb.TransactWriteItems": 1,
    }


def test_credstash_loses_nothing_between_the_pages_of_a_scan(credstash, aws):
    """DynamoDB, and moto, end a page at 1 MB; versions of one name may stand on two pages."""
    large = {f"NAME_{number}": str(number) * 100_000 for number in range(8)}
    credstash.put_many(large)
    credstash.put_many(dict.fromkeys(list(large)[::2], "newer") | {"SMALL": "x"})
    expected = large | dict.fromkeys(list(large)[::2], "newer") | {"SMALL": "x"}
    with aws.counted() as requests:
        assert texts(credstash.get_many(None)) == expected
    pages = requests.pop("dynamodb.Scan")
    assert pages >= 2, "the table is larger than a page"
    assert requests == {"trentservice.Decrypt": 9}
    listed = credstash.list_secrets()
    assert len(listed) == 8 + 5
    assert {entry.name for entry in listed if CURRENT in entry.stages} == set(expected)


def test_credstash_loses_nothing_between_the_pages_of_a_query(credstash, aws):
    for number in range(5):
        credstash.put("NAME", str(number) * 270_000)
    with aws.counted() as requests:
        versions = [entry.version for entry in credstash.history("NAME")]
    assert versions == [f"{number:019}" for number in range(1, 6)]
    assert requests["dynamodb.Query"] >= 2
    credstash.delete("NAME")
    assert list(credstash.list_secrets()) == []


def test_credstash_finds_a_prefix_on_the_last_of_several_empty_pages(aws):
    """A page whose items are all filtered out is empty, and not the end."""
    with CredStashStore(timeout=PATIENCE) as everybody:
        everybody.setup()
        everybody.setup_key()
        everybody.put_many({f"{letter}/LARGE": "x" * 250_000 for letter in "abcdefgh"})
        found = []
        for letter in "abcdefgh":
            with CredStashStore(prefix=f"{letter}/", timeout=PATIENCE) as store:
                found += store.get_many(None)
    assert found == ["LARGE"] * 8


@pytest.mark.parametrize("count", COUNTS)
def test_secretsmanager_reads_names_in_batches_of_twenty(aws, count):
    with SecretsManagerStore(prefix="notes/", timeout=PATIENCE) as store:
        store.put_many(values(count))
        batches = math.ceil(count / 20)
        with aws.counted() as requests:
            assert texts(store.get_many(list(values(count)))) == values(count)
        assert requests == {"secretsmanager.BatchGetSecretValue": batches}
        with aws.counted() as requests:
            assert texts(store.get_many(None)) == values(count)
        assert requests == {
            "secretsmanager.ListSecrets": 1,
            "secretsmanager.BatchGetSecretValue": batches,
        }


def test_secretsmanager_writes_new_names_without_looking_again(aws):
    with SecretsManagerStore(prefix="notes/", timeout=PATIENCE) as store:
        with aws.counted() as requests:
            store.put_many(values(21), expected=dict.fromkeys(values(21), ""))
        assert requests == {"secretsmanager.CreateSecret": 21}
        read = {name: secret.version for name, secret in store.get_many(None).items()}
        with aws.counted() as requests:
            store.put_many(dict.fromkeys(read, "new"), expected=read)
        # Whether a rotation left its label; beside the current version; AWSCURRENT, by
        # compare-and-set; and the draft's label off.
        assert requests == {
            "secretsmanager.DescribeSecret": 21,
            "secretsmanager.PutSecretValue": 21,
            "secretsmanager.UpdateSecretVersionStage": 42,
        }


@pytest.mark.parametrize("count", COUNTS)
def test_secretsmanager_reads_a_document_in_one_request(aws, count):
    with SecretsManagerStore(secret_id="notes/production", timeout=PATIENCE) as store:
        store.setup()
        store.put_many(values(count))
        for names in (None, list(values(count))):
            with aws.counted() as requests:
                assert texts(store.get_many(names)) == values(count)
            assert requests == {"secretsmanager.GetSecretValue": 1}


def test_secretsmanager_asks_for_a_double_name_once(aws):
    with SecretsManagerStore(prefix="notes/") as store:
        store.put("A", "x")
        bodies = []
        aws.faults.append(lambda _, body: bodies.append(body))
        store.get_many(["A", "B", "A", "B"])
        assert [body["SecretIdList"] for body in bodies] == [["notes/A", "notes/B"]]
        bodies.clear()
        store.get_many([])
        assert bodies == []


def test_secretsmanager_loses_nothing_between_the_pages_of_a_listing(aws, account):
    names = [f"notes/NAME_{number:03}" for number in range(101)]
    for name in names:
        account.secretsmanager.create_secret(Name=name, SecretString=name)
    with SecretsManagerStore(prefix="notes/", timeout=PATIENCE) as store:
        with aws.counted() as requests:
            found = store.get_many(None)
        assert {f"notes/{name}" for name in found} == set(names)
        assert requests == {
            "secretsmanager.ListSecrets": 2,
            "secretsmanager.BatchGetSecretValue": 6,
        }
        assert len(store.list_secrets()) == 101


def test_secretsmanager_loses_nothing_between_the_pages_of_a_history(
    aws: EmbeddedAWS, account: Account
):
    with SecretsManagerStore(prefix="notes/") as store:
        store.put("A", "x")
        version = store.get("A").version
        pages = [
            {"Versions": [entry("1", 1)], "NextToken": "more"},
            {"Versions": [entry(version, 2, "AWSCURRENT")]},
        ]

        def paged(operation: str, body: dict[str, Any]) -> Refusal | None:
            if operation != "ListSecretVersionIds":
                return None
            assert body.get("NextToken") == ("more" if len(pages) == 1 else None)
            return 200, pages.pop(0)

        aws.faults.append(paged)
        assert [found.version for found in store.history("A")] == ["1", version]


def entry(version: str, created: int, *stages: str) -> dict[str, Any]:
    return {"VersionId": version, "CreatedDate": created, "VersionStages": list(stages)}
