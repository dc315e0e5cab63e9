"""`secrets run` and whole process trees: one fetch, and no value where others see it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from django_kms_secrets.config import read_config

from .test_processes import AWS, Running

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "credstash://credential-store"
#: Longer than anything here takes, even on a busy machine (seconds).
PATIENCE = 300
#: Stands in every value of the store.
MARK = f"leak{secrets.token_hex(10)}"
OWN, SHARED = f"{MARK}-own", f"{MARK}-shared"
OLD, NEW, LATER = f"{MARK}-old", f"{MARK}-new", f"{MARK}-later"

SETTINGS = """
import os, sys
from django_kms_secrets import load

# As the readers of `.env` files do.
os.environ.setdefault("FROM_A_FILE", "x")
BACKEND = "django_kms_secrets.backends.credstash.CredStashStore"
SHARED = {"BACKEND": BACKEND, "NAMES": ["A", "KEY"]}
KMS_SECRETS = {"BACKEND": BACKEND, "OPTIONS": {"prefix": "app."}}
secrets = load(SHARED) | load(KMS_SECRETS)
SECRET_KEY = secrets["KEY"]
SECRET_KEY_FALLBACKS = secrets.fallbacks("KEY")
A, B = secrets["A"], secrets["B"]
if secrets.offline:
    os.environ["MADE_OF_A_SECRET"] = A
INSTALLED_APPS = ["django_kms_secrets"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = __name__
urlpatterns = []

# Who imported this, and the ends of what it found: the values themselves are not for a log.
ends = [str(value).rpartition("-")[2] for value in (SECRET_KEY, *SECRET_KEY_FALLBACKS, A, B)]
if not secrets.offline:
    # Who was handed its secrets needs neither of these.
    fetched = not {"boto3", BACKEND.rpartition(".")[0]}.isdisjoint(sys.modules)
    # In one write: the lines of processes that print at the same time would mix.
    words = ["read", os.getpid(), *ends, fetched]
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_tree")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

WSGI = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_tree")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""

CELERY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_tree")
from celery import Celery
from celery.signals import worker_process_init, worker_ready
from django.conf import settings

settings.A
app = Celery("site", broker="filesystem://")
app.conf.broker_transport_options = {name: "queue" for name in (
    "data_folder_in", "data_folder_out", "control_folder")}

@app.task
def read():
    import subprocess, sys
    subprocess.run([sys.executable, "manage.py", "check"], check=True)

@worker_ready.connect
def ready(**kwargs):
    read.delay()
"""

MANAGE_RUN = [sys.executable, "manage.py", "secrets", "run"]
IMPORT = [sys.executable, "-c", "import site_tree"]
WORDS = "new old shared own"


@pytest.fixture
def store(aws):
    """A table with the key of the site, its former one, and two more."""
    with read_config(TABLE).make_store() as store:
        store.setup_key()
        store.setup()
        store.put_many({"KEY": OLD, "A": SHARED, "app.B": OWN})
        store.put("KEY", NEW)
        aws.requests.clear()
        yield store


@pytest.fixture
def site(store, tmp_path):
    """A project whose settings load two stores in layers; its directory."""
    directory = tmp_path / "there"
    for name in ("home", "temporary", "cwd/queue"):
        (directory / name).mkdir(parents=True)
    cwd = directory / "cwd"
    (cwd / "site_tree.py").write_text(SETTINGS)
    (cwd / "site_other.py").write_text(SETTINGS.replace('"NAMES": ["A", ', '"NAMES": ["C", "A", '))
    (cwd / "manage.py").write_text(MANAGE)
    (cwd / "site_wsgi.py").write_text(WSGI)
    (cwd / "site_celery.py").write_text(CELERY)
    return directory


@contextmanager
def tree(argv, site, **more):
    """Start a command in a process group of its own."""
    kept = {k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("AWS_")}
    paths = [str(site / "cwd"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        argv,
        cwd=site / "cwd",
        env={
            **kept,
            "HOME": str(site / "home"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TMPDIR": str(site / "temporary"),
            **more,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    # Who waits for its words in vain sees its end.
    patience = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    patience.start()
    try:
        yield process
    finally:
        patience.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def reads(process, count):
    """What the next processes that import the settings found, by process."""
    found = {}
    lines = []
    for line in process.stdout:
        lines.append(line)
        word, _, rest = line.partition(" ")
        if word == "read":
            pid, _, what = rest.strip().partition(" ")
            found[int(pid)] = what
            if len(found) == count:
                return found
    raise AssertionError(f"it ended with {process.wait()}, after:\n{''.join(lines)}")


def waited_for(process, words):
    """Read on until there is a line with these words."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return
    raise AssertionError(f"it ended with {process.wait()}, after:\n{''.join(lines)}")


def finished(argv, site, **more):
    """Run a command; give what it wrote."""
    with tree(argv, site, **more) as process:
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out
    return out


def shown(out):
    """What the processes found that imported the settings, in a command's output."""
    lines = [line.split(" ", 2) for line in out.splitlines()]
    return [words[2] for words in lines if words[0] == "read"]


def nobody_sees(site, process):
    """No process shows a value in its arguments or environment, and no file has one."""
    running = Running(process, site, None)
    seen = running.seen_by_others()
    assert b"KMS_SECRETS_SNAPSHOT=" in seen
    assert MARK.encode() not in seen
    assert not [name for name, content in running.files().items() if MARK.encode() in content]


def handed_on(process):
    """Wait for the program that takes the place of `run`; give where its secrets are."""
    environ = Path(f"/proc/{process.pid}/environ")
    end = time.monotonic() + PATIENCE
    while True:
        for variable in environ.read_text().split("\0"):
            name, _, value = variable.partition("=")
            if name == "KMS_SECRETS_SNAPSHOT":
                return value
        assert time.monotonic() < end, "the program did not begin"
        time.sleep(0.01)


def one_fetch(aws):
    """All requests so far are those of one fetch; they are forgotten."""
    decrypted = aws.requests.count("trentservice.Decrypt")
    aws.requests.clear()
    # KEY, A and app.B, and the two versions of KEY for its fallbacks.
    return decrypted == 5


def test_gunicorn(aws, site, tmp_path):
    """Eight workers, and eight more after a HUP, ask nothing; SIGTERM ends it as always."""
    argv = [*MANAGE_RUN, "--", sys.executable, "-m", "gunicorn", "site_wsgi", "--workers=8"]
    with tree([*argv, "--bind=127.0.0.1:0", "--no-control-socket"], site) as process:
        first = reads(process, 8)
        assert {*first.values()} == {f"{WORDS} False"}
        nobody_sees(site, process)
        process.send_signal(signal.SIGHUP)
        second = reads(process, 8)
        assert {*second.values()} == {f"{WORDS} False"}
        assert not {*first} & {*second}
        assert one_fetch(aws)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


def test_gunicorn_after_max_age(aws, store, site):
    """What is too old is used no more: after a rotation, a HUP fetches afresh."""
    argv = [*MANAGE_RUN, "--max-age=1", "--", sys.executable, "-m", "gunicorn", "site_wsgi"]
    with tree([*argv, "--workers=2", "--bind=127.0.0.1:0", "--no-control-socket"], site) as process:
        reads(process, 2)
        store.put("KEY", LATER)
        time.sleep(1.1)
        process.send_signal(signal.SIGHUP)
        assert {*reads(process, 2).values()} == {"later new shared own True"}


def test_celery(aws, site):
    """A worker with processes of its own, and a command that one of its tasks starts."""
    argv = [*MANAGE_RUN, "--", sys.executable, "-m", "celery", "-A", "site_celery", "worker"]
    with tree([*argv, "--pool=prefork", "--concurrency=2", "--loglevel=ERROR"], site) as process:
        assert {*reads(process, 2).values()} == {f"{WORDS} False"}
        nobody_sees(site, process)
        assert one_fetch(aws)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


def test_runserver(aws, site):
    """The process that serves, and the one that restarts it when a file changes."""
    argv = [*MANAGE_RUN, "--", sys.executable, "manage.py", "runserver", "127.0.0.1:0"]
    with tree(argv, site) as process:
        assert {*reads(process, 2).values()} == {f"{WORDS} False"}
        waited_for(process, "Quit the server")
        with changing(site / "cwd" / "site_tree.py"):
            assert {*reads(process, 1).values()} == {f"{WORDS} False"}
        assert one_fetch(aws)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """A file that changes every second: nobody says when the server has looked at it first."""
    done = threading.Event()

    def change() -> None:
        moment = time.time()
        while not done.wait(1):
            moment += 10
            os.utime(path, (moment, moment))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "program",
    [
        IMPORT,
        ["sh", "-c", '"$0" "$1" "$2" | cat', *IMPORT],
        # What a script redirects, it closes.
        ["sh", "-c", 'exec 3>/dev/null 9>/dev/null; "$0" "$1" "$2"', *IMPORT],
        # So does Popen with all it does not know (close_fds).
        [sys.executable, "-c", f"import subprocess; subprocess.run({IMPORT!r}, check=True)"],
    ],
    ids=["exec", "pipe", "redirected", "close_fds"],
)
def test_shells_and_children(aws, site, program):
    """However far down the tree, what was fetched once is what is read."""
    assert shown(finished([*MANAGE_RUN, "--", *program], site)) == [f"{WORDS} False"]
    assert one_fetch(aws)


def test_without_run(aws, site):
    """By itself the same program needs the store and a fetch, which the tests above rely on."""
    assert shown(finished(IMPORT, site)) == [f"{WORDS} True"]
    assert one_fetch(aws)


@pytest.mark.parametrize("how", ["--settings", "DJANGO_SETTINGS_MODULE"])
def test_other_settings(aws, site, how):
    """What is fetched is what the settings of the command line or the environment load."""
    options = ["--settings=site_other"] if how == "--settings" else []
    more = {} if options else {"DJANGO_SETTINGS_MODULE": "site_other"}
    show = [sys.executable, "manage.py", "check"]
    out = finished([*MANAGE_RUN, *options, "--", *show], site, **more)
    assert shown(out) == [f"{WORDS} False"]
    assert one_fetch(aws)
    # Of other settings it has nothing.
    other = [*MANAGE_RUN, *options, "--", *IMPORT]
    assert shown(finished(other, site, **more)) == [f"{WORDS} True"]


#: What manage.py, the settings and Django put into the environment of their own process.
OWN_VARIABLES = {
    "DJANGO_SETTINGS_MODULE",
    "FROM_A_FILE",
    "KMS_SECRETS_OFFLINE",
    "MADE_OF_A_SECRET",
    "TZ",
}


def environment_of(argv, site, **more):
    """The variables of the program that a command line begins to start."""
    out = finished([*argv, "--", "env"], site, **more)
    return dict(line.split("=", 1) for line in out.splitlines())


def test_environment(site):
    """What is put into the environment on the way to the program is not passed on: values of a
    `.env` file, what was made of secrets, and what Django sets.
    """
    got = environment_of(MANAGE_RUN, site, ODD="a=b", EMPTY="")
    assert not OWN_VARIABLES & set(got)
    assert (got["ODD"], got["EMPTY"], got["HOME"]) == ("a=b", "", str(site / "home"))


def test_options_of_django(site):
    """The settings that were asked for, and where they are, are those of the program too."""
    (site / "more").mkdir()
    (site / "more" / "site_more.py").write_text(SETTINGS)
    more = str(site / "more")
    argv = [*MANAGE_RUN, "--settings=site_more", f"--pythonpath={more}"]
    got = environment_of(argv, site)
    assert OWN_VARIABLES & set(got) == {"DJANGO_SETTINGS_MODULE"}
    assert got["DJANGO_SETTINGS_MODULE"] == "site_more"
    assert got["PYTHONPATH"].split(os.pathsep)[:2] == [more, str(site / "cwd")]
    assert environment_of(argv, site, PYTHONPATH="")["PYTHONPATH"] == more


def test_variables_of_aws_in_settings(aws, site):
    """What they set before load() is what the program's processes have there, so it is used; what
    they set later, as of an empty secret, is not what `run` fetches with.
    """
    before = 'os.environ.setdefault("AWS_ROLE_SESSION_NAME", "x")\n'
    after = """
os.environ.update(AWS_ACCESS_KEY_ID=A, AWS_PROFILE="no-such", AWS_STORAGE_BUCKET_NAME="b")
"""
    code = SETTINGS.replace("BACKEND =", f"{before}BACKEND =", 1) + after
    (site / "cwd" / "site_tree.py").write_text(code)
    assert shown(finished([*MANAGE_RUN, "--", *IMPORT], site)) == [f"{WORDS} False"]
    assert one_fetch(aws)


def test_another_home(aws, site):
    """A home has profiles, so in another one another account may be meant."""
    program = ["env", f"HOME={site}", *IMPORT]
    out = finished([*MANAGE_RUN, "--", *program], site)
    assert shown(out) == [f"{WORDS} True"]
    assert out.count("handed on is not used: HOME") == 1


def test_what_settings_write(site):
    """What they leave in the buffers of stdout and stderr is written before the program begins."""
    words = 'print("words")\nprint("warned", end="", file=sys.stderr)\n'
    (site / "cwd" / "site_tree.py").write_text(SETTINGS + words)
    out = finished([*MANAGE_RUN, "--", "echo", "begins"], site, PYTHONUNBUFFERED="")
    assert sorted(out.replace("warned", "").split()) == ["begins", "words"]
    assert "warned" in out
    assert out.index("words") < out.index("begins")


def test_variables_of_layers(site):
    """With --env, of a name in several stores the variable is what the settings have."""
    code = "import os; print(*(os.environ[name].rpartition('-')[2] for name in ('KEY', 'A', 'B')))"
    out = finished([*MANAGE_RUN, "--env", "--", sys.executable, "-c", code], site)
    assert out.splitlines()[-1] == "new shared own"


def test_nested(aws, site):
    """A run inside a run fetches anew, and hands on what it found, and only that."""
    count = (
        "import os; links = [os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 64)"
        " if os.path.exists(f'/proc/self/fd/{fd}')]; print('memfd', str(links).count('memfd'))"
    )
    show = [sys.executable, "-c", f"import site_tree; {count}"]
    out = finished([*MANAGE_RUN, "--", *MANAGE_RUN, "--", *show], site)
    assert shown(out) == [f"{WORDS} False"]
    assert out.splitlines()[-1] == "memfd 1"
    assert aws.requests.count("trentservice.Decrypt") == 10
    show = [sys.executable, "-c", count]
    out = finished([*MANAGE_RUN, "--", *MANAGE_RUN, "--env", "--", *show], site)
    assert out.splitlines()[-1] == "memfd 0"


def test_while_it_fetches(aws, site):
    """Before the program is there, nobody sees a value either."""
    held = AWS(aws, hold="Decrypt")
    aws.faults.append(held)
    with tree([*MANAGE_RUN, "--", "sleep", "60"], site) as process:
        assert held.arrived.wait(PATIENCE)
        running = Running(process, site, None)
        assert MARK.encode() not in running.seen_by_others()
        held.go.set()
        variable = handed_on(process)
        nobody_sees(site, process)
        memory = Path(f"/proc/{process.pid}/fd/{variable.split(':')[1]}")
        assert MARK.encode() in memory.read_bytes(), "the search finds nothing anywhere"
        assert memory.stat().st_mode & 0o777 == 0o400
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM


def test_with_variables_everybody_sees(site):
    """With --env the values are in the environment, as its warning says: the search finds them."""
    with tree([*MANAGE_RUN, "--env", "--", "sh", "-c", "echo read 1 x; sleep 60"], site) as process:
        reads(process, 1)
        assert MARK.encode() in Running(process, site, None).seen_by_others()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("closed, found", [(True, "False"), (False, "True")])
def test_another_user(site, closed, found):
    """A worker that gave up its rights reads what it inherited; where the descriptor was closed,
    the file is as closed to it as the memory of the process.
    """
    code = f"""
import fcntl, os, sys
from django_kms_secrets import snapshot  # now: these files may be root's only
_, descriptor, _ = os.environ[snapshot.VARIABLE].split(":")
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
if {closed}:
    os.close(int(descriptor))
os.setgid(65534), os.setuid(65534)
backend = "django_kms_secrets.backends.credstash.CredStashStore"
source = {{"BACKEND": backend, "NAMES": ["A", "KEY"]}}
print("read", 1, snapshot.find(source) is not None)
"""
    assert shown(finished([*MANAGE_RUN, "--", sys.executable, "-c", code], site)) == [found]
