"""secrets.env: django-environ's casts, without its ways of showing or expanding a value."""

from __future__ import annotations

import json
import traceback
import warnings
from typing import Any

import environ
import pytest

from django_kms_secrets import SecretNotFound, SecretsError, SecretStr, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.env import SecretsEnv

MARKER = "hunter2-marker"
DATABASE_URL = f"postgres://user:{MARKER}@db.internal:5432/notes?sslmode=require&conn_max_age=60"


@pytest.fixture
def env_of(request):
    """An env over a memory store with these values."""

    def make(*names: str, **values: str) -> SecretsEnv:
        store = LocMemStore(name=request.node.name)
        for name, value in values.items():
            store.put(name, value)
        return load(
            {
                "BACKEND": "django_kms_secrets.backends.locmem.LocMemStore",
                "OPTIONS": {"name": request.node.name},
                **({"NAMES": list(names)} if names else {}),
            }
        ).env

    return make


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda env: env("X"), MARKER),
        (lambda env: env.str("X"), MARKER),
        (lambda env: env("X", default="other"), MARKER),
        (lambda env: env("X", cast=str), MARKER),
        (lambda env: env.bytes("X"), MARKER),
        (lambda env: env.list("X"), f"a,{MARKER}"),
        (lambda env: env.tuple("X"), f"(a,{MARKER})"),
        (lambda env: env.dict("X"), f"a={MARKER},b=c"),
        (lambda env: env.json("X"), json.dumps({"a": [MARKER]})),
        (lambda env: env.url("X"), f"https://user:{MARKER}@host/path"),
        (lambda env: env("X", cast=lambda value: {"inner": [value]}), MARKER),
        (lambda env: env.db("X"), DATABASE_URL),
        (lambda env: env.db_url("X"), f"mysql://u:{MARKER}@h/d"),
        (lambda env: env.db("X"), f"postgres://u:p@h/d?sslpassword={MARKER}"),
        (lambda env: env.cache("X"), f"rediss://:{MARKER}@cache:6379/1"),
        (lambda env: env.cache("X"), f"redis://cache:6379/1?password={MARKER}"),
        (lambda env: env.email("X"), f"smtp+tls://user:{MARKER}@smtp.host:587"),
        (lambda env: env.search_url("X"), f"elasticsearch://u:{MARKER}@host:9200/index"),
        (lambda env: env.channels("X"), f"redis://:{MARKER}@host:6379/0"),
    ],
)
def test_what_a_cast_makes_of_a_secret_is_right_and_stays_masked(env_of, read, text, monkeypatch):
    value = read(env_of(X=text))
    assert MARKER not in repr(value)
    monkeypatch.setenv("X", text)
    assert value == read(environ.Env())


def test_the_readable_parts_of_a_database_stay_readable(env_of):
    config = env_of(DATABASE_URL=DATABASE_URL).db()
    assert {key: repr(config[key]) for key in ("ENGINE", "HOST", "NAME", "USER")} == {
        "ENGINE": "'django.db.backends.postgresql'",
        "HOST": "'db.internal'",
        "NAME": "'notes'",
        "USER": "'user'",
    }
    assert config["PORT"] == 5432
    assert config["CONN_MAX_AGE"] == 60
    assert type(config["PASSWORD"]) is SecretStr


def test_numbers_and_booleans(env_of):
    env = env_of(I="5", F="1.5", B="on", N="no")
    assert (env.int("I"), env.float("F"), env.bool("B"), env.bool("N")) == (5, 1.5, True, False)
    assert env("I", cast=int) == 5
    assert env("I", default=0) == 5  # the default's type is the cast, as in environ.Env


def test_a_scheme_declares_casts_and_defaults(env_of):
    secrets = env_of(PORT="5", HOSTS="a,b")._secrets
    env = SecretsEnv(secrets, PORT=int, HOSTS=(list, []), DEBUG=(bool, False))
    assert env("PORT") == 5
    assert env("HOSTS") == ["a", "b"]
    assert env("DEBUG") is False


def test_a_prefix_is_put_before_the_name(env_of):
    env = env_of(APP_KEY="value")
    env.prefix = "APP_"
    assert env("KEY") == "value"


@pytest.mark.parametrize("text", ["$HOME", "$$", "${HOME}", "$", "a$b", r"\$x"])
def test_a_secret_that_begins_with_a_dollar_is_not_expanded(env_of, text, monkeypatch):
    """environ.Env takes $NAME for a reference; passwords begin with whatever they like."""
    monkeypatch.setenv("HOME", "expanded")
    env = env_of(X=text)
    assert env("X") == env.str("X") == text
    assert env.list("X") == [text]


def test_the_store_comes_first_and_the_environment_second(env_of, monkeypatch):
    monkeypatch.setenv("BOTH", "environment")
    monkeypatch.setenv("ONLY_ENVIRONMENT", "a,b")
    env = env_of(BOTH="store")
    assert env("BOTH") == "store"
    assert env.list("ONLY_ENVIRONMENT") == ["a", "b"]
    assert env("NOWHERE", default="default") == "default"
    assert env("NOWHERE", default=None) is None
    assert "BOTH" in env
    assert "ONLY_ENVIRONMENT" in env
    assert "NOWHERE" not in env
    assert set(env.ENVIRON) >= {"BOTH", "ONLY_ENVIRONMENT"}
    assert len(env.ENVIRON) == len(list(env.ENVIRON))


def test_a_name_that_is_nowhere_is_one_error_with_all_missing_names(env_of):
    env = env_of("A", "B", A="1")
    with pytest.raises(SecretNotFound) as caught:
        env("B")
    assert caught.value.names == ("B",)
    assert "B is not in the process environment either" in caught.value.message
    with pytest.raises(SecretNotFound, match="ALLOWED_HOSTS is not among NAMES") as caught:
        env.list("ALLOWED_HOSTS")
    assert "set it in the environment" in caught.value.hint


BAD: list[tuple[Any, str]] = [
    (lambda env: env.int("X"), MARKER),
    (lambda env: env.float("X"), MARKER),
    (lambda env: env("X", cast=int), MARKER),
    (lambda env: env.list("X", cast=int), f"1,{MARKER}"),
    (lambda env: env.tuple("X", cast=int), f"1,{MARKER}"),
    (lambda env: env.dict("X"), MARKER),
    (lambda env: env.dict("X", cast={"value": int}), f"a={MARKER}"),
    (lambda env: env.json("X"), f'{{"a": {MARKER}'),
    (lambda env: env.str("X", choices=("a", "b")), MARKER),
    (lambda env: env.url("X"), f"https://[{MARKER}"),
    (lambda env: env.path("X", required=True), f"/nowhere/{MARKER}"),
    (lambda env: env.db("X"), MARKER),
    (lambda env: env.db("X"), f"postgres://u:p@h:{MARKER}/d"),
    (lambda env: env.db("X"), f"sqlite://{MARKER}/d"),
    (lambda env: env.cache("X"), f"{MARKER}://x"),
    (lambda env: env.email("X"), f"{MARKER}://x"),
    (lambda env: env.search_url("X"), f"{MARKER}://x"),
    (lambda env: env.channels("X"), f"{MARKER}://x"),
    (lambda env: env("X", cast=lambda value: {}[value]), MARKER),
]


@pytest.mark.parametrize("where", ["store", "environment"])
@pytest.mark.parametrize(("read", "text"), BAD)
def test_no_error_or_warning_of_a_cast_carries_the_value(env_of, read, text, where, monkeypatch):
    """environ.Env's own errors and warnings do, and a debug page shows what they carry."""
    env = env_of(**({"X": text} if where == "store" else {"OTHER": "x"}))
    if where == "environment":
        monkeypatch.setenv("X", text)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(SecretsError) as caught:
            read(env)
    assert "X" in caught.value.message
    assert not warned
    error = caught.value
    while error is not None:
        assert MARKER not in str(error)
        error = error.__cause__ or error.__context__


def test_what_environ_itself_would_have_shown(monkeypatch):
    """The test above can fail: environ.Env's errors do carry the value."""
    monkeypatch.setenv("X", MARKER)
    with pytest.raises(ValueError, match=MARKER):
        environ.Env().int("X")


@pytest.mark.parametrize(("read", "text"), BAD)
def test_no_frame_of_the_traceback_shows_the_value(env_of, read, text):
    """A debug page shows the local variables of every frame."""
    with pytest.raises(SecretsError) as caught:
        read(env_of(X=text))
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "test_env" not in frame.filename and frame.locals]
    assert ours
    assert not [frame for frame in ours if MARKER in str(frame.locals)]


def test_multiline_and_choices(env_of):
    env = env_of(PEM=r"line\nline", LEVEL="a")
    assert env.str("PEM", multiline=True) == "line\nline"
    assert type(env.str("PEM", multiline=True)) is SecretStr
    assert env.str("LEVEL", choices=("a", "b")) == "a"


def test_special_sqlite_urls(env_of):
    env = env_of(A="sqlite://:memory:", B="sqlite:///db.sqlite3", C="sqlite:////srv/db.sqlite3")
    assert env.db("A")["NAME"] == ":memory:"
    assert env.db("B")["NAME"] == "db.sqlite3"
    assert env.db("C")["NAME"] == "/srv/db.sqlite3"


def test_a_default_of_a_url_is_used(env_of):
    env = env_of(A="1")
    assert env.db("NOWHERE", default="sqlite:///x.db")["NAME"] == "x.db"
    assert env.cache("NOWHERE", default="locmemcache://")["BACKEND"].endswith("LocMemCache")


@pytest.mark.parametrize(
    ("read", "empty"),
    [
        (lambda env: env("X"), ""),
        (lambda env: env.str("X"), ""),
        (lambda env: env.str("X", choices=("a",)), ""),
        (lambda env: env.str("X", multiline=True), ""),
        (lambda env: env.bytes("X"), b""),
        (lambda env: env.bool("X"), False),
        (lambda env: env.int("X"), 0),
        (lambda env: env.float("X"), 0.0),
        (lambda env: env.list("X"), []),
        (lambda env: env.list("X", cast=int), []),
        (lambda env: env.tuple("X"), ()),
        (lambda env: env.dict("X"), {}),
        (lambda env: env.dict("X", cast={"value": int}), {}),
        (lambda env: env.json("X"), {}),
        (lambda env: env.url("X").geturl(), ""),
        (lambda env: env.db("X"), {}),
        (lambda env: env.db(), {}),
        (lambda env: env.cache("X"), {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}),
        (lambda env: env.email("X"), {}),
        (lambda env: env.search_url("X"), {}),
        (lambda env: env.channels("X"), {}),
        (lambda env: env.int("X", default=7), 7),
        (lambda env: env.list("X", default=["a"]), ["a"]),
        (lambda env: env("X", default=None), None),
        (lambda env: env.db("X", default="sqlite:///x.db")["NAME"], "x.db"),
    ],
)
def test_offline_a_cast_gives_the_empty_value_of_its_type(monkeypatch, read, empty):
    """…or the default, where there is one."""
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    value = read(load().env)
    assert value == empty
    assert type(value) is type(empty) or isinstance(value, type(empty))


def test_offline_the_process_environment_is_still_read(monkeypatch):
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    monkeypatch.setenv("ALLOWED_HOSTS", "a,b")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///x.db")
    assert load().env.list("ALLOWED_HOSTS") == ["a", "b"]
    assert load().env.db()["NAME"] == "x.db"


def test_offline_a_tree_of_env_can_be_reached_into(monkeypatch):
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    assert load().env.json("X")["a"]["b"] == ""


def test_django_takes_the_offline_database_for_the_dummy_engine(monkeypatch):
    from django.db.utils import ConnectionHandler

    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    handler = ConnectionHandler({"default": load().env.db()})
    assert handler.settings["default"]["ENGINE"] == "django.db.backends.dummy"
