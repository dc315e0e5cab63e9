"""The app: it registers its checks and nothing else."""

from django.apps import AppConfig
from django.core.checks import register


class KmsSecretsConfig(AppConfig):
    """Settings from AWS."""

    name = "django_kms_secrets"
    verbose_name = "Secrets"

    def ready(self) -> None:
        """Register the checks."""
        from . import checks

        register(checks.check_configuration)
        register(checks.check_online, deploy=True)
        register(checks.check_reporting, deploy=True)
