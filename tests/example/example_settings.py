"""The example site with nothing around it: no secrets to read, a database in memory."""

from config.settings.base import *  # noqa: F403

SECRET_KEY = "a key for tests, where nothing that is signed outlives the run"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
# Honest hashing takes most of a second per user.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
