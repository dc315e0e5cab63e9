"""What nginx adds to the site."""

from __future__ import annotations

import gzip
import re

import pytest
from deployment import Deployment

HEADERS = {
    "Content-Security-Policy": "default-src 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@pytest.fixture(scope="module")
def stylesheet(deployment: Deployment) -> str:
    """The path of the site's stylesheet, as its pages name it."""
    found = re.search(r'href="(/static/site\.\w+\.css)"', deployment.get("/").body.decode())
    assert found
    return found[1]


@pytest.mark.parametrize(
    "path", ["/", "/accounts/login/", "/no-such-page", "stylesheet", "/static/no"]
)
def test_every_answer_has_the_security_headers(
    deployment: Deployment, stylesheet: str, path: str
) -> None:
    """Pages, static files and errors have each header exactly once, and no version of nginx."""
    headers = deployment.get(stylesheet if path == "stylesheet" else path).headers
    for name, value in HEADERS.items():
        found = headers.get_all(name, [])
        assert len(found) == 1, f"{name}: {found}"
        assert found[0].startswith(value)
    assert headers["Server"] == "nginx"


@pytest.mark.parametrize("path", ["/", "stylesheet"])
def test_text_is_compressed(deployment: Deployment, stylesheet: str, path: str) -> None:
    """Pages and static files come compressed to whoever takes that."""
    path = stylesheet if path == "stylesheet" else path
    answer = deployment.get(path, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    plain = gzip.decompress(answer.body)
    assert len(answer.body) < len(plain)
    if path == stylesheet:
        assert plain == deployment.get(path).body


def test_static_files_are_kept_by_browsers(deployment: Deployment, stylesheet: str) -> None:
    """A file whose name is made from its content is kept for a year."""
    assert "immutable" in deployment.get(stylesheet).headers["Cache-Control"]


def test_too_large_a_body_is_refused(deployment: Deployment) -> None:
    """nginx takes 256 KB, and gunicorn never sees more."""
    assert deployment.send("/notes/new/", b"x" * (300 * 1024)).status == 413
    assert deployment.send("/notes/new/", b"x" * 1024).status == 403  # Django's: no CSRF token


def test_too_long_a_header_is_refused(deployment: Deployment) -> None:
    """nginx takes lines of 8 KB."""
    assert deployment.get("/", X_Long="x" * 9000).status == 400


def test_login_attempts_are_limited(deployment: Deployment) -> None:
    """Passwords cannot be tried by the hundred; reading goes on meanwhile."""
    attempts = [deployment.send("/accounts/login/", b"password=x").status for _ in range(20)]
    assert attempts[0] == 403
    assert attempts.count(429) >= 5
    assert deployment.get("/accounts/login/").status == 200
