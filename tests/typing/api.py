"""What type checkers must see of the public API. Checked by mypy and by pyright, never run."""

from logging import Filter
from typing import Any

from django.dispatch import Signal
from typing_extensions import assert_type

from django_kms_secrets import SecretNotFound, Secrets, SecretsError, SecretStr, load
from django_kms_secrets.backends.base import BaseStore
from django_kms_secrets.backends.credstash.store import CredStashStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.config import read_config
from django_kms_secrets.env import SecretsEnv
from django_kms_secrets.log import RedactingFilter
from django_kms_secrets.redaction import redact
from django_kms_secrets.signals import secrets_changed
from django_kms_secrets.testing import Versions, memory_store, no_aws, override_secrets
from django_kms_secrets.types import Secret

secrets = load({"BACKEND": "django_kms_secrets.backends.locmem.LocMemStore"})
assert_type(secrets, Secrets)
assert_type(load("locmem://") | load(), Secrets)
assert_type(load("locmem://", max_age=900), Secrets)
assert_type(secrets["SECRET_KEY"], SecretStr)
assert_type(secrets.get("SENTRY_DSN"), SecretStr | None)
assert_type(secrets.get("SENTRY_DSN", ""), SecretStr | str)
assert_type(secrets.fallbacks("SECRET_KEY"), list[SecretStr])
assert_type(secrets.previous("SECRET_KEY"), SecretStr | None)
assert_type(secrets.refresh(), frozenset[str])
assert_type(secrets.json("site"), Any)
assert_type(secrets.env, SecretsEnv)
assert_type(secrets.env.db("DATABASE_URL"), Any)
assert_type(secrets.env.bool("DEBUG", default=False), bool)
assert_type(secrets.env.int("PORT"), int)
assert_type(secrets.env.int("PORT", default=None), int | None)
assert_type(secrets.env.list("HOSTS", default=["localhost"]), list[Any])
assert_type(secrets.env.str("SENTRY_DSN"), str)
assert_type(secrets.env.str("SENTRY_DSN", default=None), str | None)
assert_type(secrets.env.bytes("SALT"), bytes)
assert_type(list(secrets), list[str])

SECRET_KEY: str = secrets["SECRET_KEY"]

try:
    secrets["NOPE"]
except SecretNotFound as missing:
    assert_type(missing.names, tuple[str, ...])
    assert_type(missing.hint, str)
    of_ours: SecretsError = missing
    of_pythons: KeyError = missing

with LocMemStore() as memory:
    assert_type(memory, LocMemStore)
    assert_type(memory.get("A"), Secret)
with CredStashStore(table="credential-store") as table:
    assert_type(table, CredStashStore)
assert_type(read_config("locmem://").make_store(), BaseStore)

assert_type(redact("text"), str)
assert_type(secrets_changed, Signal)
on_a_handler: Filter = RedactingFilter()

with override_secrets(SECRET_KEY="x", site={"a": [1]}, PORT=5432, GONE=None, KEY=Versions("x")):
    pass
with override_secrets(secrets, SECRET_KEY="x"), no_aws(), memory_store() as own:
    assert_type(own.url, str)


@override_secrets(SECRET_KEY="x")
def decorated(number: int) -> str:
    return str(number)


assert_type(decorated(1), str)
