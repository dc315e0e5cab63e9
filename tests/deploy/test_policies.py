"""What `secrets policy` prints, as the tools of others read it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from cfnlint.api import ManualArgs, lint_file

from ..cli.doors import inside
from ..cli.test_policy import ACCOUNT, GIVEN, KEY, STORES

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses pkg_resources, which setuptools warns of
    import parliament

ROLES = ("reader", "writer", "rotator", "admin")
each = pytest.mark.parametrize(("role", "url"), [(role, url) for role in ROLES for url in STORES])
#: A key of the resource, not of the action: parliament knows those of actions.
RESOURCE_ALIASES = "Unknown condition kms:ResourceAliases"
#: What Terraform's data sources give.
LOOKED_UP = {
    "${data.aws_partition.current.partition}": "aws",
    "${data.aws_region.current.id}": "ap-northeast-2",
    "${data.aws_caller_identity.current.account_id}": ACCOUNT,
}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-2")


def printed(role: str, url: str, *words: str) -> str:
    return inside("module", url, ["policy", role, *words]).ok().out


def in_json(role: str, url: str) -> dict[str, Any]:
    """The policy in JSON. An admin's names the key by its alias."""
    table = url.startswith("credstash")
    given = GIVEN if "?key_id" in url or (table and role != "admin") else GIVEN[:2]
    policy: dict[str, Any] = json.loads(printed(role, url, *given))
    return policy


def findings(policy: dict[str, Any]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = parliament.analyze_policy_string(json.dumps(policy)).findings
    return [
        f"{finding.issue} {finding.detail}"
        for finding in found
        if not str(finding.detail).startswith(RESOURCE_ALIASES)
    ]


@each
def test_parliament_finds_nothing(role: str, url: str) -> None:
    """Actions exist, take the resources they are given, and know the condition keys."""
    assert findings(in_json(role, url)) == []


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("Action", ["dynamodb:Querry"]),
        ("Resource", [f"arn:aws:kms:ap-northeast-2:{ACCOUNT}:key/x"]),
        ("Condition", {"StringEquals": {"dynamodb:LeadingNames": ["A"]}}),
    ],
)
def test_parliament_sees(part: str, wrong: Any) -> None:
    """An action, a resource or a condition key that is wrong is found."""
    policy = in_json("reader", STORES[0])
    policy["Statement"][0][part] = wrong
    assert findings(policy) != []


def _unquoted(value: Any) -> Any:
    """hcl2 keeps the quotes of strings, and their escapes."""
    if isinstance(value, list):
        return [_unquoted(inner) for inner in value]
    if value == "${data.aws_kms_key.secrets.arn}" or value == "data.aws_kms_key.secrets.arn":
        return KEY
    text = str(value)
    text = json.loads(text) if text.startswith('"') else text
    for name, fact in LOOKED_UP.items():
        text = text.replace(name, fact)
    return text.replace("$${", "${")


@each
def test_terraform_is_the_same_policy(role: str, url: str) -> None:
    """The data source, as a parser of Terraform's language reads it, is the policy in JSON."""
    parsed = hcl2.loads(printed(role, url, "-f", "terraform"))
    blocks: dict[str, Any] = {}
    for block in parsed["data"]:
        for kind, named in block.items():
            blocks.update({_unquoted(kind): next(iter(named.values()))})
    found = []
    for statement in blocks["aws_iam_policy_document"]["statement"]:
        made = {
            "Sid": _unquoted(statement["sid"]),
            "Effect": "Allow",
            "Action": _unquoted(statement["actions"]),
            "Resource": _unquoted(statement["resources"]),
        }
        for condition in statement.get("condition", []):
            operator = made.setdefault("Condition", {}).setdefault(_unquoted(condition["test"]), {})
            values = _unquoted(condition["values"])
            operator[_unquoted(condition["variable"])] = (
                values[0] if condition["test"].strip('"') == "Null" else values
            )
        found.append(made)
    assert found == in_json(role, url)["Statement"]


@pytest.mark.parametrize("url", STORES)
def test_cloudformation_is_a_template(url: str, tmp_path: Path) -> None:
    """cfn-lint has nothing to say about the templates."""
    for role in ROLES:
        path = tmp_path / f"{role}.yaml"
        path.write_text(printed(role, url, "-f", "cloudformation"))
        assert lint_file(path, ManualArgs(include_checks=["I"], regions=["eu-west-1"])) == []
