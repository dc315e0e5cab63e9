"""What the page on Celery says of a worker, with the files of the page and a worker of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from django_kms_secrets.config import read_config

from .pages import page
from .session import PATIENCE, Session, with_this_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.embedded import EmbeddedAWS

KEY = "a-key-that-is-shown-by-mistake"
TASKS = 12


@pytest.fixture
def project(aws: EmbeddedAWS, tmp_path: Path) -> Path:
    """The files of the page, a store, and a broker that is a directory."""
    found = page("docs/howto/celery.md")
    session = Session(tmp_path, aws.endpoint)
    with contextlib.closing(session):
        session.make_project()
        for block in found.blocks:
            if block.file:
                session.execute(block, found)
    with read_config("credstash://").make_store() as store:
        store.setup_key()
        store.setup()
        store.put_many({"SECRET_KEY": KEY, "CELERY_BROKER_URL": "filesystem://"})
    (tmp_path / "data_in").mkdir()
    (tmp_path / "data_out").symlink_to("data_in")  # what one sends, the other receives
    return tmp_path


SEND = (
    f"import config.celery; from config.tasks import show; [show.delay() for _ in range({TASKS})]"
)
# Each process is replaced after two tasks.
WORKER = ["celery", "-A", "config", "worker", "--concurrency", "3", "--max-tasks-per-child", "2"]


@contextlib.contextmanager
def worker(project: Path) -> Iterator[Path]:
    """A worker, until the end of the block; gives its log."""
    log = project / "worker.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            WORKER,
            cwd=project,
            env=with_this_python(os.environ),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it forked
            process.wait()


def wait_for(log: Path, pattern: str, times: int) -> list[str]:
    """What the log has of a pattern, once it is there that often."""
    latest = time.monotonic() + PATIENCE
    while len(found := re.findall(pattern, log.read_text("utf-8"))) < times:
        assert time.monotonic() < latest, log.read_text("utf-8")
        time.sleep(0.1)
    return found


def test_the_processes_of_a_worker_share_a_fetch(aws: EmbeddedAWS, project: Path) -> None:
    """A worker asks as much as one process, however many it forks; its log shows no secret."""
    environment = with_this_python(os.environ)
    with aws.counted() as of_one_process:
        subprocess.run([sys.executable, "-c", SEND], cwd=project, env=environment, check=True)
    with aws.counted() as of_a_worker, worker(project) as log:
        shown = wait_for(log, r"process (\d+) signs with (\S+)", TASKS)
    assert of_a_worker == of_one_process
    assert len({process for process, _ in shown}) >= TASKS / 2
    assert {key for _, key in shown} == {"**********"}
