"""The site in containers: the compose files of the example project, as anybody would use them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployment import REFUSAL_SECONDS, Deployment, Ended, Web, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The variables by which docker-compose.yml sends the site to its stand-in for AWS.
_STAND_IN = {
    "AWS_ENDPOINT_URL": "http://aws:5000",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_EC2_METADATA_DISABLED": "true",
    "HTTPS": "off",
}
_KILL_WORKERS = """
import os, signal
from pathlib import Path
for path in Path("/proc").glob("[0-9]*/stat"):
    pid, parent = path.parent.name, path.read_text().rpartition(")")[2].split()[1]
    command = (path.parent / "cmdline").read_text()
    if parent == "1" and int(pid) != os.getpid() and "gunicorn" in command:
        os.kill(int(pid), signal.SIGKILL)
"""


class EngineDeployment(Deployment):
    """One compose project.

    Args:
        folder: the example project.
        port: where nginx is published, on 127.0.0.1.
        project: the name of the compose project.
        scratch: a directory for files of this run.
        planted: variables of the builder's environment that must not get into an image.
    """

    def __init__(
        self, folder: Path, port: int, project: str, scratch: Path, planted: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.project = project
        self.url = f"http://127.0.0.1:{port}"
        self.images = (f"{project}-web", f"{project}-nginx")
        self._scratch = scratch
        self._beside: dict[str, Any] = {}
        self._environment = {
            **os.environ,
            **planted,
            "HTTP_PORT": str(port),
            "WEB_IMAGE": self.images[0],
            "NGINX_SITE_IMAGE": self.images[1],
        }

    # Life

    def up(self) -> None:
        self.compose("build", "--quiet", seconds=300)
        self.compose("up", "-d", seconds=180)
        self.wait_for_site()

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "-t", "5", seconds=120)

    def remove_images(self) -> None:
        """Remove the images that were built here."""
        subprocess.run(["docker", "rmi", "-f", *self.images], capture_output=True, timeout=60)

    def restart_web(self) -> None:
        self.compose("restart", "-t", "10", "web")
        self.wait_for_site()

    def kill_workers(self) -> None:
        self.compose("exec", "-T", "web", "python", "-c", _KILL_WORKERS)

    @contextlib.contextmanager
    def frozen_aws(self) -> Iterator[None]:
        self.compose("pause", "aws")
        try:
            yield
        finally:
            self.compose("unpause", "aws")

    def stop_aws(self) -> None:
        self.compose("stop", "-t", "2", "aws")

    def start_aws(self) -> None:
        self.compose("start", "aws")
        wait_until(lambda: self._health("aws") == "healthy", "aws", seconds=90)
        self.compose("run", "--rm", "-T", "--no-deps", "secrets")

    # Questions

    def run(
        self, *command: str, text: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        variables = [f"-e{name}={value}" for name, value in (environment or {}).items()]
        return self.compose(
            "run", "--rm", "-T", "--no-deps", *variables, "web", *command, text=text
        )

    def aws_requests(self) -> list[str]:
        return re.findall(r"asked: (\w+)$", self.compose("logs", "--no-color", "aws"), re.M)

    def containers(self) -> list[dict[str, Any]]:
        """What `docker inspect` knows of each container of the project."""
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}")
        return json.loads(docker("inspect", *ids.split())) if ids else []

    def container(self, service: str) -> dict[str, Any]:
        """What `docker inspect` knows of the one container of a service."""
        found = [one for one in self.containers() if _service(one) == service]
        assert len(found) == 1, f"{len(found)} containers of {service}"
        return found[0]

    def compose(self, *arguments: str, text: str = "", seconds: float = 90) -> str:
        """Run docker-compose on the project; what it writes to stdout."""
        return compose(
            "-p",
            self.project,
            *self._files(),
            *arguments,
            environment=self._environment,
            text=text,
            seconds=seconds,
        )

    def _files(self) -> list[str]:
        files = [self.folder / "docker-compose.yml"]
        files += [self._scratch / "beside.json"] if self._beside else []
        return [part for path in files for part in ("-f", str(path))]

    def _health(self, service: str) -> str:
        state = self.container(service)["State"]
        return str(state.get("Health", {}).get("Status", state["Status"]))

    # More of the same

    @contextlib.contextmanager
    def beside(self, environments: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Web]]:
        source = {"file": str(self.folder / "docker-compose.site.yml"), "service": "web"}
        services = {
            name: {"extends": source, "environment": {**_STAND_IN, **environment}}
            for name, environment in environments.items()
        }
        self._describe({**self._beside, **services})
        try:
            self.compose("up", "-d", "--no-deps", *services)
            yield {name: _Container(self, name) for name in services}
        finally:
            self.compose("rm", "--stop", "--force", *services)
            left = {name: self._beside[name] for name in self._beside if name not in services}
            self._describe(left)

    def _describe(self, services: dict[str, Any]) -> None:
        """Write the compose file of what runs beside the site."""
        self._beside = services
        (self._scratch / "beside.json").write_text(json.dumps({"services": services}))


class _Container(Web):
    def __init__(self, deployment: EngineDeployment, name: str) -> None:
        self._deployment = deployment
        self._name = name

    def log(self) -> str:
        return self._deployment.compose("logs", "--no-color", "--no-log-prefix", self._name)

    def ended(self) -> Ended:
        def has_ended() -> bool:
            return self._state()["Status"] == "exited"

        wait_until(has_ended, f"{self._name} to end", seconds=REFUSAL_SECONDS * 2)
        state = self._state()
        spent = _moment(state["FinishedAt"]) - _moment(state["StartedAt"])
        return Ended(state["ExitCode"], _attached_to_removed(self.log()), spent)

    def wait_until_healthy(self) -> None:
        def is_healthy() -> bool:
            return self._state()["Health"]["Status"] == "healthy"

        wait_until(is_healthy, f"{self._name} to be healthy", seconds=60)

    def _state(self) -> dict[str, Any]:
        return self._deployment.container(self._name)["State"]


def compose(
    *arguments: str, environment: Mapping[str, str], text: str = "", seconds: float = 90
) -> str:
    """Run docker-compose, the first or the second generation; what it writes to stdout."""
    program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    done = subprocess.run(
        [*program, *arguments],
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def docker(*arguments: str, seconds: float = 60) -> str:
    """Run docker; what it writes to stdout."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"docker {arguments}: {done.stderr}"
    return done.stdout


def _service(container: Mapping[str, Any]) -> str:
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def _attached_to_removed(log: str) -> str:
    """Leave out the line of compose 1 about which containers it shows."""
    return "".join(f"{line}\n" for line in log.splitlines() if not line.startswith("Attaching to"))


def _moment(text: str) -> float:
    # Docker writes nanoseconds, Python up to 3.10 reads microseconds.
    return datetime.fromisoformat(f"{text[:26].rstrip('Z')}+00:00").timestamp()
