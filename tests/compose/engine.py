"""`engine.py [--or-native | --native] -- COMMAND…`: run a command where docker can be used.

An engine that answers already is used as it is, with the public images. Where there is none, one
is installed (Debian, root), started, given base images made from Debian's packages, and stopped
when the command has ended. The command finds `KMS_SECRETS_COMPOSE` in its environment.

Without --or-native, no engine is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
#: How long the command may take.
COMMAND_SECONDS = 1200
#: Debian's packages, and the program by which one is found to be there.
ENGINE = {
    "docker.io": "dockerd",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}
BROWSER = {"chromium": "chromium"}
NATIVE = {"nginx-light": "nginx", "postgresql": "pg_lsclusters"}
SUITE = "bookworm"
#: What the public images of Python and nginx have, for both in one.
PACKAGES = "python3,python3-venv,ca-certificates,nginx-light,curl"


class NoEngine(Exception):
    """There is no docker engine, and none could be started."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; the result is its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` is reached
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--or-native", action="store_true", help="run natively if there is none")
    parser.add_argument("--native", action="store_true", help="do not look for an engine")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        if options.native:
            raise NoEngine("it was not looked for (--native)")
        with engine() as environment:
            install(BROWSER)
            return run(options.command, KMS_SECRETS_COMPOSE="engine", **environment)
    except NoEngine as error:
        say(f"no docker engine: {error}")
        if not (options.native or options.or_native):
            return 1
    say("the same tests run natively: nginx, PostgreSQL, gunicorn and moto as processes")
    install({**NATIVE, **BROWSER})
    return run(options.command, KMS_SECRETS_COMPOSE="native")


def run(command: Sequence[str], **environment: str) -> int:
    """Run the command to its end; an interruption, or too long a run, gives it time to tidy up."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        return process.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        say(f"the command took more than {COMMAND_SECONDS} s")
        return 1
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


@contextlib.contextmanager
def engine() -> Iterator[dict[str, str]]:
    """Find an engine, or start one for the length of the block.

    Yields:
        The environment in which it is used.
    """
    if shutil.which("docker") and _answers(dict(os.environ)) and _has_compose():
        say("using the docker engine that is running")
        yield {"MOTO_IMAGE": _image("aws", dict(os.environ))}
        return
    if os.geteuid() != 0:
        raise NoEngine("none is running, and only root can start one")
    install(ENGINE)
    cache = cache_directory()
    with _daemon(cache) as environment:
        yield {**environment, **_base_images(cache, environment)}


def cache_directory() -> Path:
    """Where base images and layers are kept between runs."""
    chosen = os.environ.get("KMS_SECRETS_COMPOSE_CACHE")
    path = Path(chosen or Path(tempfile.gettempdir()) / f"kms-secrets-compose-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise NoEngine(f"{path} belongs to somebody else")
    return path


def install(packages: dict[str, str]) -> None:
    """Install those Debian packages whose program is missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name, program in packages.items() if not shutil.which(program, path=path)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine(f"there is no {', '.join(missing)}, and no way to install it")
    say(f"installing {', '.join(missing)}")
    _apt("update")
    _apt("install", "--yes", "--no-install-recommends", *missing)


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", "-q", "-o", "Acquire::Retries=3", *arguments],
        env=environment,
        timeout=300,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise NoEngine(f"apt-get {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def _has_compose() -> bool:
    if shutil.which("docker-compose"):
        return True
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


def _answers(environment: dict[str, str]) -> bool:
    command = ["docker", "info"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, env=environment, capture_output=True, timeout=20)
        return done.returncode == 0
    return False


@contextlib.contextmanager
def _daemon(cache: Path) -> Iterator[dict[str, str]]:
    # The socket's path has to be short, and its state may not outlive a reboot.
    state = Path(tempfile.mkdtemp(prefix="dockerd-"))
    socket = f"unix://{state}/docker.sock"
    command = [shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin") or "dockerd"]
    command += ["--data-root", str(cache / "data"), "--exec-root", str(state / "exec")]
    command += ["-H", socket, "--pidfile", str(state / "docker.pid")]
    # Debian's engine has no buildx, which newer clients would ask for.
    environment = {"DOCKER_HOST": socket, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(process, {**os.environ, **environment}, state / "log")
        say(f"started a docker engine, process {process.pid}")
        for kind in ("container", "volume", "image"):  # what an interrupted run left
            _docker({**os.environ, **environment}, kind, "prune", "--force")
        yield environment
    finally:
        _stop(process)
        shutil.rmtree(state, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], environment: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + 40
    while not _answers(environment):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoEngine(f"dockerd does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.3)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    say("stopped the docker engine")


def _base_images(cache: Path, environment: dict[str, str]) -> dict[str, str]:
    """Make what cannot be pulled.

    Returns:
        The variables of the compose files that name the images.
    """
    environment = {**os.environ, **environment}
    base = f"notes-test/base:{_digest(SUITE, PACKAGES)}"
    if not _has_image(base, environment):
        _import_base(base, cache, environment)
    with ThreadPoolExecutor() as pool:
        aws = pool.submit(_image, "aws", environment, base)
        db = pool.submit(_image, "db", environment, base)
    return {
        "PYTHON_IMAGE": base,
        "NGINX_IMAGE": base,
        "MOTO_IMAGE": aws.result(),
        "POSTGRES_IMAGE": db.result(),
    }


def _image(name: str, environment: dict[str, str], base: str = "") -> str:
    """Make one of the images in images/, if it is not there."""
    folder = HERE / "images" / name
    image = f"notes-test/{name}:{_digest(base, *_texts(folder))}"
    if not _has_image(image, environment):
        say(f"making the image {image}")
        arguments = ["--build-arg", f"PYTHON_IMAGE={base}"] if base else []
        arguments += ["--quiet", "--tag", image, str(folder)]
        _docker(environment, "build", *arguments)
    return image


def _texts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.iterdir()) if path.is_file()]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def _has_image(name: str, environment: dict[str, str]) -> bool:
    command = ["docker", "image", "inspect", name]
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def _docker(environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(["docker", *arguments], env=environment, capture_output=True, timeout=300)
    if done.returncode:
        raise NoEngine(f"docker {arguments[0]}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")


def _import_base(image: str, cache: Path, environment: dict[str, str]) -> None:
    """Make a Debian with Python and nginx; that takes about a minute."""
    say("making the base image with debootstrap")
    with tempfile.TemporaryDirectory(dir=cache) as name:
        root = Path(name) / "root"
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE]
        done = subprocess.run([*command, root, _mirror()], capture_output=True, timeout=400)
        if done.returncode:
            raise NoEngine(f"debootstrap: {done.stdout[-2000:].decode(errors='replace')}")
        (root / "usr/bin/python").symlink_to("python3")
        _copy_machine_configuration(root)
        tar = Path(name) / "base.tar"
        command = ["tar", "-C", str(root), "--exclude=./var/cache/apt/archives/*.deb"]
        subprocess.run([*command, "-cf", str(tar), "."], check=True, timeout=120)
        _docker(environment, "import", str(tar), image)


def _copy_machine_configuration(root: Path) -> None:
    """Let apt, pip and TLS work in a build as they do on this machine."""
    for name in ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"):
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), root / name)


def _mirror() -> str:
    """The first address in the machine's own list of sources."""
    folder = Path("/etc/apt")
    for path in (*sorted(folder.glob("sources.list.d/*.sources")), folder / "sources.list"):
        text = path.read_text() if path.is_file() else ""
        if found := re.search(r"^(?:URIs:|deb)\s+(http\S+debian\S*)", text, re.MULTILINE):
            return found[1]
    raise NoEngine("no Debian mirror stands in /etc/apt")


def say(text: str) -> None:
    """Write a line about what is going on."""
    print(f"[engine] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
