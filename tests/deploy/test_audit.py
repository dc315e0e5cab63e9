"""The audit of dependencies: none, some, and not known are three different answers."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import RELEASE_PYTHON, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = "alpha==1.0\nbeta==2.0\n    # via alpha\n"
HOLE = {
    "id": "PYSEC-1",
    "affected": [
        {
            "package": {"name": "beta", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


class Osv(ThreadingHTTPServer):
    """The API of OSV. It knows the holes of some packages, or is out of order.

    Attributes:
        holes: what it answers for a package; nothing for others.
        status: the status of every answer.
        body: every answer, instead of what it knows.
        asked: the packages that it was asked for, with their versions.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.holes: dict[str, Any] = {}
        self.status = 200
        self.body: Any = None
        self.asked: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class Answer(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = query["package"]["name"]
        self.server.asked.add(f"{name}=={query['version']}")
        found = self.server.holes.get(name)
        answer = {"vulns": [found]} if found else {}
        body = json.dumps(answer if self.server.body is None else self.server.body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(directory: Path, packages: str, url: str) -> subprocess.CompletedProcess[str]:
    requirements = directory / "resolved.txt"
    requirements.write_text(packages)
    return audit_file(requirements, url)


def audit_file(requirements: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RELEASE_PYTHON, "release/audit.py", str(requirements), "--osv-url", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_vulnerability(osv: Osv, tmp_path: Path) -> None:
    """Every package is asked for in its version; when none is known, the exit code is 0."""
    ran = audit(tmp_path, PACKAGES, osv.url)
    assert (ran.returncode, ran.stdout) == (0, "audit: 2 packages, 0 vulnerabilities\n"), ran
    assert osv.asked == {"alpha==1.0", "beta==2.0"}


def test_a_vulnerability(osv: Osv, tmp_path: Path) -> None:
    """A known vulnerability is named, with the version that mends it; the exit code is 1."""
    osv.holes["beta"] = HOLE
    ran = audit(tmp_path, PACKAGES, osv.url)
    assert ran.returncode == 1
    assert ran.stdout == ("beta 2.0: PYSEC-1, fixed in 2.1\naudit: 2 packages, 1 vulnerabilities\n")


def is_not_known(ran: subprocess.CompletedProcess[str]) -> bool:
    """Whether nothing was said but one line that says why."""
    lines = ran.stderr.splitlines()
    return (ran.returncode, ran.stdout) == (2, "") and lines[-1].startswith("audit: not known, ")


def test_unreachable(tmp_path: Path) -> None:
    """Who could not be asked knows of nothing, and that is no good news: the exit code is 2."""
    ran = audit(tmp_path, PACKAGES, "http://127.0.0.1:1/v1/query")
    assert is_not_known(ran), ran
    assert "http://127.0.0.1:1/v1/query" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_out_of_order(osv: Osv, tmp_path: Path) -> None:
    """The same when it answers with an error."""
    osv.status = 500
    ran = audit(tmp_path, PACKAGES, osv.url)
    assert is_not_known(ran), ran
    assert "500" in ran.stderr


@pytest.mark.parametrize(
    "body",
    [
        [],
        "",
        False,
        0,
        {"error": "busy"},
        {"vulns": "none"},
        {"vulns": [], "next_page_token": "2"},
        {"vulns": [HOLE], "next_page_token": "2"},
        {"next_page_token": "2"},
        {"vulns": [{"id": "PYSEC-1"}]},
        {"vulns": [{**HOLE, "schema_version": "2.0.0"}]},
    ],
    ids=json.dumps,
)
def test_half_an_answer(osv: Osv, tmp_path: Path, body: Any) -> None:
    """The same when an answer is none of OSV's, is not the whole, or cannot be read."""
    osv.body = body
    ran = audit(tmp_path, PACKAGES, osv.url)
    assert is_not_known(ran), ran
    assert "Traceback" not in ran.stderr


def test_an_answer_without_vulnerabilities(osv: Osv, tmp_path: Path) -> None:
    """An empty list is none, and so is an empty token for the next page."""
    osv.body = {"vulns": [], "next_page_token": ""}
    ran = audit(tmp_path, PACKAGES, osv.url)
    assert ran.returncode == 0, ran


def test_no_file(osv: Osv, tmp_path: Path) -> None:
    """A file that is not there is no audit either: the line names it."""
    ran = audit_file(tmp_path / "gone.txt", osv.url)
    assert is_not_known(ran), ran
    assert "gone.txt" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "line", ["beta>=2.0", "./beta", "-e .", "beta==two", "b @ https://b.example"]
)
def test_what_is_not_asked_for(osv: Osv, tmp_path: Path, line: str) -> None:
    """A line that names no version is not passed over."""
    ran = audit(tmp_path, f"alpha==1.0\n{line}\n", osv.url)
    assert is_not_known(ran), ran


def test_nothing_to_ask_for(osv: Osv, tmp_path: Path) -> None:
    """An audit of no package is none."""
    ran = audit(tmp_path, "# nothing\n", osv.url)
    assert is_not_known(ran), ran
    assert "names no package" in ran.stderr
