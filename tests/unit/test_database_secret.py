"""A database's secret, without a database: the entry of DATABASES, and what is tried when."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import pickle
import subprocess
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import Secrets, SecretsError, SecretStr, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.db import secret as secret_module
from django_kms_secrets.db.entry import Credentials
from django_kms_secrets.db.secret import KEY, DatabaseSecret
from django_kms_secrets.exceptions import SecretNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "postgres://notes:hunter2@db.internal:5432/notes"
# What the console of RDS, and its rotation functions, write.
RDS = {
    "engine": "postgres",
    "host": "db.internal",
    "port": 5432,
    "username": "notes",
    "password": "hunter2",
    "dbname": "notes",
    "dbInstanceIdentifier": "notes-production",
    "dbClusterIdentifier": "notes",
    "masterarn": "arn:aws:secretsmanager:ap-northeast-2:123456789012:secret:master",
}


def put(value: Any, name: str = "DATABASE") -> None:
    with LocMemStore() as store:
        store.put(name, value if isinstance(value, str) else json.dumps(value))


def loaded(value: Any, name: str = "DATABASE") -> Secrets:
    put(value, name)
    return load("locmem://")


# The entry


@pytest.mark.parametrize(
    "scheme, engine",
    [
        ("postgres", "postgresql"),
        ("postgresql", "postgresql"),
        ("psql", "postgresql"),
        ("pgsql", "postgresql"),
        ("mysql", "mysql"),
        ("mysql2", "mysql"),
        ("mariadb", "mysql"),
    ],
)
def test_a_url_is_an_entry(scheme: str, engine: str) -> None:
    """Its parts, with our engine and the way back to the secret."""
    entry = loaded(URL.replace("postgres", scheme)).database("DATABASE")
    assert isinstance(entry.pop(KEY), DatabaseSecret)
    assert entry == {
        "ENGINE": f"django_kms_secrets.db.{engine}",
        "NAME": "notes",
        "USER": "notes",
        "PASSWORD": "hunter2",
        "HOST": "db.internal",
        "PORT": 5432,
    }
    assert isinstance(entry["PASSWORD"], SecretStr)


def test_the_query_of_a_url_is_options() -> None:
    """With django-environ's casts; CONN_MAX_AGE and the like are keys of the entry."""
    entry = loaded(f"{URL}?sslmode=require&conn_max_age=60&connect_timeout=5").database("DATABASE")
    assert entry["OPTIONS"] == {"sslmode": "require", "connect_timeout": 5}
    assert entry["CONN_MAX_AGE"] == 60


def test_a_password_in_a_url_is_unquoted() -> None:
    entry = loaded("mysql://notes:a%2Fb%40c%3A%24@db/notes").database("DATABASE")
    assert entry["PASSWORD"] == "a/b@c:$"


@pytest.mark.parametrize(
    "engine, ours",
    [
        ("postgres", "postgresql"),
        ("aurora-postgresql", "postgresql"),
        ("mysql", "mysql"),
        ("mariadb", "mysql"),
        ("aurora", "mysql"),
        ("aurora-mysql", "mysql"),
    ],
)
def test_a_tree_of_rds_is_an_entry(engine: str, ours: str) -> None:
    """What DATABASES needs of it, and nothing else."""
    entry = loaded({**RDS, "engine": engine}).database("DATABASE")
    assert isinstance(entry.pop(KEY), DatabaseSecret)
    assert entry == {
        "ENGINE": f"django_kms_secrets.db.{ours}",
        "NAME": "notes",
        "USER": "notes",
        "PASSWORD": "hunter2",
        "HOST": "db.internal",
        "PORT": "5432",
    }
    assert isinstance(entry["PASSWORD"], SecretStr)


def test_a_tree_in_a_tree() -> None:
    """A dotted name reaches into it."""
    entry = loaded({"database": RDS}, "site").database("site.database")
    assert (entry["USER"], entry["PASSWORD"]) == ("notes", "hunter2")


def test_the_whole_store_is_a_tree() -> None:
    """Without a name, as with a Secrets Manager document that RDS wrote."""
    with LocMemStore() as store:
        store.put_many({key: str(value) for key, value in RDS.items()})
    entry = load("locmem://").database()
    assert (entry["USER"], entry["PASSWORD"], entry["NAME"]) == ("notes", "hunter2", "notes")


def test_keywords_replace_and_add() -> None:
    entry = loaded(URL).database("DATABASE", HOST="replica", CONN_MAX_AGE=60, TEST={"NAME": "t"})
    assert (entry["HOST"], entry["CONN_MAX_AGE"], entry["TEST"]) == ("replica", 60, {"NAME": "t"})


def test_options_are_added_to() -> None:
    """?sslmode=require is not lost because a pool is wanted; a key of both is the keyword's."""
    secrets = loaded(f"{URL}?sslmode=require&connect_timeout=5")
    entry = secrets.database("DATABASE", OPTIONS={"pool": True, "connect_timeout": 9})
    assert entry["OPTIONS"] == {"sslmode": "require", "connect_timeout": 9, "pool": True}


def test_a_managed_master_has_only_credentials() -> None:
    """The rest comes from keywords: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html"""
    secrets = loaded({"username": "notes", "password": "hunter2"})
    place = {"NAME": "notes", "HOST": "db", "PORT": 5432}
    entry = secrets.database("DATABASE", ENGINE="django_kms_secrets.db.mysql", **place)
    assert entry["ENGINE"] == "django_kms_secrets.db.mysql"
    with pytest.raises(SecretsError, match="lacks an engine"):
        secrets.database("DATABASE", **place)


def test_a_password_of_the_settings_needs_no_secret() -> None:
    """There is nothing to read anew."""
    assert KEY not in loaded(URL).database("DATABASE", PASSWORD="own")


def test_offline_there_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    assert load().database("DATABASE", CONN_MAX_AGE=60) == {}


@pytest.mark.parametrize(
    "value, problem",
    [
        ("hunter2", "is neither a database URL nor a JSON tree"),
        ('["hunter2"]', "is neither a database URL nor a JSON tree"),
        ('{"username": "notes", "hunter2', "is neither a database URL nor a JSON tree"),
        ('{"password": "hunter2", "url": "mysql://db",}', "is neither a database URL nor"),
        ("sqlite:///hunter2.db", "is for a kind of database without an engine here"),
        ("oracle://notes:hunter2@db:1521/notes", "is for a kind of database"),
        ({**RDS, "engine": "sqlserver"}, "is for a kind of database"),
        ({**RDS, "username": ""}, "lacks a username"),
        ({"engine": "mysql", "host": "hunter2"}, "lacks a username and a password"),
        ("postgres://db.internal/hunter2", "lacks a username and a password"),
        ("postgres://notes:hunter2@db:port/notes", "cannot be read as a database URL"),
        ("postgres://notes:hunter2/x@db/notes", "cannot be read as a database URL"),
        ("postgres://notes:12/hunter2@db/notes", "cannot be read as a database URL"),
        ("postgres://notes:hunter2@[db/notes", "cannot be read as a database URL"),
    ],
    ids=str,
)
def test_errors_name_the_secret_and_no_value(value: Any, problem: str) -> None:
    """A message and a hint, and nothing behind the error that has a value."""
    with pytest.raises(SecretsError, match=problem) as caught:
        loaded(value).database("DATABASE")
    error = caught.value
    assert "DATABASE in memory store default" in error.message
    assert error.names == ("DATABASE",)
    assert error.hint
    assert "hunter2" not in str(error)
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "value",
    [
        '{"username": "notes", "password": "hunter2", "engine": "sqlserver"}',
        '{"username": "notes", "password": "hunter2", "replica": "mysql://db",}',
        '{"password": "hunter2", "engine": "mysql"}',
        "postgres://notes:hunter2@db:port/notes",
        "sqlite://notes:hunter2@db/notes",
    ],
    ids=range(5),
)
def test_frames_of_an_error_have_no_password(value: str) -> None:
    """Reporters of errors show the local variables of all frames."""
    secrets = loaded(value)
    del value  # this frame is one of them
    with pytest.raises(SecretsError) as caught:
        secrets.database("DATABASE")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "hunter2" not in "".join(shown.format())


def test_a_directory_with_a_socket_is_a_host() -> None:
    """Percent-encoded, as libpq has it in its URLs."""
    entry = loaded("postgres://notes:hunter2@%2Frun%2Fpostgresql/notes").database("DATABASE")
    assert entry["HOST"] == "/run/postgresql"


def test_a_missing_secret_is_an_error() -> None:
    with pytest.raises(SecretNotFound, match="lacks OTHER"):
        loaded(URL).database("OTHER")


# What it is in the settings


def test_it_is_copied_as_itself() -> None:
    entry = loaded(URL).database("DATABASE")
    assert copy.deepcopy(entry)[KEY] is entry[KEY]
    assert copy.copy(entry[KEY]) is entry[KEY]


def test_it_shows_its_name() -> None:
    secret = loaded(URL).database("DATABASE")[KEY]
    assert repr(secret) == "<DatabaseSecret DATABASE in memory store default>"


def test_a_pickle_has_no_value_and_finds_its_own() -> None:
    """Also if it is made before the settings are read, as Django's parallel tests do it."""
    secret = loaded(URL).database("DATABASE")[KEY]
    pickled = pickle.dumps(secret)
    assert b"hunter2" not in pickled
    assert pickle.loads(pickled).working is None
    code = """
import pickle, sys
from django_kms_secrets import load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.exceptions import SecretsError
secret = pickle.loads(sys.stdin.buffer.read())
try:
    secret.working
except SecretsError as exc:
    print(exc.message)
with LocMemStore() as store:
    store.put("DATABASE", "mysql://notes:other@db/notes")
load("locmem://").database("DATABASE")
print(secret.working, secret)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickled, capture_output=True, check=True
    )
    first, second = done.stdout.decode().splitlines()
    assert "was made in another process" in first
    assert second == "None <DatabaseSecret DATABASE in memory store default>"


def test_importing_it_imports_no_database_of_django() -> None:
    """Settings use it while they are imported."""
    code = "import sys, django_kms_secrets.db.secret; print({'django.db'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# What is tried


class Refused(Exception):
    """What a driver raises."""


class Server:
    """Takes some passwords; notes what it was asked."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = set(passwords)
        self.asked: list[str] = []

    def open_with(self, credentials: Credentials) -> str:
        self.asked.append(credentials.password)
        if credentials.password not in self.passwords:
            raise Refused(f"refused {credentials.user}")
        return credentials.password

    def connect(self, secret: DatabaseSecret, first: str = "current") -> str:
        credentials = secret.working or Credentials("notes", first)
        return secret.connect(self.open_with, credentials, lambda exc: isinstance(exc, Refused))


def url(password: str) -> str:
    return f"postgres://notes:{password}@db/notes"


def secret_of(*, previous: str = "", current: str = "current", pending: str = "") -> DatabaseSecret:
    if previous:
        put(url(previous))
    put(url(current))
    found: DatabaseSecret = load("locmem://").database("DATABASE")[KEY]
    if pending:
        with LocMemStore() as store:
            store.stage("DATABASE", url(pending))
    return found


def test_what_is_accepted_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secrets, "_fetch_anew", None)
    server = Server("current")
    assert server.connect(secret_of()) == "current"
    assert server.asked == ["current"]


@pytest.mark.parametrize(
    "accepted, asked",
    [
        ("new", ["old", "new"]),
        ("pending", ["old", "new", "pending"]),
        ("previous", ["old", "new", "pending", "previous"]),
    ],
)
def test_current_pending_previous(accepted: str, asked: list[str]) -> None:
    """In this order, each once, and never again what was refused."""
    secret = secret_of(previous="previous", current="new", pending="pending")
    server = Server(accepted)
    assert server.connect(secret, "old") == accepted
    assert server.asked == asked
    assert secret.working == ("notes", accepted)
    assert server.connect(secret) == accepted
    assert server.asked == [*asked, accepted]


def test_nowhere_is_the_first_error() -> None:
    """The very object, without a context of ours."""
    secret = secret_of(previous="previous")
    errors: list[Refused] = []
    server = Server()

    def open_with(credentials: Credentials) -> None:
        try:
            server.open_with(credentials)
        except Refused as exc:
            errors.append(exc)
            raise

    with pytest.raises(Refused) as caught:
        secret.connect(open_with, Credentials("notes", "current"), lambda exc: True)
    assert caught.value is errors[0]
    assert caught.value.__context__ is None
    assert server.asked == ["current", "previous"]
    assert secret.working is None


def test_another_error_is_raised_as_it_is() -> None:
    """At the first attempt, and at a later one."""
    secret = secret_of(previous="previous")

    def open_with(credentials: Credentials) -> None:
        raise Refused if credentials.password == "current" else OSError(credentials.password)

    with pytest.raises(OSError, match="first"):
        secret.connect(open_with, Credentials("notes", "first"), lambda exc: type(exc) is Refused)
    with pytest.raises(OSError, match="previous"):
        secret.connect(open_with, Credentials("notes", "current"), lambda exc: type(exc) is Refused)


def test_a_read_is_not_repeated_within_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it helped nobody. What it found is still tried, and once it helped it is repeated."""
    clock = 1000.0
    monkeypatch.setattr(secret_module.time, "monotonic", lambda: clock)
    secret = secret_of()
    put(url("second"))
    server = Server()
    with pytest.raises(Refused):
        server.connect(secret)
    put(url("third"))
    server.passwords = {"third"}
    with pytest.raises(Refused):
        server.connect(secret)
    assert server.asked == ["current", "second"] * 2
    clock += secret_module.REFRESH_INTERVAL
    assert server.connect(secret) == "third"
    put(url("fourth"))
    server.passwords = {"fourth"}
    assert server.connect(secret) == "fourth"


def test_a_rotation_may_overtake_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is refused, because it was rotated again meanwhile: it is read once more."""
    monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 600)
    secret = secret_of()
    put(url("second"))
    server = Server("fourth")

    def open_with(credentials: Credentials) -> str:
        if credentials.password == "second":  # between the read and the attempt
            put(url("third"))
            put(url("fourth"))
        return server.open_with(credentials)

    first = Credentials("notes", "current")
    assert secret.connect(open_with, first, lambda exc: True) == "fourth"
    assert server.asked == ["current", "second", "fourth"]


def test_one_thread_reads_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: a read that is slower than the interval is not repeated either."""
    clock = 1000.0
    monkeypatch.setattr(secret_module.time, "monotonic", lambda: clock)
    secret = secret_of()
    fetch_anew, calls = Secrets._fetch_anew, []
    waiting, arrived = threading.Barrier(5), threading.Event()

    def slow(self: Secrets, *names: str) -> frozenset[str]:
        nonlocal clock
        calls.append(names)
        arrived.wait(10)
        clock += 30
        return fetch_anew(self, *names)

    monkeypatch.setattr(Secrets, "_fetch_anew", slow)

    def fail() -> None:
        waiting.wait(10)
        with pytest.raises(Refused):
            Server().connect(secret)

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    waiting.wait(10)
    arrived.set()
    for thread in threads:
        thread.join(30)
    assert calls == [("DATABASE",)]


def test_secrets_that_are_read_anew_by_their_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the names that are needed: the two that a rotation changes, where there is no tree."""
    with LocMemStore() as store:
        store.put_many({key: str(value) for key, value in RDS.items()})
    secrets = load("locmem://")
    secret = secrets.database()[KEY]
    fetch_anew, calls = Secrets._fetch_anew, []

    def noted(self: Secrets, *names: str) -> frozenset[str]:
        calls.append(names)
        return fetch_anew(self, *names)

    monkeypatch.setattr(Secrets, "_fetch_anew", noted)
    with LocMemStore() as store:
        store.put("password", "new")
    assert Server("new").connect(secret, "hunter2") == "new"
    assert calls == [("username", "password")]


def test_user_and_password_of_a_store_go_through_stages_together() -> None:
    """Two names, two histories: what belongs together is tried before what does not."""
    with LocMemStore() as store:
        for user, password in (("blue", "b1"), ("green", "g1"), ("blue", "b2")):
            store.put("username", user)
            store.put("password", password)
        store.put("engine", "mysql")
    secret = load("locmem://").database()[KEY]
    asked = []

    def open_with(credentials: Credentials) -> None:
        asked.append(tuple(credentials))
        raise Refused

    with pytest.raises(Refused):
        secret.connect(open_with, Credentials("blue", "b1"), lambda exc: True)
    assert asked[:3] == [("blue", "b1"), ("blue", "b2"), ("green", "g1")]
    assert len(asked) == len(set(asked)) == 5


@pytest.mark.timeout(60)
def test_a_receiver_of_the_signal_may_connect() -> None:
    """The read is over when the signal is sent, so it gets in."""
    secret = secret_of()
    put(url("new"))
    seen: list[str] = []

    def receiver(**kwargs: Any) -> None:
        seen.append(Server("new").connect(secret))

    with receiving(receiver):
        assert Server("new").connect(secret) == "new"
    assert seen == ["new"]


@contextlib.contextmanager
def receiving(receiver: Any) -> Iterator[None]:
    from django_kms_secrets.signals import secrets_changed

    secrets_changed.connect(receiver)
    try:
        yield
    finally:
        secrets_changed.disconnect(receiver)


@pytest.mark.timeout(60)
def test_receivers_in_two_threads_may_connect_to_each_others_database() -> None:
    """Neither holds what the other waits for."""
    for name in ("BLUE", "GREEN"):
        put(url("current"), name)
    secrets = load("locmem://")
    found = {name: secrets.database(name)[KEY] for name in ("BLUE", "GREEN")}
    for name in found:
        put(url("new"), name)
    both = threading.Barrier(2)
    seen: list[str] = []

    def receiver(names: frozenset[str], **kwargs: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(10)
        seen.append(Server("new").connect(found["GREEN" if "BLUE" in names else "BLUE"]))

    def connect(name: str) -> None:
        Server("new").connect(found[name])

    threads = [threading.Thread(target=connect, args=(name,), daemon=True) for name in found]
    with receiving(receiver):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert seen == ["new", "new"]


@pytest.mark.timeout(60)
def test_a_handler_of_logs_may_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a lock of its own, which a thread that logs something else holds meanwhile."""
    secret = secret_of()
    reading = threading.Event()

    def fail(self: Secrets, *names: str) -> frozenset[str]:
        reading.set()
        time.sleep(0.2)  # the other thread comes to the lock
        raise OSError

    monkeypatch.setattr(Secrets, "_fetch_anew", fail)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            refused()

    def refused() -> None:
        with pytest.raises(Refused):
            Server().connect(secret)

    def log() -> None:
        reading.wait(10)
        logger.warning("of the site")

    logger, handler = logging.getLogger("django_kms_secrets"), Handler()
    threads = [threading.Thread(target=work, daemon=True) for work in (refused, log)]
    logger.addHandler(handler)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        logger.removeHandler(handler)
    assert not any(thread.is_alive() for thread in threads)


def test_a_process_that_is_forked_during_a_read_reads_by_itself() -> None:
    """The thread that reads, and would release the locks, is in the parent only."""
    code = """
import os, signal, threading
from django_kms_secrets import Secrets, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.db.entry import Credentials
def put(password):
    with LocMemStore() as store:
        store.put("DATABASE", f"mysql://notes:{password}@db/notes")
put("old")
secrets = load("locmem://")
secret = secrets.database("DATABASE")["SECRET"]
put("new")
def open_with(credentials):
    if credentials.password != "new":
        raise OSError
    return credentials
def connect():
    return secret.connect(open_with, Credentials("notes", "old"), lambda exc: True)
reading, go_on = threading.Event(), threading.Event()
fetch = Secrets._fetch_anew
def slow(self, *names):
    reading.set()
    go_on.wait(20)
    return fetch(self, *names)
Secrets._fetch_anew = slow
thread = threading.Thread(target=connect)
thread.start()
reading.wait(20)
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    Secrets._fetch_anew = fetch
    os._exit(0 if connect().password == "new" else 1)
print(os.waitpid(pid, 0)[1])
go_on.set()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "0\n", done.stderr


def test_after_a_read_that_failed_there_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times as long as it took: all threads that connect wait for it."""
    clock = 1000.0
    monkeypatch.setattr(secret_module.time, "monotonic", lambda: clock)
    secret = secret_of()
    calls = 0

    def silent(self: Secrets, *names: str) -> frozenset[str]:
        nonlocal clock, calls
        calls += 1
        clock += 10
        raise OSError

    monkeypatch.setattr(Secrets, "_fetch_anew", silent)

    def fail() -> int:
        with pytest.raises(Refused):
            Server().connect(secret)
        return calls

    assert fail() == 1
    clock += 29
    assert fail() == 1
    clock += 1
    assert fail() == 2


def test_what_another_thread_found_is_tried_before_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came with credentials from before; those that work are known, however long since."""
    clock = 1000.0
    monkeypatch.setattr(secret_module.time, "monotonic", lambda: clock)
    secret = secret_of()
    put(url("new"))
    server = Server("new")
    server.connect(secret)
    clock += 3600
    monkeypatch.setattr(Secrets, "_fetch_anew", None)
    credentials = Credentials("notes", "current")
    assert secret.connect(server.open_with, credentials, lambda exc: True) == "new"
    assert server.asked == ["current", "new"] * 2


def test_an_entry_may_have_what_is_being_tried() -> None:
    """The engine writes it there before all threads begin with it: they must know it by then."""
    secret = secret_of(previous="previous", pending="pending")
    seen: list[bool] = []

    def open_with(credentials: Credentials) -> None:
        user, password = credentials
        seen.append(secret.gave({"USER": user, "PASSWORD": password}))
        raise Refused

    with pytest.raises(Refused):
        secret.connect(open_with, Credentials("notes", "current"), lambda exc: True)
    assert seen == [True, True, True]
    assert not secret.gave({"USER": "other", "PASSWORD": "current"})
    assert not secret.gave({"USER": "notes", "PASSWORD": "other"})
    assert not secret.gave({"USER": "notes"})


def test_two_entries_of_a_secret_share_what_works() -> None:
    """`default` and a replica: what one found, the other begins with."""
    secrets = loaded(url("current"))
    entries = [secrets.database("DATABASE"), secrets.database("DATABASE", HOST="replica")]
    put(url("new"))
    Server("new").connect(entries[0][KEY])
    assert entries[1][KEY].working == ("notes", "new")
    assert secrets.database("DATABASE", USER="other")[KEY].working is None
    assert loaded(url("new")).database("DATABASE")[KEY].working is None
