"""The app: it registers its checks and nothing else."""

from typing import Any

from django.apps import AppConfig
from django.core.checks import register


class KmsSecretsConfig(AppConfig):
    """Settings from AWS."""

    name = "django_kms_secrets"
    verbose_name: Any = "Secrets"

    def ready(self) -> None:
        """Register the checks."""
        from .checks import reports, stores

        register(stores.check_configuration)
        register(stores.check_debug)
        register(stores.check_outage)
        for check in (
            stores.check_online,
            stores.check_deployment,
            stores.check_names,
            reports.check_reporting,
            reports.check_logging,
            reports.check_wire_logs,
            reports.check_environment,
        ):
            register(check, deploy=True)
