"""Settings for `manage.py secrets`, which asks no store for them."""

import os

from django_kms_secrets import load

KMS_SECRETS = os.environ["SITE_STORE"]
secrets = load(KMS_SECRETS)

SECRET_KEY = secrets["SECRET_KEY"]
INSTALLED_APPS = ["django_kms_secrets"]
