"""The app, whose label is not that of django.contrib.admin."""

from typing import Any

from django.apps import AppConfig


class KmsSecretsAdminConfig(AppConfig):
    """The page in the admin."""

    name = "django_kms_secrets.contrib.admin"
    label = "kms_secrets_admin"
    verbose_name: Any = "Secrets"
