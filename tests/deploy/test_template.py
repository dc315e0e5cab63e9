"""The template as a file: what can be said of it without a stack."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from cfnlint.api import ManualArgs, lint_file

from .conftest import TEMPLATE


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short functions (`!Ref X`) as pairs of name and argument."""


def _function(loader: Any, name: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return (name, loader.construct_scalar(node))
    return (name, loader.construct_sequence(node, deep=True))


_Loader.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.load(TEMPLATE.read_text("utf-8"), _Loader)
    return parsed


def test_lint() -> None:
    """cfn-lint has no finding, not even an informational one, in regions of three continents."""
    regions = ("ap-northeast-2", "eu-central-1", "us-east-1")
    config = ManualArgs(include_checks=["I"], regions=list(regions))
    assert lint_file(TEMPLATE, config) == []


def test_region_and_account(template: dict[str, Any]) -> None:
    """It fits every region, partition and account: it names none."""
    text = TEMPLATE.read_text("utf-8")
    assert not re.search(r"\b[a-z]{2}-(?:gov-)?(?:north|south|east|west|central)[a-z]*-\d", text)
    assert not re.search(r"\b\d{12}\b", text)
    assert "arn:aws" not in text


@pytest.mark.parametrize("name", ["Key", "Table", "LogGroup"])
def test_data_is_kept(template: dict[str, Any], name: str) -> None:
    """What nobody could build again outlives the stack, and its own replacement."""
    resource = template["Resources"][name]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_names(template: dict[str, Any]) -> None:
    """Without parameters everything has the names of the deployment that was made by hand."""
    defaults = {key: value.get("Default") for key, value in template["Parameters"].items()}
    expected = {
        "Project": "crud",
        "TableName": "credential-store",
        "KeyAlias": "alias/credstash",
        "WriterGroupName": "KMSSecretWriter",
        "ReaderGroupName": "KMSSecretReader",
        "ExecutionRoleName": "ecsTaskExecutionRole",
    }
    assert expected.items() <= defaults.items()


def test_no_secret_comes_in(template: dict[str, Any]) -> None:
    """No parameter takes a secret: AWS keeps parameters, and shows them to who may describe."""
    parameters = template["Parameters"]
    assert not [key for key, value in parameters.items() if value.get("NoEcho")]
    assert not [key for key in parameters if re.search("password|token|_key$", key, re.I)]


def test_every_parameter_is_used(template: dict[str, Any]) -> None:
    """A parameter that changes nothing is not there."""
    text = TEMPLATE.read_text("utf-8")
    unused = [
        key
        for key in template["Parameters"]
        if f"!Ref {key}\n" not in text and f"${{{key}}}" not in text
    ]
    assert unused == []


def test_service_waits_for_its_rights(template: dict[str, Any]) -> None:
    """No task starts before its role may read the secrets."""
    assert "SecretReader" in template["Resources"]["Service"]["DependsOn"]
