"""What others see of the command while it runs, and the files it leaves: each verb, really run, is
held up in the middle of a request of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from django_kms_secrets.config import read_config

HERE = Path(__file__).parent
TABLE = "credstash://credential-store"
DOCUMENT = "secretsmanager:///leaks"

#: Longer than anything here takes, even on a busy machine (seconds).
PATIENCE = 60

# Each stands in the values of the store; NEW in those that are written.
OLD, NEW = (f"leak{secrets.token_hex(10)}" for _ in range(2))
TREE = json.dumps({"SECRET_KEY": NEW, "URL": f"postgres://app:{NEW}@db/app"})


@dataclass
class AWS:
    """The embedded AWS, which holds up one operation."""

    aws: object
    hold: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, operation, body):
        if operation == self.hold:
            self.arrived.set()
            self.go.wait(PATIENCE)


@pytest.fixture
def slow(aws):
    """Both stores have values, and AWS is slow from now on."""
    for url in (TABLE, DOCUMENT):
        with read_config(url).make_store() as store:
            if url == TABLE:
                store.setup_key()
            store.setup()
            store.put_many({"SECRET_KEY": OLD, "OTHER": f"x{OLD}"})
    held = AWS(aws)
    aws.faults.append(held)
    yield held
    held.go.set()


@dataclass
class Running:
    """A command that was held up."""

    process: subprocess.Popen
    directory: Path
    watched: Path

    def seen_by_others(self):
        """The command lines and environments of all processes that this one may read."""
        found = b""
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    found += (process / name).read_bytes()
                except OSError:  # it ended, or is somebody else's
                    continue
        return found

    def files(self):
        """What is in the working, temporary and home directory: path -> content."""
        found = {}
        for path in self.directory.rglob("*"):
            if path.is_file():
                with suppress(FileNotFoundError):  # as a message of a queue that was just taken
                    found[str(path.relative_to(self.directory))] = path.read_bytes()
        return found

    def notes(self):
        """What the process wrote to and started."""
        return [json.loads(line) for line in self.watched.read_text().splitlines()]


@contextmanager
def running(args, stdin, tmp_path, *, url=TABLE):
    """Start a module of Python, in a directory with files of new values."""
    directory = tmp_path / "there"
    for name in ("home", "temporary", "cwd"):
        (directory / name).mkdir(parents=True)
    (directory / "new.json").write_text(TREE)
    (directory / "new.txt").write_text(NEW)
    watched = tmp_path / "watched"
    paths = [str(HERE / "watch"), str(HERE / "site"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-m", *args],
        cwd=directory / "cwd",
        env={
            **{k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("AWS_")},
            "DJANGO_SETTINGS_MODULE": "command_settings",
            "HOME": str(directory / "home"),
            "KMS_SECRETS_URL": url,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "SITE_STORE": url,
            "TMPDIR": str(directory / "temporary"),
            "WATCH_FILE": str(watched),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=0,
    )
    try:
        process.stdin.write(stdin.encode())
        process.stdin.close()
        process.stdin = None
        yield Running(process, directory, watched)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


MODULE, MANAGE = ["django_kms_secrets"], ["django", "secrets"]

# The door, its arguments, stdin, the operation that is held up, and the store.
RUNS = [
    (MODULE, ["put", "SECRET_KEY", "-"], NEW, "PutItem", TABLE),
    (MANAGE, ["put", "SECRET_KEY", "@../new.txt"], "", "UpdateSecretVersionStage", DOCUMENT),
    (MANAGE, ["putall", "-"], TREE, "TransactWriteItems", TABLE),
    (MODULE, ["putall", "@../new.json"], "", "PutSecretValue", DOCUMENT),
    (MODULE, ["rotate", "SECRET_KEY", "--value", "-"], NEW, "PutItem", TABLE),
    (MANAGE, ["rotate", "SECRET_KEY", "--stage", "--value", "-"], NEW, "PutSecretValue", DOCUMENT),
    (MODULE, ["get", "SECRET_KEY"], "", "Decrypt", TABLE),
    (MANAGE, ["getall", "-f", "dotenv"], "", "GetSecretValue", DOCUMENT),
    (MANAGE, ["getall", "-o", "out.json"], "", "Decrypt", TABLE),
    (MODULE, ["copy", "--to", "secretsmanager://?prefix=copied/"], "", "CreateSecret", TABLE),
    (MODULE, ["reencrypt", "--key-id", "alias/other"], "", "TransactWriteItems", TABLE),
]


@pytest.mark.parametrize(
    "door, args, stdin, hold, url", RUNS, ids=[" ".join(run[0] + run[1]) for run in RUNS]
)
def test_a_running_verb(slow, tmp_path, door, args, stdin, hold, url):
    """No process shows a value in its arguments or environment, no file has one but what was there
    and what was asked for, and no program is started.
    """
    if args[0] == "reencrypt":
        with read_config(f"{TABLE}?key_id=alias/other").make_store() as store:
            store.setup_key()
    slow.hold = hold
    with running([*door, *args], stdin, tmp_path, url=url) as run:
        assert slow.arrived.wait(PATIENCE), run.process.stderr.read()
        seen = run.seen_by_others()
        assert "\0".join(args).encode() in seen
        held_up = run.files()
        slow.go.set()
        out, err = run.process.communicate(timeout=PATIENCE)
        assert run.process.returncode == 0, err
        after = run.files()
    for secret in (OLD.encode(), NEW.encode()):
        assert secret not in seen
        assert secret not in err
        assert (secret in out) == (args[-1] in ("SECRET_KEY", "dotenv") and secret == OLD.encode())
    given = {"new.json", "new.txt"}
    assert set(held_up) == given
    wanted = {"cwd/out.json"} if "-o" in args else set()
    assert set(after) == given | wanted
    for name in wanted:
        assert OLD in after[name].decode()
        assert (run.directory / name).stat().st_mode & 0o777 == 0o600
    notes = run.notes()
    assert OLD not in str(notes)
    assert NEW not in str(notes)
    assert {event for event, *_ in notes} <= {"open", "os.putenv"}  # Django sets TZ
    opened = [(note[1], int(note[3])) for note in notes if note[0] == "open"]
    # Until it is whole, a file has no name.
    nameless = [path for path, flags in opened if flags & os.O_TMPFILE == os.O_TMPFILE]
    assert {Path(path).name for path, _ in opened if path not in nameless} <= {"null"}
    assert len(nameless) == len(wanted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_verb(slow, tmp_path, number):
    """Whatever ends it, there is no file with a part of the values."""
    slow.hold = "Decrypt"
    with running([*MODULE, "getall", "-o", "out.json"], "", tmp_path) as run:
        assert slow.arrived.wait(PATIENCE)
        run.process.send_signal(number)
        out, err = run.process.communicate(timeout=PATIENCE)
        assert run.process.returncode != 0
        assert set(run.files()) == {"new.json", "new.txt"}
    assert OLD.encode() not in out + err


def test_a_value_on_the_command_line(slow, tmp_path):
    """There it is seen, which shows that the search above finds something, and a warning says so
    before anything is sent.
    """
    slow.hold = "PutItem"
    with running([*MODULE, "put", "SECRET_KEY", NEW], "", tmp_path) as run:
        assert slow.arrived.wait(PATIENCE)
        assert NEW.encode() in run.seen_by_others()
        warning = run.process.stderr.readline()
        slow.go.set()
        run.process.communicate(timeout=PATIENCE)
    assert warning.startswith(b"warning: the value was on the command line, where `ps` and")
    assert NEW.encode() not in warning


def test_the_watch_sees_what_a_program_writes_and_starts(tmp_path):
    """Files, programs and variables are noted, by the hook that the tests above rely on."""
    watched = tmp_path / "watched"
    code = (
        "import os, subprocess, tempfile; tempfile.NamedTemporaryFile('w').close();"
        "subprocess.run(['true', 'x']); os.environ['A'] = 'b'"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE / "watch"),
            "WATCH_FILE": str(watched),
        },
        check=True,
    )
    events = [json.loads(line) for line in watched.read_text().splitlines()]
    assert {event for event, *_ in events} >= {"open", "subprocess.Popen", "os.putenv"}
