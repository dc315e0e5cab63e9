"""The site in a browser, through nginx, while its secrets change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PASSWORD, USER
from deployment import Deployment, wait_until

Shoot = Callable[[Any, str], None]


@pytest.fixture(scope="module")
def page(deployment: Deployment, browser: Any) -> Any:
    """A logged-in reader, whose session lasts through all tests of this file."""
    page = browser.new_page(base_url=deployment.url, viewport={"width": 1000, "height": 700})
    page.set_default_timeout(60_000)
    log_in(page)
    return page


def log_in(page: Any) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def is_logged_in(page: Any) -> bool:
    page.goto("/")
    return bool(page.get_by_role("button", name="Log out").count())


def write_note(page: Any, title: str) -> None:
    page.goto("/")
    page.get_by_role("link", name="Write a note").click()
    page.get_by_label("Title").fill(title)
    page.get_by_label("Text").fill("Flour, water, salt.\n\nTime.")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name=title).wait_for()


def test_a_note_is_written_changed_and_deleted(page: Any, shoot: Shoot) -> None:
    """Create, read, update and delete work in a browser; a picture is kept of each page."""
    errors: list[str] = []
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else 0
    )
    page.on("response", lambda reply: errors.append(reply.url) if reply.status >= 400 else 0)
    shoot(page, "1-list-empty")
    write_note(page, "Bread")
    shoot(page, "2-created")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Title").fill("Sourdough")
    shoot(page, "3-edit")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Sourdough").wait_for()
    page.goto("/")
    assert page.get_by_role("link", name="Sourdough").is_visible()
    shoot(page, "4-list")
    page.get_by_role("link", name="Sourdough").click()
    page.get_by_role("link", name="Delete…").click()
    shoot(page, "5-delete")
    page.get_by_role("button", name="Delete the note").click()
    page.get_by_text("“Sourdough” is deleted.").wait_for()
    assert not page.get_by_role("link", name="Sourdough").count()
    shoot(page, "6-deleted")
    assert not errors


def test_the_login_page_without_a_session(
    deployment: Deployment, browser: Any, shoot: Shoot
) -> None:
    """Writing needs a login, in light and dark, on a narrow screen as on a wide one."""
    for scheme, width in (("light", 1000), ("dark", 390)):
        page = browser.new_page(
            base_url=deployment.url,
            color_scheme=scheme,
            viewport={"width": width, "height": 700},
        )
        page.goto("/notes/new/")
        assert page.get_by_role("heading", name="Log in").is_visible()
        shoot(page, f"7-login-{scheme}-{width}")
        page.close()


def test_notes_and_session_survive_a_restart(
    page: Any, deployment: Deployment, shoot: Shoot
) -> None:
    """A restart of the site forgets nothing."""
    write_note(page, "Kept")
    deployment.restart_web()
    assert is_logged_in(page)
    assert page.get_by_role("link", name="Kept").is_visible()
    shoot(page, "8-after-restart")


def test_the_session_survives_a_new_secret_key(
    page: Any, deployment: Deployment, browser: Any, shoot: Shoot
) -> None:
    """The previous SECRET_KEY is honoured after one rotation, and no more after two."""
    idle = browser.new_page(base_url=deployment.url)
    log_in(idle)
    for number in (1, 2):
        key = f"rotated-{number}-{'k' * 50}"
        deployment.manage("secrets", "put", "SECRET_KEY", "-", text=key)
        deployment.restart_web()
        assert is_logged_in(page), f"logged out by rotation {number}"
    shoot(page, "9-after-rotation")
    write_note(page, "Rotated")
    assert not is_logged_in(idle), "the key of two rotations ago still signs"
    idle.close()


@pytest.mark.parametrize("workers", [1, 4])
def test_one_fetch_however_many_workers(deployment: Deployment, workers: int) -> None:
    """The parent fetches for all: each of four secrets once, and the stages of SECRET_KEY."""
    before = len(deployment.aws_requests())
    name = f"workers-{workers}"
    with deployment.beside({name: {"WEB_CONCURRENCY": str(workers)}}) as started:
        started[name].wait_until_healthy()
        wait_until(
            lambda: started[name].log().count("Booting worker") == workers,
            f"{workers} workers",
            seconds=60,
        )
        asked = Counter(deployment.aws_requests()[before:])
        # The stages are read by a Query for the pending version and one for the two others.
        assert asked == {"Query": 4 + 2, "Decrypt": 4 + 2}


def test_pages_ask_aws_for_nothing(deployment: Deployment) -> None:
    """What was fetched is kept: serving pages sends no request to AWS."""
    before = deployment.aws_requests()
    assert {deployment.get("/").status for _ in range(20)} == {200}
    assert deployment.aws_requests() == before
