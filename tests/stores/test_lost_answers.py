"""Writes whose answer was lost, or that were overtaken: what is reported is what is stored."""

from __future__ import annotations

import base64

import pytest

from django_kms_secrets import StoreUnavailable, VersionConflict, load
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore


@pytest.fixture
def credstash(aws):
    with CredStashStore() as store:
        store.setup_key()
        store.setup()
        yield store


def once(operation: str, action):
    """A fault that runs an action before the first such request, and answers its result."""
    done = []

    def fault(asked: str, body: dict):
        if asked != operation or done:
            return None
        done.append(asked)
        return action(body)

    return fault


def test_a_put_that_was_stored_and_whose_answer_was_lost_is_no_conflict(credstash, aws):
    """botocore repeats it, and its condition then fails on the very same record."""
    client = credstash._services[0].client

    def store_and_fail(body):
        # On the wire bytes are base64; the client takes them as they are.
        tag = base64.b64decode(body["Item"]["hmac"]["B"])
        client.put_item(TableName=body["TableName"], Item={**body["Item"], "hmac": {"B": tag}})
        return 500, "InternalServerError"

    aws.faults.append(once("PutItem", store_and_fail))
    assert credstash.put("KEY", "value").version == "0000000000000000001"
    assert credstash.get("KEY").value == "value"
    assert len(credstash.history("KEY")) == 1


def lost_then_throttled(aws, operation: str) -> None:
    """The first answer is lost, and then the client's other three attempts are throttled."""
    sent = []

    def throttled(asked: str, _: dict):
        sent.extend([asked] * (asked == operation))
        return (400, "ThrottlingException") if 2 <= len(sent) <= 4 and asked == operation else None

    aws.unanswered.add(operation)
    aws.faults.append(throttled)


@pytest.fixture
def _hasty(monkeypatch):
    """Nobody pauses."""

    class Clock:
        sleep = staticmethod(lambda _: None)

    monkeypatch.setattr("botocore.endpoint.time", Clock)
    monkeypatch.setattr("django_kms_secrets.deadline._THROTTLED_PAUSE", 0.01)


@pytest.mark.usefixtures("_hasty")
def test_a_transaction_whose_answer_was_lost_is_the_same_one_after_throttling(credstash, aws):
    lost_then_throttled(aws, "TransactWriteItems")
    credstash.put_many({"A": "1", "B": "2"})
    assert [(e.name, int(e.version)) for e in credstash.list_secrets()] == [("A", 1), ("B", 1)]


@pytest.mark.usefixtures("_hasty")
def test_a_record_whose_answer_was_lost_is_known_by_its_key_after_throttling(credstash, aws):
    lost_then_throttled(aws, "PutItem")
    assert int(credstash.put("A", "1").version) == 1
    lost_then_throttled(aws, "PutItem")
    credstash.stage("A", "2")
    assert len(credstash.history("A")) == 2


def test_a_put_whose_answer_was_lost_and_that_was_overtaken_was_stored(credstash, aws):
    """It is not said that nothing was."""

    def overtake(operation: str, body: dict):
        if operation == "PutItem" and "PutItem" not in aws.unanswered and not done:
            done.append(operation)
            with CredStashStore() as other:
                other.put_version("KEY", "other", version="50")

    done: list[str] = []
    aws.unanswered.add("PutItem")
    aws.faults.append(overtake)
    with pytest.raises(VersionConflict, match="version 0000000000000000001 was stored"):
        credstash.put("KEY", "mine")
    assert [int(e.version) for e in credstash.history("KEY")] == [1, 50]


@pytest.mark.usefixtures("_hasty")
def test_a_new_secret_whose_answer_was_lost_is_the_same_one_after_throttling(aws):
    with SecretsManagerStore(prefix="p/") as store:
        lost_then_throttled(aws, "CreateSecret")
        store.put_many({"A": "1"})
        assert store.get("A").value == "1"


@pytest.mark.usefixtures("_hasty")
def test_a_value_whose_answer_was_lost_is_the_same_version_after_throttling(aws):
    """Or the value before it would lose AWSPREVIOUS to a copy of the new one."""
    with SecretsManagerStore(prefix="p/") as store:
        store.put("A", "old")
        lost_then_throttled(aws, "PutSecretValue")
        store.put_many({"A": "new"})
        stages = {stage: found.value for stage, found in store.get_stages("A").items()}
    assert stages == {"CURRENT": "new", "PREVIOUS": "old"}


def test_a_put_that_a_higher_number_overtook_is_a_conflict(credstash, aws):
    """Nothing reports a version as stored that is not the newest."""
    credstash.put("KEY", "one")

    def overtake(body):
        with CredStashStore() as other:
            other.put_version("KEY", "other", version="50")

    aws.faults.append(once("PutItem", overtake))
    with pytest.raises(VersionConflict, match="newer"):
        credstash.put("KEY", "two")
    assert credstash.get("KEY").value == "other"


def test_a_stage_move_whose_answer_was_lost_is_no_conflict(aws):
    with SecretsManagerStore(secret_id="doc") as store:
        store.setup()
        client = store._services[0].client

        def move_and_fail(body):
            client.update_secret_version_stage(**body)
            return 500, "InternalServiceError"

        aws.faults.append(once("UpdateSecretVersionStage", move_and_fail))
        store.put("KEY", "value")
        assert store.get("KEY").value == "value"


def test_a_batch_that_is_silent_about_a_name_is_an_error_and_not_a_missing_secret(aws):
    aws.faults.append(once("BatchGetSecretValue", lambda _: (200, {"SecretValues": []})))
    with pytest.raises(StoreUnavailable, match="did not answer for every secret"):
        load("secretsmanager://?prefix=n/&names=A").get("A", "default")


def test_previous_of_a_dotted_name_reaches_into_the_previous_tree(aws):
    with SecretsManagerStore(secret_id="doc") as store:
        store.setup()
        store.put("database", '{"password": "old"}')
        store.put("database.password", "new")
    secrets = load("secretsmanager:///doc")
    assert secrets["database.password"] == "new"
    assert secrets.previous("database.password") == "old"
    assert secrets.fallbacks("database.password") == ["old"]


@pytest.mark.parametrize("kind", ["credstash", "secretsmanager"])
def test_a_secret_named_exactly_as_the_prefix_is_not_under_it(aws, credstash, kind):
    """…and so neither listed nor pruned."""
    if kind == "credstash":
        whole, part = CredStashStore(), CredStashStore(prefix="notes")
    else:
        whole, part = SecretsManagerStore(prefix=""), SecretsManagerStore(prefix="notes")
    with whole, part:
        whole.put("notes", "not yours")
        part.put("A", "yours")
        assert [entry.name for entry in part.list_secrets()] == ["A"]
        assert set(part.get_many(None)) == {"A"}
