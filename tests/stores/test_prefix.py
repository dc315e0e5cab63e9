"""A prefix is a wall: names outside it are neither seen, nor read, nor deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.base import BaseStore
from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.exceptions import SecretNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..server.embedded import EmbeddedAWS, Refusal

PREFIX = "notes/"
#: Neighbours: a longer name of it, a shorter one, one inside, one that has it further in, all.
NEIGHBOURS = ["notes", "notesx", "note/", "Notes/", "x/notes/", "other/"]


@pytest.fixture(params=[CredStashStore, SecretsManagerStore], ids=["credstash", "secretsmanager"])
def shared(request: pytest.FixtureRequest, aws: EmbeddedAWS) -> Iterator[type[BaseStore]]:
    """A table, or an account, in which others have secrets of the same names."""
    with request.param(prefix="") as everything:
        everything.setup()
        if isinstance(everything, KeyedStore):
            everything.setup_key()
        everything.put_many(others())
    return request.param


def others() -> dict[str, str]:
    return {f"{prefix}SECRET": "theirs" for prefix in NEIGHBOURS} | {"SECRET": "theirs"}


def everything(kind: type[BaseStore]) -> dict[str, str]:
    with kind(prefix="") as store:
        return {name: secret.value for name, secret in store.get_many(None).items()}


def test_names_outside_the_prefix_are_not_seen(shared):
    with shared(prefix=PREFIX) as store:
        assert store.get_many(None) == {}
        assert list(store.list_secrets()) == []
        for name in ("SECRET", "../SECRET", "notes/SECRET", "x"):
            assert store.get_many([name]) == {}
            for use in (store.get, store.history):
                with pytest.raises(SecretNotFound):
                    use(name)


def test_names_are_shown_without_the_prefix_and_stored_with_it(shared):
    with shared(prefix=PREFIX) as store:
        store.put_many({"SECRET": "ours", "notes/SECRET": "inner"})
        store.put("SECRET", "ours, too")
        assert sorted(store.get_many(None)) == ["SECRET", "notes/SECRET"]
        assert {entry.name for entry in store.list_secrets()} == {"SECRET", "notes/SECRET"}
        assert {entry.name for entry in store.history("SECRET")} == {"SECRET"}
    assert everything(shared) == others() | {
        "notes/SECRET": "ours, too",
        "notes/notes/SECRET": "inner",
    }


def test_nothing_outside_the_prefix_is_written_or_deleted(shared):
    with shared(prefix=PREFIX) as store:
        store.put("SECRET", "ours")
        store.delete("SECRET")
        for name in ("notes", "x/notes/SECRET", "SECRET"):
            with pytest.raises(SecretNotFound):
                store.delete(name)
        assert store.get_many(None) == {}
    assert everything(shared) == others()


def test_a_name_that_is_only_the_prefix_is_nobodys(shared):
    """Without the prefix it would have no name."""
    with shared(prefix="") as store:
        store.put(PREFIX, "theirs")
    with shared(prefix=PREFIX) as store:
        store.put("A", "ours")
        assert sorted(store.get_many(None)) == ["A"]
        assert [entry.name for entry in store.list_secrets()] == ["A"]


def test_a_prefix_inside_another_is_seen_from_outside_only(shared):
    with shared(prefix=PREFIX) as outer, shared(prefix="notes/production/") as inner:
        outer.put("A", "outer")
        inner.put("A", "inner")
        assert sorted(outer.get_many(None)) == ["A", "production/A"]
        assert sorted(inner.get_many(None)) == ["A"]
        assert inner.get("A").value == outer.get("production/A").value == "inner"


@pytest.mark.parametrize("prefix", ["notes", "notes/", "note.", "n+", "_otes"])
def test_a_prefix_is_text_and_no_pattern(shared, prefix):
    with shared(prefix=prefix) as store:
        store.put("OWN", "ours")
        names = {name for name in [*others(), f"{prefix}OWN"] if name.startswith(prefix)}
        assert set(store.get_many(None)) == {name.removeprefix(prefix) for name in names}


def test_credstash_decrypts_only_what_is_under_the_prefix(aws):
    with CredStashStore(prefix=PREFIX) as store:
        store.setup()
        store.setup_key()
        with CredStashStore() as everybody:
            everybody.put_many(others())
        store.put_many({"A": "1", "B": "2"})
        with aws.counted() as requests:
            assert len(store.get_many(None)) == 2
    assert requests == {"dynamodb.Scan": 1, "trentservice.Decrypt": 2}


def test_credstash_lets_the_table_do_the_filtering(aws, account):
    """What is not sent cannot leak, and costs no time."""
    bodies = []
    aws.faults.append(lambda operation, body: bodies.append((operation, body)))
    with CredStashStore(prefix=PREFIX) as store:
        store.setup()
        store.get_many(None)
        store.list_secrets()
    for body in [body for operation, body in bodies if operation == "Scan"]:
        assert body["FilterExpression"] == "begins_with(#name, :prefix)"
        assert body["ExpressionAttributeValues"] == {":prefix": {"S": PREFIX}}
        assert body["ExpressionAttributeNames"]["#name"] == "name"


def test_secretsmanager_does_not_take_the_filter_of_the_service_on_trust(aws, account):
    """What is pruned later depends on the listing."""
    account.secretsmanager.create_secret(Name="other/A", SecretString="theirs")
    stage = {"f" * 36: ["AWSCURRENT"]}
    entries = [
        {"Name": name, "ARN": name, "SecretVersionsToStages": stage}
        for name in ("other/A", "x/notes/A", "notesA")
    ]

    def unfiltered(operation: str, _: Any) -> Refusal | None:
        return (200, {"SecretList": entries}) if operation == "ListSecrets" else None

    aws.faults.append(unfiltered)
    with SecretsManagerStore(prefix=PREFIX) as store, aws.counted() as requests:
        assert store.get_many(None) == {}
        assert store.list_secrets() == []
    assert requests == {"secretsmanager.ListSecrets": 2}


def test_secretsmanager_does_not_list_what_waits_for_its_deletion(aws):
    stage = {"f" * 36: ["AWSCURRENT"]}
    entry = {"Name": "notes/A", "ARN": "A", "SecretVersionsToStages": stage, "DeletedDate": 1}

    def with_deleted(operation: str, _: Any) -> Refusal | None:
        return (200, {"SecretList": [entry]}) if operation == "ListSecrets" else None

    aws.faults.append(with_deleted)
    with SecretsManagerStore(prefix=PREFIX) as store:
        assert store.list_secrets() == []
        assert store.get_many(None) == {}


def test_a_context_is_no_prefix_and_the_two_go_together(account):
    """Same name, same table, other context: it is another project's, and an error, not ours."""
    with CredStashStore(prefix="a/", context={"app": "a"}) as one:
        one.setup()
        one.setup_key()
        one.put("SECRET", "x")
        with CredStashStore(prefix="b/", context={"app": "b"}) as other:
            other.put("SECRET", "y")
            assert other.get("SECRET").value == "y"
        assert one.get_many(None)["SECRET"].value == "x"
