"""The two doors of the command, and what came out of them.

Through the same doors as a user: ``python -m django_kms_secrets`` and ``manage.py secrets``, either
inside this process (quick) or as a process of its own (real).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import override_settings

from django_kms_secrets.__main__ import main
from django_kms_secrets.management.commands.secrets import Command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Longer than anything here takes, even on a busy machine (seconds).
PATIENCE = 180


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """All that was written, wherever."""
        return self.out + self.err

    def ok(self) -> Done:
        """The same, if it succeeded."""
        assert self.code == 0, self.err
        return self

    def failed(self, *, code: int = 1) -> str:
        """The words of a failure: ``error: …``, then ``hint: …``, and nothing on stdout."""
        assert (self.code, self.out) == (code, ""), self.words
        error = self.err[self.err.index("error: ") :]
        assert error.count("error: ") == error.count("hint: ") == 1, error
        assert error.index("hint: ") == error.rindex("\n", 0, -1) + 1, error
        assert "Traceback" not in self.err
        return error

    def refused(self) -> str:
        """The words of wrong usage: usage, then the error, by argparse."""
        assert (self.code, self.out) == (2, ""), self.words
        assert self.err.startswith("usage: "), self.err
        return self.err


def inside(door: str, url: str, args: Sequence[str], stdin: str | bytes = "") -> Done:
    """Run the command in this process."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = _DOORS[door](url, args)
        except SystemExit as exc:
            code = int(exc.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def _module(url: str, args: Sequence[str]) -> int:
    with mock.patch.dict(os.environ, {"KMS_SECRETS_URL": url}):
        return main(list(args))


def _manage(url: str, args: Sequence[str]) -> int:
    with override_settings(KMS_SECRETS=url):
        Command().run_from_argv(["manage.py", "secrets", *args])
    return 0


def _call(url: str, args: Sequence[str]) -> int:
    with override_settings(KMS_SECRETS=url):
        try:
            call_command("secrets", *args, stdout=sys.stdout, stderr=sys.stderr)
        except CommandError as exc:
            print(f"error: {exc}", file=sys.stderr)
            return exc.returncode
    return 0


#: ``call`` is `call_command`, from other Python code; its exception is written as an error is.
_DOORS = {"module": _module, "manage": _manage, "call": _call}

MODULE = [sys.executable, "-m", "django_kms_secrets"]


def environment(**more: str) -> dict[str, str]:
    """What a child needs of this process: no setting of the test run itself reaches it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME"} or name.startswith(("AWS_", "KMS_SECRETS"))
    }
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **more}


def outside(
    argv: Sequence[str],
    *,
    cwd: Path,
    stdin: str = "",
    env: dict[str, str] | None = None,
) -> Done:
    """Run a program; its standard streams are pipes."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        input=stdin.encode(),
        env=env or environment(),
        capture_output=True,
        timeout=PATIENCE,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


# Makes the terminal the controlling one, as a login does, so that /dev/tty and Ctrl-C work.
_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Typed:
    """How a command on a terminal ended.

    Attributes:
        screen: what the terminal showed.
        piped: what went to stdout, where that was a pipe.
    """

    code: int
    screen: str
    piped: str


def on_terminal(
    argv: Sequence[str],
    answers: Sequence[tuple[str, str]],
    *,
    cwd: Path,
    env: dict[str, str] | None = None,
    pipe: bool = True,
    columns: int = 80,
) -> Typed:
    """Run a program on a terminal of its own.

    Args:
        argv: the program.
        answers: pairs of what has to appear on the screen, and what is typed then.
        cwd: where it runs.
        env: its environment.
        pipe: whether its stdout is a pipe; otherwise it is the terminal too.
        columns: the width of the terminal.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    program = subprocess.Popen(
        [sys.executable, "-c", _ON_TERMINAL, *argv],
        cwd=cwd,
        env=env or environment(TERM="xterm"),
        stdin=theirs,
        stdout=subprocess.PIPE if pipe else theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        screen = _type(ours, answers)
        piped = program.stdout.read().decode() if program.stdout else ""
        return Typed(program.wait(PATIENCE), screen, piped)
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        if program.stdout:
            program.stdout.close()
        os.close(ours)


def _type(terminal: int, answers: Sequence[tuple[str, str]]) -> str:
    """Type each answer once its question is on the screen; give the whole screen."""
    screen, shown = "", 0
    for question, answer in answers:
        while question not in screen[shown:]:
            more = _read(terminal)
            assert more, f"{question!r} never appeared on {screen!r}"
            screen += more
        shown = len(screen)
        # Who turns the echo off flushes what was typed before that: give it a moment.
        time.sleep(0.2)
        os.write(terminal, answer.encode())
    while more := _read(terminal):
        screen += more
    return screen.replace("\r\n", "\n")


def _read(terminal: int) -> str:
    ready, _, _ = select.select([terminal], [], [], PATIENCE)
    assert ready, "nothing happened on the terminal"
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # Linux's way to say that the program let go of it
        return ""
