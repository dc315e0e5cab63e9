"""Fixtures for all tests: an embedded AWS, and a wall around everything else."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from typing import TYPE_CHECKING
from unittest import mock

import hypothesis
import pytest

from . import wall
from .server.dynalite import LEFT_TO_MOTO, Dynalite
from .server.embedded import REGION, EmbeddedAWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Runs pytest in the tests of our plugin.
pytest_plugins = ["pytester"]

wall.build()

# A shell starts its background jobs with Ctrl-C ignored, and programs inherit that. The commands
# under test are started as from a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times, and no test here measures time. Under tox the same examples are
# tried every time; a developer's own pytest tries new ones.
hypothesis.settings.register_profile(
    "shared", deadline=None, derandomize="TOX_ENV_NAME" in os.environ
)
hypothesis.settings.load_profile("shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--dynamodb",
        choices=["moto", "dynalite"],
        default="moto",
        help="whose DynamoDB the embedded AWS has",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """What dynalite cannot do is expected to fail on it."""
    if config.getoption("--dynamodb") == "dynalite":
        for item in items:
            if LEFT_TO_MOTO & {item.name, item.originalname} and "document" not in item.name:
                item.add_marker(pytest.mark.xfail(reason="no TransactWriteItems"))


@pytest.fixture(scope="session")
def aws_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedAWS]:
    """The server; a test takes `aws`, which is empty."""
    server = EmbeddedAWS()
    with contextlib.ExitStack() as stack:
        if request.config.getoption("--dynamodb") == "dynalite":
            server.dynamodb = stack.enter_context(Dynalite())
        server.start()
        stack.callback(server.stop)
        yield server


@pytest.fixture(scope="session")
def one_loader() -> Iterator[None]:
    """botocore reads its models for every session anew, which is most of a command's time."""
    import botocore.session

    with mock.patch.object(
        botocore.session, "create_loader", functools.cache(botocore.session.create_loader)
    ):
        yield


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the configuration or the home directory of whoever runs it."""
    for name in list(os.environ):
        ours = name.startswith(("AWS_", "KMS_SECRETS", "CREDSTASH_", "DJANGO_", "SSL_CERT_"))
        if ours or name == "REQUESTS_CA_BUNDLE" or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("django_kms_secrets.backends.locmem._STORES", {})


@pytest.fixture
def aws(aws_server: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch) -> EmbeddedAWS:
    """An empty AWS account that this process and its children are sent to."""
    aws_server.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_server.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEMBEDDED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "embedded")
    return aws_server
