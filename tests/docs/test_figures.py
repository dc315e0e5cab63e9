"""The figures about credstash: quick ones are measured, slow ones agree across the pages."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from django_kms_secrets import StoreUnavailable, load
from django_kms_secrets.config import read_config

from .pages import ROOT, page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.embedded import EmbeddedAWS

credstash = pytest.importorskip("credstash")

FIGURES = {
    row[0]: row[1:]
    for row in page("docs/explanation/referee.md").table(
        "Why credstash is the referee, and not the engine"
    )
}


def _figure(text: str) -> list[str]:
    return next(cells for row, cells in FIGURES.items() if text in row)


def test_requests(aws: EmbeddedAWS) -> None:
    """For 20 secrets credstash sends 2N + 1 requests, and we N + pages."""
    with read_config("credstash://").make_store() as store:
        store.setup_key()  # type: ignore[attr-defined]
        store.setup()
        store.put_many({f"NAME_{number}": "value" for number in range(20)})
    with aws.counted() as theirs:
        values = credstash.getAllSecrets("")
    with aws.counted() as ours:
        assert dict(load("credstash://")) == values
    assert theirs.total() == 41
    assert ours.total() == 21
    assert _figure("all") == ["41 (2N + 1)", "21 (N + pages)"]


def test_the_session_of_another_profile(tmp_path: Path) -> None:
    """credstash gives the session of the first profile to whoever asks for the second."""
    config = tmp_path / "config"
    config.write_text("[profile a]\nregion=eu-west-1\n[profile b]\nregion=us-east-1\n")
    code = (
        "import credstash\n"
        "first = credstash.get_session(profile_name='a')\n"
        "second = credstash.get_session(profile_name='b')\n"
        "print(second.profile_name, second.region_name)\n"
    )
    environment = {"AWS_CONFIG_FILE": str(config), "HOME": str(tmp_path)}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == ["a", "eu-west-1"]


def test_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that accepts and never answers is given up at the deadline, by its name.

    The page's 10 seconds are the default of the option; here it is set to 4: more than a busy
    machine needs for the clients, and less than botocore's own attempts would take.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        secrets = load(f"credstash://?region_name=ap-northeast-2&endpoint_url={endpoint}&timeout=4")
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match=endpoint):
            secrets["NAME"]
        assert time.monotonic() - start < 10
    defaults = {
        row[0].strip("`"): row[2].strip("`")
        for row in page("docs/reference/settings.md").table("CredStashStore")
    }
    assert float(defaults["timeout"]) == 10
    assert _figure("never answers")[1] == "an error after 10 s"


def test_the_pages_agree() -> None:
    """What the README repeats of the slow measurements is what their page says."""
    readme = {row[0]: row[1:] for row in page("README.md").table("Beside others")}
    ours, theirs = readme["service that never answers"][:2]
    assert [theirs, ours] == _figure("never answers")
    assert "241 s" in theirs
    ours, theirs = readme["N secrets of a CredStash table"][:2]
    assert theirs.startswith("2N + 1")
    assert ours.startswith("N + pages")


def test_the_pages_name_the_versions_that_were_run() -> None:
    """The comparison and the README name the versions that the benchmarks were run with."""
    rows = page("docs/benchmarks.md").table("What was measured")
    run = {program: version for program, version, _ in rows if program != "django-kms-secrets"}
    compared = "".join(
        row[0]
        for row in page("docs/explanation/comparison.md").table(
            "Beside others, and when to use them instead"
        )
        if row[1].startswith("run")
    )
    head = next(line for line in page("README.md").text.splitlines() if "credstash 1." in line)
    for program in ("credstash", "django-secrets-manager", "pydantic-settings"):
        assert f"[{program}](" in compared
        (shown,) = re.findall(rf"{program} ([\d.]+)", head)
        assert run[program].startswith(shown)
    versions = re.findall(r"\) ([\d.]+)", compared)
    assert [version for version in versions if version not in run.values()] == ["0.14"]


def test_what_credstash_depends_on() -> None:
    """credstash is not installed with the package: only its extra and the tests ask for it."""
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    required = setup.partition("install_requires =")[2].partition("[options.extras_require]")[0]
    assert "credstash" not in required
