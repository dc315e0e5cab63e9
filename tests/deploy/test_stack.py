"""The stack, created: what the services say of it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from django_kms_secrets.config import read_config

from . import gaps
from .conftest import STACK, create_stack

if TYPE_CHECKING:
    from .conftest import Stack

TABLE = "credential-store"
ECS_TASKS = {
    "Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


@pytest.fixture
def key_arn(stack: Stack) -> str:
    """The key that the alias leads to."""
    arn: str = boto3.client("kms").describe_key(KeyId="alias/credstash")["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def table_arn(stack: Stack) -> str:
    arn: str = boto3.client("dynamodb").describe_table(TableName=TABLE)["Table"]["TableArn"]
    return arn


@pytest.fixture
def task(stack: Stack) -> dict[str, Any]:
    """The task definition as ECS has it."""
    reply = boto3.client("ecs").describe_task_definition(taskDefinition="crud")
    task: dict[str, Any] = reply["taskDefinition"]
    return task


@pytest.fixture
def containers(task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in task["containerDefinitions"]}


def allowed(document: dict[str, Any]) -> set[tuple[str, str]]:
    """The pairs of action and resource that a policy allows."""
    pairs = set()
    for statement in document["Statement"]:
        assert set(statement) == {"Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        pairs |= {
            (action, resource)
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
        }
    return pairs


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


class TestSecrets:
    def test_table(self, stack: Stack) -> None:
        """The table is credstash's, is billed on demand, and is hard to lose."""
        dynamodb = boto3.client("dynamodb")
        table = dynamodb.describe_table(TableName=TABLE)["Table"]
        assert table["KeySchema"] == [
            {"AttributeName": "name", "KeyType": "HASH"},
            {"AttributeName": "version", "KeyType": "RANGE"},
        ]
        assert {entry["AttributeType"] for entry in table["AttributeDefinitions"]} == {"S"}
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert table["DeletionProtectionEnabled"] is True
        backups = dynamodb.describe_continuous_backups(TableName=TABLE)
        recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"

    def test_key(self, stack: Stack, key_arn: str) -> None:
        """The alias leads to the stack's key; AWS rotates it; IAM decides who may use it."""
        kms = boto3.client("kms")
        assert key_arn == stack.outputs["KeyArn"]
        assert kms.get_key_rotation_status(KeyId=key_arn)["KeyRotationEnabled"] is True
        policy = json.loads(kms.get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"])
        account = boto3.client("sts").get_caller_identity()["Account"]
        principals = [statement["Principal"] for statement in policy["Statement"]]
        assert principals == [{"AWS": f"arn:aws:iam::{account}:root"}]

    def test_store(self, stack: Stack) -> None:
        """The package writes and reads on this table and key, by the URL of the outputs."""
        with read_config(stack.outputs["SecretsUrl"]).make_store() as store:
            assert store.setup() is False
            store.put("SECRET_KEY", "one")
            store.put("SECRET_KEY", "two")
            assert store.get_many(None)["SECRET_KEY"].value == "two"

    def test_deletion(self, stack: Stack) -> None:
        """Without the stack the secrets are still there, and can be read."""
        url = stack.outputs["SecretsUrl"]
        with read_config(url).make_store() as store:
            store.put("SECRET_KEY", "kept")
        gaps.detach(stack.resolved)
        boto3.client("cloudformation").delete_stack(StackName=STACK)
        assert boto3.client("iam").list_groups()["Groups"] == []
        with read_config(url).make_store() as store:
            assert store.get("SECRET_KEY").value == "kept"


class TestPermissions:
    def test_groups(self, stack: Stack) -> None:
        """Two groups, with inline policies of these names, and nothing else attached."""
        iam = boto3.client("iam")
        groups = {
            group["GroupName"]: set(
                iam.list_group_policies(GroupName=group["GroupName"])["PolicyNames"]
            )
            for group in iam.list_groups()["Groups"]
        }
        assert groups == {
            "KMSSecretWriter": {"SecretWriter", "DynamoDBAdmin"},
            "KMSSecretReader": {"SecretReader"},
        }
        for group in groups:
            attached = iam.list_attached_group_policies(GroupName=group)
            assert attached["AttachedPolicies"] == []

    def test_writer(self, stack: Stack, key_arn: str, table_arn: str) -> None:
        """Writers make data keys and put items; Query tells them the next version."""
        assert allowed(group_policy("KMSSecretWriter", "SecretWriter")) == {
            ("kms:GenerateDataKey", key_arn),
            ("dynamodb:PutItem", table_arn),
            ("dynamodb:Query", table_arn),
        }

    def test_table_admin(self, stack: Stack, table_arn: str) -> None:
        """They may also make the table; only the list of tables is of no one resource."""
        assert allowed(group_policy("KMSSecretWriter", "DynamoDBAdmin")) == {
            ("dynamodb:CreateTable", table_arn),
            ("dynamodb:DescribeTable", table_arn),
            ("dynamodb:ListTables", "*"),
        }

    def test_reader(self, stack: Stack, key_arn: str, table_arn: str) -> None:
        """Readers decrypt with this key and read this table, and no other."""
        assert allowed(group_policy("KMSSecretReader", "SecretReader")) == {
            ("kms:Decrypt", key_arn),
            ("dynamodb:GetItem", table_arn),
            ("dynamodb:Query", table_arn),
            ("dynamodb:Scan", table_arn),
        }

    def test_task_role(self, stack: Stack) -> None:
        """The site's own role has the readers' policy and nothing else; ECS tasks take it."""
        iam = boto3.client("iam")
        role = iam.get_role(RoleName="crud-task")["Role"]
        assert role["Arn"] == stack.outputs["TaskRoleArn"]
        assert role["AssumeRolePolicyDocument"]["Statement"] == [ECS_TASKS]
        assert iam.list_role_policies(RoleName="crud-task")["PolicyNames"] == ["SecretReader"]
        attached = iam.list_attached_role_policies(RoleName="crud-task")["AttachedPolicies"]
        assert attached == []
        inline = iam.get_role_policy(RoleName="crud-task", PolicyName="SecretReader")
        assert inline["PolicyDocument"] == group_policy("KMSSecretReader", "SecretReader")

    def test_execution_role(self, stack: Stack) -> None:
        """ECS pulls images and writes logs with Amazon's policy for that, and no secret."""
        iam = boto3.client("iam")
        role = iam.get_role(RoleName="ecsTaskExecutionRole")["Role"]
        assert role["AssumeRolePolicyDocument"]["Statement"] == [ECS_TASKS]
        attached = iam.list_attached_role_policies(RoleName="ecsTaskExecutionRole")
        names = [policy["PolicyName"] for policy in attached["AttachedPolicies"]]
        assert names == ["AmazonECSTaskExecutionRolePolicy"]
        assert iam.list_role_policies(RoleName="ecsTaskExecutionRole")["PolicyNames"] == []


def group_policy(group: str, policy: str) -> dict[str, Any]:
    reply = boto3.client("iam").get_group_policy(GroupName=group, PolicyName=policy)
    document: dict[str, Any] = reply["PolicyDocument"]
    return document


class TestTask:
    def test_limits(self, task: dict[str, Any], containers: dict[str, dict[str, Any]]) -> None:
        """0.5 GB and 256 CPU units for both containers together, and a part of it for each."""
        assert (task["memory"], task["cpu"]) == ("512", "256")
        assert sum(container["memory"] for container in containers.values()) == 512
        assert sum(container["cpu"] for container in containers.values()) == 256
        assert all(container["memory"] and container["cpu"] for container in containers.values())

    def test_launch_type(self, task: dict[str, Any]) -> None:
        """It is for instances (EC2), under the two roles of the stack."""
        assert task["requiresCompatibilities"] == ["EC2"]
        assert task["executionRoleArn"].endswith(":role/ecsTaskExecutionRole")
        assert task["taskRoleArn"].endswith(":role/crud-task")

    def test_names_of_containers(
        self, task: dict[str, Any], containers: dict[str, dict[str, Any]]
    ) -> None:
        """nginx finds web by its name, which takes a bridge and a link."""
        assert set(containers) == {"nginx", "web"}
        assert task["networkMode"] == "bridge"
        assert containers["nginx"]["links"] == ["web"]

    def test_ports(self, containers: dict[str, dict[str, Any]]) -> None:
        """Only nginx is published, on port 80."""
        assert [
            (port["containerPort"], port["hostPort"])
            for port in containers["nginx"]["portMappings"]
        ] == [(80, 80)]
        assert containers["web"]["portMappings"] == []

    def test_command(self, containers: dict[str, dict[str, Any]]) -> None:
        """web is gunicorn, as under docker compose."""
        web = containers["web"]
        assert web["workingDirectory"] == "/srv/app"
        assert " ".join(web["command"]) == (
            "gunicorn config.wsgi:application -c /srv/gunicorn/gunicorn_cfg.py --bind 0.0.0.0:8000"
        )

    @pytest.mark.parametrize(("name", "prefix"), [("nginx", "web-nginx"), ("web", "was")])
    def test_logs(
        self, containers: dict[str, dict[str, Any]], aws_region: str, name: str, prefix: str
    ) -> None:
        """Both log to the group of the stack, under their prefixes."""
        assert containers[name]["logConfiguration"] == {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "crud",
                "awslogs-region": aws_region,
                "awslogs-stream-prefix": prefix,
            },
        }
        [group] = boto3.client("logs").describe_log_groups()["logGroups"]
        assert (group["logGroupName"], group["retentionInDays"]) == ("crud", 90)

    def test_order(self, containers: dict[str, dict[str, Any]]) -> None:
        """nginx starts when web is healthy, and ends with it."""
        condition = {"containerName": "web", "condition": "HEALTHY"}
        assert containers["nginx"]["dependsOn"] == [condition]
        assert "/healthz" in containers["web"]["healthCheck"]["command"][-1]
        assert all(container["essential"] for container in containers.values())

    def test_environment(self, containers: dict[str, dict[str, Any]], aws_region: str) -> None:
        """The environment says where the secrets are; none is in it, or fetched by ECS."""
        environment = {pair["name"]: pair["value"] for pair in containers["web"]["environment"]}
        url = f"credstash://{TABLE}?region_name={aws_region}&key_id=alias/credstash"
        assert environment == {
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            "KMS_SECRETS_URL": f"{url}&names=SECRET_KEY,DATABASE_URL,EMAIL_HOST_PASSWORD,site",
            "ALLOWED_HOSTS": "localhost,127.0.0.1",
            "HTTPS": "on",
        }
        assert containers["nginx"]["environment"] == []
        assert not any(container.get("secrets") for container in containers.values())

    def test_images(self, stack: Stack, containers: dict[str, dict[str, Any]]) -> None:
        """The images are those of the stack's own repositories, by the tags that were given."""
        uris = {
            entry["repositoryName"]: entry["repositoryUri"]
            for entry in boto3.client("ecr").describe_repositories()["repositories"]
        }
        assert containers["nginx"]["image"] == uris["crud/nginx"] + ":nginx-1"
        assert containers["web"]["image"] == uris["crud/web"] + ":web-1"
        assert stack.outputs["WebRepositoryUri"] == uris["crud/web"]


class TestService:
    def test_service(self, stack: Stack) -> None:
        """One service on instances, of the task definition that the stack registered."""
        services = boto3.client("ecs").describe_services(cluster="crud", services=["crud"])
        [service] = services["services"]
        assert service["desiredCount"] == 1
        assert stack.resolved["Service"]["LaunchType"] == "EC2"  # which moto would not keep
        assert service["taskDefinition"] == stack.outputs["TaskDefinitionArn"]

    def test_rollout(self, stack: Stack) -> None:
        """Port 80 is free before a new task comes; one that does not start is rolled back."""
        assert stack.resolved["Service"]["DeploymentConfiguration"] == {
            "MinimumHealthyPercent": 0,
            "MaximumPercent": 100,
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        }

    def test_instances(self, stack: Stack) -> None:
        """As many instances as tasks, which join the cluster."""
        [group] = boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        assert (group["MinSize"], group["MaxSize"], len(group["Instances"])) == (1, 1, 1)
        data = launch_data(group["LaunchTemplate"]["LaunchTemplateId"])
        assert "ECS_CLUSTER=crud " in base64.b64decode(data["UserData"]).decode()

    def test_metadata(self, stack: Stack) -> None:
        """A container does not reach the role of its instance."""
        [group] = boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        options = launch_data(group["LaunchTemplate"]["LaunchTemplateId"])["MetadataOptions"]
        assert options == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}

    def test_first_deployment(self, cloud: object, network: dict[str, str]) -> None:
        """Before there are images and secrets nothing runs, and nothing costs by the hour."""
        create_stack(network)
        services = boto3.client("ecs").describe_services(cluster="crud", services=["crud"])
        assert services["services"][0]["desiredCount"] == 0
        [group] = boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        assert group["Instances"] == []


def launch_data(template_id: str) -> dict[str, Any]:
    """What instances of a launch template are started with."""
    reply = boto3.client("ec2").describe_launch_template_versions(LaunchTemplateId=template_id)
    data: dict[str, Any] = reply["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return data
