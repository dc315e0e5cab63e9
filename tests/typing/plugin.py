"""Whether mypy, whose plugin of django-stubs imports the settings, leaves AWS alone.

Usage: ``python tests/typing/plugin.py``, where both are installed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

SITE = {
    "site_settings.py": """
from django_kms_secrets import load

secrets = load("credstash://?region_name=eu-west-1")
SECRET_KEY = secrets["SECRET_KEY"]
DATABASES = {"default": secrets.env.db("DATABASE_URL")}
""",
    "uses.py": """
from django.conf import settings
from typing_extensions import assert_type

from django_kms_secrets import SecretStr

assert_type(settings.SECRET_KEY, SecretStr)
""",
    "mypy.ini": """
[mypy]
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = "site_settings"
""",
}
IMPORTS = [sys.executable, "-c", "import site_settings"]
CHECKS = [sys.executable, "-m", "mypy", "--no-incremental", "uses.py"]


def run(command: list[str], directory: Path) -> tuple[subprocess.CompletedProcess[str], bool]:
    """Run it with an AWS that takes connections and says nothing; give also whether it had one."""
    with socket.create_server(("127.0.0.1", 0)) as aws:
        host, port = aws.getsockname()
        environment = {
            **{name: value for name, value in os.environ.items() if name != "KMS_SECRETS_OFFLINE"},
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "AKIAEMBEDDED",
            "AWS_SECRET_ACCESS_KEY": "embedded",
        }
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        aws.setblocking(False)
        try:
            aws.accept()[0].close()
        except BlockingIOError:
            return done, False
        return done, True


def main() -> str | None:
    """Give what is wrong, or None."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file, text in SITE.items():
            (directory / file).write_text(text)
        done, asked = run(IMPORTS, directory)
        if not asked or done.returncode == 0:
            return "these settings do not ask AWS, so nothing is proved"
        done, asked = run(CHECKS, directory)
    if asked:
        return "mypy asked AWS"
    return None if done.returncode == 0 else done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
