"""The compose files, as compose reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_deployment import EngineDeployment, compose

pytestmark = pytest.mark.engine


def read(project: Path, name: str) -> dict[str, Any]:
    path = project / "example_project" / name
    services = yaml.safe_load(compose("-f", str(path), "config", environment=os.environ))
    return dict(services["services"])


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.aws.yml"])
def test_config_is_clean(project: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Compose takes both files without a warning."""
    path = project / "example_project" / name
    assert compose("-f", str(path), "config", "--quiet", environment=os.environ) == ""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.aws.yml"])
def test_gunicorn_is_not_published(project: Path, name: str) -> None:
    """Only nginx can be reached from outside of the network."""
    services = read(project, name)
    published = {service for service, content in services.items() if content.get("ports")}
    assert published == {"nginx"}
    assert services["web"]["working_dir"] == "/srv/app"


def test_on_aws_there_is_no_stand_in_and_no_secret(project: Path) -> None:
    """On AWS there are the two containers of the site; no variable of theirs opens anything."""
    services = read(project, "docker-compose.aws.yml")
    assert set(services) == {"nginx", "web"}
    assert set(services["web"]["environment"]) == {
        "ALLOWED_HOSTS",
        "AWS_DEFAULT_REGION",
        "CSRF_TRUSTED_ORIGINS",
        "DJANGO_SETTINGS_MODULE",
        "WEB_CONCURRENCY",
    }
    assert "environment" not in services["nginx"]


def test_on_aws_both_log_to_the_group_crud(project: Path) -> None:
    """Each service logs under a prefix of its own, in the group and region of the deployment."""
    services = read(project, "docker-compose.aws.yml")
    for service, prefix in {"nginx": "web-nginx", "web": "was"}.items():
        assert services[service]["logging"]["driver"] == "awslogs"
        options = services[service]["logging"]["options"]
        assert options["awslogs-group"] == "crud"
        assert options["awslogs-region"] == "ap-northeast-2"
        assert options["tag"].startswith(f"{prefix}/")


def test_services_start_in_order(deployment: EngineDeployment) -> None:
    """Each service starts when what it needs has ended well, or is healthy."""
    states = {
        name: deployment.container(name)["State"]
        for name in ("aws", "secrets", "db", "migrate", "web", "nginx")
    }
    starts = [states[name]["StartedAt"] for name in states]
    assert starts == sorted(starts)
    assert states["secrets"]["FinishedAt"] < states["db"]["StartedAt"]
    assert states["migrate"]["FinishedAt"] < states["web"]["StartedAt"]
    assert {states[name]["ExitCode"] for name in ("secrets", "migrate")} == {0}
    healthy = {name for name in states if states[name].get("Health", {}).get("Status") == "healthy"}
    assert healthy >= {"aws", "db", "web"}
