"""The command as a process: terminals, pipes, signals, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import MARK
from .doors import MODULE, PATIENCE, environment, inside, on_terminal, outside

# A project with nothing in it but our app, whose settings have the store's URL.
MANAGE = """
import os, sys
from django.conf import settings
from django.core.management import execute_from_command_line
settings.configure(
    INSTALLED_APPS=["django_kms_secrets"], KMS_SECRETS=os.environ.pop("KMS_SECRETS_URL")
)
execute_from_command_line(sys.argv)
"""


@pytest.fixture
def module(url, monkeypatch):
    """The command line of one door, where it does not matter which."""
    monkeypatch.setenv("KMS_SECRETS_URL", url)
    return MODULE


@pytest.fixture(params=["module", "manage"])
def program(request, url, tmp_path, monkeypatch):
    """The command line of either door, on the table."""
    monkeypatch.setenv("KMS_SECRETS_URL", url)
    if request.param == "module":
        return MODULE
    script = tmp_path / "manage.py"
    script.write_text(MANAGE)
    return [sys.executable, str(script), "secrets"]


class TestTranscript:
    def test_streams(self, program, cwd, stored):
        """As a process: values through stdin, data on stdout, words on stderr."""
        done = outside([*program, "put", "A", "-"], cwd=cwd, stdin=f"{MARK}\r\n")
        assert (done.code, done.out) == (0, "")
        assert "A version 0000000000000000001 stored" in done.err
        done = outside([*program, "get", "A", "-n"], cwd=cwd)
        assert (done.code, done.out, done.err) == (0, f"{MARK}\r\n", "")
        done = outside([*program, "get", "B"], cwd=cwd)
        assert done.failed().startswith("error: B is not in CredStash table")
        assert outside([*program, "get"], cwd=cwd).refused()
        assert stored() == {"A": f"{MARK}\r\n"}

    def test_no_terminal(self, program, cwd, stored):
        """With stdin closed, or /dev/null, there is nobody to ask, and nothing to read."""
        for argv, words in (
            (["put", "A"], "no terminal to ask on"),
            (["delete", "A"], "not done without a yes"),
            (["put", "A", "-"], "stdin is closed"),
        ):
            shell = ["sh", "-c", 'exec "$@" <&-', "sh", *program, *argv]
            assert words in outside(shell, cwd=cwd).failed()
        assert stored() == {}


class TestTerminal:
    @pytest.mark.parametrize("option", [[], ["-P"]], ids=["no VALUE", "-P"])
    def test_prompt(self, program, cwd, stored, option):
        """Asked on the terminal, the value is not echoed, and stdout stays empty."""
        done = on_terminal([*program, "put", "A", *option], [("A: ", f"{MARK}\n")], cwd=cwd)
        assert done.code == 0, done.screen
        assert "A version 0000000000000000001 stored" in done.screen
        assert MARK not in done.screen + done.piped
        assert stored() == {"A": MARK}

    def test_prompt_with_context(self, module, cwd, url):
        """With -P what follows the name is context, as in credstash."""
        argv = [*module, "put", "A", "-P", "env=prod", "app=notes"]
        assert on_terminal(argv, [("A: ", f"{MARK}\n")], cwd=cwd).code == 0
        done = inside("module", url, ["get", "A", "app=notes", "env=prod"])
        assert done.ok().out == f"{MARK}\n"

    @pytest.mark.parametrize(
        "key, code, words",
        [("\x03", 130, ""), ("\x04", 1, "error: no value for A: the input ended\nhint: ")],
        ids=["Ctrl-C", "Ctrl-D"],
    )
    def test_prompt_left(self, program, cwd, stored, key, code, words):
        """Ctrl-C and Ctrl-D at the prompt end the command, without a traceback."""
        done = on_terminal([*program, "put", "A"], [("A: ", key)], cwd=cwd)
        assert done.code == code
        assert "Traceback" not in done.screen
        assert words in done.screen
        assert stored() == {}

    @pytest.mark.parametrize(
        "answer, gone", [("y", True), ("YES", True), ("n", False), ("", False)]
    )
    def test_delete_asks(self, module, cwd, fill, stored, answer, gone):
        """``delete`` asks; only a yes is a yes."""
        fill({"A": MARK})
        question = "delete A from CredStash table credential-store in ap-northeast-2? [y/N] "
        done = on_terminal([*module, "delete", "A"], [(question, f"{answer}\n")], cwd=cwd)
        assert done.code == (0 if gone else 1)
        assert ("error: not done\nhint: answer y to do it" in done.screen) is not gone
        assert stored() == ({} if gone else {"A": MARK})

    def test_prune_asks(self, module, cwd, fill, stored, tmp_path):
        """``putall --prune`` asks before anything is written."""
        fill({"A": "old", "B": "x"})
        (tmp_path / "s.json").write_text('{"A": "new"}')
        argv = [*module, "putall", str(tmp_path / "s.json"), "--prune"]
        assert on_terminal(argv, [("delete B from ", "n\n")], cwd=cwd).code == 1
        assert stored() == {"A": "old", "B": "x"}
        assert on_terminal(argv, [("delete B from ", "y\n")], cwd=cwd).code == 0
        assert stored() == {"A": "new"}

    def test_table(self, module, cwd, fill):
        """On a terminal a listing is a table with a heading, still without values."""
        fill({"A": MARK, "LONGER": MARK})
        done = on_terminal([*module, "list"], [], cwd=cwd, pipe=False)
        heading, first, second = (line.rstrip() for line in done.screen.strip().splitlines())
        assert "name" in heading
        assert "version" in heading
        assert "\t" not in done.screen
        assert MARK not in done.screen
        assert first.index("00000") == second.index("00000")


class TestPipes:
    def test_reader_that_goes_away(self, module, cwd, fill):
        """``getall | head -1`` ends without a traceback, however much is left to write."""
        fill({f"S{number}": "x" * 50_000 for number in range(8)})
        quoted = "exec " + " ".join(f"'{part}'" for part in [*module, "getall"])
        done = subprocess.run(
            ["sh", "-c", f"({quoted}; echo $? >&2) | head -1"],
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stdout == "{\n"
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr

    def test_reader_that_was_never_there(self, program, cwd, fill):
        """The exit code says that not all was written."""
        fill({"A": MARK})
        process = subprocess.Popen(
            [*program, "getall"],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdout.close()
        with process.stderr as stderr:
            assert stderr.read() == b""
        assert process.wait(PATIENCE) == 1

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
    def test_full_disk(self, program, cwd, fill):
        """A stdout that takes no more is an error, not a success."""
        fill({"A": MARK})
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*program, "getall"],
                cwd=cwd,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=PATIENCE,
            )
        assert done.returncode == 1
        assert done.stderr.startswith(
            "error: cannot write to stdout: No space left on device\nhint:"
        )

    def test_closed_stdout(self, program, cwd, fill):
        """Data that can be written nowhere is an error; words need no stdout."""
        fill({"A": MARK})
        closed = ["sh", "-c", 'exec "$@" >&-', "sh", *program]
        for argv in (["keys"], ["list"], ["getall"], ["get", "A"], ["list", "-f", "json"]):
            done = outside([*closed, *argv], cwd=cwd)
            assert "error: cannot write to stdout: Bad file descriptor" in done.failed()
        assert outside([*closed, "delete", "A", "--yes"], cwd=cwd).code == 0

    def test_closed_stderr(self, program, cwd, fill):
        """The data comes, the exit code tells, and nothing is done without a yes."""
        fill({"A": MARK})
        closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *program]
        done = outside([*closed, "getall"], cwd=cwd)
        assert (done.code, json.loads(done.out)) == (0, {"A": MARK})
        for argv in (["get", "NOPE"], ["delete", "A"]):
            done = outside([*closed, *argv], cwd=cwd)
            assert (done.code, done.out) == (1, "")

    def test_stdout_of_another_encoding(self, program, cwd, fill):
        """A value that stdout cannot write is an error without the value."""
        fill({"A": f"{MARK} 中文"})
        env = environment(PYTHONIOENCODING="ascii")
        done = outside([*program, "get", "A"], cwd=cwd, env=env)
        assert "stdout takes only ascii" in done.failed()
        assert MARK not in done.words


class TestInterrupt:
    def test_while_waiting_for_aws(self, program, cwd, url):
        """Ctrl-C while AWS does not answer: 130, at once, without a traceback."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(PATIENCE)
            env = environment(
                AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
                KMS_SECRETS_URL=f"{url}&read_timeout=600&timeout=600",
            )
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with subprocess.Popen([*program, "getall"], cwd=cwd, env=env, **pipes) as process:
                try:
                    connection, _ = silent.accept()
                    with connection:
                        process.send_signal(signal.SIGINT)
                        out, err = process.communicate(timeout=PATIENCE)
                finally:
                    process.kill()
        assert process.returncode == 130
        assert (out, err.strip()) == (b"", b"")


class TestNothingIsLeft:
    def test_no_file_in_the_current_directory(self, module, cwd, tmp_path):
        """No verb leaves a file where it runs: no log, and no cache (credstash leaves a log)."""
        (tmp_path / "s.json").write_text('{"A": "1", "B": "2"}')
        for argv in (
            ["setup", "--create-key"],
            ["putall", str(tmp_path / "s.json")],
            ["getall"],
            ["list"],
            ["get", "NOPE"],
            ["delete", "A", "--yes"],
        ):
            outside([*module, *argv], cwd=cwd)
            assert list(cwd.iterdir()) == []

    def test_no_child_processes(self, url):
        """The command starts no program, so no value can be on the command line of one."""
        started, watching = [], [True]

        def audit(event, args):  # it cannot be taken down again, only be told to look away
            if watching and event in STARTS:
                started.append((event, args))

        sys.addaudithook(audit)
        inside("module", url, ["putall", "-"], f"A={MARK}").ok()
        inside("module", url, ["getall"]).ok()
        assert started == []
        subprocess.run([sys.executable, "-c", ""], check=True)
        watching.clear()
        assert started, "the hook does not see what it is there for"


STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"}
