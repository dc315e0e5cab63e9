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
        asked: the packages that it was asked for, with their versions.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.holes: dict[str, Any] = {}
        self.status = 200
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
        body = json.dumps({"vulns": [found]} if found else {}).encode()
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


def test_unreachable(tmp_path: Path) -> None:
    """Who could not be asked knows of nothing, and that is no good news: the exit code is 2."""
    ran = audit(tmp_path, PACKAGES, "http://127.0.0.1:1/v1/query")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("audit: not known: http://127.0.0.1:1/v1/query was not asked")
    assert "alpha, beta" in ran.stderr


def test_out_of_order(osv: Osv, tmp_path: Path) -> None:
    """The same when it answers with an error."""
    osv.status = 500
    ran = audit(tmp_path, PACKAGES, osv.url)
    assert (ran.returncode, ran.stdout) == (2, "")


def test_nothing_to_ask_for(osv: Osv, tmp_path: Path) -> None:
    """An audit of no package is none."""
    ran = audit(tmp_path, "# nothing\n", osv.url)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "any package" in ran.stderr
