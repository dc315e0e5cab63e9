"""One deployment for all tests, which tell its story in the order of their files."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deployment import Deployment

#: `engine` or `native`; a run of the whole suite has neither, and passes this directory by.
KIND = os.environ.get("KMS_SECRETS_COMPOSE", "")
if not KIND:
    collect_ignore_glob = ["*"]

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "reader", "opens-the-readers-door"
STAFF = "keeper"
#: Makes a user one of the staff, who may see the names of the secrets and nothing else.
PROMOTION = """
from django.contrib.auth.models import Permission, User
keeper = User.objects.get(username="keeper")
keeper.is_staff = True
keeper.save()
keeper.user_permissions.add(Permission.objects.get(codename="view_storedsecret"))
"""
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without an engine there are no images to test."""
    if KIND == "native":
        about_images = [item for item in items if item.get_closest_marker("engine")]
        items[:] = [item for item in items if item not in about_images]
        config.hook.pytest_deselected(items=about_images)


def pytest_report_header() -> str:
    if KIND not in {"engine", "native"}:
        pytest.exit(f"KMS_SECRETS_COMPOSE is {KIND!r}: engine or native", returncode=1)
    return f"the site runs: {'in containers' if KIND == 'engine' else 'natively, as processes'}"


@pytest.fixture(scope="session")
def planted() -> dict[str, str]:
    """Secrets that lie about where an image is built, by the variable that holds each of them."""
    names = ("SECRET_KEY", "DATABASE_URL", "AWS_SESSION_TOKEN", "EMAIL_HOST_PASSWORD")
    return {name: f"planted-{secrets.token_hex(16)}" for name in names}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, planted: dict[str, str]) -> Path:
    """A copy of the repository as a developer has it: with secrets in files git does not know."""
    root = tmp_path_factory.mktemp("project")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    site = root / "example_project"
    for path in (
        root / ".env.production",
        root / "secret.json",
        site / "secrets.local.env",
        site / "db.sqlite3",
        site / "config" / "__pycache__" / "production.cpython-311.pyc",
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{name}={value}\n" for name, value in planted.items()))
    return root


@pytest.fixture(scope="session")
def deployment(
    project: Path, planted: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The running site, with one user."""
    scratch = tmp_path_factory.mktemp("scratch")
    name = f"notes-test-{secrets.token_hex(3)}"
    site: Any
    if KIND == "engine":
        from engine_deployment import EngineDeployment

        site = EngineDeployment(project / "example_project", free_port(), name, scratch, planted)
    else:
        from native_deployment import NativeDeployment

        site = NativeDeployment(project / "example_project", free_port)
    try:
        site.up()
        site.manage("create_demo_user", USER, "--password-stdin", text=f"{PASSWORD}\n")
        yield site
    finally:
        site.down()
        if KIND == "engine":
            site.remove_images()


@pytest.fixture(scope="session")
def open_admin(deployment: Deployment, browser: Any) -> Callable[..., Any]:
    """A function that opens a browser and logs in to the admin; it takes Playwright's options."""
    deployment.manage("create_demo_user", STAFF, "--password-stdin", text=f"{PASSWORD}\n")
    deployment.manage("shell", "-c", PROMOTION)

    def log_in(**options: Any) -> Any:
        page = browser.new_page(base_url=deployment.url, **options)
        page.set_default_timeout(60_000)
        page.goto("/admin/")
        page.get_by_label("Username").fill(STAFF)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="Log out").wait_for()
        return page

    return log_in


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium; Playwright's own is not fetched."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    assert path, "there is no chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shoot() -> Callable[[Any, str], None]:
    """A function that keeps a picture of a page under artefacts/."""
    folder = ROOT / "artefacts" / f"compose-{KIND}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def take(page: Any, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return take
