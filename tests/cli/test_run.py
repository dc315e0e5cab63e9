"""`secrets run`: a program takes the place of the command, with what was fetched.

What its processes make of that is in ``tests/leaks/test_run.py``.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path

import pytest

from django_kms_secrets import snapshot

from .conftest import MARK
from .doors import MODULE, PATIENCE, environment, inside, on_terminal, outside

#: In this process nothing may be started: it would take the place of the tests.
NOTHING = "no-such-program"

#: Reads a store without a configuration of its own, and says whether it needed boto3 for that.
READ = """
import sys
from django_kms_secrets import load
print(str(load()["A"]), "boto3" in sys.modules)
"""


@pytest.fixture
def run(file_url):
    """The command line up to the program, on a file: what is fetched does not matter."""
    return [*MODULE, "run", "--url", file_url, "--"]


@pytest.fixture
def run_table(url, monkeypatch, fill):
    """The command line up to the program, on the table."""
    monkeypatch.setenv("KMS_SECRETS_URL", url)
    fill({"A": MARK})
    return [*MODULE, "run", "--"]


def python(code):
    return [sys.executable, "-c", code]


@contextmanager
def started(argv, cwd):
    """A process with a group of its own, whose stdout is a pipe; nothing of it stays."""
    process = subprocess.Popen(
        argv, cwd=cwd, env=environment(), stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        try:
            yield process
        finally:
            # A background job of a shell outlives it, as after SIGINT.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class TestProgram:
    def test_exit_code(self, run, cwd):
        """The exit code and the streams are the program's; the command writes nothing itself."""
        done = outside([*run, "sh", "-c", "cat; echo words >&2; exit 7"], cwd=cwd, stdin="data")
        assert (done.code, done.out, done.err) == (7, "data", "words\n")

    def test_process(self, run, cwd):
        """It is the same process, so there is no supervisor between it and whoever started it."""
        with started([*run, "sh", "-c", "echo $$"], cwd) as process:
            assert int(process.communicate(timeout=PATIENCE)[0]) == process.pid

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_signals(self, run, cwd, number):
        """A signal is the program's, and so is the end by one."""
        # What is ignored here, as SIGHUP under nohup, would be ignored there; a handler is not
        # inherited.
        former = signal.signal(number, lambda *_: None)
        try:
            with started([*run, "sh", "-c", "echo ready; sleep 600 & wait"], cwd) as process:
                assert process.stdout.readline() == b"ready\n"
                os.killpg(process.pid, number)
                assert process.wait(PATIENCE) == -number
        finally:
            signal.signal(number, former)

    def test_what_python_ignores(self, run, cwd):
        """A program whose reader goes away ends by that, as it would without the command."""
        done = outside([*run, "sh", "-c", "grep SigIgn /proc/self/status"], cwd=cwd)
        ignored = int(done.ok().out.split()[1], 16)
        assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)

    def test_terminal(self, run, cwd):
        """The terminal is the program's: it asks on it, and Ctrl-C is its own."""
        code = "test -t 0 && test -t 1 && printf 'name? ' && read name && echo hello $name"
        argv = [*run, "sh", "-c", f"{code} && exec sleep 60"]
        done = on_terminal(argv, [("name? ", "you\n"), ("hello you", "\x03")], cwd=cwd, pipe=False)
        assert done.code == -signal.SIGINT

    @pytest.mark.parametrize(
        "name, code, words",
        [
            ("no-such-program", 127, "No such file or directory"),
            ("./no/such", 127, "No such file or directory"),
            ("/etc/passwd", 126, "Permission denied"),
            ("/", 126, "Permission denied"),
            ("", 127, "No such file or directory"),
        ],
    )
    @pytest.mark.parametrize("door", ["module", "manage"])
    def test_not_started(self, file_url, door, name, code, words):
        """A program that cannot be started is an error, with the exit codes of env(1)."""
        before = signal.getsignal(signal.SIGPIPE)
        error = inside(door, file_url, ["run", "--", name, "x"]).failed(code=code)
        assert error.startswith(f"error: {name} cannot be started: {words}\nhint: ")
        assert signal.getsignal(signal.SIGPIPE) is before

    def test_a_script_without_an_interpreter(self, file_url, tmp_path):
        """Shells would run it; programs do not, and the hint says so."""
        script = tmp_path / "script"
        script.write_text("exit 0\n")
        script.chmod(0o755)
        error = inside("module", file_url, ["run", str(script)]).failed(code=126)
        assert "a script begins with #!" in error

    def test_more_than_the_system_takes(self, tmp_path, cwd):
        """A value that is too long for a variable is an error that says so, without the value."""
        path = tmp_path / "large.json"
        path.write_text(json.dumps({"A": MARK * 15_000}))
        path.chmod(0o600)
        argv = [*MODULE, "run", "--env", "--url", f"file://{path}", "--", "true"]
        error = outside(argv, cwd=cwd).failed(code=126)
        assert "128 KB" in error
        assert MARK not in error

    def test_offline(self, on_file, monkeypatch):
        """Who asks for offline mode gets no request, and a program that would ask itself."""
        monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
        assert "offline mode is on" in on_file("run", NOTHING).failed()

    def test_what_logs_keep(self, file_url):
        """What a log handler has not written yet is written before the program begins."""
        written = []
        target = logging.Handler()
        target.emit = written.append
        handler = MemoryHandler(100, target=target)
        log = logging.getLogger("a log of the settings")
        log.addHandler(handler)
        try:
            log.warning("words")
            inside("module", file_url, ["run", NOTHING])
            assert [record.getMessage() for record in written] == ["words"]
        finally:
            log.removeHandler(handler)

    def test_arguments(self, run, cwd):
        """All that follows the first -- is the program's, as it is."""
        argv = [*run, *python("import sys; print(sys.argv[1:])"), "--", "-x", "--url", "", "a b"]
        assert outside(argv, cwd=cwd).ok().out == "['--', '-x', '--url', '', 'a b']\n"

    def test_it_is_not_started_without_secrets(self, run_table, cwd, aws, tmp_path):
        """If AWS refuses, the error says so, and a site does not start half."""
        aws.faults.append(lambda operation, _: (400, "AccessDeniedException"))
        mark = tmp_path / "started"
        error = outside([*run_table, "touch", str(mark)], cwd=cwd).failed()
        assert "kms" in error.lower() or "dynamodb" in error
        assert not mark.exists()

    def test_the_store_is_out(self, run_table, url, cwd, aws, tmp_path, monkeypatch):
        """The program starts with the last known good secrets, and this is said. Each process
        looks for them itself, so that none has them longer than it may."""
        query = "last_known_good.key_id=alias/credstash&last_known_good.max_age=3600"
        url = f"{url}&timeout=30&{query}&last_known_good.path={tmp_path}/copy"
        monkeypatch.setenv("KMS_SECRETS_URL", url)
        argv = [*run_table, *python(READ)]
        assert outside(argv, cwd=cwd).ok().out == f"{MARK} False\n"
        aws.faults.append(lambda name, _: (503, "ServiceUnavailable") if name != "Decrypt" else 0)
        done = outside(argv, cwd=cwd)
        assert (done.code, done.out.split()[0]) == (0, MARK)
        assert "is out, and its secrets are the last known good ones, which are not" in done.err
        assert done.err.count("comes from the last known good copy") == 2
        done = outside([*run_table[:-1], "--env", "--", "sh", "-c", "echo $A"], cwd=cwd)
        assert done.out == f"{MARK}\n"
        assert "is out, and its secrets are the last known good ones\n" in done.err

    def test_no_standard_streams(self, run, cwd):
        """A closed stdin stays closed: what is handed on does not take its number."""
        shell = ["sh", "-c", 'exec "$@" <&-', "sh", *run, "sh", "-c", "ls /proc/$$/fd/"]
        done = outside(shell, cwd=cwd).ok()
        assert "0" not in done.out.split()
        assert "10" in done.out.split()

    @pytest.mark.parametrize("age", ["", "-1", "x", "1.5", "86401", "1" * 30, "²"])
    def test_ages(self, on_file, age):
        """An age is a number of seconds, of a day at most."""
        assert "not a number of seconds" in on_file("run", f"--max-age={age}", NOTHING).refused()

    def test_a_platform_without_memory_files(self, on_file, monkeypatch):
        """The error says what to do there; --env needs none."""
        monkeypatch.delattr("os.memfd_create")
        assert "--env" in on_file("run", NOTHING).failed()
        error = on_file("run", "--env", "--", NOTHING).failed
        assert "cannot be started" in error(code=127)

    def test_too_much(self, on_file, monkeypatch):
        """What nobody would read is an error before the program starts."""
        monkeypatch.setattr(snapshot, "MAX_BYTES", 10)
        assert "list NAMES" in on_file("run", NOTHING).failed()


class TestEnvironment:
    def test_what_is_added(self, run, file_url, cwd):
        """The program has its variables, and the place of the file: no value."""
        env = environment(KMS_SECRETS_OFFLINE="0", OWN="x")
        done = outside([*run, "env"], cwd=cwd, env=env).ok()
        env["KMS_SECRETS_URL"] = file_url
        got = dict(line.split("=", 1) for line in done.out.splitlines())
        process, descriptor, inode = map(int, got.pop(snapshot.VARIABLE).split(":"))
        assert min(process, descriptor - 9, inode) > 0
        assert {name: got.get(name) for name in env} == env
        assert got["OWN"] == "x"
        assert set(got) <= {*env, "PWD", "SHLVL", "_", "LC_CTYPE", "OLDPWD"}

    def test_without_proc(self, file_url, monkeypatch):
        """Where a system does not say what a process was started with, it is what it has now."""
        read, passed, before = Path.read_bytes, {}, signal.getsignal(signal.SIGPIPE)

        def read_bytes(path):
            if path == Path("/proc/self/environ"):
                raise FileNotFoundError
            return read(path)

        monkeypatch.setenv("SET_LATER", "x")
        monkeypatch.setattr("os.execvpe", lambda *args: passed.update(args[2]) or 1 / 0)
        for line in ([], ["x"]):
            if not line:
                monkeypatch.setattr(Path, "read_bytes", read_bytes)
            with pytest.raises(ZeroDivisionError):
                inside("module", file_url, ["run", NOTHING])
            # Else a write to a closed connection would end this process, much later.
            assert signal.getsignal(signal.SIGPIPE) is before
            assert ("SET_LATER" in passed) is (not line)
            monkeypatch.setattr(Path, "read_bytes", read)
            passed.clear()

    def test_a_local_store(self, run, file_url, cwd):
        """What is read where it is was never handed on, which is no reason to warn."""
        code = f"from django_kms_secrets import load; load({file_url!r})"
        assert outside([*run, *python(code)], cwd=cwd).ok().err == ""
        other = code.replace("file:", "locmem:")
        assert "nothing of this configuration" in outside([*run, *python(other)], cwd=cwd).ok().err

    def test_url(self, url, fill, cwd):
        """The store of --url is that of the program, where that has no other."""
        fill({"A": MARK})
        done = outside([*MODULE, "run", "--url", url, "--", *python(READ)], cwd=cwd)
        assert done.ok().out == f"{MARK} False\n"

    def test_variables(self, run, cwd):
        """With --env every secret is a variable, as text, and a warning says who sees them."""
        show = python("import os; print(os.environ['A'], os.environ['B'], os.environ['tree'])")
        done = outside([*run[:-1], "--env", "--", *show], cwd=cwd).ok()
        assert done.out == '1 two words {"inner": {"leaf": "l"}}\n'
        assert done.err.startswith("warning: the secrets are in the environment of the command")
        done = outside([*run[:-1], "--env", "--", "env"], cwd=cwd).ok()
        assert snapshot.VARIABLE not in done.out

    def test_variables_are_utf8(self, tmp_path, cwd):
        """Whatever the locale is, a value arrives as it is stored."""
        path = tmp_path / "s.json"
        path.write_text('{"A": "\\ud55c\\uae00"}')
        path.chmod(0o600)
        argv = [
            *MODULE,
            "run",
            "--env",
            "--url",
            f"file://{path}",
            "--",
            "sh",
            "-c",
            'printf %s "$A"',
        ]
        env = environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
        assert outside(argv, cwd=cwd, env=env).ok().out == "한글"

    @pytest.mark.parametrize(
        "values, words",
        [
            ({"a-b": MARK, "c.d": MARK, "E": MARK}, "no variable can have the name a-b, c.d\n"),
            ({"1A": MARK}, "the name 1A\n"),
            ({"A=B": MARK}, "the name A=B\n"),
            ({"é": MARK}, "the name é\n"),
            ({"A": f"{MARK}\0"}, "no variable can have the value of A: there is a NUL"),
        ],
    )
    def test_what_is_no_variable(self, secrets, fill, values, words):
        """It is an error before the program starts, with all the names, and no value."""
        fill(values)
        error = secrets("run", "--env", "--", NOTHING).failed()
        assert words in error
        assert MARK not in error
