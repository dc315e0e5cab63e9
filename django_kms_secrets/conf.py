"""What the app reads of Django's settings, when it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def configured_source() -> Mapping[str, Any] | str | None:
    """``settings.KMS_SECRETS``: a dict or a URL; None where there is none.

    The command and the checks work on it, so it is the name to give to what ``load()`` is called
    with. Without it they take the URL in ``$KMS_SECRETS_URL``.
    """
    source: Mapping[str, Any] | str | None = getattr(settings, "KMS_SECRETS", None)
    return source
