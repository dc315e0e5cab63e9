"""What type checkers must see of the public API. Checked by mypy, never run."""

from typing import Any

from typing_extensions import assert_type

from django_kms_secrets import Secrets, SecretStr, load

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

SECRET_KEY: str = secrets["SECRET_KEY"]

load(42)  # type: ignore[arg-type]
secrets["SECRET_KEY"] = "x"  # type: ignore[index]
