"""AWS is back, empty, and was filled as on the first day."""

from __future__ import annotations

from deployment import Deployment


def test_the_same_secrets_are_back(deployment: Deployment) -> None:
    """The database still takes the password that the store hands out."""
    names = deployment.manage("secrets", "list").split()
    assert {"SECRET_KEY", "DATABASE_URL", "EMAIL_HOST_PASSWORD", "site"} <= set(names)
    deployment.restart_web()
    assert deployment.get("/healthz").body == b"ok"
    assert deployment.get("/").status == 200
