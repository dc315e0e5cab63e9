"""A store to work on, and the command through either door."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.conf import settings
from django.core.management import get_commands
from django.test import override_settings

from django_kms_secrets import SecretStr
from django_kms_secrets.config import read_config

from ..server.embedded import REGION
from .doors import Done, inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..server.embedded import EmbeddedAWS

#: Stands in every value; whatever shows it has shown a value.
MARK = "hidden-marker"


def denied(*operations: str) -> Callable[[str, Any], tuple[int, str] | None]:
    """A fault of the embedded AWS: these operations are not allowed."""
    return lambda operation, _: (400, "AccessDeniedException") if operation in operations else None


@pytest.fixture(autouse=True)
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory, which no command writes into (credstash leaves a log there)."""
    directory = tmp_path / "cwd"
    directory.mkdir()
    monkeypatch.chdir(directory)
    yield directory
    assert list(directory.iterdir()) == []


@pytest.fixture(scope="session", autouse=True)
def _django() -> Iterator[None]:
    """Settings with our app, in which a test can set KMS_SECRETS."""
    if not settings.configured:
        settings.configure()
    django.setup()
    with override_settings(INSTALLED_APPS=["django_kms_secrets"]):
        get_commands.cache_clear()
        yield
    get_commands.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _quick(one_loader: None) -> None:
    """Most commands here make a client."""


@pytest.fixture(autouse=True)
def _no_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What settings of another test have loaded in this process is not what these have."""
    monkeypatch.setattr("django_kms_secrets.recording.recordings", [])
    monkeypatch.setattr("django_kms_secrets.recording.environment", None)


@pytest.fixture
def url(aws: EmbeddedAWS) -> str:
    """A CredStash table with its key, both new."""
    key = _ask(aws, "TrentService.CreateKey")["KeyMetadata"]["KeyId"]
    _ask(aws, "TrentService.CreateAlias", AliasName="alias/credstash", TargetKeyId=key)
    names = ("name", "version")
    _ask(
        aws,
        "DynamoDB_20120810.CreateTable",
        TableName="credential-store",
        KeySchema=[
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.requests.clear()
    return f"credstash://?region_name={REGION}"


def _ask(aws: EmbeddedAWS, target: str, **body: object) -> dict[str, Any]:
    """One request without boto3, which takes longer to make ready than most tests take."""
    service = "kms" if target.startswith("Trent") else "dynamodb"
    request = urllib.request.Request(
        aws.endpoint,
        json.dumps(body).encode(),
        {
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 "
            f"Credential=AKIAEMBEDDED/20200101/{REGION}/{service}/aws4_request",
        },
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply) if reply.headers["Content-Length"] != "0" else {}


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A file with three secrets."""
    path = tmp_path / "store.json"
    path.write_text('{"A": "1", "B": "two words", "tree": {"inner": {"leaf": "l"}}}')
    path.chmod(0o600)
    return f"file://{path}"


@pytest.fixture
def secrets(url: str) -> Callable[..., Done]:
    """The command on the table: ``python -m django_kms_secrets``."""

    def run(*args: str, stdin: str | bytes = "", url: str = url) -> Done:
        return inside("module", url, args, stdin)

    return run


@pytest.fixture(params=["module", "manage"])
def on_file(request: pytest.FixtureRequest, file_url: str) -> Callable[..., Done]:
    """The command on the file, through both doors."""

    def run(*args: str, stdin: str | bytes = "") -> Done:
        return inside(request.param, file_url, args, stdin)

    return run


@pytest.fixture(params=["module", "manage"])
def either(request: pytest.FixtureRequest, url: str) -> Callable[..., Done]:
    """The command on the table, through both doors."""

    def run(*args: str, stdin: str | bytes = "", url: str = url) -> Done:
        return inside(request.param, url, args, stdin)

    return run


@pytest.fixture
def stored(url: str) -> Callable[[], dict[str, str]]:
    """A function that reads what is in the table, past the command."""

    def read() -> dict[str, SecretStr]:
        with read_config(url).make_store() as store:
            return {name: secret.value for name, secret in store.get_many(None).items()}

    return read


@pytest.fixture
def fill(url: str) -> Callable[..., None]:
    """A function that puts values into the table, past the command."""

    def put(values: dict[str, str], **options: object) -> None:
        with read_config(url).with_options(**options).make_store() as store:
            store.put_many(values)

    return put
