"""What moto 5.2's CloudFormation leaves out, done through the services' own APIs.

It makes no IAM group, attaches no managed policy to a role, forgets most of a task definition and
the point-in-time recovery of a table, cannot read the key policy that it stored, and resolves a
parameter twice that an update leaves as it was. The values come from the template, as moto resolved
them; botocore checks them against the service, as it would on AWS.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.core.utils import pascal_to_camelcase, remap_nested_keys
from moto.iam import models as iam_models
from moto.iam.exceptions import DeleteConflictException
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

if TYPE_CHECKING:
    import pytest

#: The properties of every resource by its name in the template, without functions.
Resolved = dict[str, dict[str, Any]]


class Group(CloudFormationModel):
    """AWS::IAM::Group. moto finds it as a subclass, and needs it before the policies."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        return "GroupName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::IAM::Group"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Group:
        iam_backends[account_id][get_partition(region_name)].create_group(resource_name, "/")
        return cls(resource_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> None:
        backend = iam_backends[account_id][get_partition(region_name)]
        if backend.list_group_policies(resource_name):  # moto tries again, policies first
            raise DeleteConflictException("the group has policies")
        backend.delete_group(resource_name)


#: Amazon's own policies that the template names.
AMAZONS = ("AmazonECSTaskExecutionRolePolicy", "AmazonEC2ContainerServiceforEC2Role")


def fill(monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """Fill the gaps that are in moto itself.

    Returns:
        What moto makes of the template, filled as stacks are created.
    """
    _know_amazons_policies(monkeypatch)
    _keep_parameters(monkeypatch)
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()  # so that it sees Group
    return _record(monkeypatch)


def _know_amazons_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto know those of Amazon's policies that matter; all 1,400 take it seconds."""
    known = json.loads(iam_models.aws_managed_policies_data)
    chosen = json.dumps({name: known[name] for name in AMAZONS})
    monkeypatch.setattr(iam_models, "aws_managed_policies_data", chosen)
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")


def _keep_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what an update does not name be as it was given, not as it was resolved."""
    load = parsing.ResourceMap.load_parameters

    def load_parameters(resources: Any) -> None:
        given = vars(resources).setdefault("given", {})
        before = resources.resolved_parameters
        now = resources.input_parameters
        given.update({name: value for name, value in now.items() if value != before.get(name)})
        resources.input_parameters = dict(given)
        load(resources)

    monkeypatch.setattr(parsing.ResourceMap, "load_parameters", load_parameters)


def _record(monkeypatch: pytest.MonkeyPatch) -> Resolved:
    resolved: Resolved = {}
    parse = parsing.parse_resource_and_generate_name

    def parse_and_keep(logical_id: str, *args: Any) -> Any:
        found = parse(logical_id, *args)
        properties = resolved[logical_id] = found[1]["Properties"]
        if "KeyPolicy" in properties:
            properties["KeyPolicy"] = json.dumps(properties["KeyPolicy"])
        return found

    monkeypatch.setattr(parsing, "parse_resource_and_generate_name", parse_and_keep)
    return resolved


def complete(resolved: Resolved) -> None:
    """Do what moto left out."""
    role = resolved["ExecutionRole"]
    for arn in role["ManagedPolicyArns"]:
        boto3.client("iam").attach_role_policy(RoleName=role["RoleName"], PolicyArn=arn)
    boto3.client("dynamodb").update_continuous_backups(
        TableName=resolved["Table"]["TableName"],
        PointInTimeRecoverySpecification=resolved["Table"]["PointInTimeRecoverySpecification"],
    )
    task = remap_nested_keys(resolved["TaskDefinition"], pascal_to_camelcase)
    boto3.client("ecs").register_task_definition(**task)


def detach(resolved: Resolved) -> None:
    """Undo what a deletion of the stack would have to undo first, and moto does not."""
    role = resolved["ExecutionRole"]
    for arn in role["ManagedPolicyArns"]:
        boto3.client("iam").detach_role_policy(RoleName=role["RoleName"], PolicyArn=arn)
