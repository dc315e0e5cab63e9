"""What stages mean in Secrets Manager where they meet trees, AWS's own labels and other writers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import load
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.exceptions import AccessDenied, SecretNotFound, VersionConflict
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_kms_secrets.backends.base import BaseStore

    from ..server.embedded import EmbeddedAWS
    from .conftest import Account

DOCUMENT = "notes/production"


def values(store: BaseStore, name: str) -> dict[str, str]:
    return {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}


def fallbacks(name: str, *names: str) -> list[str]:
    """What a host that starts now accepts; it fetches these names, or all."""
    config: dict[str, Any] = {
        "BACKEND": f"{SecretsManagerStore.__module__}.SecretsManagerStore",
        "OPTIONS": {"secret_id": DOCUMENT},
    }
    secrets = load({**config, "NAMES": names} if names else config)
    return [str(value) for value in secrets.fallbacks(name)]


def text(account: Account) -> Any:
    reply = account.secretsmanager.get_secret_value(SecretId=DOCUMENT)
    return json.loads(reply["SecretString"])


def move(account: Account, secret_id: str, label: str, version: str) -> None:
    account.secretsmanager.update_secret_version_stage(
        SecretId=secret_id, VersionStage=label, MoveToVersionId=version
    )


# Trees in a document


@pytest.mark.parametrize("names", [(), ("app",), ("app.KEY",)], ids=["all", "the tree", "the leaf"])
@pytest.mark.parametrize("staged", ["app.KEY", "app"])
def test_a_host_accepts_a_staged_leaf_however_it_fetches_the_tree(
    document: Any, names: tuple[str, ...], staged: str
) -> None:
    """A rotation by the leaf's name must reach a host that has fetched its tree, and back."""
    document.put("app", '{"KEY": "one", "OTHER": "x"}')
    two = "two" if staged == "app.KEY" else '{"KEY": "two", "OTHER": "x"}'
    document.stage(staged, two)
    assert fallbacks("app.KEY", *names) == ["two"]
    document.promote(staged)
    document.put("UNRELATED", "x")
    assert fallbacks("app.KEY", *names) == ["one"]
    document.retire(staged)
    assert fallbacks("app.KEY", *names) == []


def test_a_tree_shows_what_is_staged_in_it_and_other_leaves_do_not(document: Any) -> None:
    document.put("app", '{"KEY": "one", "OTHER": "x"}')
    document.stage("app.KEY", "two")
    assert values(document, "app")[PENDING] == '{"KEY": "two", "OTHER": "x"}'
    assert values(document, "app.OTHER") == {CURRENT: "x"}
    assert [entry.stages for entry in document.list_secrets()] == [(CURRENT, PENDING)]


@pytest.mark.parametrize(("first", "second"), [("app.KEY", "app"), ("app", "app.KEY")])
def test_a_tree_and_a_leaf_of_it_are_not_pending_at_the_same_time(
    document: Any, first: str, second: str
) -> None:
    """Of two pending values the one that is promoted last would undo the other."""
    tree = '{"KEY": "two"}'
    document.put("app", '{"KEY": "one"}')
    document.stage(first, tree if first == "app" else "two")
    for step in (
        lambda: document.stage(second, tree if second == "app" else "two"),
        lambda: document.promote(second),
        lambda: document.unstage(second),
    ):
        with pytest.raises(VersionConflict, match=f"a value of {first} is pending") as caught:
            step()
        assert f"rotate {first} --promote" in caught.value.hint
    document.promote(first)
    assert values(document, "app.KEY") == {CURRENT: "two", PREVIOUS: "one"}


def test_a_tree_that_is_written_keeps_the_previous_value_of_its_leaf(document: Any) -> None:
    document.put("app", '{"KEY": "one", "OTHER": "x"}')
    document.stage("app.KEY", "two")
    document.promote("app.KEY")
    document.put("app", '{"KEY": "two", "OTHER": "y"}')
    assert values(document, "app.KEY") == {CURRENT: "two", PREVIOUS: "one"}
    document.put("app", '{"KEY": "three", "OTHER": "y"}')
    document.put("UNRELATED", "x")
    assert values(document, "app.KEY") == {CURRENT: "three", PREVIOUS: "two"}


def test_a_leaf_that_is_written_keeps_the_previous_values_of_its_tree(document: Any) -> None:
    document.put("app", '{"KEY": "one", "OTHER": "x"}')
    document.stage("app", '{"KEY": "two", "OTHER": "y"}')
    document.promote("app")
    document.put("app.OTHER", "z")
    document.put("UNRELATED", "x")
    assert values(document, "app.KEY") == {CURRENT: "two", PREVIOUS: "one"}
    assert values(document, "app.OTHER") == {CURRENT: "z", PREVIOUS: "y"}


def test_a_leaf_is_retired_alone_and_with_its_tree(document: Any, account: Account) -> None:
    document.put("app", '{"KEY": "one", "OTHER": "x"}')
    document.stage("app", '{"KEY": "two", "OTHER": "y"}')
    document.promote("app")
    document.retire("app.KEY")
    assert values(document, "app.KEY") == {CURRENT: "two"}
    assert values(document, "app.OTHER") == {CURRENT: "y", PREVIOUS: "x"}
    document.stage("app.KEY", "three")
    document.promote("app.KEY")
    document.retire("app")
    assert values(document, "app.KEY") == {CURRENT: "three"}
    assert text(account) == {"app": {"KEY": "three", "OTHER": "y"}}


def test_what_was_pending_does_not_come_back_with_a_leaf_that_had_gone(
    document: Any, account: Account
) -> None:
    document.put("app", '{"KEY": "one"}')
    document.stage("app.KEY", "two")
    document.put("app", '{"OTHER": "x"}')
    assert text(account) == {"app": {"OTHER": "x"}}
    document.put("app", '{"KEY": "three"}')
    assert PENDING not in values(document, "app.KEY")


def test_the_same_value_again_does_not_push_the_previous_one_out(document: Any) -> None:
    document.put("KEY", "one")
    document.stage("KEY", "two")
    document.promote("KEY")
    document.put("KEY", "two")
    document.put("UNRELATED", "x")
    assert values(document, "KEY") == {CURRENT: "two", PREVIOUS: "one"}


def test_a_name_with_a_dot_is_not_in_a_tree(document: Any) -> None:
    document.put("app", '{"KEY": "one"}')
    document.put("other", "x")
    document.put("other.KEY", "one")
    document.stage("other", "y")
    document.stage("other.KEY", "two")
    assert values(document, "other.KEY") == {PENDING: "two", CURRENT: "one"}


# AWSPENDING, as AWS has it


def test_a_leftover_label_makes_no_old_value_pending(document: Any, account: Account) -> None:
    """AWS's rotation leaves AWSPENDING on the current version; a write must not leave it behind."""
    document.put("KEY", "one")
    move(account, DOCUMENT, "AWSPENDING", document.get("KEY").version)
    for value in ("two", "three"):
        document.put("KEY", value)
        assert PENDING not in values(document, "KEY")
    document.stage("KEY", "four")
    assert values(document, "KEY") == {PENDING: "four", CURRENT: "three", PREVIOUS: "two"}


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.put("KEY", "three"),
        lambda store: store.put("KEY", "three", expected=store.get("KEY").version),
        lambda store: store.put_many({"KEY": "three"}, expected={"KEY": store.get("KEY").version}),
        lambda store: store.rollback("KEY", PREVIOUS),
    ],
    ids=["put", "put as expected", "put_many as expected", "rollback"],
)
def test_a_promotion_that_was_cut_short_makes_no_old_value_pending(
    named: Any, aws: EmbeddedAWS, write: Any
) -> None:
    """Killed between its two requests, it leaves AWSPENDING on what is current."""

    def cut(operation: str, body: Mapping[str, Any]) -> tuple[int, str] | None:
        drops = body.get("VersionStage") == "AWSPENDING" and "MoveToVersionId" not in body
        return (400, "AccessDeniedException") if drops else None

    named.put("KEY", "one")
    named.stage("KEY", "two")
    aws.faults.append(cut)
    named.promote("KEY")
    aws.faults.remove(cut)
    assert values(named, "KEY") == {CURRENT: "two", PREVIOUS: "one"}
    write(named)
    assert PENDING not in values(named, "KEY")
    named.put("KEY", "four")
    named.retire("KEY")
    assert values(named, "KEY") == {CURRENT: "four"}
    with pytest.raises(SecretNotFound):
        named.promote("KEY")


def test_a_pending_value_is_deleted_with_its_name(named: Any) -> None:
    """Put back, a secret of its own is restored; what was staged before is not wanted any more."""
    named.put("KEY", "one")
    named.stage("KEY", "two")
    named.delete("KEY")
    named.put("KEY", "three")
    assert PENDING not in values(named, "KEY")


def test_a_whole_document_that_is_pending_is_dropped_and_never_promoted(
    document: Any, account: Account
) -> None:
    """A rotation by AWS that failed must not stand in the way for ever."""
    document.put("KEY", "one")
    account.secretsmanager.put_secret_value(
        SecretId=DOCUMENT, SecretString='{"KEY": "two"}', VersionStages=["AWSPENDING"]
    )
    with pytest.raises(VersionConflict, match=r"the whole of .* is pending") as caught:
        document.promote("KEY")
    assert caught.value.hint == "wait for it, or `secrets rotate KEY --abandon` drops it"
    document.unstage("KEY")
    assert values(document, "KEY") == {CURRENT: "one"}
    with pytest.raises(SecretNotFound):
        document.unstage("KEY")


# A previous version that does not open


def test_a_document_whose_previous_version_is_none_does_not_stop_a_site(
    aws: EmbeddedAWS, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret that was plain text before somebody made it a document."""
    account.secretsmanager.create_secret(Name=DOCUMENT, SecretString="planted")
    account.secretsmanager.put_secret_value(SecretId=DOCUMENT, SecretString='{"KEY": "one"}')
    assert fallbacks("KEY") == []
    assert "the previous version does not count: the Secrets Manager secret" in caplog.text
    assert "planted" not in caplog.text
    with SecretsManagerStore(secret_id=DOCUMENT) as store:
        store.stage("KEY", "two")
        assert values(store, "KEY") == {PENDING: "two", CURRENT: "one"}


def test_a_previous_version_that_is_binary_does_not_stop_a_site(
    named: Any, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    name = "notes/production/KEY"
    account.secretsmanager.create_secret(Name=name, SecretBinary=b"planted")
    account.secretsmanager.put_secret_value(SecretId=name, SecretString="one")
    assert values(named, "KEY") == {CURRENT: "one"}
    assert "the previous version does not count: KEY in" in caplog.text
    assert "planted" not in caplog.text


def test_a_previous_version_that_is_denied_is_an_error(document: Any, aws: EmbeddedAWS) -> None:
    """Others may be allowed to read it; --stage would lose it for them."""
    document.put("KEY", "one")
    document.put("KEY", "two")
    aws.faults.append(
        lambda operation, body: (
            (400, "AccessDeniedException") if body.get("VersionStage") == "AWSPREVIOUS" else None
        )
    )
    with pytest.raises(AccessDenied):
        document.stage("KEY", "three")
    aws.faults.clear()
    assert values(document, "KEY") == {CURRENT: "two", PREVIOUS: "one"}


# Two operators


@pytest.mark.parametrize("kind", ["document", "named"])
def test_a_rollback_does_not_overwrite_what_somebody_else_wrote_meanwhile(
    kind: str, request: pytest.FixtureRequest, aws: EmbeddedAWS
) -> None:
    """The old value is read after what is current is known, so that it is a conflict."""
    store = request.getfixturevalue(kind)
    store.put("KEY", "one")
    store.stage("KEY", "two")
    store.promote("KEY")
    moves: list[str] = []

    def meanwhile(operation: str, body: Mapping[str, Any]) -> None:
        # The first request that reads the old value: somebody else writes before its answer.
        if body.get("VersionStage") == "AWSPREVIOUS" and not moves:
            moves.append(operation)
            other.put("KEY", "theirs")

    other = SecretsManagerStore(
        **({"secret_id": DOCUMENT} if kind == "document" else {"prefix": "notes/production/"})
    )
    with other:
        aws.faults.append(meanwhile)
        with pytest.raises(VersionConflict):
            store.rollback("KEY", PREVIOUS)
        aws.faults.clear()
    assert moves
    assert store.get("KEY").value == "theirs"
