"""The demonstration: it works from nothing, it ends whole, and it says what failed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import demo
import pytest

pytest.importorskip("moto")
pytest.importorskip("credstash")

SCRIPT = Path(demo.__file__)
PATIENCE = 120


@pytest.fixture
def temporary(tmp_path):
    """Where the demonstration makes its directory."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    return directory


@contextlib.contextmanager
def started(temporary: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demonstration with next to no environment: no PATH, no HOME, no locale."""
    with subprocess.Popen(
        [sys.executable, "-u", SCRIPT, *args],
        env={"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            if program.poll() is None:
                program.terminate()
                program.communicate(timeout=PATIENCE)


def read_until(program: subprocess.Popen[str], text: str) -> str:
    """What the program writes up to a text."""
    written = ""
    for line in program.stdout:
        written += line
        if text in line:
            return written
    pytest.fail(f"{text!r} was never written: {written}")


def processes(temporary: Path) -> dict[int, str]:
    """The programs whose home is in the directory, and their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={temporary}/" in (path / "environ").read_text(errors="replace"):
                found[int(path.name)] = (path / "cmdline").read_text(errors="replace")
        except OSError:
            continue
    return found


def assert_nothing_is_left(temporary: Path) -> None:
    assert processes(temporary) == {}
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to see processes in")
class TestWhole:
    def test_check(self, temporary):
        """It exits with 0, says what it saw, and leaves nothing, in the project neither."""
        before = sorted(SCRIPT.parent.rglob("*"))
        with started(temporary, "--check") as program:
            output, _ = program.communicate(timeout=PATIENCE)
        assert program.returncode == 0, output
        assert "it is ours" in output
        assert output.count("\n  ok  ") >= 20
        assert output.splitlines()[-1].startswith("the demonstration works")
        assert_nothing_is_left(temporary)
        assert sorted(SCRIPT.parent.rglob("*")) == before

    def test_serves_until_interrupted(self, temporary):
        """It shows address, login and where each secret came from; Ctrl-C ends all of it."""
        with started(temporary) as program:
            output = read_until(program, "Ctrl-C stops everything")
            address = re.search(r"http://127.0.0.1:\d+", output)[0]
            with urllib.request.urlopen(f"{address}/healthz", timeout=PATIENCE) as reply:
                assert reply.read() == b"ok"
            assert len(processes(temporary)) >= 3  # the AWS, gunicorn and a worker
            assert list(temporary.iterdir())
            program.send_signal(signal.SIGINT)
            rest, _ = program.communicate(timeout=PATIENCE)
        assert re.search(r"\n  SECRET_KEY +CredStash table \S+ in \S+ +1 +credstash\n", output)
        assert re.search(r"\n  site +CredStash table .+ manage.py secrets\n", output)
        assert re.search(r"\n  log in as demo with \S{12,}\n", output)
        assert program.returncode == 0, rest
        assert "everything is stopped" in rest
        assert_nothing_is_left(temporary)

    @pytest.mark.parametrize("step", ["it is ours", "secrets putall"])
    def test_interrupted_on_the_way(self, temporary, step):
        """Interrupted before it serves, it ends as whole, and its exit code says so."""
        with started(temporary) as program:
            read_until(program, step)
            program.send_signal(signal.SIGTERM)
            rest, _ = program.communicate(timeout=PATIENCE)
        assert program.returncode == 128 + signal.SIGTERM, rest
        assert "Traceback" not in rest
        assert_nothing_is_left(temporary)

    def test_aws_that_ends(self, temporary):
        """Where one of its servers ends by itself, it exits with 1 and says which."""
        with started(temporary) as program:
            read_until(program, "it is ours")
            for pid, line in processes(temporary).items():
                if "moto" in line:
                    os.kill(pid, signal.SIGKILL)
            rest, _ = program.communicate(timeout=PATIENCE)
        assert program.returncode == 1
        assert "FAILED  AWS has ended (exit code -9)" in rest
        assert "Traceback" not in rest
        assert_nothing_is_left(temporary)


@pytest.fixture
def signals():
    """The signals of this process, as they were afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield demo.Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def programs(tmp_path, signals):
    programs = demo.Programs(tmp_path, signals)
    yield programs
    programs.stop()


class TestParts:
    def test_somebody_elses_aws(self, programs, monkeypatch):
        """An AWS that is not the one just started is refused."""
        monkeypatch.setattr(demo, "WHOSE", "print('123456789012')")
        with pytest.raises(demo.Failed, match=r"somebody else's AWS \(account 123456789012\)"):
            demo.Demo(programs).build()

    def test_stubborn_programs(self, programs, monkeypatch):
        """What does not end when asked to is killed, with what it started itself."""
        code = (
            "import os, signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "os.fork()\nprint('up', flush=True)\ntime.sleep(600)"
        )
        program = programs.serve(
            "stubborn", [sys.executable, "-c", code], stdout=subprocess.PIPE, env={}
        )
        assert [program.stdout.readline() for _ in range(2)] == ["up\n", "up\n"]
        assert len(programs.alive()) == 2
        monkeypatch.setattr(demo, "STOP_SECONDS", 0.5)
        programs.stop()
        assert programs.alive() == []

    def test_interrupted_while_starting(self, programs, signals, tmp_path, monkeypatch):
        """A signal that comes while a program is being started waits, and that program ends too."""
        popen = subprocess.Popen

        def interrupted_popen(*args, **options):
            program = popen(*args, **options)
            os.kill(os.getpid(), signal.SIGTERM)
            return program

        monkeypatch.setattr(subprocess, "Popen", interrupted_popen)
        with pytest.raises(demo.Interrupted):
            programs.run(["sleep", "600"], cwd=tmp_path, env={"PATH": os.defpath})
        assert signals.received == signal.SIGTERM
        assert len(programs.alive()) == 1
        programs.stop()
        assert programs.alive() == []

    def test_server_that_ends(self, programs):
        """A server that has ended is named, with the end of its log."""
        code = "import sys; sys.exit('\\x1b[31mno\\x1b[0m port')"
        server = programs.serve("gunicorn", [sys.executable, "-c", code], env={})
        server.wait()
        with pytest.raises(demo.Failed, match=r"gunicorn has ended \(exit code 1\)\n    no port"):
            demo.stay(programs)

    def test_failed_program(self, programs, tmp_path):
        """A program that fails, hangs or is missing is an error with its words."""
        code = "import sys; sys.exit('what went wrong')"
        with pytest.raises(demo.Failed, match=r"exit code 1\n    what went wrong"):
            programs.run([sys.executable, "-c", code], cwd=tmp_path, env={})
        with pytest.raises(demo.Failed, match="cannot start /nowhere: No such file"):
            programs.run(["/nowhere"], cwd=tmp_path, env={})

    def test_program_that_hangs(self, programs, tmp_path, monkeypatch):
        """No program takes longer than it may, and none is left."""
        monkeypatch.setattr(demo, "PROGRAM_SECONDS", 0.5)
        with pytest.raises(demo.Failed, match=r"not done within 0.5 s"):
            programs.run([sys.executable, "-c", "while True: pass"], cwd=tmp_path, env={})
        assert programs.alive() == []

    @pytest.mark.parametrize("place", ["page", "log", "command line"])
    def test_secret_that_shows(self, programs, tmp_path, place, capsys):
        """The check finds a secret, down to a leaf of a tree, wherever it looks for one."""
        shown = demo.Demo(programs)
        key = shown.secrets["site"]["api"]["weather"]["key"]
        programs.log("gunicorn").write_text(key if place == "log" else "GET /")
        echo = [sys.executable, "-c", "pass", key if place == "command line" else "nothing"]
        programs.run(echo, cwd=tmp_path, env={})
        with pytest.raises(demo.Failed, match=r"not so: no secret is in .* \(site\)"):
            demo.look_for_secrets(shown, programs, [key if place == "page" else "<html>"])

    def test_nothing_that_shows(self, programs, capsys):
        """Where there is none it says so, place by place."""
        programs.log("gunicorn").write_text("GET /")
        demo.look_for_secrets(demo.Demo(programs), programs, ["<html>"])
        assert capsys.readouterr().out.count("ok  no secret is in") == 4
