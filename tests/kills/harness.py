"""Commands that are killed, at a system call or whenever somebody says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Longer than anything here takes, even on a busy machine (seconds).
PATIENCE = 120
KILLED = -signal.SIGKILL
ROOT = Path(__file__).parents[2]


class Writer:
    """Runs the command in processes that have imported everything already.

    Args:
        scratch: where what a command says is kept.
        env: its environment.
    """

    def __init__(self, scratch: Path, env: Mapping[str, str]) -> None:
        self._words = scratch / "words"
        self._trace = scratch / "trace"
        self._program = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"},
            bufsize=0,
        )

    def close(self) -> None:
        assert self._program.stdin
        self._program.stdin.close()
        assert self._program.wait(PATIENCE) == 0
        assert self._program.stdout
        self._program.stdout.close()

    def warm(self, *argv: str) -> None:
        """Let it import what a command needs, by running it."""
        self._send(argv, warm=True)
        assert self._number() == self._number() == 0, self.words

    def begin(self, *argv: str) -> Run:
        """A command that has not begun yet."""
        self._send(argv)
        return Run(self._number(), self)

    def run(self, *argv: str) -> int:
        """Run a command to its end; gives the exit code."""
        return self.begin(*argv).finish()

    def calls(self, kinds: Sequence[str], *argv: str) -> list[Call]:
        """Run a command to its end; gives the system calls it makes, each thread's on its own."""
        run = self.begin(*argv)
        with self._traced(run.pid, f"trace={','.join(kinds)}"):
            code = run.finish()
        assert code == 0, self.words
        return _calls(self._trace.read_text())

    def killed_at(self, call: Call, *argv: str) -> bool:
        """Run a command and kill it before a system call of any thread; False if it made none."""
        run = self.begin(*argv)
        with self._traced(run.pid, f"inject={call.kind}:signal=KILL:when={call.number}"):
            code = run.finish()
        assert code in (0, KILLED), self.words
        return code == KILLED

    @property
    def words(self) -> str:
        """What the last command said."""
        return self._words.read_text()

    @contextmanager
    def _traced(self, pid: int, expression: str) -> Iterator[None]:
        strace = follow("-o", str(self._trace), "-e", expression, "-p", str(pid))
        try:
            yield
            strace.wait(PATIENCE)
        finally:
            strace.kill()
            strace.communicate()

    def _send(self, argv: Sequence[str], *, warm: bool = False) -> None:
        environment = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        command = {"argv": argv, "env": environment, "words": str(self._words), "warm": warm}
        self.write(json.dumps(command).encode())

    def write(self, data: bytes) -> None:
        assert self._program.stdin
        self._program.stdin.write(data)

    def _number(self) -> int:
        assert self._program.stdout
        return int(self._program.stdout.readline())

    ended = _number


class Run:
    """A command, in a process that waits to begin."""

    def __init__(self, pid: int, writer: Writer) -> None:
        self.pid = pid
        self._writer = writer
        self._over = threading.Event()

    def finish(self) -> int:
        """Let it begin, and wait for its end; gives the exit code, negative for a signal."""
        self._writer.write(b"!")
        code = self._writer.ended()
        self._over.set()
        return code

    def kill(self) -> None:
        """Kill it, from another thread than the one that waits; nothing of it is sent after."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._over.wait(PATIENCE)


class Call(NamedTuple):
    """A system call of a thread.

    Attributes:
        kind: its name.
        number: the how manieth of that kind in its thread, from 1.
    """

    kind: str
    number: int


def sampled(calls: Sequence[Call], most: int) -> list[Call]:
    """At most so many of them: the first, the last, and others evenly between."""
    if len(calls) <= most:
        return list(calls)
    return [calls[index * (len(calls) - 1) // (most - 1)] for index in range(most)]


def _calls(trace: str) -> list[Call]:
    """The calls of all threads in their order; those of two threads that are the same one, once."""
    counts: Counter[tuple[str, str]] = Counter()
    calls: dict[Call, None] = {}
    for line in trace.splitlines():
        if found := re.match(r"(\d+) +(\w+)\(", line):
            thread, kind = found.groups()
            counts[thread, kind] += 1
            calls[Call(kind, counts[thread, kind])] = None
    return list(calls)


def follow(*arguments: str) -> subprocess.Popen[str]:
    """Follow a process and its threads.

    Raises:
        AssertionError: that is not possible here; it says why.
    """
    mend = "apt-get install strace; in a container: --cap-add SYS_PTRACE, and a kernel above 4.8"
    try:
        strace = subprocess.Popen(
            ["strace", "-f", "-e", "signal=none", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        raise AssertionError(f"there is no strace, and kills need it: {mend}") from None
    assert strace.stderr
    said = strace.stderr.readline()
    if "attached" not in said:
        said += strace.communicate(timeout=PATIENCE)[1]
        raise AssertionError(f"strace cannot follow a process here: {said.strip()} ({mend})")
    return strace
