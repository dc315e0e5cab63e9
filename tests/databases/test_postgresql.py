"""What only PostgreSQL has: a pool, and errors without a code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
import pytest
from django.db import OperationalError

from django_kms_secrets.db import secret as secret_module
from django_kms_secrets.db.postgresql.base import is_refusal

from .conftest import NAME, PREFIX, Store, ask, connections_of
from .servers import DATABASE, PostgreSQL, wait_until

if TYPE_CHECKING:
    from tests.server.embedded import EmbeddedAWS

OLD, NEW, WRONG = "the-old-one", "the-new-one", "a-wrong-one"


@pytest.fixture(autouse=True)
def roles(postgresql: PostgreSQL) -> None:
    """One role that gets in, one that may not log in, one that has no connection left."""
    for role in ("notes", "locked", "limited"):
        postgresql.make_role(role, OLD)
    postgresql.lock("locked")
    postgresql.execute("ALTER ROLE limited CONNECTION LIMIT 0")


# Pool


@pytest.mark.parametrize("options", [True, {"min_size": 1}], ids=["true", "options"])
@pytest.mark.parametrize("checks", [False, True], ids=["", "health checks"])
def test_a_pool_opens_with_the_new_password(
    postgresql: PostgreSQL, store: Store, options: Any, checks: bool
) -> None:
    """The pool's own threads are refused, read the secret, and connect."""
    store.put(postgresql.url("notes", OLD))
    entry = store.load().database(NAME, OPTIONS={"pool": options}, CONN_HEALTH_CHECKS=checks)
    with connections_of(default=entry) as handler:
        connection = handler["default"]
        assert ask(connection) == "notes"
        assert isinstance(connection.pool, psycopg_pool.ConnectionPool)
        connection.close()
        connection.pool.wait(60)  # those that it still opens would come in after the check
        postgresql.set_password("notes", NEW)
        store.put(postgresql.url("notes", NEW))
        before = connection.pool.get_stats()["connections_num"]
        postgresql.hang_up("notes")
        connection.pool.check()  # finds the broken ones, and has new ones opened
        wait_until(
            lambda: connection.pool.get_stats()["connections_num"] > before, "a new one", seconds=20
        )
        assert ask(connection) == "notes"
        connection.close()
        connection.ensure_connection()
        assert connection.settings_dict["PASSWORD"] == NEW
        connection.close()


def test_a_pool_begins_with_what_works(postgresql: PostgreSQL, store: Store) -> None:
    """Its arguments are those of when it was made; what was found since comes before them."""
    store.put(postgresql.url("notes", OLD))
    secrets = store.load()
    pooled = secrets.database(NAME, OPTIONS={"pool": {"min_size": 1}})
    with connections_of(default=secrets.database(NAME), pooled=pooled) as handler:
        pool = handler["pooled"].pool
        postgresql.set_password("notes", NEW)
        store.put(postgresql.url("notes", NEW))
        assert ask(handler["default"]) == "notes"
        before = postgresql.refusals()
        assert pool.kwargs["password"] == OLD
        assert ask(handler["pooled"]) == "notes"
        assert postgresql.refusals() == before


def test_a_pool_keeps_the_class_of_its_options(postgresql: PostgreSQL, store: Store) -> None:
    """A connection class of the site stays one, and still rotates."""

    class Own(psycopg.Connection[Any]):
        pass

    store.put(postgresql.url("notes", OLD))
    options = {"pool": {"min_size": 1, "connection_class": Own, "close_returns": False}}
    with connections_of(default=store.load().database(NAME, OPTIONS=options)) as handler:
        postgresql.set_password("notes", NEW)
        store.put(postgresql.url("notes", NEW))
        assert ask(handler["default"]) == "notes"
        assert isinstance(handler["default"].connection, Own)
        handler["default"].close()


def test_a_pool_that_gets_in_nowhere_fails_as_djangos(
    postgresql: PostgreSQL, aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the pool's own, and the secret was read once in an interval."""
    monkeypatch.setattr(secret_module, "REFRESH_INTERVAL", 600)
    store = Store(PREFIX)
    store.put(postgresql.url("notes", WRONG))
    entry = store.load().database(NAME, OPTIONS={"pool": {"min_size": 1, "timeout": 1}})
    plain = {**entry, "ENGINE": postgresql.djangos}
    errors = {}
    read = aws.requests.count("secretsmanager.BatchGetSecretValue")
    with connections_of(default=entry, plain=plain) as handler:
        for alias in ("plain", "default"):
            with pytest.raises(OperationalError) as caught:
                ask(handler[alias])
            errors[alias] = caught.value
    assert type(errors["default"].__cause__) is psycopg_pool.PoolTimeout
    assert str(errors["default"]) == str(errors["plain"])
    assert aws.requests.count("secretsmanager.BatchGetSecretValue") == read + 1


def test_without_a_secret_the_pool_is_djangos(postgresql: PostgreSQL) -> None:
    """An entry by hand has a pool of psycopg's own connections."""
    entry = {
        "ENGINE": postgresql.ours,
        "NAME": DATABASE,
        "HOST": postgresql.host,
        "PORT": postgresql.port,
        "USER": "notes",
        "PASSWORD": OLD,
        "OPTIONS": {"pool": {"min_size": 1}},
    }
    with connections_of(default=entry) as handler:
        assert ask(handler["default"]) == "notes"
        assert not hasattr(handler["default"].pool.connection_class, "secret")
        handler["default"].close()


# Errors


def error_of(postgresql: PostgreSQL, **arguments: Any) -> psycopg.OperationalError:
    """What psycopg raises."""
    usual = {"host": postgresql.host, "port": postgresql.port, "dbname": DATABASE}
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(**{**usual, "user": "notes", "password": OLD, **arguments})
    assert caught.value.sqlstate is None  # the day it has one, the texts may go
    return caught.value


@pytest.mark.parametrize(
    "arguments", [{"password": WRONG}, {"user": "nobody"}, {"user": "locked"}], ids=repr
)
def test_refusals_are_known(postgresql: PostgreSQL, arguments: dict[str, str]) -> None:
    """A wrong password, a role that is not there, a role that may not log in."""
    assert is_refusal(error_of(postgresql, **arguments))


def test_other_errors_are_told_apart(postgresql: PostgreSQL) -> None:
    """What the server says after it has taken the password, and what libpq says itself."""
    postgresql.execute(
        "DROP DATABASE IF EXISTS closed",
        "CREATE DATABASE closed ALLOW_CONNECTIONS false",
        "DROP DATABASE IF EXISTS private",
        "CREATE DATABASE private",
        "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
    )
    for arguments in (
        {"dbname": "missing"},
        {"dbname": "closed"},
        {"dbname": "private"},
        {"user": "limited"},
        {"password": None},
        {"port": 1},
        {"sslmode": "require"},
    ):
        error = error_of(postgresql, **arguments)
        assert not is_refusal(error), str(error)


# As PostgreSQL 15 writes them, after "connection to server at …, port … failed: ".
ELSEWHERE = [
    "FATAL:  Passwort-Authentifizierung für Benutzer »notes« fehlgeschlagen",
    "FATAL:  Rolle »locked« hat keine Berechtigung zum Einloggen",
    'FATAL:  ユーザー"notes"のパスワード認証に失敗しました',
    'ВАЖНО:  пользователь "notes" не прошёл проверку подлинности (по паролю)',
    "FATAL:  authentification par mot de passe échouée pour l'utilisateur  « notes »",
]
PROXIES = [
    "FATAL:  password authentication failed",
    "FATAL:  SASL authentication failed",
    "FATAL:  no such user: notes",
    "FATAL:  The password that was provided for the role notes is wrong.",
    "FATAL:  This RDS proxy has no credentials for the role notes. Check the credentials for this "
    "role and try again.",
]


def recorded(text: str, *, used_password: bool) -> Any:
    where = 'connection to server at "10.0.0.1 (database-1.internal)", port 5432 failed'
    error = psycopg.OperationalError(f"connection failed: {where}: {text}")
    error._pgconn = SimpleNamespace(used_password=used_password)  # type: ignore[assignment]
    return error


@pytest.mark.parametrize("text", ELSEWHERE)
def test_a_server_may_speak_another_language(text: str) -> None:
    """A text of the server counts after a password was sent, and not before."""
    assert is_refusal(recorded(text, used_password=True))
    assert not is_refusal(recorded(text, used_password=False))


@pytest.mark.parametrize("text", PROXIES)
def test_proxies_have_texts_of_their_own(text: str) -> None:
    """PgBouncer's and RDS Proxy's."""
    assert is_refusal(recorded(text, used_password=False))


def test_a_code_decides_where_there_is_one() -> None:
    """A driver that gives it is believed, whatever the text says."""
    assert is_refusal(psycopg.errors.InvalidPassword("x"))
    assert is_refusal(psycopg.errors.InvalidAuthorizationSpecification("x"))
    assert not is_refusal(psycopg.errors.TooManyConnections("password authentication failed"))
    assert not is_refusal(ValueError("password authentication failed"))
