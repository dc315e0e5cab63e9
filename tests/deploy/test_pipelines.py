"""The pipelines as files: what they run, when, and with what."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from ..copy_tree import files_of
from .conftest import ROOT, SOURCES

WORKFLOWS = ROOT / ".github" / "workflows"
NAMES = ["audit.yml", "ci.yml", "deploy.yml", "release.yml"]
PULL_REQUEST = ["make image", "make image-test"]
PUSH = ["make image", "make secrets-check", "make image-test", "make push", "make deploy"]
CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
AUDIT = ["make audit", "make audit-lowest"]
RELEASE = ["make tag-check", "make dist", "make test", "make sbom"]
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
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


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
        (commands_of_github("audit.yml"), AUDIT),
        (commands_of_github("release.yml"), RELEASE),
    ],
    ids=[
        "buddy-pull-request",
        "github-pull-request",
        "buddy-push",
        "github-push",
        "audit",
        "release",
    ],
)
def test_steps(commands: list[str], expected: list[str]) -> None:
    """Both services do the same, in this order; nothing but targets of make is run."""
    assert commands == expected


@pytest.mark.parametrize("command", sorted({*PULL_REQUEST, *PUSH, *AUDIT, *RELEASE}))
def test_targets(command: str) -> None:
    """Every target is one of the Makefile's, and has something to do."""
    assert re.fullmatch(r"make [a-z-]+", command)
    ran = subprocess.run(
        [*command.split(), "--dry-run", "AWS=/bin/true", "SITE_PYTHON=/bin/true", "REGISTRY=r"],
        cwd=SOURCES,
        text=True,
        capture_output=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Nothing to be done" not in ran.stdout


def test_no_other_pipeline() -> None:
    """Two pipelines are on each service, audit and release on one, and none is forgotten."""
    assert set(buddy()) == {"pull_request", "deploy"}
    assert {path.name for path in WORKFLOWS.iterdir()} == set(NAMES)


def test_events() -> None:
    """Pull requests to main are tested, pushes to main deployed, tags of versions published."""
    assert workflow("ci.yml")["on"] == {"pull_request": {"branches": ["main"]}}
    assert workflow("deploy.yml")["on"] == {"push": {"branches": ["main"]}}
    assert workflow("release.yml")["on"] == {"push": {"tags": ["v*"]}}
    audit = workflow("audit.yml")["on"]
    assert set(audit) == {"pull_request", "schedule"}
    assert audit["pull_request"] == {"branches": ["main"]}
    assert buddy()["pull_request"]["events"] == [{"type": "PUSH", "refs": ["refs/pull/*"]}]
    [condition] = buddy()["pull_request"]["trigger_conditions"]
    assert condition["trigger_variable_key"] == "BUDDY_RUN_PR_BASE_BRANCH"
    assert condition["trigger_variable_value"] == "main"
    assert buddy()["deploy"]["events"] == [{"type": "PUSH", "refs": ["refs/heads/main"]}]


# Code of others: an owner, a repository, a commit, and the version that the commit is.
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def actions_in(text: str) -> list[str]:
    """What stands after `uses:` in a workflow, with the comment behind it."""
    return re.findall(r"^[ -]*[\"']?uses[\"']?\s*:\s*(.*)$", text, re.MULTILINE)


def unpinned(text: str) -> list[str]:
    """The actions of a workflow that a tag or a branch could change."""
    return [action for action in actions_in(text) if not PINNED.fullmatch(action)]


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned(name: str) -> None:
    """Code of others is named by its full commit, with its version beside it."""
    text = (WORKFLOWS / name).read_text("utf-8")
    used = [step["uses"] for step in steps_of(name) if "uses" in step]
    assert [action.partition(" ")[0] for action in actions_in(text)] == used
    assert unpinned(text) == []


@pytest.mark.parametrize(
    "line",
    [
        "- uses: actions/checkout@v5",
        "- uses: actions/checkout@main # v5.0.0",
        "- uses: actions/checkout@08c6903 # v5.0.0",
        "- uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8",
        "  uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # main",
        "- 'uses': docker://alpine:3",
    ],
)
def test_the_rule_sees_what_it_forbids(line: str) -> None:
    """The same function finds a tag, a branch, a short commit and a missing version."""
    assert len(unpinned(f"jobs:\n  one:\n    steps:\n      {line}\n")) == 1


def test_one_commit_an_action() -> None:
    """The same action is in the same version everywhere."""
    texts = [(WORKFLOWS / name).read_text("utf-8") for name in NAMES]
    actions = {action for text in texts for action in actions_in(text)}
    assert len(actions) == len({action.partition("@")[0] for action in actions})


@pytest.mark.parametrize("name", NAMES)
def test_check_outs_keep_no_token(name: str) -> None:
    """What runs after a check-out finds no token of the service in the working tree."""
    for step in steps_of(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"].items() >= {"persist-credentials": False}.items()
            assert set(step["with"]) <= {"persist-credentials", "fetch-depth"}


@pytest.mark.parametrize("name", NAMES)
def test_permissions(name: str) -> None:
    """A workflow may read the repository. More has only the job that publishes: an identity."""
    assert workflow(name)["permissions"] == {"contents": "read"}
    more = {
        job: described["permissions"]
        for job, described in workflow(name)["jobs"].items()
        if "permissions" in described
    }
    assert more == ({"publish": {"id-token": "write"}} if name == "release.yml" else {})


def jobs_of_release() -> dict[str, Any]:
    return workflow("release.yml")["jobs"]


def runs(job: str) -> list[str]:
    return [step["run"] for step in jobs_of_release()[job]["steps"] if "run" in step]


BUILT = {"artifact-ids": "${{ needs.build.outputs.dist }}", "path": "dist/"}


def test_what_publishes_runs_no_code_of_ours() -> None:
    """The job with the identity takes what `build` built; it checks out and runs nothing."""
    publish = jobs_of_release()["publish"]
    assert publish["environment"] == "pypi"
    used = [step["uses"].partition("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert publish["steps"][0]["with"] == BUILT


def test_nothing_is_published_untested() -> None:
    """It waits for lint, types and the suite; no environment of these is left out."""
    assert jobs_of_release()["publish"]["needs"] == ["build", "test"]
    [step] = [step for step in jobs_of_release()["test"]["steps"] if "run" in step]
    assert step["env"] == {"TOXARGS": "--skip-missing-interpreters false -e lint,types,newest"}


def test_what_is_published_is_built_apart() -> None:
    """`build` checks the tag and builds, with locked tools; what installs others runs elsewhere.

    The other jobs name the upload by its number: by its name, it could be another job's.
    """
    jobs = jobs_of_release()
    assert runs("build") == ["make tag-check", "make dist"]
    checkout, *_, upload = jobs["build"]["steps"]
    assert checkout["with"]["fetch-depth"] == 0
    assert upload["with"]["path"] == "dist/"
    number = f"${{{{ steps.{upload['id']}.outputs.artifact-id }}}}"
    assert jobs["build"]["outputs"] == {"dist": number}
    assert runs("sbom") == ["make sbom"]
    assert [
        step["with"] for step in jobs["sbom"]["steps"] if "download" in step.get("uses", "")
    ] == [BUILT]


def test_only_information_may_fail() -> None:
    """No step's failure is passed over but that of the audit of old versions."""
    passed = {
        step["run"] for name in NAMES for step in steps_of(name) if step.get("continue-on-error")
    }
    assert passed == {"make audit-lowest"}


def test_pins_are_kept_fresh() -> None:
    """Dependabot knows the workflows, and every directory that names Python packages."""
    text = (ROOT / ".github" / "dependabot.yml").read_text("utf-8")
    updates = {each["package-ecosystem"]: each for each in yaml.safe_load(text)["updates"]}
    assert updates["github-actions"]["directory"] == "/"
    named = {name.parent for name in files_of(SOURCES) if name.match("requirements*.txt")}
    expected = {"/", *(f"/{name}" for name in named)}
    assert set(updates["pip"]["directories"]) == expected


def test_pull_requests_get_no_secret() -> None:
    """The code of a pull request is anybody's: it sees no secret, and no variable of ours."""
    for name in NAMES:
        if "pull_request" in workflow(name)["on"]:
            assert "${{" not in (WORKFLOWS / name).read_text("utf-8")


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
