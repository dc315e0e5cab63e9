"""Measure the figures of ``explanation/referee.md`` again.

``python docs/tools/figures.py``, from the root of the repository, with the tests' requirements
installed. It takes about five minutes, nearly all of which credstash waits for a dead endpoint.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.server.embedded import REGION, EmbeddedAWS

COUNT = 20
#: When to stop waiting for a `getall` that hangs (seconds).
PATIENCE = 30
URL = "credstash://"


def main() -> None:
    """Print a line for each figure."""
    server = EmbeddedAWS()
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        # credstash writes its log into the current directory.
        os.chdir(folder)
        for name in [name for name in os.environ if name.startswith(("AWS_", "CREDSTASH_"))]:
            del os.environ[name]
        os.environ.update(
            HOME=folder,
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="key",  # noqa: S106 - the embedded server takes any
            AWS_DEFAULT_REGION=REGION,
            AWS_EC2_METADATA_DISABLED="true",
            AWS_ENDPOINT_URL=server.endpoint,
        )
        _requests(server)
        _hang()
        _sessions(Path(folder))
        _dead_endpoint()
        os.chdir("/")


def _requests(server: EmbeddedAWS) -> None:
    import credstash

    from django_kms_secrets import load
    from django_kms_secrets.config import read_config

    with read_config(URL).make_store() as store:
        store.setup_key()  # type: ignore[attr-defined]
        store.setup()
        store.put_many({f"NAME_{number}": "value" for number in range(COUNT)})
    with server.counted() as theirs:
        credstash.getAllSecrets("")
    with server.counted() as ours:
        dict(load(URL))
    _say(f"requests for {COUNT} secrets", theirs.total(), ours.total())
    with read_config(URL).make_store() as store:
        for number in range(COUNT):
            store.delete(f"NAME_{number}")


def _hang() -> None:
    for name, *context in (["ONE"], ["TWO", "env=production"], ["THREE"]):
        command = [_program("credstash"), "put", name, "value", *context]
        subprocess.run(command, capture_output=True, check=True)
    _say(
        "getall with another context",
        _timed([_program("credstash"), "getall"], PATIENCE),
        _timed([sys.executable, "-m", "django_kms_secrets", "getall", "--url", URL], PATIENCE),
    )


def _sessions(folder: Path) -> None:
    config = folder / "config"
    config.write_text("[profile a]\nregion = eu-west-1\n[profile b]\nregion = us-east-1\n")
    code = "import credstash as c; c.get_session(profile_name='a');"
    code += "print(c.get_session(profile_name='b').profile_name)"
    environment = {"AWS_CONFIG_FILE": str(config), "HOME": str(folder)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    _say("profile of the session for b", result.stdout.strip(), "b")


def _dead_endpoint() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        _say(
            "get from a dead endpoint",
            _timed([_program("credstash"), "get", "NAME"], 1200),
            _timed([sys.executable, "-m", "django_kms_secrets", "get", "NAME", "--url", URL], 1200),
        )


def _timed(command: list[str], patience: float) -> str:
    start = time.monotonic()
    try:
        code = subprocess.run(
            command, capture_output=True, timeout=patience, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return f"stopped after {patience} s"
    return f"exit code {code} after {time.monotonic() - start:.1f} s"


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _say(what: str, theirs: object, ours: object) -> None:
    sys.stdout.write(f"{what}: credstash {theirs}; here {ours}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
