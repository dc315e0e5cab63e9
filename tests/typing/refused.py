"""Wrong uses: mypy and pyright must refuse each line with ``wrong``, and no other line."""

from django_kms_secrets import SecretStr, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.testing import override_secrets

secrets = load("locmem://")

load(42)  # wrong: neither a dict nor a URL
load("locmem://", max_age=[900])  # wrong: one number of seconds
load("locmem://", 900)  # wrong: only by name
secrets["SECRET_KEY"] = "x"  # wrong: it is read only
del secrets["SECRET_KEY"]  # wrong: it is read only
number: int = secrets["PORT"]  # wrong: values are text
dsn: str = secrets.get("SENTRY_DSN")  # wrong: it may be missing
text: str = secrets.env.int("PORT")  # wrong: it is a number
on: bool = secrets.env.bool("DEBUG", default=None)  # wrong: it may be None
secrets.refresh(["SECRET_KEY"])  # wrong: names, not a list of them
hidden: SecretStr = "plain"  # wrong: not masked
secrets.nope()  # wrong: there is no such attribute
with LocMemStore() as store:
    store.put("A", 1)  # wrong: values are text
    store.put("A", "1", "2")  # wrong: only by name
override_secrets(SECRET_KEY=b"x")  # wrong: values are text, JSON or None
override_secrets({"SECRET_KEY": "x"})  # wrong: only by name
