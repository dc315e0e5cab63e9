"""What the roles and groups of the stack can do, and cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from django_kms_secrets import AccessDenied
from django_kms_secrets.config import read_config

from .conftest import ROOT
from .enforcement import enforced, member_credentials, task_credentials

if TYPE_CHECKING:
    from ..server.embedded import EmbeddedAWS
    from .conftest import Stack

EXAMPLE = ROOT / "example_project"
SECRETS = {
    "SECRET_KEY": "planted-key-" * 5,
    "DATABASE_URL": "sqlite:////tmp/planted.sqlite3",
    "EMAIL_HOST_PASSWORD": "planted-password",
    "site": json.dumps(
        {"banner": "planted-banner", "sentry": {"dsn": ""}, "api": {"weather": {"key": "planted"}}}
    ),
}
# Settings as gunicorn imports them; a value is compared there, and never printed.
LOAD = """
import os, sys
from config.settings import production
assert production.SECRET_KEY == sys.stdin.read()
assert production.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
assert production.SITE_BANNER == "planted-banner"
print("loaded", repr(production.SECRET_KEY))
"""


@pytest.fixture
def filled(stack: Stack) -> Stack:
    """The stack with the site's secrets in it, put by an administrator."""
    with read_config(stack.outputs["SecretsUrl"]).make_store() as store:
        store.put_many(SECRETS)
    return stack


@pytest.fixture
def environment(filled: Stack) -> dict[str, str]:
    """What the task definition gives web, and what every process of a test needs."""
    reply = boto3.client("ecs").describe_task_definition(taskDefinition="crud")
    containers = reply["taskDefinition"]["containerDefinitions"]
    [web] = [container for container in containers if container["name"] == "web"]
    kept = ("PATH", "HOME", "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED")
    return {
        **{name: os.environ[name] for name in kept},
        "PYTHONDONTWRITEBYTECODE": "1",
        **{pair["name"]: pair["value"] for pair in web["environment"]},
    }


def run(
    environment: dict[str, str], *args: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run Python in the example project."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=EXAMPLE,
        env=environment,
        input=stdin,
        text=True,
        capture_output=True,
    )


def put(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`manage.py secrets put`, with a value that must not show anywhere."""
    return run(environment, "manage.py", "secrets", "put", "SECRET_KEY", "-", stdin="planted-new")


class TestTaskRole:
    def test_loads_settings(
        self, aws: EmbeddedAWS, filled: Stack, environment: dict[str, str]
    ) -> None:
        """The environment of the container and the role of the task are all that it takes."""
        environment |= task_credentials()
        with enforced(aws):
            ran = run(environment, "-c", LOAD, stdin=SECRETS["SECRET_KEY"])
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout == "loaded SecretStr('**********')\n"

    def test_without_its_policy(
        self, aws: EmbeddedAWS, filled: Stack, environment: dict[str, str]
    ) -> None:
        """Without the readers' policy the site does not start, and says what it lacks."""
        environment |= task_credentials()
        boto3.client("iam").delete_role_policy(RoleName="crud-task", PolicyName="SecretReader")
        with enforced(aws):
            ran = run(environment, "manage.py", "check")
        assert ran.returncode != 0
        assert "dynamodb:Query" in ran.stderr
        assert "Traceback" not in ran.stderr

    def test_cannot_put(self, aws: EmbeddedAWS, filled: Stack, environment: dict[str, str]) -> None:
        """Whoever takes the site over cannot write a secret; nothing changes."""
        environment |= task_credentials()
        with enforced(aws):
            ran = put(environment)
        assert ran.returncode == 1
        assert "kms:GenerateDataKey" in ran.stderr
        assert "planted-new" not in ran.stdout + ran.stderr
        with read_config(filled.outputs["SecretsUrl"]).make_store() as store:
            assert store.get("SECRET_KEY").value == SECRETS["SECRET_KEY"]


class TestGroups:
    def test_reader(self, aws: EmbeddedAWS, filled: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader reads all, and is denied to put."""
        become(monkeypatch, "KMSSecretReader")
        with enforced(aws), read_config(filled.outputs["SecretsUrl"]).make_store() as store:
            assert {name: secret.value for name, secret in store.get_many(None).items()} == SECRETS
            with pytest.raises(AccessDenied):
                store.put("SECRET_KEY", "planted-new")

    def test_writer(self, aws: EmbeddedAWS, filled: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        """A writer puts the next version, and is denied to read a value, also their own."""
        become(monkeypatch, "KMSSecretWriter")
        with enforced(aws), read_config(filled.outputs["SecretsUrl"]).make_store() as store:
            assert store.setup() is False
            assert store.put("SECRET_KEY", "planted-new").version.endswith("2")
            with pytest.raises(AccessDenied):
                store.get("SECRET_KEY")

    def test_enforcement_ends(self, aws: EmbeddedAWS, filled: Stack) -> None:
        """A test that switched enforcement on leaves none behind."""
        with enforced(aws), pytest.raises(ClientError, match="InvalidClientTokenId"):
            boto3.client("iam").list_groups()
        assert boto3.client("iam").list_groups()["Groups"]


def become(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """Be a member of a group from here on."""
    for name, value in member_credentials(group).items():
        monkeypatch.setenv(name, value)
