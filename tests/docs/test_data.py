"""Blocks of JSON and YAML are parsed, and held against what AWS or a pipeline would take."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

from .pages import ROOT, Block, all_pages, page

if TYPE_CHECKING:
    from tests.server.embedded import EmbeddedAWS


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{found.name}:{block.line}")
        for found in all_pages()
        for block in found.blocks
        if block.language == language
    ]


JSON = blocks("json")
POLICIES = [each for each in JSON if '"Statement"' in each.values[0].text]
TASKS = [each for each in JSON if '"containerDefinitions"' in each.values[0].text]
YAML = blocks("yaml")
WORKFLOWS = [each for each in YAML if "\njobs:\n" in each.values[0].text]

#: What a variable of a task definition may be called.
PLAIN = {"DJANGO_SETTINGS_MODULE", "KMS_SECRETS_URL", "ALLOWED_HOSTS"}


@pytest.mark.parametrize("block", JSON)
def test_json(block: Block) -> None:
    """Every block of JSON is JSON."""
    json.loads(block.text)


@pytest.mark.parametrize("block", YAML)
def test_yaml(block: Block) -> None:
    """Every block of YAML is YAML."""
    yaml.safe_load(block.text)


@pytest.mark.parametrize("block", POLICIES)
def test_policies(block: Block, aws: EmbeddedAWS) -> None:
    """IAM takes every policy: one with a principal as the trust of a role, others as a policy."""
    iam = boto3.client("iam")
    if '"Principal"' in block.text:
        iam.create_role(RoleName="page", AssumeRolePolicyDocument=block.text)
        # This one moto looks at.
        iam.update_assume_role_policy(RoleName="page", PolicyDocument=block.text)
    else:
        iam.create_policy(PolicyName="page", PolicyDocument=block.text)


@pytest.mark.parametrize("block", TASKS)
def test_task_definitions(block: Block) -> None:
    """Every task definition is a request that ECS takes, and its variables are no secrets."""
    definition = json.loads(block.text)
    model = botocore.session.get_session().get_service_model("ecs")
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    assert not ParamValidator().validate(definition, shape).has_errors()
    for container in definition["containerDefinitions"]:
        assert {variable["name"] for variable in container.get("environment", [])} <= PLAIN


@pytest.mark.parametrize("block", WORKFLOWS)
def test_workflows(block: Block) -> None:
    """A workflow names the code of others by its commit, and AWS by a role and not by a key."""
    workflow = yaml.safe_load(block.text)
    assert workflow["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (.*)", block.text)
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action) for action in used)
    ours = "".join(path.read_text("utf-8") for path in (ROOT / ".github/workflows").iterdir())
    assert all(f"uses: {action}\n" in ours for action in used)
    assert not re.search(r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)|\$\{\{ secrets\.", block.text)


def test_the_page_on_buddy_shows_buddy_yml() -> None:
    """What the page says that this project's pipeline has, it has."""
    shown = [block for block in page("docs/howto/buddy.md").blocks if block.language == "yaml"]
    [action] = yaml.safe_load(shown[1].text)
    pipelines = yaml.safe_load((ROOT / "buddy.yml").read_text("utf-8"))
    assert action in [action for pipeline in pipelines for action in pipeline["actions"]]
