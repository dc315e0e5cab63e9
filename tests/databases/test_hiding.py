"""The password of a database that cannot be reached is in no report, whose frames are Django's,
ours and the driver's.
"""

from __future__ import annotations

import json
import secrets as random
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk.consts
import sentry_sdk.serializer
import sentry_sdk.utils
from django.db import OperationalError
from django.test import override_settings
from django.views.debug import ExceptionReporter

from django_kms_secrets.reporting import RedactingExceptionReporter
from django_kms_secrets.sentry import before_send

from .conftest import NAME, Store, ask, connections_of

if TYPE_CHECKING:
    from .servers import Server

OLD, NEW = (f"leak{random.token_hex(8)}" for _ in range(2))
FILTER = "django_kms_secrets.reporting.RedactingExceptionReporterFilter"
urlpatterns: list[Any] = []


def reports(exc_info: Any, kind: type[ExceptionReporter]) -> str:
    """Django's, as a page and as text."""
    reporter = kind(None, *exc_info)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def event(exc_info: Any) -> Any:
    """Sentry's, with the variables of all frames."""
    options = {**sentry_sdk.consts.DEFAULT_OPTIONS, "max_value_length": 100_000}
    return sentry_sdk.serializer.serialize(
        sentry_sdk.utils.event_from_exception(exc_info, client_options=options)[0]
    )


def test_a_refused_connection(server: Server, store: Store) -> None:
    """The refused old password, and the new one that was read and refused as well."""
    server.make_role("notes", "another-one")
    store.put(server.url("notes", OLD))
    loaded = store.load()
    entry = loaded.database(NAME)
    store.put(server.url("notes", NEW))
    with connections_of(default=entry) as handler:
        with pytest.raises(OperationalError):
            ask(handler["default"])
        try:
            ask(handler["default"])
        except OperationalError:
            info = sys.exc_info()
    with override_settings(ROOT_URLCONF=__name__, DEFAULT_EXCEPTION_REPORTER_FILTER=FILTER):
        shown = reports(info, RedactingExceptionReporter)
    shown += json.dumps(before_send(event(info), {}))
    assert "get_new_connection" in shown
    for password in (OLD, NEW):
        assert password not in shown
    # Without us: the driver's frames have ordinary strings of it, or our masks reach that far.
    with override_settings(ROOT_URLCONF=__name__):
        bare = reports(info, ExceptionReporter) + json.dumps(event(info))
    assert "django_kms_secrets/db/engine.py" in bare
    assert (OLD in bare) == (server.ours == "django_kms_secrets.db.postgresql")
