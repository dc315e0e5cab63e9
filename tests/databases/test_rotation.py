"""What the engines do when a password was rotated, and what they leave as Django has it."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from django_kms_secrets.db import secret as secret_module
from django_kms_secrets.db.secret import KEY, DatabaseSecret

from .conftest import CREDSTASH, DOCUMENT, NAME, PREFIX, Store, ask, connections_of
from .servers import DATABASE, Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.embedded import EmbeddedAWS

OLD, NEW, WRONG = "the-old-one", "the-new-one", "a-wrong-one"


@pytest.fixture(autouse=True)
def roles(server: Server) -> None:
    """Two roles with the old password, neither connected nor locked."""
    for role in ("notes", "notes2"):
        server.make_role(role, OLD)


@contextlib.contextmanager
def opened(store: Store, name: str = NAME, **entry: Any) -> Iterator[Any]:
    """The connection to the database of a secret."""
    with connections_of(default=store.load().database(name, **entry)) as handler:
        yield handler["default"]


def chain(error: BaseException) -> list[BaseException]:
    """An error, and all that is behind it."""
    found = [error]
    while behind := found[-1].__cause__ or found[-1].__context__:
        found.append(behind)
    return found


def reads(aws: EmbeddedAWS) -> int:
    """How often a secret of a store with a prefix was read."""
    return aws.requests.count("secretsmanager.BatchGetSecretValue")


# Where the secret is


@pytest.mark.parametrize(
    "url, name, write",
    [
        (CREDSTASH, NAME, "url"),
        (CREDSTASH, "site.database", "tree in a tree"),
        (PREFIX, NAME, "tree"),
        (DOCUMENT, NAME, "url"),
        (DOCUMENT, "site.database", "tree in a tree"),
        (DOCUMENT, "", "document"),
    ],
)
def test_a_rotated_password_is_read_when_the_old_one_is_refused(
    server: Server, aws: EmbeddedAWS, url: str, name: str, write: str
) -> None:
    """In every store, as a URL, as a tree, as a tree in a tree, and where the store is the tree."""
    store = Store(url)

    def put(password: str) -> None:
        tree = server.tree("notes", password)
        if write == "url":
            store.put(server.url("notes", password), name)
        elif write == "document":
            with store.opened() as target:
                target.put_many({key: str(value) for key, value in tree.items()})
        else:
            value = {"database": tree} if name == "site.database" else tree
            store.put(json.dumps(value), name.partition(".")[0])

    put(OLD)
    with opened(store, name) as connection:
        assert ask(connection) == "notes"
        connection.close()
        server.set_password("notes", NEW)
        put(NEW)
        assert ask(connection) == "notes"
        assert connection.settings_dict["PASSWORD"] == NEW


# Each moment of a rotation


def test_a_pending_password_is_tried(server: Server, store: Store) -> None:
    """Between ALTER ROLE and --promote the pending one works: there is no gap."""
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        store.stage(server.url("notes", NEW))
        assert ask(connection) == "notes"
        connection.close()
        server.set_password("notes", NEW)
        assert ask(connection) == "notes"
        connection.close()
        store.promote()
        assert ask(connection) == "notes"


def test_the_previous_password_is_tried(server: Server, store: Store) -> None:
    """A process that starts between `put` and ALTER ROLE gets in with the previous one."""
    store.put(server.url("notes", OLD))
    store.put(server.url("notes", NEW))
    with opened(store) as connection:
        assert connection.settings_dict["PASSWORD"] == NEW
        assert ask(connection) == "notes"
        assert connection.settings_dict["PASSWORD"] == OLD


def test_current_comes_before_pending_before_previous(server: Server, store: Store) -> None:
    """All three work, and the current one is taken; without it the pending one."""
    store.put(server.url("notes2", OLD))
    with opened(store) as connection:
        store.put(server.url("notes", NEW))
        store.stage(server.url("pending", OLD))
        server.make_role("pending", OLD)
        server.lock("notes2")
        server.set_password("notes", NEW)
        assert ask(connection) == "notes"
        connection.close()
        server.lock("notes")
        server.lock("notes2", locked=False)
        assert ask(connection) == "pending"


def test_two_alternating_roles(server: Server, store: Store) -> None:
    """The user changes with the password; a role that is locked is left, too."""
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        assert ask(connection) == "notes"
        connection.close()
        server.set_password("notes2", NEW)
        store.put(server.url("notes2", NEW))
        assert ask(connection) == "notes"
        connection.close()
        server.lock("notes")
        assert ask(connection) == "notes2"
        assert connection.settings_dict["USER"] == "notes2"


def test_two_rotations_within_the_interval(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on reading is for what works nowhere; rotations may follow each other closely."""
    monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 600)
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        for number in range(3):
            server.set_password("notes", f"{NEW}-{number}")
            store.put(server.url("notes", f"{NEW}-{number}"))
            assert ask(connection) == "notes"
            connection.close()


def test_no_attempt_is_lost_on_what_was_refused_before(
    server: Server, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """What works is known to all connections of the process: the next one begins with it."""
    store.put(server.url("notes", OLD))
    secrets = store.load()
    entries = {"default": secrets.database(NAME), "other": secrets.database(NAME)}
    with connections_of(**entries) as handler, caplog.at_level(logging.INFO, "django_kms_secrets"):
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        assert ask(handler["default"]) == "notes"
        before = server.refusals()
        handler["default"].close()
        assert [ask(handler[alias]) for alias in ("default", "other")] == ["notes", "notes"]
        assert server.refusals() == before
    assert [NAME in record.getMessage() for record in caplog.records] == [True]
    assert NEW not in caplog.text


def test_only_user_and_password_are_replaced(server: Server, store: Store) -> None:
    """Not the name, which is another one under test, and not the host."""
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        server.set_password("notes", NEW)
        elsewhere = server.url("notes", NEW).replace(f":{server.port}/{DATABASE}", ":1/elsewhere")
        store.put(elsewhere)
        assert ask(connection) == "notes"
        assert connection.settings_dict["NAME"] == DATABASE
        assert connection.settings_dict["PORT"] == server.port


def test_a_user_of_the_settings_stays(server: Server, store: Store) -> None:
    """``database(NAME, USER=…)``: only the password is the secret's."""
    store.put(server.url("notes", OLD))
    with opened(store, USER="notes2") as connection:
        assert ask(connection) == "notes2"
        connection.close()
        server.set_password("notes2", NEW)
        store.put(server.url("notes", NEW))
        assert ask(connection) == "notes2"


def test_a_user_or_password_put_in_a_copy_stays(server: Server, store: Store) -> None:
    """A copy of the entry with a role of its own is not turned into the secret's role."""
    store.put(server.url("notes", OLD))
    entry = store.load().database(NAME)
    other = {**entry, "USER": "notes2"}
    wrong = {**entry, "USER": "notes2", "PASSWORD": WRONG}
    with connections_of(default=entry, other=other, wrong=wrong) as handler:
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        assert ask(handler["default"]) == "notes"
        assert ask(handler["other"]) == "notes2"
        assert "notes2" in str(errors_of(handler["wrong"]))


def test_a_secret_of_a_managed_master(server: Server, store: Store) -> None:
    """It has only a user and a password; the rest comes from the settings."""
    master = {"username": "notes", "password": OLD}
    store.put(json.dumps(master))
    place = {"NAME": DATABASE, "HOST": server.host, "PORT": server.port}
    with opened(store, ENGINE=server.ours, **place) as connection:
        assert ask(connection) == "notes"
        connection.close()
        server.set_password("notes", NEW)
        store.put(json.dumps({**master, "password": NEW}))
        assert ask(connection) == "notes"


# Where nothing works


def errors_of(connection: Any) -> OperationalError:
    with pytest.raises(OperationalError) as caught:
        ask(connection)
    return caught.value


def test_a_wrong_password_fails_once_with_djangos_own_error(
    server: Server, aws: EmbeddedAWS
) -> None:
    """One attempt, one read, and exactly the error that Django's engine raises."""
    store = Store(PREFIX)
    store.put(server.url("notes", WRONG))
    entry = store.load().database(NAME)
    plain = {**entry, "ENGINE": server.djangos}
    with connections_of(default=entry, plain=plain) as handler:
        expected = errors_of(handler["plain"])
        before, read = server.refusals(), reads(aws)
        error = errors_of(handler["default"])
        wait_until(lambda: server.refusals() > before, "the log", seconds=5)
        assert server.refusals() == before + 1
        assert reads(aws) == read + 1
    assert [type(each) for each in chain(error)] == [type(each) for each in chain(expected)]
    assert [str(each) for each in chain(error)] == [str(each) for each in chain(expected)]
    assert WRONG not in str(error)


def test_every_version_is_tried_once(server: Server, aws: EmbeddedAWS) -> None:
    """Current, pending, previous: three attempts, and the error is that of the first."""
    store = Store(PREFIX)
    store.put(server.url("previous", WRONG))
    store.put(server.url("notes", WRONG))
    with opened(store) as connection:
        store.stage(server.url("pending", WRONG))
        before = server.refusals()
        assert "notes" in str(errors_of(connection))
        wait_until(lambda: server.refusals() >= before + 3, "the log", seconds=5)
        assert server.refusals() == before + 3


def in_threads(count: int, work: Callable[[], None]) -> None:
    """Do the work in several threads at the same time."""
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait(30)
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_that_fail_read_the_secret_once_in_an_interval(
    server: Server, aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight threads, five failures each: one read of the secret."""
    monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 600)
    store = Store(PREFIX)
    store.put(server.url("notes", WRONG))
    errors: list[OperationalError] = []
    with connections_of(default=store.load().database(NAME)) as handler:
        read = reads(aws)

        def fail() -> None:
            for _ in range(5):
                errors.append(errors_of(handler["default"]))
            handler["default"].close()

        in_threads(8, fail)
    assert len(errors) == 40
    assert reads(aws) == read + 1


def test_the_secret_is_read_again_after_the_interval(
    server: Server, aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake that is mended is noticed without a restart."""
    monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 600)
    store = Store(PREFIX)
    store.put(server.url("notes", WRONG))
    with opened(store) as connection:
        errors_of(connection)
        store.put(server.url("notes", OLD))
        errors_of(connection)
        monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 0)
        assert ask(connection) == "notes"


def test_threads_share_one_read(
    server: Server, aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight threads are refused at once: all get in, after one read of the secret."""
    monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 600)
    store = Store(PREFIX)
    store.put(server.url("notes", OLD))
    answers: list[str] = []
    with connections_of(default=store.load().database(NAME)) as handler:
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        read = reads(aws)

        def work() -> None:
            answers.append(ask(handler["default"]))
            handler["default"].close()

        in_threads(8, work)
    assert answers == ["notes"] * 8
    assert reads(aws) == read + 1


def test_other_errors_read_nothing(server: Server, aws: EmbeddedAWS) -> None:
    """A database that is not there, and a server that is not: the secret is not at fault."""
    store = Store(PREFIX)
    store.put(server.url("notes", OLD))
    read = reads(aws)
    with opened(store, NAME="missing") as connection:
        assert "missing" in str(errors_of(connection))
    with opened(store, PORT=free_port()) as connection:
        errors_of(connection)
    assert reads(aws) == read + 2  # both are of load()


def test_a_read_that_fails_is_a_warning(
    server: Server, aws: EmbeddedAWS, caplog: pytest.LogCaptureFixture
) -> None:
    """AWS is out of reach: the error is the database's; the log names the secret, no value."""
    store = Store(PREFIX)
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        server.set_password("notes", NEW)
        aws.faults.append(lambda operation, body: (400, "AccessDeniedException"))
        error = errors_of(connection)
    assert server.refusal in str(error)
    assert not any("kms_secrets" in type(each).__module__ for each in chain(error))
    (record,) = [each for each in caplog.records if each.name == "django_kms_secrets"]
    assert record.levelname == "WARNING"
    assert NAME in record.getMessage()
    assert OLD not in caplog.text
    assert NEW not in caplog.text


def test_a_version_that_is_no_database_is_a_warning(
    server: Server, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody staged something else: what there is before it is tried."""
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        store.stage("no-database-at-all")
        assert ask(connection) == "notes"
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [NAME in record.getMessage() for record in warnings] == [True]
    assert "no-database" not in caplog.text


# What is Django's


def test_an_entry_by_hand_is_djangos(server: Server, aws: EmbeddedAWS) -> None:
    """Our engine without a secret: the same answers, the same errors, no request to AWS."""
    entry = {
        "ENGINE": server.ours,
        "NAME": DATABASE,
        "HOST": server.host,
        "PORT": server.port,
        "USER": "notes",
        "PASSWORD": OLD,
    }
    wrong = {**entry, "PASSWORD": WRONG}
    plain = {**wrong, "ENGINE": server.djangos}
    with connections_of(default=entry, wrong=wrong, plain=plain) as handler:
        assert ask(handler["default"]) == "notes"
        assert str(errors_of(handler["wrong"])) == str(errors_of(handler["plain"]))
        assert handler["default"].vendor == handler["plain"].vendor
        assert handler["default"].display_name in {"PostgreSQL", "MariaDB"}
    assert aws.requests == []


def test_a_persistent_connection_stays(server: Server, store: Store) -> None:
    """CONN_MAX_AGE: who is in stays in, whatever happens to the password."""
    store.put(server.url("notes", OLD))
    with opened(store, CONN_MAX_AGE=None) as connection:
        assert ask(connection) == "notes"
        inside = connection.connection
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        connection.close_if_unusable_or_obsolete()
        assert ask(connection) == "notes"
        assert connection.connection is inside


def test_a_health_check_connects_anew(server: Server, store: Store) -> None:
    """CONN_HEALTH_CHECKS: a connection that the server ended is opened with the new password."""
    store.put(server.url("notes", OLD))
    with opened(store, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True) as connection:
        assert ask(connection) == "notes"
        inside = connection.connection
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        server.hang_up("notes")
        connection.close_if_unusable_or_obsolete()  # what the signal request_started does
        assert ask(connection) == "notes"
        assert connection.connection is not inside


def test_settings_are_copied_with_the_secret_in_them(server: Server, store: Store) -> None:
    """Django copies the settings of a connection deeply; the copy rotates as the original does."""
    store.put(server.url("notes", OLD))
    with opened(store) as connection, contextlib.closing(connection.copy()) as other:
        assert other.settings_dict is not connection.settings_dict
        assert other.settings_dict[KEY] is connection.settings_dict[KEY]
        assert copy.copy(other.settings_dict[KEY]) is connection.settings_dict[KEY]
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        assert ask(other) == "notes"


def test_a_pickle_is_a_name(server: Server, store: Store) -> None:
    """No plaintext is in it, and it finds the secret that the settings of the process made."""
    store.put(server.url("notes", OLD))
    entry = store.load().database(NAME)
    pickled = pickle.dumps(entry[KEY])
    assert OLD.encode() not in pickled
    found = pickle.loads(pickled)
    assert isinstance(found, DatabaseSecret)
    with connections_of(default={**entry, KEY: found}) as handler:
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        assert ask(handler["default"]) == "notes"
    assert entry[KEY].working == ("notes", NEW)


def test_nothing_shows_a_password(server: Server, store: Store) -> None:
    """The repr of an entry, before and after a rotation, is masked."""
    store.put(server.url("notes", OLD))
    with opened(store) as connection:
        assert OLD not in repr(connection.settings_dict)
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        ask(connection)
        secret = connection.settings_dict[KEY]
        assert NEW not in repr(connection.settings_dict) + repr(secret.working) + repr(secret)
        assert NEW not in repr(connection.get_connection_params())
