"""One directory, one shell and one Python, in which the blocks of a page are executed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .pages import commands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .pages import Block, Page

#: What the pages show in the place of what differs from run to run.
SHOWN_ENDPOINT = "http://127.0.0.1:5000"
SHOWN_PORT = "-p 5000"

#: How long a server of a second terminal may take to answer, in seconds.
PATIENCE = 300

_DONE = "@@done@@"

_MANAGE = """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""

#: The least that a page's settings can be built on.
_BASE = """
INSTALLED_APPS = ["django_kms_secrets"]
"""

_PRODUCTION = "from .base import *\n"


class Session:
    """Executes the blocks of a page.

    Args:
        directory: where; empty.
        endpoint: the embedded AWS, or where the page starts one of its own.
        environment: of the shell; this process's, with its Python first in PATH, if left out.
        wheel: what `pip install django-kms-secrets` installs.
    """

    def __init__(
        self,
        directory: Path,
        endpoint: str,
        environment: Mapping[str, str] | None = None,
        wheel: Path | None = None,
    ) -> None:
        self._directory = directory
        self._endpoint = endpoint
        self._wheel = wheel
        environment = dict(environment or with_this_python(os.environ))
        # PYTHONPATH would let a page import what only the tests have.
        environment.pop("PYTHONPATH", None)
        environment["PYTHONWARNINGS"] = "default"
        environment["COLUMNS"] = "200"
        self._shell = self._start(["bash", "--noprofile", "--norc"], environment, subprocess.STDOUT)
        self._python = self._start(
            [sys.executable, str(Path(__file__).with_name("worker.py"))], environment
        )

    def _start(
        self, command: list[str], environment: dict[str, str], stderr: int | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self._directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def close(self) -> None:
        """End both, and what was left running."""
        self.run_command("kill $(jobs -p) 2>/dev/null; wait")
        for process in (self._shell, self._python):
            process.communicate(timeout=PATIENCE)

    def make_project(self) -> None:
        """A project around the settings that the page is about."""
        files = {
            "manage.py": _MANAGE,
            "config/__init__.py": "",
            "config/settings/__init__.py": "",
            "config/settings/base.py": _BASE,
            "config/settings/production.py": _PRODUCTION,
        }
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write a file of the page."""
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def execute(self, block: Block, page: Page) -> None:
        """Execute a block as its kind says.

        Raises:
            AssertionError: it does not do what the page shows.
        """
        where = f"{page.name}:{block.line}"
        if block.file:
            self.write(block.file, block.text)
        elif block.language == "pycon" or (block.language == "python" and block.mark == "run"):
            failure = self.run_python(block.language, block.text, where)
            assert not failure, f"{where}\n{failure}"
        elif block.mark == "second terminal":
            for command, _ in commands(block.text):
                self._leave_running(command)
        elif block.language == "console" and block.mark != "skip":
            for command, shown in commands(block.text):
                self._check(command, shown, where)

    def run_python(self, language: str, text: str, where: str) -> str:
        """Execute Python; gives what went wrong, or nothing."""
        request = {"language": language, "text": text, "where": where}
        answer: str = json.loads(self._ask(self._python, json.dumps(request)))
        return answer

    def run_command(self, command: str) -> tuple[str, int]:
        """Run a command in the shell; gives what it printed, and its exit code."""
        here = self._as_meant(command)
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {here}\n}} </dev/null\nprintf '\\n{_DONE} %s\\n' $?\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(_DONE):
                output = "".join(lines).removesuffix("\n")
                return self._as_shown(output), int(line.split()[1])
            lines.append(line)
        raise AssertionError(f"the shell ended at: {command}")

    def _leave_running(self, command: str) -> None:
        """Start a server beside the shell, and wait until it answers."""
        self.run_command(f"{command} >/dev/null 2>&1 &")
        latest = time.monotonic() + PATIENCE
        while not _answers(self._endpoint):
            assert time.monotonic() < latest, f"nothing answers at {self._endpoint}: {command}"
            time.sleep(0.1)

    def _check(self, command: str, shown: str, where: str) -> None:
        output, code = self.run_command(command)
        failed = bool(
            re.search(r"^(error:|[\w.]+Error:|[\w.]*exceptions\.\w+:)", shown, re.MULTILINE)
        )
        detail = f"{where}\n$ {command}\n{output}(exit code {code})"
        assert (code != 0) == failed, detail
        if shown:
            assert matches(shown, output), f"{detail}\nthe page shows:\n{shown}"

    def _as_meant(self, command: str) -> str:
        port = f"-p {self._endpoint.rpartition(':')[2]}"
        meant = command.replace(SHOWN_ENDPOINT, self._endpoint).replace(SHOWN_PORT, port)
        if self._wheel:
            meant = meant.replace("install django-kms-secrets", f"install '{self._wheel}'")
        return meant

    def _as_shown(self, output: str) -> str:
        return output.replace(self._endpoint, SHOWN_ENDPOINT).replace(
            str(self._directory), "/srv/app"
        )

    @staticmethod
    def _ask(process: subprocess.Popen[str], line: str) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return process.stdout.readline()


def with_this_python(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python` is the one that runs the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return {**environment, "PATH": path}


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def matches(shown: str, output: str) -> bool:
    """Whether output is what a page shows; ``...`` is any text, alone on a line any lines."""
    pattern = ""
    for line in shown.splitlines(keepends=True):
        if line == "...\n":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.split("...")))
    return re.fullmatch(pattern, output) is not None
