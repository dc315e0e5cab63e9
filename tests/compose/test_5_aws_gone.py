"""AWS goes away, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deployment import Deployment
from test_4_refusals import assert_refused


@pytest.fixture(scope="module")
def gone(deployment: Deployment) -> Iterator[Deployment]:
    deployment.stop_aws()
    yield deployment
    deployment.start_aws()


def test_running_workers_keep_serving(gone: Deployment) -> None:
    """Who has the secrets does not need AWS: neither the workers, nor those that replace them."""
    assert {gone.get("/").status for _ in range(10)} == {200}
    gone.kill_workers()
    gone.wait_for_site()
    assert {gone.get("/").status for _ in range(10)} == {200}
    assert {gone.get("/healthz").body for _ in range(10)} == {b"ok"}


def test_the_page_in_the_admin(gone: Deployment, open_admin: Callable[..., Any]) -> None:
    """What lists the secrets says what is wrong and what to do, and is no page of errors."""
    gone.kill_workers()  # who has listed them already shows the list for a while
    gone.wait_for_site()
    page = open_admin()
    reply = page.goto("/admin/kms_secrets_admin/storedsecret/")
    assert reply.status == 200
    alert = page.get_by_role("alert")
    assert "got no answer from" in alert.inner_text()
    assert alert.locator("p").count() == 2
    page.close()


def test_a_new_start_fails(gone: Deployment) -> None:
    """Who has no secrets yet does not start without them."""
    with gone.beside({"late": {}}) as started:
        assert_refused(started["late"].ended(), "got no answer from")
