"""Blocks that are not executed are parsed, and held against what AWS or a pipeline would take."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

from .pages import ROOT, Block, all_pages, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.embedded import EmbeddedAWS


#: https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
    *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}


def parse_dockerfile(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its arguments.

    Raises:
        ValueError: Docker has no such instruction, or neither a shell nor JSON has such arguments.
    """
    lines = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ").splitlines()
    found = []
    for line in filter(None, map(str.strip, lines)):
        instruction, _, arguments = line.partition(" ")
        if instruction not in INSTRUCTIONS or not arguments:
            raise ValueError(f"Docker has no such instruction: {line}")
        (json.loads if arguments.startswith("[") else shlex.split)(arguments)
        found.append((instruction, arguments))
    return found


#: What reads a block of a language.
PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "ini": lambda text: configparser.ConfigParser().read_string(text),
    "dockerfile": parse_dockerfile,
}
#: What tests the blocks of the other languages.
TESTED = {
    "console": "test_examples.py",
    "pycon": "test_examples.py",
    "python": "test_types.py, test_examples.py",
    "sql": "tests/databases/test_pages.py",
    "bash": "tests/cli/test_completion.py",
    "fish": "tests/cli/test_completion.py",
    "text": "no code: a file of an example, or what test_reference.py compares",
    "{eval-rst}": "test_build.py",
    "{include}": "test_build.py",
    "{toctree}": "test_build.py",
}


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


def test_every_language_is_tested() -> None:
    """No block is without a language, and none has one that no test looks at."""
    found = [block.language.partition(" ")[0] for each in all_pages() for block in each.blocks]
    assert set(found) == {*PARSERS, *TESTED}


def test_every_fence_is_a_block() -> None:
    """No block is written in a way that the tests do not see."""
    assert [each.name for each in all_pages() if re.search(r"```|~~~", each.prose)] == []


@pytest.mark.parametrize("block", [each for language in PARSERS for each in blocks(language)])
def test_a_block_is_of_its_language(block: Block) -> None:
    """A block that is not executed can be read by what is meant to read it."""
    PARSERS[block.language](block.text)


@pytest.mark.parametrize(
    "language, text",
    [
        ("json", "{'a': 1}\n"),
        ("yaml", "a: b: c\n"),
        ("ini", "a = b\n"),
        ("dockerfile", "FORM python:3.12-slim\n"),
        ("dockerfile", "RNU pip install one \\\n    two\n"),
        ("dockerfile", "COPY\n"),
        ("dockerfile", "RUN echo 'one\n"),
        ("dockerfile", 'CMD ["gunicorn]\n'),
    ],
)
def test_a_wrong_block_is_found(language: str, text: str) -> None:
    """What is not of a language is not read as it."""
    with pytest.raises((ValueError, yaml.YAMLError, configparser.Error)):
        PARSERS[language](text)


def test_a_dockerfile_is_read() -> None:
    """Comments and lines that go on are, in that of the example project."""
    found = parse_dockerfile((ROOT / "example_project" / "Dockerfile").read_text("utf-8"))
    assert [instruction for instruction, _ in found].count("FROM") == 3
    assert [arguments for _, arguments in found if arguments.endswith("/wheels/*.whl")]


def test_images_are_built_as_the_example_is() -> None:
    """The command that the pages run in offline mode is in the Dockerfile of the example."""
    real = (ROOT / "example_project" / "Dockerfile").read_text("utf-8")
    shown = [
        arguments
        for each in blocks("dockerfile")
        for instruction, arguments in parse_dockerfile(each.values[0].text)
        if instruction == "RUN" and "KMS_SECRETS_OFFLINE" in arguments
    ]
    assert len(shown) == 2
    assert [arguments for arguments in shown if f"RUN {arguments} " not in real] == []


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
