"""What every store with stages does: the contract of `StagedStore`, and of `rollback`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import load
from django_kms_secrets.backends.base import ABSENT
from django_kms_secrets.backends.capabilities import StagedStore
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.credstash.names import Names
from django_kms_secrets.exceptions import SecretNotFound, SecretsError, VersionConflict
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS, SecretStr

from .kinds import KINDS, only

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django_kms_secrets.backends.base import BaseStore

    from ..server.embedded import EmbeddedAWS
    from .conftest import Account

STAGED = {"locmem"} | {
    kind.name for kind in KINDS if kind.name.startswith(("credstash", "secretsmanager"))
}
staged = only(lambda kind: kind.name in STAGED)
versioned = only(lambda kind: kind.keeps_versions)


def values(store: BaseStore, name: str = "KEY") -> dict[str, str]:
    return {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}


def test_every_kind_that_has_stages_is_tested_here(tmp_path: Path) -> None:
    """A store that becomes a StagedStore cannot be forgotten here."""
    has = {kind.name for kind in KINDS if isinstance(kind.make(tmp_path), StagedStore)}
    assert has == STAGED


# The two phases


@staged
def test_a_rotation_goes_through_its_stages(store: Any) -> None:
    """At each step, who holds which value is what the next deployment relies on."""
    store.put("KEY", "one")
    assert values(store) == {CURRENT: "one"}
    store.stage("KEY", "two")
    assert values(store) == {PENDING: "two", CURRENT: "one"}
    store.promote("KEY")
    assert values(store) == {CURRENT: "two", PREVIOUS: "one"}
    store.retire("KEY")
    assert values(store) == {CURRENT: "two"}


@staged
def test_what_is_left_of_a_rotation_is_not_absent(store: Any) -> None:
    """A name of which the first version was retired is there: a write beside it would be lost."""
    store.put("KEY", "one")
    store.stage("KEY", "two")
    store.promote("KEY")
    store.retire("KEY")
    with pytest.raises(VersionConflict):
        store.put_many({"KEY": "three"}, expected={"KEY": ABSENT})
    assert values(store) == {CURRENT: "two"}


@staged
def test_many_rotations_in_a_row(store: Any) -> None:
    store.put("KEY", "0")
    for number in range(1, 6):
        store.stage("KEY", str(number))
        assert values(store)[PENDING] == str(number)
        store.promote("KEY")
        assert values(store) == {CURRENT: str(number), PREVIOUS: str(number - 1)}
        store.retire("KEY")
        assert values(store) == {CURRENT: str(number)}


@staged
def test_a_rotation_that_was_never_retired_does_not_stop_the_next(store: Any) -> None:
    store.put("KEY", "one")
    for value in ("two", "three"):
        store.stage("KEY", value)
        store.promote("KEY")
    assert values(store) == {CURRENT: "three", PREVIOUS: "two"}


@staged
def test_a_pending_value_changes_nothing_for_who_reads_the_current(store: Any) -> None:
    store.put_many({"KEY": "one", "OTHER": "x"})
    store.stage("KEY", "two")
    assert store.get("KEY").value == "one"
    assert {name: s.value for name, s in store.get_many(None).items()} == {
        "KEY": "one",
        "OTHER": "x",
    }
    assert {name: s.value for name, s in store.get_many(["KEY"]).items()} == {"KEY": "one"}
    assert {entry.name for entry in store.list_secrets()} == {"KEY", "OTHER"}


@staged
def test_listings_show_what_is_pending(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "planted-value")
    for listing in (store.list_secrets(), store.history("KEY")):
        current = [entry for entry in listing if CURRENT in entry.stages]
        assert [entry.name for entry in current] == ["KEY"]
        assert "planted" not in repr(listing)
    assert any(PENDING in entry.stages for entry in store.list_secrets())


@staged
def test_each_stage_is_read_by_its_name(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "two")
    assert store.get("KEY", version=PENDING).value == "two"
    store.promote("KEY")
    assert store.get("KEY", version=CURRENT).value == "two"
    assert store.get("KEY", version=PREVIOUS).value == "one"
    with pytest.raises(SecretNotFound, match="no value of KEY is pending"):
        store.get("KEY", version=PENDING)


@staged
def test_what_is_retired_cannot_be_read_as_previous(store: Any) -> None:
    store.put("KEY", "zero")
    store.put("KEY", "one")
    store.put("KEY", "two")
    store.retire("KEY")
    with pytest.raises(SecretNotFound, match="KEY has no version PREVIOUS"):
        store.get("KEY", version=PREVIOUS)
    assert values(store) == {CURRENT: "two"}


@staged
def test_an_abandoned_value_is_gone_and_another_may_be_staged(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "two")
    store.unstage("KEY")
    assert values(store) == {CURRENT: "one"}
    store.stage("KEY", "three")
    assert values(store) == {PENDING: "three", CURRENT: "one"}


@staged
def test_every_step_says_which_version_it_made(store: Any) -> None:
    store.put("KEY", "one")
    pending = store.stage("KEY", "two")
    assert (pending.name, pending.stages) == ("KEY", (PENDING,))
    assert store.get("KEY", version=pending.version).value in {"one", "two"}
    current = store.promote("KEY")
    assert (current.name, current.stages) == ("KEY", (CURRENT,))
    assert store.get("KEY").version == current.version


@staged
def test_stages_are_masked(store: Any) -> None:
    store.put("KEY", "planted-one")
    store.stage("KEY", "planted-two")
    found = store.get_stages("KEY")
    assert {type(secret.value) for secret in found.values()} == {SecretStr}
    assert "planted" not in repr(found)


@staged
def test_other_names_may_change_in_the_middle_of_a_rotation(store: Any) -> None:
    """The previous value is that of the name, whatever else was written since."""
    store.put_many({"KEY": "one", "OTHER": "x"})
    store.stage("KEY", "two")
    store.put("OTHER", "y")
    store.stage("OTHER", "z")
    assert values(store) == {PENDING: "two", CURRENT: "one"}
    store.promote("KEY")
    store.put("MORE", "m")
    store.promote("OTHER")
    store.delete("MORE")
    assert values(store) == {CURRENT: "two", PREVIOUS: "one"}
    assert values(store, "OTHER") == {CURRENT: "z", PREVIOUS: "y"}
    store.retire("KEY")
    assert values(store) == {CURRENT: "two"}
    assert values(store, "OTHER") == {CURRENT: "z", PREVIOUS: "y"}


@staged
def test_a_put_while_a_value_is_pending_leaves_it_pending(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "three")
    store.put("KEY", "two")
    assert values(store)[PENDING] == "three"
    assert values(store)[CURRENT] == "two"
    store.promote("KEY")
    assert values(store) == {CURRENT: "three", PREVIOUS: "two"}


@staged
def test_a_deleted_name_has_no_stages_when_it_comes_back(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "two")
    store.promote("KEY")
    store.stage("KEY", "three")
    store.delete("KEY")
    assert values(store) == {}
    store.put("KEY", "four")
    assert PENDING not in values(store) or store.scheme == "secretsmanager"
    assert values(store)[CURRENT] == "four"


@staged
def test_a_deletion_takes_no_stages_of_another_name(store: Any) -> None:
    """A name that begins as another one does, with a dot after it, is a name of its own."""
    store.put("app.key", "old")
    store.put("app", "text")
    store.rotate("app.key", "new", expected=store.get("app.key").version)
    store.stage("app.key", "next")
    store.delete("app")
    assert values(store, "app.key") == {CURRENT: "new", PREVIOUS: "old", PENDING: "next"}


@staged
def test_a_rotation_at_once_keeps_the_value_before_until_it_is_retired(store: Any) -> None:
    """Whatever else is written: sessions of the old key are honoured."""
    store.put("OTHER", "x")
    version = store.put("KEY", "one").version
    store.rotate("KEY", "two", expected=store.get("KEY").version)
    store.put("OTHER", "y")
    store.put("MORE", "z")
    assert values(store) == {CURRENT: "two", PREVIOUS: "one"}
    with pytest.raises(VersionConflict):
        store.rotate("KEY", "three", expected=version)
    store.retire("KEY")
    assert values(store) == {CURRENT: "two"}


@staged
def test_what_was_rolled_back_from_is_honoured_whatever_else_is_written(store: Any) -> None:
    store.put("KEY", "one")
    store.put("KEY", "two")
    store.rollback("KEY", PREVIOUS)
    store.put("OTHER", "x")
    assert values(store) == {CURRENT: "one", PREVIOUS: "two"}


# Out of order


@staged
def test_only_one_value_may_be_pending(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "two")
    with pytest.raises(VersionConflict, match="a value of KEY is pending already in ") as caught:
        store.stage("KEY", "planted-value")
    assert "--promote" in caught.value.hint
    assert caught.value.names == ("KEY",)
    assert "planted" not in str(caught.value)
    assert values(store) == {PENDING: "two", CURRENT: "one"}


@staged
@pytest.mark.parametrize("step", ["promote", "unstage", "retire"])
def test_a_step_out_of_order_is_refused_and_changes_nothing(store: Any, step: str) -> None:
    store.put("KEY", "one")
    with pytest.raises(SecretNotFound) as caught:
        getattr(store, step)("KEY")
    assert caught.value.names == ("KEY",)
    assert store.place in caught.value.message
    assert values(store) == {CURRENT: "one"}


@staged
@pytest.mark.parametrize("step", ["stage", "promote", "unstage", "retire"])
def test_a_name_that_is_not_there_has_no_stages(store: Any, step: str) -> None:
    arguments = ["value"] if step == "stage" else []
    with pytest.raises(SecretNotFound) as caught:
        getattr(store, step)("KEY", *arguments)
    assert caught.value.names == ("KEY",)
    assert store.get_many(None) == {}
    assert values(store) == {}


@staged
def test_a_bad_value_is_not_staged(store: Any) -> None:
    store.put("KEY", "one")
    for value in (5, None, "planted\ud800"):
        with pytest.raises(SecretsError) as caught:
            store.stage("KEY", value)
        assert "planted" not in str(caught.value)
    assert values(store) == {CURRENT: "one"}


# Two at once


@staged
@pytest.mark.parametrize("step", ["stage", "promote", "unstage"])
def test_of_two_who_take_the_same_step_one_is_refused(
    store: Any, another: Callable[[], Any], step: str
) -> None:
    """Whatever the interleaving: the second finds what the first left, and says so."""
    store.put("KEY", "one")
    if step != "stage":
        store.stage("KEY", "two")
    arguments = ["mine"] if step == "stage" else []
    getattr(store, step)("KEY", *arguments)
    with another() as other, pytest.raises((SecretNotFound, VersionConflict)):
        getattr(other, step)("KEY", *arguments)


# Going back


@versioned
def test_a_rollback_makes_an_old_value_current_and_loses_none(store: BaseStore) -> None:
    first = store.put("KEY", "one").version
    store.put("OTHER", "x")
    store.put("KEY", "two")
    store.put("KEY", "three")
    rolled = store.rollback("KEY", first)
    assert store.get("KEY").value == "one"
    assert store.get("KEY").version == rolled.version
    assert rolled.stages == (CURRENT,)
    assert store.get("KEY", version=PREVIOUS).value == "three"
    assert store.get("OTHER").value == "x"


@versioned
def test_a_rollback_may_name_the_previous_version_and_be_taken_back(store: BaseStore) -> None:
    store.put("KEY", "one")
    store.put("KEY", "two")
    store.rollback("KEY", PREVIOUS)
    assert store.get("KEY").value == "one"
    store.rollback("KEY", PREVIOUS)
    assert store.get("KEY").value == "two"


@staged
def test_a_promotion_can_be_rolled_back(store: Any) -> None:
    store.put("KEY", "one")
    store.stage("KEY", "two")
    store.promote("KEY")
    store.rollback("KEY", PREVIOUS)
    assert values(store)[CURRENT] == "one"
    assert values(store)[PREVIOUS] == "two", "sessions that were signed meanwhile still count"


@versioned
def test_a_rollback_to_the_current_version_is_refused(store: BaseStore) -> None:
    store.put("KEY", "one")
    version = store.put("KEY", "two").version
    with pytest.raises(VersionConflict, match=r"version .* of KEY in .* is the current one"):
        store.rollback("KEY", version)
    assert store.get("KEY").version == version


def test_a_rollback_to_what_is_not_there_is_not_found(store: BaseStore) -> None:
    with pytest.raises(SecretNotFound):
        store.rollback("KEY", PREVIOUS)
    store.put("KEY", "one")
    for version in (PREVIOUS, "7", "f" * 36):
        with pytest.raises(SecretNotFound) as caught:
            store.rollback("KEY", version)
        assert caught.value.names == ("KEY",)
    assert store.get("KEY").value == "one"


# How CredStash keeps it


def test_the_pending_version_sorts_before_every_number(
    credstash_store: CredStashStore, account: Account
) -> None:
    """So that every other reader of the table goes on taking the greatest version."""
    credstash_store.put_version("KEY", "zero", version="0")
    credstash_store.stage("KEY", "one")
    stored = [item["version"]["S"] for item in account.items()]
    assert stored == ["00000000000000000-1", "0000000000000000000"]
    assert credstash_store.get("KEY").value == "zero"
    credstash_store.promote("KEY")
    stored = [item["version"]["S"] for item in account.items()]
    assert stored == ["0000000000000000000", "0000000000000000001"]


def test_a_promoted_value_is_sealed_anew(credstash_store: CredStashStore, account: Account) -> None:
    """No two records share a data key, not even of the same value."""
    credstash_store.put("KEY", "one")
    credstash_store.stage("KEY", "two")
    before = {item["key"]["S"] for item in account.items()}
    credstash_store.promote("KEY")
    after = {item["key"]["S"] for item in account.items()}
    assert len(before) == len(after) == 2
    assert len(before & after) == 1


def test_a_pending_value_without_a_current_one_is_not_the_secret(
    credstash_store: CredStashStore, account: Account
) -> None:
    """Such as what is left of a deletion that was cut short."""
    credstash_store.put("KEY", "one")
    credstash_store.stage("KEY", "planted-value")
    account.dynamodb.delete_item(
        TableName="credential-store",
        Key={"name": {"S": "KEY"}, "version": {"S": "0000000000000000001"}},
    )
    assert credstash_store.get_many(None) == credstash_store.get_many(["KEY"]) == {}
    with pytest.raises(SecretNotFound):
        credstash_store.get("KEY")


def test_a_promotion_does_not_overwrite_what_was_staged_meanwhile(
    credstash_store: CredStashStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody abandons the value and stages another between its read and its promotion."""
    credstash_store.put("KEY", "one")
    credstash_store.stage("KEY", "two")
    sealed = Names._sealed

    def meanwhile(names: Names, name: str, value: str, **options: Any) -> Any:
        item = sealed(names, name, value, **options)
        credstash_store.unstage("KEY")
        credstash_store.stage("KEY", "three")
        return item

    monkeypatch.setattr(Names, "_sealed", meanwhile)
    with pytest.raises(VersionConflict, match="somebody else wrote to "):
        credstash_store.promote("KEY")
    assert values(credstash_store) == {PENDING: "three", CURRENT: "one"}


def test_a_previous_version_that_does_not_open_does_not_stop_a_site(
    credstash_store: CredStashStore, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key was disabled, say: nobody can honour it. The current value decides."""
    credstash_store.put("KEY", "planted-one")
    (old,) = account.items()
    credstash_store.put("KEY", "planted-two")
    account.put_item(old, hmac={"B": b"00" * 32})
    secrets = load({"BACKEND": f"{CredStashStore.__module__}.CredStashStore"})
    assert secrets["KEY"] == "planted-two"
    assert secrets.fallbacks("KEY") == []
    assert "the previous version does not count: KEY version 0000000000000000001" in caplog.text
    assert "planted" not in caplog.text


def test_a_pending_version_that_does_not_open_stops_a_site(
    credstash_store: CredStashStore, account: Account
) -> None:
    """Better now than after its promotion; the error names it, and abandoning it is the mend."""
    credstash_store.put("KEY", "planted-one")
    credstash_store.stage("KEY", "planted-two")
    pending = account.items()[0]
    account.put_item(pending, hmac={"B": b"00" * 32})
    secrets = load({"BACKEND": f"{CredStashStore.__module__}.CredStashStore"})
    assert secrets["KEY"] == "planted-one"
    with pytest.raises(SecretsError, match="KEY version 00000000000000000-1 in ") as caught:
        secrets.fallbacks("KEY")
    assert "planted" not in str(caught.value)
    credstash_store.unstage("KEY")
    assert secrets.fallbacks("KEY") == []


# How Secrets Manager keeps it


def test_a_staged_name_is_awspending_and_no_other_label_stays(named: Any, account: Account) -> None:
    """What other tools see: the service's own labels, and nothing that blocks RotateSecret."""
    first = named.put("KEY", "one").version
    second = named.stage("KEY", "two").version

    def labels() -> dict[str, list[str]]:
        known = account.secretsmanager.describe_secret(SecretId="notes/production/KEY")
        return {version: sorted(labels) for version, labels in known["VersionIdsToStages"].items()}

    assert labels() == {first: ["AWSCURRENT"], second: ["AWSPENDING"]}
    named.promote("KEY")
    assert labels() == {first: ["AWSPREVIOUS"], second: ["AWSCURRENT"]}
    named.retire("KEY")
    assert labels().get(first, []) == []
    assert labels()[second] == ["AWSCURRENT"]


def test_a_leftover_pending_label_of_the_services_own_rotation_does_not_count(
    named: Any, account: Account
) -> None:
    """Rotation functions leave AWSPENDING on the version that became current."""
    first = named.put("KEY", "one").version
    account.secretsmanager.update_secret_version_stage(
        SecretId="notes/production/KEY", VersionStage="AWSPENDING", MoveToVersionId=first
    )
    assert values(named) == {CURRENT: "one"}
    with pytest.raises(SecretNotFound):
        named.promote("KEY")
    named.stage("KEY", "two")
    assert values(named) == {PENDING: "two", CURRENT: "one"}


def test_a_name_that_was_deleted_and_put_again_has_its_deleted_value_before_it(named: Any) -> None:
    """It was in its recovery window: the service restores it with its versions."""
    named.put("KEY", "leaked")
    named.delete("KEY")
    named.put("KEY", "new")
    assert values(named) == {CURRENT: "new", PREVIOUS: "leaked"}


def test_a_rollback_of_a_name_moves_the_stage_and_makes_no_version(named: Any) -> None:
    first = named.put("KEY", "one").version
    second = named.put("KEY", "two").version
    assert named.rollback("KEY", first).version == first
    stages = {entry.version: entry.stages for entry in named.history("KEY")}
    assert stages[first] == (CURRENT,)
    assert stages[second] == (PREVIOUS,)
    assert len(stages) == 2


def test_a_document_keeps_its_stages_under_a_name_of_their_own(
    document: Any, account: Account
) -> None:
    document.put_many({"KEY": "one", "OTHER": "x"})
    document.stage("KEY", "two")
    document.promote("KEY")
    document.stage("KEY", "three")
    text = account.secretsmanager.get_secret_value(SecretId="notes/production")["SecretString"]
    assert text == (
        '{"KEY": "two", "OTHER": "x", "django-kms-secrets": '
        '{"PENDING": {"KEY": "three"}, "PREVIOUS": {"KEY": "one"}}}'
    )
    document.unstage("KEY")
    document.retire("KEY")
    text = account.secretsmanager.get_secret_value(SecretId="notes/production")["SecretString"]
    assert text == '{"KEY": "two", "OTHER": "x"}'


@pytest.mark.parametrize("name", ["django-kms-secrets", "django-kms-secrets.PENDING"])
def test_that_name_cannot_be_written(document: Any, name: str) -> None:
    for write in (
        lambda: document.put(name, "x"),
        lambda: document.put_many({name: "x"}),
    ):
        with pytest.raises(SecretsError, match="is where a document keeps pending"):
            write()
    with pytest.raises(SecretNotFound):
        document.stage(name, "x")


@pytest.mark.parametrize(
    "reserved", [5, "text", [], {"PENDING": 5}, {"PENDING": {"KEY": 5}}, {"OTHER": {}}]
)
def test_what_else_stands_under_that_name_is_neither_read_nor_lost(
    document: Any, account: Account, reserved: Any
) -> None:
    account.secretsmanager.put_secret_value(
        SecretId="notes/production",
        SecretString=json.dumps({"KEY": "one", "django-kms-secrets": reserved}),
    )
    assert values(document) == {CURRENT: "one"}
    with pytest.raises(SecretsError, match="would be lost; nothing was stored"):
        document.stage("KEY", "two")
    assert values(document) == {CURRENT: "one"}


def test_a_leaf_of_a_tree_is_rotated_by_its_dotted_name(document: Any) -> None:
    document.put("database", '{"user": "web", "password": "one"}')
    document.stage("database.password", "two")
    assert values(document, "database.password") == {PENDING: "two", CURRENT: "one"}
    document.promote("database.password")
    assert values(document, "database.password") == {CURRENT: "two", PREVIOUS: "one"}
    assert document.get("database").value == '{"user": "web", "password": "two"}'


def test_a_document_that_the_service_rotates_is_pending_for_all_its_names(
    document: Any, account: Account
) -> None:
    """As with a secret of Amazon RDS: the function writes AWSPENDING, and moves AWSCURRENT."""
    document.put_many({"username": "web", "password": "one"})
    version = "a" * 36
    account.secretsmanager.put_secret_value(
        SecretId="notes/production",
        SecretString='{"username": "web", "password": "two"}',
        ClientRequestToken=version,
        VersionStages=["AWSPENDING"],
    )
    assert values(document, "password") == {PENDING: "two", CURRENT: "one"}
    account.secretsmanager.update_secret_version_stage(
        SecretId="notes/production",
        VersionStage="AWSCURRENT",
        MoveToVersionId=version,
        RemoveFromVersionId=document.get("password").version,
    )
    assert values(document, "password") == {CURRENT: "two", PREVIOUS: "one"}
    assert values(document, "username") == {CURRENT: "web"}


# Lost answers


@only(lambda kind: kind.name in STAGED and kind.remote)
@pytest.mark.parametrize("step", ["stage", "promote", "unstage", "retire"])
def test_a_lost_answer_is_no_refusal(
    store: Any, aws: EmbeddedAWS, step: str, impatient: list[float]
) -> None:
    """botocore repeats a write whose answer was lost; what it did is what was asked for."""
    store.put("KEY", "zero")
    store.put("KEY", "one")
    if step in {"promote", "unstage"}:
        store.stage("KEY", "two")
    after = {
        "stage": {PENDING: "two", CURRENT: "one", PREVIOUS: "zero"},
        "promote": {CURRENT: "two", PREVIOUS: "one"},
        "unstage": {CURRENT: "one", PREVIOUS: "zero"},
        "retire": {CURRENT: "one"},
    }[step]
    aws.unanswered |= {
        "PutItem",
        "DeleteItem",
        "TransactWriteItems",
        "PutSecretValue",
        "UpdateSecretVersionStage",
    }
    arguments = ["two"] if step == "stage" else []
    getattr(store, step)("KEY", *arguments)
    assert values(store) == after
