"""The least of a site: a query for each request, with a connection of its own."""

import os

from django_kms_secrets import load

secrets = load()

SECRET_KEY = "for-tests-only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django_kms_secrets", "site_notes"]
ROOT_URLCONF = "site_urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": secrets.database("DATABASE", CONN_MAX_AGE=0)}
if "SITE_ENGINE" in os.environ:
    DATABASES["default"]["ENGINE"] = os.environ["SITE_ENGINE"]
if os.environ.get("SITE_POOL"):
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 4, "max_lifetime": 1}}
