"""The page in the admin that lists the secrets, in a browser, of a CredStash table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from deployment import Deployment

PAGE = "/admin/kms_secrets_admin/storedsecret/"
Shoot = Callable[[Any, str], None]


def test_without_javascript(
    deployment: Deployment, open_admin: Callable[..., Any], shoot: Shoot
) -> None:
    """Staff find it in the index, read what is there, and search, with a browser's own means."""
    page = open_admin(java_script_enabled=False)
    page.get_by_role("link", name="Stored secrets", exact=True).first.click()
    assert page.get_by_role("heading", name="Stored secrets").is_visible()
    table = page.get_by_role("table", name="Stored secrets: 4")
    names = table.get_by_role("rowheader")
    assert names.all_inner_texts() == ["DATABASE_URL", "EMAIL_HOST_PASSWORD", "SECRET_KEY", "site"]
    row = table.get_by_role("row", name="SECRET_KEY").inner_text()
    assert "CredStash table credential-store in ap-northeast-2" in row
    shoot(page, "10-secrets")
    page.get_by_label("Part of a name").fill("secret_")
    page.get_by_role("button", name="Show").click()
    table = page.get_by_role("table", name="Stored secrets: 1")
    assert table.get_by_role("rowheader").all_inner_texts() == ["SECRET_KEY"]
    page.close()


def test_no_value(deployment: Deployment, open_admin: Callable[..., Any]) -> None:
    """What the browser gets has none of the values that the site runs with."""
    stored = json.loads(deployment.manage("secrets", "getall", "-f", "json"))
    site = stored.pop("site")
    values = [*stored.values(), site["banner"], site["api"]["weather"]["key"]]
    page = open_admin()
    text = page.goto(PAGE).text()
    page.close()
    assert "SECRET_KEY" in text
    assert all(values)
    assert [value for value in values if value in text] == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 1000), ("dark", 390)])
def test_accessible(open_admin: Callable[..., Any], shoot: Shoot, scheme: str, width: int) -> None:
    """axe finds nothing wrong with the page: names, heads, landmarks, contrast, language."""
    page = open_admin(color_scheme=scheme, viewport={"width": width, "height": 800})
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.goto(PAGE)
    shoot(page, f"11-secrets-{scheme}-{width}")
    # The trail above the page is Django's own: in some of its releases colour alone shows a link.
    found = Axe().run(page, {"exclude": [[".breadcrumbs"]]})
    assert page.evaluate("document.documentElement.scrollWidth") == width, "scrolls sideways"
    assert not errors
    assert found.violations_count == 0, found.generate_report()
    page.close()
