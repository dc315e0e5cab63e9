"""The site as processes of this machine: nginx, gunicorn, PostgreSQL, moto."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from deployment import REFUSAL_SECONDS, Deployment, Ended, Web, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


class NativeDeployment(Deployment):
    """The processes, and their files in one directory of their own.

    Args:
        folder: the example project.
        free_port: gives a port that nobody listens on.
    """

    def __init__(self, folder: Path, free_port: Callable[[], int]) -> None:
        self._folder = folder
        self._free_port = free_port
        # Not below pytest's directories: PostgreSQL runs as another user.
        self._state = Path(tempfile.mkdtemp(prefix="notes-native-"))
        self._state.chmod(0o755)
        self._ports = {name: free_port() for name in ("nginx", "web", "db", "aws")}
        self._running: dict[str, _Process] = {}
        self.url = f"http://127.0.0.1:{self._ports['nginx']}"
        self._environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin",
            "HOME": str(self._state),
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._ports['aws']}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HTTPS": "off",
            "STATIC_ROOT": str(self._state / "static"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    # Life

    def up(self) -> None:
        offline = {"KMS_SECRETS_OFFLINE": "1"}
        self.manage("collectstatic", "--noinput", environment=offline)
        self._start_aws()
        self._make_secrets()
        self._fill_store()
        self._start_database()
        self.manage("migrate", "--noinput")
        self._running["web"] = self._gunicorn("web", self._ports["web"], {})
        self._start_nginx()
        self.wait_for_site()

    def down(self) -> None:
        for process in reversed(list(self._running.values())):
            process.stop()
        self._running.clear()
        shutil.rmtree(self._state, ignore_errors=True)

    def restart_web(self) -> None:
        self._running["web"].stop()
        self._running["web"] = self._gunicorn("web", self._ports["web"], {})
        self.wait_for_site()

    def kill_workers(self) -> None:
        for pid in self._running["web"].children():
            os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def frozen_aws(self) -> Iterator[None]:
        self._running["aws"].send(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running["aws"].send(signal.SIGCONT)

    def stop_aws(self) -> None:
        self._running["aws"].stop()

    def start_aws(self) -> None:
        self._start_aws()
        self._fill_store()

    # Questions

    def run(
        self, *command: str, text: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**self._environment, **(environment or {})},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def aws_requests(self) -> list[str]:
        return re.findall(r"^asked: (\w+)$", self._running["aws"].log(), re.M)

    @contextlib.contextmanager
    def beside(self, environments: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Web]]:
        started: dict[str, Web] = {}
        try:
            for name, environment in environments.items():
                started[name] = self._gunicorn(name, self._free_port(), environment)
            yield started
        finally:
            for process in started.values():
                process.stop()

    # Processes

    def _start(
        self, name: str, *command: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._running[name] = _Process(
            command, self._folder, environment or self._environment, self._state / f"{name}.log"
        )

    def _gunicorn(self, name: str, port: int, environment: Mapping[str, str]) -> _Process:
        command = ["gunicorn", "config.wsgi:application", "-c", "config/gunicorn_cfg.py"]
        command += ["--bind", f"127.0.0.1:{port}"]
        variables = {**self._environment, **environment}
        return _Process(command, self._folder, variables, self._state / f"{name}.log", port)

    def _start_aws(self) -> None:
        port = str(self._ports["aws"])
        self._start("aws", sys.executable, str(HERE / "images/aws/server.py"), "127.0.0.1", port)
        url = f"{self._environment['AWS_ENDPOINT_URL']}/moto-api/data.json"
        wait_until(lambda: _answers(url), "aws", seconds=60)

    def _make_secrets(self) -> None:
        self.run("python", "compose/make_secrets.py", str(self._state))
        path = self._state / "secrets.json"
        path.write_text(path.read_text().replace("@db:5432/", f"@127.0.0.1:{self._ports['db']}/"))

    def _fill_store(self) -> None:
        self.manage("secrets", "setup", "--create-key")
        self.manage("secrets", "putall", str(self._state / "secrets.json"))

    def _start_database(self) -> None:
        data = self._state / "data"
        data.mkdir(mode=0o700)
        root = os.geteuid() == 0
        user = ["runuser", "-u", "postgres", "--"] if root else []
        path = self._state / "database-password"
        for owned in (data, path) if root else ():
            shutil.chown(owned, "postgres")
        programs, password = _postgresql(), path.read_text()
        command = [*user, f"{programs}/initdb", "-D", str(data), "-U", "notes", "-E", "UTF8"]
        self.run(*command, "-A", "scram-sha-256", f"--pwfile={path}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._ports["db"]),
            "unix_socket_directories": str(data),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._start("db", *user, f"{programs}/postgres", "-D", str(data), *options)
        ready = [f"{programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", settings["port"]]
        wait_until(lambda: subprocess.run(ready).returncode == 0, "PostgreSQL", seconds=60)
        create = [f"{programs}/createdb", "-h", "127.0.0.1", "-p", settings["port"]]
        environment = {"PGPASSWORD": password}
        self.run(*create, "-U", "notes", "notes", environment=environment)

    def _start_nginx(self) -> None:
        scratch = self._state / "nginx"
        scratch.mkdir()
        text = (self._folder / "nginx/nginx.conf").read_text()
        for there, here in {
            " /tmp/": f" {scratch}/",
            "server web:8000;": f"server 127.0.0.1:{self._ports['web']};",
            "listen 80;": f"listen 127.0.0.1:{self._ports['nginx']};",
            "alias /srv/static/;": f"alias {self._state}/static/;",
            "access_log /dev/stdout short;": f"access_log {scratch}/access.log short;",
        }.items():
            assert there in text, there
            text = text.replace(there, here)
        if os.geteuid() == 0:
            text = f"user root;\n{text}"
        (scratch / "nginx.conf").write_text(text)
        command = ["nginx", "-e", "stderr", "-c", str(scratch / "nginx.conf")]
        self._start("nginx", *command, "-g", "daemon off;")


class _Process(Web):
    """A process, and the file that it writes to."""

    def __init__(
        self,
        command: list[str] | tuple[str, ...],
        folder: Path,
        environment: Mapping[str, str],
        path: Path,
        port: int = 0,
    ) -> None:
        self._path = path
        self._url = f"http://127.0.0.1:{port}/healthz"
        self._began = time.monotonic()
        with path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return self._path.read_text()

    def ended(self) -> Ended:
        left = max(0.1, REFUSAL_SECONDS * 2 - (time.monotonic() - self._began))
        try:
            status = self._process.wait(left)
        except subprocess.TimeoutExpired:
            raise TimeoutError("it still runs") from None
        # Several are started at once, so this is at most how long it took.
        return Ended(status, self.log(), time.monotonic() - self._began)

    def wait_until_healthy(self) -> None:
        wait_until(lambda: _answers(self._url), "it to be healthy", seconds=60)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def stop(self) -> None:
        """Ask it to end; make it, if it does not."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _postgresql() -> Path:
    """Where PostgreSQL's programs are: Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert found, "there is no PostgreSQL"
    return found[-1]
