"""The Secrets Manager store: a document, or one secret per name; stages, deletion, batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.base import ABSENT
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.deadline import POOL_SIZE
from django_kms_secrets.exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    VersionConflict,
)
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..server.embedded import EmbeddedAWS, Refusal
    from .conftest import Account

DOCUMENT = "notes/production"
PREFIX = "notes/production/"


def on(operation: str, refusal: Refusal) -> Callable[[str, object], Refusal | None]:
    """A fault of one operation."""
    return lambda sent, _: refusal if sent == operation else None


def written(account: Account, name: str) -> Any:
    """The current value of a secret, as text."""
    return account.secretsmanager.get_secret_value(SecretId=name)["SecretString"]


def labels(account: Account, name: str) -> set[str]:
    """Every label of every version of a secret."""
    reply = account.secretsmanager.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)
    return {label for version in reply["Versions"] for label in version.get("VersionStages", ())}


# A document


@pytest.fixture
def tree(document: SecretsManagerStore, account: Account) -> SecretsManagerStore:
    """A document with a value of every type of JSON."""
    account.secretsmanager.put_secret_value(SecretId=DOCUMENT, SecretString=json.dumps(TREE))
    return document


TREE = {
    "text": "x",
    "number": 5432,
    "float": 1.5,
    "flag": True,
    "nothing": None,
    "list": [1, "two", None],
    "database": {"password": "p", "port": 5432, "replica": {"password": "r"}},
    "dotted.name": "whole",
    "json": '{"key": "k"}',
}


def test_every_type_of_json_is_read_as_text(tree):
    found = {name: secret.value for name, secret in tree.get_many(None).items()}
    assert found == {
        "text": "x",
        "number": "5432",
        "float": "1.5",
        "flag": "true",
        "nothing": "null",
        "list": '[1, "two", null]',
        "database": '{"password": "p", "port": 5432, "replica": {"password": "r"}}',
        "dotted.name": "whole",
        "json": '{"key": "k"}',
    }


def test_dotted_names_are_read_written_and_deleted_in_the_tree(tree, account):
    assert tree.get("database.password").value == "p"
    assert tree.get("database.replica.password").value == "r"
    assert tree.get("dotted.name").value == "whole"
    assert tree.get("json.key").value == "k"
    found = tree.get_many(["database.password", "database.nothing", "dotted.name"])
    assert {name: secret.value for name, secret in found.items()} == {
        "database.password": "p",
        "dotted.name": "whole",
    }
    tree.put("database.password", "new")
    tree.put("database.user", "app")
    tree.put("json.key", "new")
    tree.delete("database.replica.password")
    assert json.loads(written(account, DOCUMENT)) == TREE | {
        "database": {"password": "new", "port": 5432, "replica": {}, "user": "app"},
        "json": '{"key": "new"}',
    }
    with pytest.raises(SecretNotFound, match=r"database.replica.password is not in "):
        tree.delete("database.replica.password")


def test_a_put_keeps_the_type_of_its_value_and_of_all_others(tree, account):
    tree.put_many(
        {
            "number": "5433",
            "flag": "false",
            "nothing": "null",
            "list": "[2]",
            "text": "7",
            "new": "8",
            "database.port": "1",
        }
    )
    assert json.loads(written(account, DOCUMENT)) == TREE | {
        "number": 5433,
        "flag": False,
        "nothing": None,
        "list": [2],
        "text": "7",
        "new": "8",
        "database": {"password": "p", "port": 1, "replica": {"password": "r"}},
    }


def test_a_put_of_many_is_one_new_version_of_the_document(document, aws):
    with aws.counted() as requests:
        put = document.put_many({f"NAME_{number}": "x" for number in range(30)})
    assert requests == {
        "secretsmanager.GetSecretValue": 1,
        "secretsmanager.PutSecretValue": 1,
        "secretsmanager.UpdateSecretVersionStage": 2,
    }
    assert len({entry.version for entry in put}) == 1


def test_characters_are_written_as_they_are(document, account):
    """Escaped as ASCII, a Korean text would take twice the room."""
    document.put("name", "비밀-🔑")
    assert written(account, DOCUMENT) == '{"name": "비밀-🔑"}'


NOT_DOCUMENTS = [
    "planted-value",
    '["planted-value"]',
    '"planted-value"',
    '{"a": "planted-value"',
    '{"a": "planted-value", "a": "twice"}',
    '{"a": "planted-value\\ud83d"}',
    '{"a": 1e999, "b": "planted-value"}',
]


@pytest.mark.parametrize("text", NOT_DOCUMENTS)
def test_what_is_no_json_object_is_an_error_without_its_text(document, account, text):
    account.secretsmanager.put_secret_value(SecretId=DOCUMENT, SecretString=text)
    for use in (
        lambda: document.get("a"),
        lambda: document.get_many(None),
        lambda: document.list_secrets(),
        lambda: document.put("a", "x"),
        lambda: document.delete("a"),
    ):
        with pytest.raises(SecretIntegrityError) as caught:
            use()
        assert caught.value.message.startswith(f"the {document.place} is not a JSON object")
        assert caught.value.hint == "write one, or use prefix= for secrets that are single values"
        assert "planted" not in str(caught.value)
    assert written(account, DOCUMENT) == text


def test_a_document_that_is_not_there_is_an_error_that_says_how_to_make_it(aws):
    with SecretsManagerStore(secret_id=DOCUMENT) as store:
        for use in (
            lambda: store.get("A"),
            lambda: store.get_many(None),
            lambda: store.get_many(["A"]),
            lambda: store.list_secrets(),
            lambda: store.history("A"),
            lambda: store.put("A", "x"),
            lambda: store.put("A", "x", expected=ABSENT),
            lambda: store.put_many({"A": "x"}),
            lambda: store.delete("A"),
        ):
            with pytest.raises(StoreNotReady) as caught:
                use()
            assert caught.value.message == f"there is no {store.place}"
            assert caught.value.hint == (
                "`secrets setup` creates it; or check secret_id and region_name"
            )
            assert caught.value.__context__ is None


def test_a_deleted_document_is_not_there_and_setup_restores_it(document, account):
    document.put("A", "x")
    account.secretsmanager.delete_secret(SecretId=DOCUMENT, RecoveryWindowInDays=7)
    for use in (lambda: document.get_many(None), lambda: document.put("A", "y")):
        with pytest.raises(StoreNotReady, match="there is no Secrets Manager secret notes/"):
            use()
    assert document.setup() is True
    assert document.setup() is False
    assert document.get("A").value == "x"


def test_a_document_without_a_value_is_filled_by_setup(account):
    """So do CloudFormation and Terraform leave it."""
    account.secretsmanager.create_secret(Name=DOCUMENT)
    with SecretsManagerStore(secret_id=DOCUMENT) as store:
        with pytest.raises(StoreNotReady):
            store.get_many(None)
        assert store.setup() is True
        assert store.setup() is False
        assert store.get_many(None) == {}
        store.put("A", "x")
        assert store.get("A").value == "x"


def test_an_empty_region_is_the_default_one(document):
    document.put("A", "1")
    with SecretsManagerStore(secret_id=DOCUMENT, region_name="", transport="boto3") as same:
        assert same.get("A").value == "1"
        assert same.region_name == document.region_name


def test_a_document_may_be_named_by_its_arn(document, account):
    document.put("A", "x")
    arn = account.secretsmanager.describe_secret(SecretId=DOCUMENT)["ARN"]
    with SecretsManagerStore(secret_id=arn) as store:
        assert store.get("A").value == "x"
        store.put("A", "y")
    assert document.get("A").value == "y"


def test_a_document_has_one_history_for_all_its_names(document):
    first = document.put("A", "1").version
    second = document.put("B", "2").version
    history = document.history("A")
    assert [entry.version for entry in history[-2:]] == [first, second]
    assert [entry.stages for entry in history[-2:]] == [(PREVIOUS,), (CURRENT,)]
    assert {entry.name for entry in history} == {"A"}
    assert all(entry.created for entry in history)


# Compare and set


def interrupt(aws: EmbeddedAWS, at: str, act: Callable[[], object]) -> None:
    """Let somebody else act just before the next request of an operation."""

    def fault(operation: str, _: object) -> None:
        if operation == at:
            aws.faults.remove(fault)
            act()

    aws.faults.append(fault)


@pytest.mark.parametrize("at", ["PutSecretValue", "UpdateSecretVersionStage"])
def test_a_writer_who_came_between_is_a_conflict_and_keeps_what_was_written(
    document, account, aws, at
):
    document.put("A", "old")

    def somebody_else() -> None:
        account.secretsmanager.put_secret_value(SecretId=DOCUMENT, SecretString='{"B": "theirs"}')

    for use, names in (
        (lambda: document.put("A", "planted"), ("A",)),
        (lambda: document.put_many({"C": "planted", "A": "planted"}), ("A", "C")),
    ):
        account.secretsmanager.put_secret_value(SecretId=DOCUMENT, SecretString='{"A": "old"}')
        interrupt(aws, at, somebody_else)
        with pytest.raises(VersionConflict) as caught:
            use()
        assert caught.value.names == names
        assert caught.value.message.startswith(
            f"somebody else wrote to {document.place} at the same time: "
        )
        assert caught.value.message.endswith("; nothing was stored")
        assert caught.value.hint == "read it again and decide"
        assert written(account, DOCUMENT) == '{"B": "theirs"}'


def test_a_delete_that_somebody_came_between_is_a_conflict(document, account, aws):
    document.put("A", "old")
    interrupt(
        aws,
        "UpdateSecretVersionStage",
        lambda: account.secretsmanager.put_secret_value(
            SecretId=DOCUMENT, SecretString='{"A": "theirs"}'
        ),
    )
    with pytest.raises(VersionConflict) as caught:
        document.delete("A")
    assert caught.value.names == ("A",)
    assert document.get("A").value == "theirs"


def test_a_swap_leaves_no_label_behind_whether_it_wins_or_loses(named, account):
    """A stray AWSPENDING would block RotateSecret; other labels would pile up."""
    first = named.put("A", "1").version
    named.put("A", "2", expected=first)
    with pytest.raises(VersionConflict):
        named.put("A", "3", expected=first)
    assert labels(account, f"{PREFIX}A") == {"AWSCURRENT", "AWSPREVIOUS"}


@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServiceError"])
def test_a_label_that_stays_behind_changes_nothing_about_the_outcome(named, aws, code):
    first = named.put("A", "1").version

    def no_cleaning(operation: str, body: dict[str, Any]) -> Refusal | None:
        cleaning = operation == "UpdateSecretVersionStage" and "MoveToVersionId" not in body
        return (400, code) if cleaning else None

    aws.faults.append(no_cleaning)
    put = named.put("A", "2", expected=first)
    assert named.get("A").version == put.version
    with pytest.raises(VersionConflict):
        named.put("A", "3", expected=first)
    assert named.get("A").value == "2"


def test_a_move_whose_answer_was_lost_is_no_conflict(document, aws, account, impatient):
    """botocore repeats it, and the service refuses it then: the label is not there any more."""
    moves = []

    def lose_the_answer(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation != "UpdateSecretVersionStage" or "MoveToVersionId" not in body:
            return None
        moves.append(body)
        if len(moves) > 1:
            return None
        aws.faults.remove(lose_the_answer)
        account.secretsmanager.update_secret_version_stage(**body)
        aws.faults.append(lose_the_answer)
        return 500, "InternalServiceError"

    aws.faults.append(lose_the_answer)
    put = document.put("A", "x")
    assert len(moves) == 2
    assert (document.get("A").value, document.get("A").version) == ("x", put.version)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_conflict_is_a_conflict_if_the_service_does_not_say_more(named, aws, code):
    """Who may write may not be allowed to describe."""
    first = named.put("A", "1").version
    named.put("A", "2")
    aws.faults.append(on("DescribeSecret", (400, code)))
    with pytest.raises(VersionConflict) as caught:
        named.put("A", "3", expected=first)
    assert caught.value.__context__ is None


def test_a_new_name_may_be_put_where_only_existing_ones_may_be_described(named, aws):
    """What does not exist has no ARN, so a policy may not cover it yet."""
    aws.faults.append(on("DescribeSecret", (400, "AccessDeniedException")))
    assert named.put("A", "1").version == named.get("A").version
    with pytest.raises(AccessDenied, match="DescribeSecret"):
        named.put("A", "2")
    assert named.get("A").value == "1"


def test_a_put_back_that_somebody_came_between_is_a_conflict(named, account, aws):
    """Of two who want a deleted name back, as new, one wins."""
    named.put("A", "old")
    named.delete("A")

    def somebody_else() -> None:
        account.secretsmanager.restore_secret(SecretId=f"{PREFIX}A")
        account.secretsmanager.put_secret_value(SecretId=f"{PREFIX}A", SecretString="theirs")

    for at in ("DescribeSecret", "RestoreSecret", "UpdateSecretVersionStage"):
        interrupt(aws, at, somebody_else)
        with pytest.raises(VersionConflict) as caught:
            named.put("A", "planted", expected=ABSENT)
        assert caught.value.names == ("A",)
        assert named.get("A").value == "theirs"
        named.delete("A")


def test_a_name_that_somebody_created_meanwhile_is_a_conflict(named, account, aws):
    interrupt(
        aws,
        "CreateSecret",
        lambda: account.secretsmanager.create_secret(Name=f"{PREFIX}A", SecretString="theirs"),
    )
    with pytest.raises(VersionConflict) as caught:
        named.put("A", "planted")
    assert caught.value.message == f"A exists already in {named.place}"
    assert caught.value.hint == "somebody else created it; read it and decide"
    assert caught.value.names == ("A",)
    assert named.get("A").value == "theirs"


# Stages


@pytest.fixture
def staged(named: SecretsManagerStore, account: Account) -> SecretsManagerStore:
    """A secret with a previous, a current and a pending version."""
    for value in ("old", "now"):
        named.put("A", value)
    account.secretsmanager.put_secret_value(
        SecretId=f"{PREFIX}A", SecretString="next", VersionStages=["AWSPENDING"]
    )
    return named


def test_every_stage_is_read_by_its_name(staged):
    assert staged.get("A").value == "now"
    assert staged.get("A", version=CURRENT).value == "now"
    assert staged.get("A", version=PREVIOUS).value == "old"
    assert staged.get("A", version=PENDING).value == "next"


def test_a_batch_that_answers_with_another_version_is_not_believed(staged, aws):
    """moto's own BatchGetSecretValue can give the version written last, whatever its label."""
    entry = {
        "ARN": f"{PREFIX}A",
        "Name": f"{PREFIX}A",
        "SecretString": "next",
        "VersionId": "f" * 36,
        "VersionStages": ["AWSPENDING"],
    }
    aws.faults.append(on("BatchGetSecretValue", (200, {"SecretValues": [entry], "Errors": []})))
    assert staged.get_many(["A"])["A"].value == "now"


def test_a_pending_version_is_never_taken_for_the_current(staged):
    assert staged.get_many(None)["A"].value == "now"
    assert staged.get_many(["A"])["A"].value == "now"
    assert [entry.stages for entry in staged.history("A")] == [(PREVIOUS,), (CURRENT,), (PENDING,)]
    assert [entry.stages for entry in staged.list_secrets()] == [
        (PREVIOUS,),
        (CURRENT,),
        (PENDING,),
    ]


def test_a_put_leaves_a_pending_version_alone(staged):
    staged.put("A", "newer")
    assert staged.get("A").value == "newer"
    assert staged.get("A", version=PREVIOUS).value == "now"
    assert staged.get("A", version=PENDING).value == "next"


def test_a_document_has_stages_too(document, account):
    document.put("A", "old")
    document.put("A", "now")
    account.secretsmanager.put_secret_value(
        SecretId=DOCUMENT, SecretString='{"A": "next"}', VersionStages=["AWSPENDING"]
    )
    values = [document.get("A", version=stage).value for stage in (PREVIOUS, CURRENT, PENDING)]
    assert values == ["old", "now", "next"]


# One secret per name


def test_a_secret_without_a_value_is_not_there_until_it_gets_one(named, account):
    account.secretsmanager.create_secret(Name=f"{PREFIX}A")
    named.put("B", "x")
    with pytest.raises(SecretNotFound):
        named.get("A")
    assert set(named.get_many(None)) == set(named.get_many(["A", "B"])) == {"B"}
    assert [entry.name for entry in named.list_secrets()] == ["B"]
    named.put("A", "y")
    assert named.get("A").value == "y"


def test_a_deleted_secret_can_be_restored_for_the_days_of_the_options(aws, account):
    bodies = []
    aws.faults.append(lambda operation, body: bodies.append((operation, body)))
    with SecretsManagerStore(prefix=PREFIX, recovery_days=7) as store:
        store.put("A", "x")
        store.delete("A")
    (sent,) = [body for operation, body in bodies if operation == "DeleteSecret"]
    assert sent["RecoveryWindowInDays"] == 7
    assert "ForceDeleteWithoutRecovery" not in sent
    assert account.secretsmanager.describe_secret(SecretId=f"{PREFIX}A")["DeletedDate"]


def test_a_description_is_shown_as_the_comment(named, account):
    account.secretsmanager.create_secret(
        Name=f"{PREFIX}A", SecretString="x", Description="who uses it"
    )
    (entry,) = named.list_secrets()
    assert entry.comment == "who uses it"
    assert entry.created is not None


@pytest.mark.parametrize("prefix", [None, PREFIX])
def test_a_new_secret_is_sealed_with_the_key_of_the_options(account, prefix):
    key = account.kms.create_key()["KeyMetadata"]["KeyId"]
    options = {"prefix": prefix} if prefix else {"secret_id": DOCUMENT}
    with SecretsManagerStore(key_id=key, **options) as store:
        store.setup()
        store.put("A", "x")
    name = f"{PREFIX}A" if prefix else DOCUMENT
    assert account.secretsmanager.describe_secret(SecretId=name)["KmsKeyId"] == key


def test_a_binary_secret_is_an_error_that_says_so(named, account):
    account.secretsmanager.create_secret(Name=f"{PREFIX}A", SecretBinary=b"planted-value")
    for read in (
        lambda: named.get("A"),
        lambda: named.get_many(None),
        lambda: named.get_many(["A"]),
    ):
        with pytest.raises(SecretIntegrityError) as caught:
            read()
        assert caught.value.message == f"A in {named.place} is binary, not text"
        assert caught.value.hint == "store it as base64 text, and decode it where it is used"
        assert caught.value.names == ("A",)
        assert "planted" not in str(caught.value)
    assert [entry.name for entry in named.list_secrets()] == ["A"]


def test_a_binary_document_is_an_error_that_says_so(account):
    account.secretsmanager.create_secret(Name=DOCUMENT, SecretBinary=b"{}")
    with (
        SecretsManagerStore(secret_id=DOCUMENT) as store,
        pytest.raises(SecretIntegrityError, match=r"notes/production in .* is binary, not text"),
    ):
        store.get_many(None)


@pytest.mark.parametrize("options", [{"secret_id": DOCUMENT}, {"prefix": PREFIX}])
def test_the_largest_value_is_stored_and_one_byte_more_is_refused_unsent(aws, options):
    around = len('{"A": ""}') if "secret_id" in options else 0
    largest = "é" * ((65_536 - around) // 2) + "x" * (around % 2)
    with SecretsManagerStore(**options) as store:
        store.setup()
        put = store.put("A", largest)
        assert store.get("A").value == largest
        for expected in (None, put.version):
            with aws.counted() as requests, pytest.raises(SecretsError) as caught:
                store.put("A", largest + "x", expected=expected)
            assert "65,537 bytes; Secrets Manager takes 65,536" in caught.value.message
            assert "S3" in caught.value.hint
            assert "secretsmanager.PutSecretValue" not in requests
        assert store.get("A").value == largest


def test_a_put_many_of_names_that_fails_says_what_was_stored_before_it(named, aws):
    """They are written side by side, and after a failure none begins."""
    created = []

    def fails(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation == "CreateSecret":
            created.append(body)
            if len(created) == 40:
                return 400, "AccessDeniedException"
        return None

    aws.faults.append(fails)
    with pytest.raises(AccessDenied) as caught:
        named.put_many({f"NAME_{number:03}": "planted" for number in range(200)})
    stored = [entry.name for entry in named.list_secrets()]
    assert 39 <= len(stored) < 39 + POOL_SIZE
    assert caught.value.message.endswith(f"; but stored meanwhile: {', '.join(stored)}")
    assert "planted" not in str(caught.value)


def test_a_secret_without_a_version_is_filled_by_who_expects_its_name_to_be_absent(named, account):
    """As CloudFormation and Terraform make it: it is not read, so it looks absent."""
    account.secretsmanager.create_secret(Name="notes/production/A")
    assert named.get_many(["A"]) == {}
    named.put_many({"A": "1"}, expected={"A": ""})
    assert named.get("A").value == "1"
    with pytest.raises(VersionConflict, match="A exists already"):
        named.put_many({"A": "2"}, expected={"A": ""})


def test_of_writers_that_were_killed_one_version_stays_labelled(document, account, aws):
    """A secret may have 20 labels: with one each, the 18th write after them would be refused."""
    document.put("KEY", "first")
    for number in range(25):
        gone = [(500, "InternalFailure")] * 40  # nothing is answered after the value was written
        aws.faults.append(
            lambda operation, _, gone=gone: (
                gone.pop() if gone and operation == "UpdateSecretVersionStage" else None
            )
        )
        with pytest.raises(SecretsError):
            document.put("KEY", f"lost {number}")
        aws.faults.clear()
    known = account.secretsmanager.describe_secret(SecretId="notes/production")
    labels = sorted(label for labels in known["VersionIdsToStages"].values() for label in labels)
    assert labels == ["AWSCURRENT", "AWSPREVIOUS", "django-kms-secrets"]
    document.put("KEY", "last")
    assert document.get("KEY").value == "last"
    assert document.get("KEY", version=PREVIOUS).value == "first"


# Batches


BATCH_ERRORS = {
    "AccessDeniedException": (
        AccessDenied,
        "GetSecretValue of A was refused by Secrets Manager at ",
        "allow secretsmanager:GetSecretValue to this role or user",
    ),
    "DecryptionFailure": (
        DecryptionError,
        "KMS would not decrypt it",
        "allow kms:Decrypt on its key, and check that the key is enabled",
    ),
    "InternalServiceError": (StoreUnavailable, "a fault at the service", "try again"),
    "LimitExceededException": (StoreUnavailable, "too many requests", "try again"),
    "SomethingNew": (SecretsError, "(SomethingNew)", "look up SomethingNew"),
    "InvalidRequestException": (SecretsError, "(InvalidRequestException)", "look up Invalid"),
}


def test_a_secret_whose_kms_key_is_denied_is_not_a_permission_of_secrets_manager(named, aws):
    """The service answers with AccessDeniedException, and only its text says which it is."""
    named.put("A", "planted-value")
    denial = "AccessDeniedException#Access to KMS is not allowed"
    aws.faults.append(on("GetSecretValue", (400, denial)))
    with pytest.raises(AccessDenied) as caught:
        named.get("A")
    assert caught.value.message.endswith("Access to KMS is not allowed")
    assert caught.value.hint == (
        "allow kms:Decrypt, and kms:GenerateDataKey to write, on the secret's KMS key to this role "
        "or user"
    )


@pytest.mark.parametrize("code", BATCH_ERRORS)
def test_a_failure_in_a_reply_with_status_200_is_an_error(named, aws, code):
    """A secret that could not be asked for must not look as if it were missing."""
    kind, message, hint = BATCH_ERRORS[code]
    named.put("B", "planted-value")
    entry = {
        "ARN": "arn:aws:secretsmanager:ap-northeast-2:123456789012:secret:B-a1b2c3",
        "Name": f"{PREFIX}B",
        "SecretString": "planted-value",
        "VersionId": "f" * 36,
        "VersionStages": ["AWSCURRENT"],
    }
    error = {"SecretId": f"{PREFIX}A", "ErrorCode": code, "Message": "no"}
    reply = {"SecretValues": [entry], "Errors": [error]}
    aws.faults.append(on("BatchGetSecretValue", (200, reply)))
    for read in (lambda: named.get_many(["A", "B"]), lambda: named.get_many(None)):
        with pytest.raises(SecretsError) as caught:
            read()
        assert type(caught.value) is kind
        assert caught.value.message.startswith("GetSecretValue of A was refused")
        assert message in caught.value.message
        assert caught.value.hint.startswith(hint)
        assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "code, message",
    [
        ("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        ("InvalidRequestException", "because it was marked for deletion"),
    ],
)
def test_a_missing_or_deleted_secret_of_a_batch_is_left_out(named, aws, code, message):
    error = {"SecretId": f"{PREFIX}A", "ErrorCode": code, "Message": message}
    aws.faults.append(on("BatchGetSecretValue", (200, {"SecretValues": [], "Errors": [error]})))
    assert named.get_many(["A"]) == {}


def test_a_batch_that_says_nothing_about_a_secret_is_an_error(named, aws):
    """It must not look as if the secret were missing."""
    aws.faults.append(on("BatchGetSecretValue", (200, {"SecretValues": [], "Errors": []})))
    with pytest.raises(StoreUnavailable) as caught:
        named.get_many(["A"])
    assert caught.value.message == (
        f"BatchGetSecretValue of Secrets Manager at {aws.endpoint} did not answer for every secret"
    )
    assert caught.value.hint == "try again"


def test_a_batch_of_one_deleted_one_missing_and_one_that_is_there(named):
    named.put_many({"A": "x", "B": "y"})
    named.delete("A")
    assert set(named.get_many(["A", "B", "C"])) == {"B"}


# Options


def test_a_document_or_a_prefix_one_of_them():
    for options in ({}, {"secret_id": "a", "prefix": "b"}, {"secret_id": "a", "prefix": ""}):
        with pytest.raises(SecretsError, match="takes secret_id or prefix, one of them") as caught:
            SecretsManagerStore(**options)
        assert "one JSON document" in caught.value.hint
    assert SecretsManagerStore(prefix="").prefix == ""


@pytest.mark.parametrize("days", [6, 31, 0, -7, "x", "", 7.5, None])
def test_recovery_days_that_aws_would_refuse_are_refused(days):
    with pytest.raises(SecretsError, match=r"recovery_days .* is not 7 to 30") as caught:
        SecretsManagerStore(prefix="", recovery_days=days)
    assert caught.value.hint == "leave it out for 30"


@pytest.mark.parametrize("days", [7, 30, "7"])
def test_recovery_days_may_be_text_as_in_a_url(days):
    assert SecretsManagerStore(prefix="", recovery_days=days).recovery_days == int(days)


def test_places_name_the_document_or_the_prefix_and_the_region(aws):
    store = SecretsManagerStore(secret_id=DOCUMENT)
    assert store.place == "Secrets Manager secret notes/production in the default region"
    with store:
        assert store.place == "Secrets Manager secret notes/production in ap-northeast-2"
    store = SecretsManagerStore(prefix=PREFIX, region_name="us-east-1")
    assert store.place == "Secrets Manager secrets under 'notes/production/' in us-east-1"
