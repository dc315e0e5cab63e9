"""System checks. They touch no network."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from .conf import configured_source
from .config import read_config
from .exceptions import SecretsError
from .offline import VARIABLE, is_offline


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
