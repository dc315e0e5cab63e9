"""What a store is given to write is in no traceback of its errors, with all variables shown.

These values are not loaded, so no filter knows them: the store masks them at its door. The frames
of the caller are the caller's.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk.consts
import sentry_sdk.serializer
import sentry_sdk.utils
from django.apps import apps
from django.conf import UserSettingsHolder, global_settings, settings
from django.views.debug import ExceptionReporter

from django_kms_secrets import SecretsError
from django_kms_secrets.backends.capabilities import NumberedStore, StagedStore
from django_kms_secrets.backends.file import FileStore

from .kinds import only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_kms_secrets.backends.base import BaseStore

    from ..server.embedded import EmbeddedAWS

# Made here, for reports show lines of files as well.
CORE = secrets.token_hex(12)
#: As text, and as a tree that a store takes apart.
VALUES = [f"before {CORE} after", json.dumps({"a": [CORE]})]

WRITES = ("PutItem", "TransactWriteItems", "PutSecretValue", "CreateSecret")


@pytest.fixture(scope="module", autouse=True)
def _django() -> Iterator[None]:
    """Settings, for Django's reports."""
    own = UserSettingsHolder(global_settings)
    own.SECRET_KEY = "unused"
    own.ROOT_URLCONF = __name__
    before, settings._wrapped = settings._wrapped, own
    apps.populate([])
    yield
    settings._wrapped = before


urlpatterns: list[Any] = []


def shown(exc: BaseException) -> str:
    """All that Django's reports and Sentry's event show of an error, but for the test's frame."""
    assert exc.__traceback__ is not None
    info: Any = (type(exc), exc, exc.__traceback__.tb_next)
    assert info[2] is not None
    reporter = ExceptionReporter(None, *info)
    options = {**sentry_sdk.consts.DEFAULT_OPTIONS, "max_value_length": 10_000}
    event, _ = sentry_sdk.utils.event_from_exception(info, client_options=options)
    found = reporter.get_traceback_html() + reporter.get_traceback_text()
    return found + json.dumps(sentry_sdk.serializer.serialize(event))


def traced(action: Callable[[], Any]) -> str:
    """What is shown of the error that an action of a store raises."""
    try:
        action()
    except SecretsError as exc:
        exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next  # this frame
        text = shown(exc)
    else:
        raise AssertionError("there was no error")
    assert "django_kms_secrets/backends" in text, "the frames of the store are shown"
    return text


def test_the_search_finds_a_plain_variable() -> None:
    """Where a store's frame has the value as it was given, both reports show it."""

    def fail(value: str) -> None:
        raise SecretsError(f"{len(value)} django_kms_secrets/backends")

    def action() -> None:
        fail(CORE)

    assert traced(action).count(CORE) >= 2


@pytest.mark.parametrize("value", VALUES, ids=["text", "tree"])
def test_refused_by_the_store(store: BaseStore, value: str) -> None:
    """A name that is none, and somebody else's write."""
    store.put("A", "old")
    for action in (
        lambda: store.put("not\na name", value),
        lambda: store.put_many({"B": value, "not\na name": value}),
        lambda: store.apply({"B": value, "not\na name": value}, ["A"]),
        lambda: store.put("A", value, expected="x" * 36),
        lambda: store.rotate("A", value, expected="x" * 36),
    ):
        assert CORE not in traced(action)


@only(lambda kind: "minimal" not in kind.name and not kind.name.startswith("file"))
def test_refused_stages(store: BaseStore) -> None:
    """A second pending value, and one of nothing."""
    assert isinstance(store, StagedStore)
    store.put("A", "old")
    assert CORE not in traced(lambda: store.stage("B", VALUES[0]))
    store.stage("A", VALUES[0])
    assert CORE not in traced(lambda: store.stage("A", VALUES[0] + "again"))
    assert CORE not in traced(lambda: store.stage("not\na name", VALUES[0]))


@only(lambda kind: kind.name in {"credstash", "credstash document"})
def test_refused_versions(store: BaseStore) -> None:
    """A number that is none, and one that is taken."""
    assert isinstance(store, NumberedStore)
    store.put_version("A", VALUES[0], version="5")
    for version in ("five", "5"):
        assert CORE not in traced(
            lambda version=version: store.put_version("A", VALUES[0], version=version)
        )


@only(lambda kind: kind.remote)
@pytest.mark.parametrize("operations", [WRITES, ("GenerateDataKey",)], ids=["write", "key"])
def test_refused_by_aws(store: BaseStore, aws: EmbeddedAWS, operations: tuple[str, ...]) -> None:
    """What stands in the frames of a request and its data key is masked too."""
    store.put("A", "old")
    version = store.get("A").version
    if operations != WRITES and "Secrets Manager" in store.place:
        return  # it asks KMS for nothing
    aws.faults.append(
        lambda name, _: (400, "AccessDeniedException") if name in operations else None
    )
    assert isinstance(store, StagedStore)
    for action in (
        lambda: store.put("A", VALUES[0]),
        lambda: store.put("B", VALUES[1]),
        lambda: store.put_many({"A": VALUES[0], "B": VALUES[1]}),
        lambda: store.rotate("A", VALUES[0], expected=version),
        lambda: store.stage("A", VALUES[0]),
    ):
        assert CORE not in traced(action)


@only(lambda kind: kind.name.startswith("file"))
def test_a_file_that_cannot_be_written(store: BaseStore) -> None:
    """Neither the value nor the others of the file, which is written whole."""
    assert isinstance(store, FileStore)
    store.put("A", VALUES[0])
    moved = store.path.rename(store.path.with_name(f"moved{store.path.suffix}"))
    store.path.symlink_to(moved)
    assert CORE not in traced(lambda: store.put("B", VALUES[1]))
    assert CORE not in traced(lambda: store.put_many({"B": VALUES[1]}))
    assert CORE not in traced(lambda: store.delete("A"))
