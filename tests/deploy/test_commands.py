"""The targets that ask AWS, run by make against the embedded one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from django_kms_secrets.config import read_config

from .conftest import ROOT, STACK
from .test_roles import SECRETS

if TYPE_CHECKING:
    from ..server.embedded import EmbeddedAWS
    from .conftest import Stack

AWS_CLI = Path(sys.executable).with_name("aws")
# docker, as far as these targets see of it: it notes what it was told, and on stdin.
DOCKER = """#!/bin/sh
echo "$@" >> "$0.log"
case "$1" in login) cat >> "$0.log" ;; esac
"""


def make(target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run a target, with the AWS command line of these tests."""
    makefile = ROOT / "example_project" / "deploy" / "deploy.mk"
    return subprocess.run(
        ["make", "-f", str(makefile), target, f"SITE_PYTHON={sys.executable}", *variables],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": os.environ["HOME"]},
        text=True,
        capture_output=True,
    )


@pytest.fixture
def aws_cli() -> str:
    assert AWS_CLI.exists(), f"no {AWS_CLI}: pip install awscli"
    return f"AWS={AWS_CLI}"


@pytest.fixture
def filled(stack: Stack) -> Stack:
    """The stack with the site's secrets in it."""
    with read_config(stack.outputs["SecretsUrl"]).make_store() as store:
        store.put_many(SECRETS)
    return stack


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A stand-in for docker; `docker.log` has what it was told."""
    path = tmp_path / "docker"
    path.write_text(DOCKER)
    path.chmod(0o700)
    return path


class TestSecretsCheck:
    def test_complete(self, filled: Stack) -> None:
        """With all secrets in the store it passes, prints none, and leaves none behind."""
        ran = make("secrets-check")
        assert ran.returncode == 0, ran.stderr
        assert "4 secrets written" in ran.stderr
        assert "planted" not in ran.stdout + ran.stderr
        assert list(Path(os.environ["HOME"]).rglob("*")) == []

    def test_incomplete(self, filled: Stack) -> None:
        """A secret that is missing stops the pipeline, and is named; nothing is left behind."""
        with read_config(filled.outputs["SecretsUrl"]).make_store() as store:
            store.delete("EMAIL_HOST_PASSWORD")
        ran = make("secrets-check")
        assert ran.returncode != 0
        assert "EMAIL_HOST_PASSWORD" in ran.stderr
        assert list(Path(os.environ["HOME"]).rglob("*")) == []

    def test_no_table(self, aws: EmbeddedAWS) -> None:
        """Without a table it stops, and says so."""
        ran = make("secrets-check")
        assert ran.returncode != 0
        assert "there is no CredStash table credential-store" in ran.stderr


class TestDeploy:
    def test_first(self, cloud: object, network: dict[str, str], aws_cli: str) -> None:
        """It creates the stack from nothing, with the parameters that have no default."""
        parameters = " ".join(f"{key}={value}" for key, value in network.items())
        ran = make("deploy", aws_cli, "TAG=0123abc", f"PARAMETERS={parameters}")
        assert ran.returncode == 0, ran.stderr
        assert parameters_of_stack() >= {("WebTag", "0123abc"), ("NginxTag", "0123abc")}

    def test_next(self, stack: Stack, aws_cli: str) -> None:
        """The next one changes the tags, and keeps every other parameter as it was."""
        before = parameters_of_stack()
        ran = make("deploy", aws_cli, "TAG=0123abc")
        assert ran.returncode == 0, ran.stderr
        assert dict(parameters_of_stack()) == {
            **dict(before),
            "WebTag": "0123abc",
            "NginxTag": "0123abc",
        }
        containers = stack.resolved["TaskDefinition"]["ContainerDefinitions"]
        assert all(container["Image"].endswith(":0123abc") for container in containers)

    def test_rehearsal(self, cloud: object, network: dict[str, str], aws_cli: str) -> None:
        """A rehearsal makes a change set to look at, and no resource."""
        parameters = " ".join(f"{key}={value}" for key, value in network.items())
        rehearse = "DEPLOYARGS=--no-execute-changeset"
        ran = make("deploy", aws_cli, "TAG=0123abc", f"PARAMETERS={parameters}", rehearse)
        assert ran.returncode == 0, ran.stderr
        assert "describe-change-set" in ran.stdout
        assert boto3.client("dynamodb").list_tables()["TableNames"] == []

    def test_refused(self, cloud: object, aws_cli: str) -> None:
        """A deployment that CloudFormation refuses stops the pipeline."""
        ran = make("deploy", aws_cli, "TAG=0123abc")
        assert ran.returncode != 0
        assert "VpcId" in ran.stderr


def parameters_of_stack() -> set[tuple[str, str]]:
    described = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    pairs = described["Parameters"]
    return {(pair["ParameterKey"], pair["ParameterValue"]) for pair in pairs}


class TestImages:
    def test_image(self, docker: Path) -> None:
        """Both images are built from the root of the repository, under the repository's names."""
        ran = make("image", f"DOCKER={docker}", "TAG=t1", "REGISTRY=host:5000")
        assert ran.returncode == 0, ran.stderr
        assert log_of(docker) == [
            f"build -f example_project/Dockerfile --target {name} -t host:5000/crud/{name}:t1 ."
            for name in ("web", "nginx")
        ]

    def test_push(self, stack: Stack, docker: Path, aws_cli: str) -> None:
        """The images go to the stack's repositories; the password goes through stdin."""
        registry = stack.outputs["WebRepositoryUri"].partition("/")[0]
        ran = make("push", aws_cli, f"DOCKER={docker}", "TAG=t1", f"REGISTRY={registry}")
        assert ran.returncode == 0, ran.stderr
        login, password, *pushes = log_of(docker)
        assert login == f"login --username AWS --password-stdin {registry}"
        assert password
        assert password not in ran.stdout + ran.stderr
        assert pushes == [
            f"push {stack.outputs[f'{name}RepositoryUri']}:t1" for name in ("Web", "Nginx")
        ]

    def test_push_nowhere(self, docker: Path) -> None:
        """Without a registry nothing is pushed to a public one of the same name."""
        ran = make("push", f"AWS={shutil.which('true')}", f"DOCKER={docker}", "TAG=t1")
        assert ran.returncode != 0
        assert "set REGISTRY" in ran.stderr
        assert not docker.with_suffix(".log").exists()


def log_of(docker: Path) -> list[str]:
    return docker.with_suffix(".log").read_text().splitlines()
