"""A server. Secrets come from the store, everything else from the process environment.

With KMS_SECRETS_OFFLINE=1 no store is asked: every secret is empty, and an image can be built
(`collectstatic`, `check`) where there are no credentials.
"""

import os

import django

from django_kms_secrets import load

from .base import *

# A URL in the environment names another store (a Secrets Manager document, a file) without a
# change here; the default is the CredStash table of this deployment.
KMS_SECRETS = os.environ.get("KMS_SECRETS_URL") or {
    "BACKEND": "django_kms_secrets.backends.credstash.CredStashStore",
    "OPTIONS": {
        "table": "credential-store",
        "key_id": "alias/credstash",
        "region_name": "ap-northeast-2",
    },
    "NAMES": ["SECRET_KEY", "DATABASE_URL", "EMAIL_HOST_PASSWORD", "site"],
}
secrets = load(KMS_SECRETS)
env = secrets.env

# Signing, and the database.
SECRET_KEY = secrets["SECRET_KEY"]
SECRET_KEY_FALLBACKS = secrets.fallbacks("SECRET_KEY")
DATABASES = {"default": env.db("DATABASE_URL")}

# One secret that is a tree: read whole, or a leaf at a time by its dotted name.
site = secrets.json("site")
SITE_BANNER = site["banner"]
SENTRY_DSN = site["sentry"]["dsn"]
WEATHER_API_KEY = secrets["site.api.weather.key"]

# Who may ask, and over what.
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

HTTPS = env.bool("HTTPS", default=True)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=3600) if HTTPS else 0
# Health checks come from inside, past the proxy that speaks TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
if HTTPS:
    # Safe only behind a proxy that always sets this header itself, as nginx does here.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SILENCED_SYSTEM_CHECKS = [
    # HSTS for subdomains and for browsers' preload lists binds a whole domain, not one site.
    "security.W005",
    "security.W021",
    # A pipeline reads these settings with a file of the fetched secrets (`make secrets-check`).
    "kms_secrets.W005",
    # The table and its key are this site's alone: there are no records of another environment.
    "kms_secrets.W007",
]

# Mail: the server from the environment, the password from the store.
smtp = {
    "host": env("EMAIL_HOST", default="localhost"),
    "port": env.int("EMAIL_PORT", default=587),
    "username": env("EMAIL_HOST_USER", default=""),
    "password": secrets["EMAIL_HOST_PASSWORD"],
    "use_tls": env.bool("EMAIL_USE_TLS", default=True),
}
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": smtp}
    }
else:
    EMAIL_HOST = smtp["host"]
    EMAIL_PORT = smtp["port"]
    EMAIL_HOST_USER = smtp["username"]
    EMAIL_HOST_PASSWORD = smtp["password"]
    EMAIL_USE_TLS = smtp["use_tls"]

# Static files: gathered once by `collectstatic`, named by their content, compressed.
STATIC_ROOT = env("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"redacting": {"()": "django_kms_secrets.log.RedactingFilter"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["redacting"],
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # It would tell with every client where it found its credentials and endpoint.
        "botocore": {"level": "WARNING"},
        # Named here, they lose Django's own handlers, which have no filter, and use the root's.
        "django": {"level": "INFO"},
        "django.server": {"level": "INFO", "propagate": True},
    },
}
