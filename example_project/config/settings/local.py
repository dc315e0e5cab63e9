"""A developer's own machine: the same loader, with a file in the place of AWS.

`secrets.local.env` is a copy of `secrets.example.env`, kept out of version control.
While there is no such file, loading says so and names the path.
"""

from django_kms_secrets import load

from .base import *

KMS_SECRETS = {
    "BACKEND": "django_kms_secrets.backends.file.FileStore",
    "OPTIONS": {"path": str(BASE_DIR / "secrets.local.env")},
}
secrets = load(KMS_SECRETS)
env = secrets.env

DEBUG = True
SECRET_KEY = secrets["SECRET_KEY"]
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
