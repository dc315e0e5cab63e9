"""A host: a gunicorn of its own on a loopback port, with workers that import the settings anew."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SITE = Path(__file__).with_name("site")
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "site_gunicorn.py"]
#: How long a host may take for anything (seconds); that is a failure, never a pause.
PATIENCE = 90
#: Fingerprints of keys are of this run only.
_SALT = secrets.token_hex(32)


@dataclass(frozen=True)
class Keys:
    """What a host's settings have: fingerprints, never a key.

    Attributes:
        key: of SECRET_KEY.
        fallbacks: of SECRET_KEY_FALLBACKS.
    """

    key: str
    fallbacks: tuple[str, ...]

    @classmethod
    def of(cls, key: str, *fallbacks: str) -> Keys:
        """The fingerprints of these keys."""
        return cls(_fingerprint(key), tuple(map(_fingerprint, fallbacks)))


class Host:
    """One of the machines that serve the site.

    Attributes:
        name: what tests call it.
        port: where it listens, after a crash too.
        keys: what its settings had when it was last deployed or started.
    """

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        self._environment = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "SITE_FINGERPRINTS": _SALT,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        # Bound and deaf: nobody else gets the port, and while the host is down it refuses.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]
        self._master: subprocess.Popen[bytes] | None = None
        self._worker = 0

    def start(self) -> None:
        """Start it; gives back when it serves."""
        self.launch()
        self.serve()

    def launch(self) -> None:
        """Start it, without waiting."""
        with _bound(self.port) as listener, self._log.open("ab") as log:
            listener.listen(128)
            self._master = subprocess.Popen(
                [*GUNICORN, "--bind", f"fd://{listener.fileno()}"],
                cwd=SITE,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

    def serve(self) -> None:
        """Wait until it serves."""
        self._wait(lambda: self._ask() is not None, "it does not serve")

    def deploy(self) -> None:
        """Replace its workers, gracefully; gives back when the new one answers, the old is gone."""
        old = self._worker
        assert self._master is not None
        self._master.send_signal(signal.SIGHUP)
        self._wait(
            lambda: self._ask() is not None and self._worker != old and not _runs(old),
            "its old worker is still there",
        )

    def kill(self) -> None:
        """End it as a crash does: no process of it has time for anything."""
        assert self._master is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._master.pid, signal.SIGKILL)
        self._master.wait(PATIENCE)
        self._master = None

    def stop(self) -> None:
        """End it, if it runs, and give the port back."""
        if self._master is not None:
            self.kill()
        self._place.close()

    @property
    def log(self) -> str:
        """What gunicorn and the site have written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _ask(self) -> Keys | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/keys")
                reply = connection.getresponse()
                text = reply.read()
            except (OSError, http.client.HTTPException):
                return None
        if reply.status != 200:
            return None
        found = json.loads(text)
        self._worker = found["worker"]
        self.keys = Keys(found["key"], tuple(found["fallbacks"]))
        return self.keys

    def _wait(self, done: Callable[[], bool], complaint: str) -> None:
        assert self._master is not None
        end = time.monotonic() + PATIENCE
        while not done():
            assert self._master.poll() is None, f"host {self.name} has ended:\n{self.log}"
            assert time.monotonic() < end, f"host {self.name}: {complaint}:\n{self.log}"
            time.sleep(0.01)


def _bound(port: int) -> socket.socket:
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", port))
    return place


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _fingerprint(key: str) -> str:
    return hmac.new(_SALT.encode(), key.encode(), hashlib.sha256).hexdigest()
