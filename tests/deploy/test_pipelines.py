"""The pipelines as files: what they run, when, and with what."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from .conftest import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
PULL_REQUEST = ["make image", "make image-test"]
PUSH = ["make image", "make secrets-check", "make image-test", "make push", "make deploy"]
CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
ASKS_AWS = {"make secrets-check", "make push", "make deploy"}


def buddy() -> dict[str, dict[str, Any]]:
    """Buddy's pipelines by their names."""
    pipelines = yaml.safe_load((ROOT / "buddy.yml").read_text("utf-8"))
    return {pipeline["pipeline"]: pipeline for pipeline in pipelines}


def workflow(name: str) -> dict[str, Any]:
    """One of GitHub's. YAML 1.1 takes its key `on` for a truth."""
    parsed = yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))
    return {("on" if key is True else key): value for key, value in parsed.items()}


def steps_of(name: str) -> list[dict[str, Any]]:
    [job] = workflow(name)["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


def commands_of_buddy(name: str) -> list[str]:
    keys = ("commands", "execute_commands")
    actions = buddy()[name]["actions"]
    return [command for action in actions for key in keys for command in action.get(key, [])]


def commands_of_github(name: str) -> list[str]:
    return [step["run"] for step in steps_of(name) if "run" in step]


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (commands_of_buddy("pull_request"), PULL_REQUEST),
        (commands_of_github("ci.yml"), PULL_REQUEST),
        (commands_of_buddy("deploy"), PUSH),
        (commands_of_github("deploy.yml"), PUSH),
    ],
    ids=["buddy-pull-request", "github-pull-request", "buddy-push", "github-push"],
)
def test_steps(commands: list[str], expected: list[str]) -> None:
    """Both services do the same, in this order, and nothing but targets of make."""
    assert commands == expected


@pytest.mark.parametrize("command", sorted({*PULL_REQUEST, *PUSH}))
def test_targets(command: str) -> None:
    """Every target is one of the Makefile's, and has something to do."""
    assert re.fullmatch(r"make [a-z-]+", command)
    ran = subprocess.run(
        [*command.split(), "--dry-run", "AWS=/bin/true", "SITE_PYTHON=/bin/true", "REGISTRY=r"],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Nothing to be done" not in ran.stdout


def test_no_other_pipeline() -> None:
    """There are two pipelines on each service, and no forgotten third."""
    assert set(buddy()) == {"pull_request", "deploy"}
    assert {path.name for path in WORKFLOWS.iterdir()} == {"ci.yml", "deploy.yml"}


def test_events() -> None:
    """Pull requests to main are tested, pushes to main deployed, and nothing else."""
    assert workflow("ci.yml")["on"] == {"pull_request": {"branches": ["main"]}}
    assert workflow("deploy.yml")["on"] == {"push": {"branches": ["main"]}}
    assert buddy()["pull_request"]["events"] == [{"type": "PUSH", "refs": ["refs/pull/*"]}]
    [condition] = buddy()["pull_request"]["trigger_conditions"]
    assert condition["trigger_variable_key"] == "BUDDY_RUN_PR_BASE_BRANCH"
    assert condition["trigger_variable_value"] == "main"
    assert buddy()["deploy"]["events"] == [{"type": "PUSH", "refs": ["refs/heads/main"]}]


@pytest.mark.parametrize("name", ["ci.yml", "deploy.yml"])
def test_actions_are_pinned(name: str) -> None:
    """Code of others is named by its commit, does nothing but check out, and keeps no token."""
    for step in steps_of(name):
        if "uses" in step:
            assert re.fullmatch(r"actions/checkout@[0-9a-f]{40}", step["uses"])
            assert step["with"] == {"persist-credentials": False}
    assert workflow(name)["permissions"] == {"contents": "read"}


def test_pull_requests_get_no_secret() -> None:
    """The code of a pull request is anybody's: it sees no secret, and no variable of ours."""
    assert "${{" not in (WORKFLOWS / "ci.yml").read_text("utf-8")


def test_credentials() -> None:
    """Only the steps that ask AWS have the key pair; it is in no file."""
    for step in steps_of("deploy.yml"):
        expected = CREDENTIALS if step.get("run") in ASKS_AWS else set()
        environment = step.get("env", {})
        assert set(environment) == expected
        assert all(value == f"${{{{ secrets.{name} }}}}" for name, value in environment.items())
    texts = [path.read_text("utf-8") for path in (ROOT / "buddy.yml", *WORKFLOWS.iterdir())]
    assert not any(re.search(r"\bA(?:KIA|SIA)[A-Z0-9]{12,}|\b\d{12}\b", text) for text in texts)


def test_images_stay_on_their_machine() -> None:
    """Buddy tests and pushes the images where it built them."""
    actions = {action["action"]: action for action in buddy()["deploy"]["actions"]}
    building = next(name for name, action in actions.items() if "make image" in action["commands"])
    pushing = next(
        action for action in actions.values() if "make push" in action.get("commands", [])
    )
    assert (pushing["vm_from_prev_action"], pushing["vm_action_name"]) == (True, building)
