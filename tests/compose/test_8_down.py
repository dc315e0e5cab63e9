"""The end."""

from __future__ import annotations

import pytest
from engine_deployment import EngineDeployment, docker

pytestmark = pytest.mark.engine


def test_down_leaves_nothing(deployment: EngineDeployment) -> None:
    """After `down --volumes` there is no container, network or volume of the project."""
    label = f"label=com.docker.compose.project={deployment.project}"
    listings = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
    assert all(docker(*listing, "--filter", label) for listing in listings)
    deployment.down()
    assert not any(docker(*listing, "--filter", label) for listing in listings)
