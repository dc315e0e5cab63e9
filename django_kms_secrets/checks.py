"""System checks. They touch no network."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.utils.module_loading import import_string

from .conf import configured_source
from .config import read_config
from .exceptions import SecretsError
from .offline import VARIABLE, is_offline
from .redaction import is_anything_loaded


def check_configuration(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E001: the configuration in ``settings.KMS_SECRETS`` is not valid."""
    source = configured_source()
    if source is None:
        return []
    try:
        return list(read_config(source).make_store().check())
    except SecretsError as exc:
        return [Error(exc.message, hint=exc.hint, obj="KMS_SECRETS", id="kms_secrets.E001")]


def check_online(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E002, under ``--deploy``: the settings were imported in offline mode."""
    if not is_offline():
        return []
    return [
        Error(
            "the settings were imported in offline mode: every secret is empty",
            hint=f"unset {VARIABLE}; it is for image builds and the secrets command",
            id="kms_secrets.E002",
        )
    ]


def check_reporting(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W001, under ``--deploy``: secrets are loaded, and Django's reports may show them."""
    from . import reporting

    wanted = {
        "DEFAULT_EXCEPTION_REPORTER": reporting.RedactingExceptionReporter,
        "DEFAULT_EXCEPTION_REPORTER_FILTER": reporting.RedactingExceptionReporterFilter,
    }
    lacking = {name: kind for name, kind in wanted.items() if not _is_set_to(name, kind)}
    if not lacking or not is_anything_loaded():
        return []
    lines = [f'{name} = "{kind.__module__}.{kind.__name__}"' for name, kind in lacking.items()]
    return [
        Warning(
            "secrets are loaded, and error reports may show their values",
            hint=f"set {' and '.join(lines)}",
            id="kms_secrets.W001",
        )
    ]


def _is_set_to(name: str, kind: type) -> bool:
    """Whether a setting names a class or one of its subclasses."""
    try:
        return issubclass(import_string(getattr(settings, name)), kind)
    except (ImportError, TypeError):
        return False
