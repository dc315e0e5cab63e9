"""Connects, changes its own password, and connects again; prints who it was, and the driver."""

import os
import sys

if os.environ.get("SITE_DRIVER") == "psycopg2":
    sys.modules["psycopg"] = None  # type: ignore[assignment]  # Django prefers it

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
django.setup()

from django.db import connection  # noqa: E402
from site_urls import ask  # noqa: E402

from django_kms_secrets.config import read_config  # noqa: E402

print(ask(None).content.decode())
with read_config(os.environ["KMS_SECRETS_URL"]).make_store() as store:
    store.put("DATABASE", os.environ["SITE_NEW_URL"])
with connection.cursor() as cursor:
    cursor.execute(os.environ["SITE_CHANGE_PASSWORD"])
connection.close()
print(ask(None).content.decode(), connection.Database.__name__)
