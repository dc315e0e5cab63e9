"""The least of a site that logs people in; its key and fallbacks as the documentation has them."""

import os

from django_kms_secrets import load

secrets = load()

SECRET_KEY = secrets["SECRET_KEY"]
SECRET_KEY_FALLBACKS = secrets.fallbacks("SECRET_KEY")

ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_kms_secrets",
]
MIDDLEWARE = ["site_sessions.Sessions", "django.contrib.auth.middleware.AuthenticationMiddleware"]
ROOT_URLCONF = "site_urls"
USE_TZ = True
# Honest hashing takes most of a second per login.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SITE_DATABASE"],
        # Two hosts write to one file: they wait for each other, and not for the disk.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
        },
    }
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "ERROR"},
}
