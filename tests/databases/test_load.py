"""Passwords change under load, and no request fails."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import NAME
from .servers import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Store

SITE = Path(__file__).with_name("site")
ROTATIONS = 20
#: Requests between two steps of a rotation: about one for each of the 8 threads.
BETWEEN = 8


class Load:
    """Requests, one after the other from each of four clients.

    Attributes:
        answers: how many there were.
        failures: those that were none, and what they were.
    """

    def __init__(self, url: str) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._url = url
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)

    def wait(self, count: int = BETWEEN) -> None:
        """Wait for this many more requests, whatever comes of them."""
        goal = self._done() + count
        wait_until(lambda: self._done() >= goal, "requests", seconds=120)

    def _done(self) -> int:
        return self.answers + len(self.failures)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                with urllib.request.urlopen(self._url, timeout=60) as answer:
                    assert answer.read().startswith(b"notes")
                problem = ""
            except urllib.error.HTTPError as exc:
                problem = f"{exc.code}: {exc.read()!r}"
                exc.close()
            except Exception as exc:  # whatever it is, it is no answer
                problem = repr(exc)
            with self._lock:
                if problem:
                    self.failures.append(problem)
                else:
                    self.answers += 1


@contextlib.contextmanager
def load_on_the_site(store: Store, directory: Path, **environment: str) -> Iterator[Load]:
    """The site under gunicorn, two processes of four threads, and requests to it."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "site_urls:application", "--chdir", str(SITE)]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4"]
    command += ["--worker-tmp-dir", str(directory)]
    log = directory / "gunicorn.log"
    variables = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"},
        **environment,
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "KMS_SECRETS_URL": store.url,
    }
    with log.open("wb") as output:
        site = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
    load = Load(f"http://127.0.0.1:{port}/")
    try:
        wait_until(lambda: log.read_text().count("Booting worker") == 2, "gunicorn", seconds=120)
        wait_until(lambda: _answers(load._url), "the site", seconds=120)
        load.start()
        load.wait()
        yield load
    finally:
        load.stop()
        site.terminate()
        site.wait(60)  # gunicorn gives its workers 30 seconds
        print(log.read_text()[-4000:])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as exc:
        raise AssertionError(f"the site answers {exc.code}") from None
    except OSError:
        return False


def rotate_one_role(server: Server, store: Any, load: Load, number: int) -> None:
    """Stage, ALTER ROLE, promote: requests come between each two of them."""
    password = f"password-{number}"
    store.stage(NAME, server.url("notes", password))
    load.wait()
    server.set_password("notes", password)
    load.wait()
    store.promote(NAME)
    load.wait()


def rotate_two_roles(server: Server, store: Any, load: Load, number: int) -> None:
    """ALTER the idle role, and make it the current one; the other one keeps its password."""
    role = ("notes", "notes2")[number % 2]
    server.set_password(role, f"password-{number}")
    load.wait()
    store.put(NAME, server.url(role, f"password-{number}"))
    load.wait()


ROTATE = {"one role": rotate_one_role, "two roles": rotate_two_roles}


def start(server: Server, store: Store) -> None:
    for role in ("notes", "notes2"):
        server.make_role(role, "password")
    store.put(server.url("notes", "password"))


@pytest.mark.parametrize("way", ROTATE)
def test_no_request_fails(server: Server, store: Store, tmp_path: Path, way: str) -> None:
    """A password changes twenty times, faster than any limit on reading, and no request fails."""
    start(server, store)
    with (
        store.opened() as target,
        load_on_the_site(store, tmp_path, SITE_ENGINE=server.ours) as load,
    ):
        for number in range(1, ROTATIONS + 1):
            ROTATE[way](server, target, load, number)
    assert load.failures == []
    assert load.answers > ROTATIONS * BETWEEN


def test_no_request_fails_with_a_pool(postgresql: Server, store: Store, tmp_path: Path) -> None:
    """The same where a pool of psycopg opens the connections, each of which lives for a second."""
    start(postgresql, store)
    environment = {"SITE_ENGINE": postgresql.ours, "SITE_POOL": "1"}
    with store.opened() as target, load_on_the_site(store, tmp_path, **environment) as load:
        for number in range(1, ROTATIONS // 2 + 1):
            rotate_one_role(postgresql, target, load, number)
    assert load.failures == []


@pytest.mark.parametrize("way", ROTATE)
def test_djangos_own_engine_fails(server: Server, store: Store, tmp_path: Path, way: str) -> None:
    """The load above would have noticed: the same rotation, twice, without our engine."""
    start(server, store)
    with (
        store.opened() as target,
        load_on_the_site(store, tmp_path, SITE_ENGINE=server.djangos) as load,
    ):
        for number in (1, 2):
            ROTATE[way](server, target, load, number)
    assert load.failures
    assert all(failure.startswith("500: ") for failure in load.failures)
