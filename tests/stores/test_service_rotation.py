"""A rotation of Secrets Manager's own: RotateSecret, and a function that AWS calls."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import load
from django_kms_secrets.config import read_config
from django_kms_secrets.exceptions import SecretNotFound, StoreNotReady, VersionConflict
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

from ..cli.doors import inside
from ..server import mends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Account

ARN = "arn:aws:lambda:ap-northeast-2:123456789012:function:rotate"
VALUES = {
    "notes/production/KEY": ("planted-one", "planted-two"),
    "notes/production": (
        '{"username": "web", "password": "planted-one"}',
        '{"username": "web", "password": "planted-two"}',
    ),
}


class Function:
    """A rotation function in the four steps that AWS calls.

    Attributes:
        go_on: it waits for this before it finishes.
        fails_at: a step that raises.
        events: what it was called with.
    """

    def __init__(self, account: Account) -> None:
        self._client = account.secretsmanager
        self.go_on = threading.Event()
        self.fails_at = ""
        self.events: list[str] = []

    def __call__(self, event: dict[str, str]) -> None:
        step, secret_id, token = event["Step"], event["SecretId"], event["ClientRequestToken"]
        self.events.append(step)
        if step == self.fails_at:
            self.go_on.set()
            raise mends.RotationFailed
        if step == "createSecret":
            self._client.put_secret_value(
                SecretId=secret_id,
                SecretString=VALUES[secret_id][1],
                ClientRequestToken=token,
                VersionStages=["AWSPENDING"],
            )
        if step == "finishSecret":
            assert self.go_on.wait(60)
            current = self._client.get_secret_value(SecretId=secret_id)["VersionId"]
            self._client.update_secret_version_stage(
                SecretId=secret_id,
                VersionStage="AWSCURRENT",
                MoveToVersionId=token,
                RemoveFromVersionId=current,
            )


@pytest.fixture
def function(account: Account, monkeypatch: pytest.MonkeyPatch) -> Function:
    function = Function(account)
    monkeypatch.setitem(mends.rotation_functions, ARN, function)
    return function


@pytest.fixture(params=sorted(VALUES))
def secret_id(request: pytest.FixtureRequest, account: Account) -> str:
    """A secret whose rotation is configured: a document, or one under a prefix."""
    found: str = request.param
    account.secretsmanager.create_secret(Name=found, SecretString=VALUES[found][0])
    return found


@pytest.fixture
def configured(secret_id: str, function: Function, account: Account) -> str:
    account.secretsmanager.rotate_secret(
        SecretId=secret_id, RotationLambdaARN=ARN, RotateImmediately=False
    )
    return secret_id


@pytest.fixture
def place(secret_id: str) -> tuple[str, str]:
    """The store's URL, and the name in it."""
    if secret_id.endswith("KEY"):
        return "secretsmanager://?prefix=notes/production/", "KEY"
    return f"secretsmanager:///{secret_id}", "password"


def rotated(store: Any, name: str, version: str) -> bool:
    """Ask until it is done, for at most a minute."""
    for _ in range(600):
        if store.has_rotated(name, version):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def store(place: tuple[str, str]) -> Iterator[Any]:
    with read_config(place[0]).make_store() as store:
        yield store


@pytest.mark.usefixtures("configured")
def test_the_service_rotates_through_the_same_stages(
    store: Any, place: tuple[str, str], function: Function
) -> None:
    """While the function works, its value is pending; at the end the old one is previous."""
    url, name = place
    version = store.start_rotation(name)
    for _ in range(600):
        if "finishSecret" in function.events:
            break
        time.sleep(0.1)
    found = {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}
    assert found == {PENDING: "planted-two", CURRENT: "planted-one"}
    assert not store.has_rotated(name, version)
    assert load(url).fallbacks(name) == ["planted-two"]
    function.go_on.set()
    assert rotated(store, name, version)
    found = {stage: str(secret.value) for stage, secret in store.get_stages(name).items()}
    assert found == {CURRENT: "planted-two", PREVIOUS: "planted-one"}
    assert function.events == ["createSecret", "setSecret", "testSecret", "finishSecret"]


@pytest.mark.usefixtures("configured")
def test_the_label_that_the_function_leaves_does_not_stop_the_next_rotation(
    store: Any, place: tuple[str, str], function: Function
) -> None:
    function.go_on.set()
    for _ in range(2):
        assert rotated(store, place[1], store.start_rotation(place[1]))


@pytest.mark.usefixtures("configured")
def test_a_second_rotation_waits_for_the_first(
    store: Any, place: tuple[str, str], function: Function
) -> None:
    _, name = place
    version = store.start_rotation(name)
    for _ in range(600):
        if PENDING in store.get_stages(name):
            break
        time.sleep(0.1)
    with pytest.raises(VersionConflict, match="is pending in Secrets Manager") as caught:
        store.start_rotation(name)
    assert "planted" not in str(caught.value)
    function.go_on.set()
    assert rotated(store, name, version)


@pytest.mark.usefixtures("secret_id")
def test_a_secret_without_a_rotation_function_says_how_to_configure_one(
    store: Any, place: tuple[str, str]
) -> None:
    with pytest.raises(StoreNotReady, match="no rotation is configured for") as caught:
        store.start_rotation(place[1])
    assert "--rotation-lambda-arn" in caught.value.hint


def test_a_name_that_is_not_there_is_not_found(named: Any) -> None:
    with pytest.raises(SecretNotFound):
        named.start_rotation("KEY")


@pytest.mark.usefixtures("configured")
def test_the_command_waits_until_it_is_done(
    place: tuple[str, str], function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_kms_secrets.cli.verbs.rotate.POLL_SECONDS", 0.05)
    url, name = place
    threading.Timer(0.5, function.go_on.set).start()
    done = inside("module", url, ["rotate", name, "--lambda"]).ok()
    assert f"{name} version " in done.err
    assert "is current in Secrets Manager" in done.err
    assert "planted" not in done.words
    assert load(url)[name] == "planted-two"


@pytest.mark.usefixtures("configured")
def test_the_command_gives_up_on_a_function_that_fails(
    place: tuple[str, str], function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so and where to look; the old value stays in force."""
    monkeypatch.setattr("django_kms_secrets.cli.verbs.rotate.POLL_SECONDS", 0.05)
    url, name = place
    function.fails_at = "testSecret"
    error = inside("module", url, ["rotate", name, "--lambda", "--wait", "1"]).failed()
    assert "is not rotated after 1 s" in error
    assert "planted" not in error
    assert load(url)[name] == "planted-one"
