"""A site whose settings keep what the package gives. Its logs are at DEBUG from the first line."""

import logging.config
import os

import django

from django_kms_secrets import load

OUT = os.environ["SITE_OUT"]
FILTERED = os.environ["SITE_FILTERED"] == "1"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redacting": {"()": "django_kms_secrets.log.RedactingFilter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler"},
        "file": {"class": "logging.FileHandler", "filename": f"{OUT}/site.log"},
        "json": {
            "class": "logging.FileHandler",
            "filename": f"{OUT}/site.json",
            "formatter": "json",
        },
        "mail": {
            "class": "django.utils.log.AdminEmailHandler",
            "level": "ERROR",
            "include_html": True,
        },
    },
    "formatters": {"json": {"()": "site_json.Formatter"}},
    "root": {"handlers": ["console", "file", "json", "mail"], "level": "DEBUG"},
    # Without Django's own handlers, which have no filter: all goes to those above.
    "loggers": {"django": {"level": "DEBUG"}, "django.server": {"propagate": True}},
}
if FILTERED:
    for handler in LOGGING["handlers"].values():
        handler["filters"] = ["redacting"]
    DEFAULT_EXCEPTION_REPORTER = "django_kms_secrets.reporting.RedactingExceptionReporter"
    DEFAULT_EXCEPTION_REPORTER_FILTER = (
        "django_kms_secrets.reporting.RedactingExceptionReporterFilter"
    )
logging.config.dictConfig(
    {**LOGGING, "root": {"handlers": ["console", "file", "json"], "level": "DEBUG"}}
)
logging.captureWarnings(True)

secrets = load(os.environ["SITE_TABLE"]) | load(os.environ["SITE_DOCUMENT"])
env = secrets.env

SECRET_KEY = secrets["SECRET_KEY"]
SECRET_KEY_FALLBACKS = secrets.fallbacks("SECRET_KEY")
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "other": env.db("DATABASE_URL"),
    "rotated": secrets.database("ROTATED_URL"),
    "tree": secrets.database("ROTATED_TREE"),
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "other": env.cache("CACHE_URL"),
}
if django.VERSION < (6, 1):
    EMAIL_HOST_PASSWORD = secrets["EMAIL_HOST_PASSWORD"]
MAIL = {"password": secrets["EMAIL_HOST_PASSWORD"]}
SERVICE = env.url("SERVICE_URL")
HOSTS = env.list("HOSTS")
PAIRS = env.dict("PAIRS")
TREE = secrets.json("TREE")
TREE_ENV = env.json("TREE_ENV")
LEAF = secrets["TREE_DOTTED.deep.er"]
RAW = env.bytes("RAW")
NESTED = {"a": [{"b": (secrets["NESTED"],)}]}

DEBUG = os.environ["SITE_DEBUG"] == "1"
ALLOWED_HOSTS = ["*"]
ADMINS = ["admin@example.com"] if django.VERSION >= (6, 0) else [("", "admin@example.com")]
INSTALLED_APPS = ["django_kms_secrets"]
MIDDLEWARE = []
ROOT_URLCONF = "site_urls"
USE_TZ = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {"broken.html": "{{ shown }}\n{% include name %}"},
                )
            ]
        },
    }
]
