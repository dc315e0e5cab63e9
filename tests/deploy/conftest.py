"""The stack of the example project, created on the embedded AWS; where a release is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from ..server.embedded import REGION
from . import gaps

if TYPE_CHECKING:
    from ..server.embedded import EmbeddedAWS

ROOT = Path(__file__).parents[2]
# Under tox, the tree of the tests is without the package.
SOURCES = Path(os.environ.get("PROJECT_SOURCES", ROOT))
# The tools of a release, which `make .venv-release/ready` installs.
RELEASE_PYTHON = SOURCES / ".venv-release" / "bin" / "python"
TEMPLATE = ROOT / "example_project" / "deploy" / "template.yaml"
STACK = "crud"


@dataclass(frozen=True)
class Stack:
    """A stack that was created.

    Attributes:
        outputs: its outputs by their names.
        resolved: the properties of its resources, without functions.
    """

    outputs: dict[str, str]
    resolved: gaps.Resolved


@pytest.fixture
def cloud(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[EmbeddedAWS, gaps.Resolved]:
    """The embedded AWS, which knows Amazon's own policies and all resources of the template."""
    resolved = gaps.fill(monkeypatch)
    return request.getfixturevalue("aws"), resolved


@pytest.fixture
def network(cloud: tuple[EmbeddedAWS, gaps.Resolved]) -> dict[str, str]:
    """The two parameters without a default."""
    ec2 = boto3.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    return {"VpcId": vpc, "SubnetIds": ",".join(subnet["SubnetId"] for subnet in subnets[:2])}


@pytest.fixture
def stack(cloud: tuple[EmbeddedAWS, gaps.Resolved], network: dict[str, str]) -> Stack:
    """The stack with one task."""
    parameters = {**network, "DesiredCount": "1", "WebTag": "web-1", "NginxTag": "nginx-1"}
    create_stack(parameters)
    described = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert described["StackStatus"] == "CREATE_COMPLETE"
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in described["Outputs"]}
    gaps.complete(cloud[1])
    return Stack(outputs, cloud[1])


def create_stack(parameters: dict[str, Any]) -> None:
    """Create the stack from the template, over HTTP."""
    boto3.client("cloudformation").create_stack(
        StackName=STACK,
        TemplateBody=TEMPLATE.read_text("utf-8"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )


@pytest.fixture
def aws_region() -> str:
    """The region of the embedded AWS."""
    return REGION
