"""Django's reports: clean, whole, and there whatever happens. `tests/leaks` has a whole site."""

from __future__ import annotations

import secrets
import sys
from pprint import pformat

import pytest
from django.apps import apps
from django.conf import UserSettingsHolder, global_settings, settings
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter, get_default_exception_reporter_filter

from django_kms_secrets import SecretStr
from django_kms_secrets.redaction import Loaded
from django_kms_secrets.reporting import (
    RedactingExceptionReporter,
    RedactingExceptionReporterFilter,
    hidden,
)
from django_kms_secrets.types import MASK

# Made here, for reports show the lines of this file as well.
CORE = secrets.token_hex(8)
# So long that a printer breaks it in pieces.
VALUE = f"hunter2 & {'words ' * 20}<{CORE}>"
FILTER = f"{RedactingExceptionReporterFilter.__module__}.RedactingExceptionReporterFilter"


@pytest.fixture(autouse=True)
def loaded():
    """One value is loaded."""
    holder = Loaded()
    holder.add([VALUE])
    return holder


@pytest.fixture(autouse=True)
def _installed():
    """Settings of this test's own, in which the filter is installed."""
    own = UserSettingsHolder(global_settings)
    own.DEFAULT_EXCEPTION_REPORTER_FILTER = FILTER
    own.ROOT_URLCONF = __name__
    own.SECRET_KEY = "unused"
    before, settings._wrapped = settings._wrapped, own
    apps.populate([])
    get_default_exception_reporter_filter.cache_clear()
    yield
    get_default_exception_reporter_filter.cache_clear()
    settings._wrapped = before


urlpatterns: list = []


def reporter(action, kind=RedactingExceptionReporter, request=None):
    """A reporter about what an action raises."""
    try:
        action()
    except Exception:
        return kind(request, *sys.exc_info())
    raise AssertionError


def both(made):
    """Both kinds of a report."""
    return made.get_traceback_html(), made.get_traceback_text()


def fail(text):
    raise ValueError(text)


def test_the_text_of_an_error_is_clean():
    """As Django escapes it, and as plain text; the plain reporter shows it."""
    for text in both(reporter(lambda: fail(f"a {VALUE} b"))):
        assert f"a {MASK} b" in text
        assert CORE not in text
    plain = "".join(both(reporter(lambda: fail(VALUE), kind=ExceptionReporter)))
    assert plain.count(CORE) > 4


@pytest.mark.parametrize("make", [str, lambda text: [text] * 20, lambda text: text.encode() * 9])
def test_a_variable_that_django_would_wrap_is_clean(make):
    """A printer that breaks long values in pieces gets them clean."""

    def action():
        kept = make(f"{'word ' * 30}{VALUE}{' word' * 30}")
        raise ValueError(len(kept))

    for text in both(reporter(action)):
        assert CORE not in text


def test_parameters_are_clean():
    """Of the query and of a form, cookies, and META."""
    request = RequestFactory().post(
        "/", {"field": ["ok", VALUE]}, query_params={"q": VALUE}, headers={"x-thing": VALUE}
    )
    request.COOKIES["thing"] = VALUE
    before = dict(request.POST.lists())
    for text in both(reporter(lambda: fail("x"), request=request)):
        assert CORE not in text
        assert text.count(MASK) >= 4
    assert dict(request.POST.lists()) == before, "the request itself is not changed"


def test_the_neighbourhood_of_a_wrong_byte_is_not_shown():
    """Django shows eleven bytes around it: too many of a value, and harmless otherwise."""
    wrong = reporter(lambda: (VALUE.encode() + b"\xff").decode())
    assert wrong.get_traceback_data()["unicode_hint"] == MASK
    harmless = reporter(lambda: b"harmless \xff".decode())
    assert "less" in harmless.get_traceback_data()["unicode_hint"]


def test_what_has_nothing_to_hide_is_the_same_object():
    """Django prints it as it always does."""
    for value in ({"a": 1}, [1, "b"], None, "text", SecretStr(VALUE)):
        assert hidden(value) is value
    assert repr(hidden({"a": VALUE})) == repr({"a": MASK})
    assert hidden(VALUE) == MASK


def test_a_variable_that_cannot_be_printed_does_not_stop_the_report():
    """Its error is shown by Django; a value in it is not."""

    class Rude:
        def __repr__(self):
            raise RuntimeError(VALUE)

    def action():
        rude = Rude()
        raise ValueError(id(rude))

    page, text = both(reporter(action))
    assert "Error in formatting: RuntimeError" in page
    assert CORE not in page + text


def test_a_report_comes_even_if_it_cannot_be_made(monkeypatch):
    """One line without any detail, if our code or Django's own fails."""
    made = reporter(lambda: fail(VALUE))
    with monkeypatch.context() as patch:
        patch.setattr("django_kms_secrets.reporting.redact", lambda text: 1 / 0)
        texts = both(made)
    monkeypatch.setattr(ExceptionReporter, "get_traceback_frames", lambda self: 1 / 0)
    for text in (*texts, *both(made)):
        assert text.endswith("so it is not shown: ZeroDivisionError")
        assert CORE not in text


def test_django_still_hides_by_name():
    """What Django stars because of its name stays starred."""
    shown = RedactingExceptionReporterFilter().cleanse_setting("API_KEY", "anything")
    assert set(shown) == {"*"}
    nested = RedactingExceptionReporterFilter().cleanse_setting("X", {"a": [VALUE], "TOKEN": "t"})
    assert nested["a"] == [MASK]
    assert set(nested["TOKEN"]) == {"*"}


class OwnReporter(RedactingExceptionReporter):
    """A project's own."""


DJANGOS = "django.views.debug.ExceptionReporter"
DJANGOS_FILTER = "django.views.debug.SafeExceptionReporterFilter"
OURS = f"{RedactingExceptionReporter.__module__}.RedactingExceptionReporter"
OWN = f"{__name__}.OwnReporter"


@pytest.mark.parametrize(
    "reporter, filter_, lacking",
    [
        (OURS, FILTER, []),
        (OWN, FILTER, []),
        (DJANGOS, FILTER, ["DEFAULT_EXCEPTION_REPORTER"]),
        (OURS, DJANGOS_FILTER, ["DEFAULT_EXCEPTION_REPORTER_FILTER"]),
        (DJANGOS, "no.such", ["DEFAULT_EXCEPTION_REPORTER", "DEFAULT_EXCEPTION_REPORTER_FILTER"]),
        (FILTER, FILTER, ["DEFAULT_EXCEPTION_REPORTER"]),
    ],
)
def test_check_warns_of_reports_that_may_show_values(reporter, filter_, lacking, loaded):
    """kms_secrets.W001 names what to set, if secrets are loaded and it is not set."""
    from django_kms_secrets.checks.reports import check_reporting

    with override_settings(
        DEFAULT_EXCEPTION_REPORTER=reporter, DEFAULT_EXCEPTION_REPORTER_FILTER=filter_
    ):
        found = check_reporting()
    assert [message.id for message in found] == ["kms_secrets.W001"] * bool(lacking)
    named = {word for message in found for word in message.hint.split() if word.isupper()}
    assert named == set(lacking)


def test_check_is_silent_while_nothing_is_loaded(monkeypatch):
    """A project without secrets, or in offline mode, has nothing to hide."""
    from django_kms_secrets.checks.reports import check_reporting

    monkeypatch.setattr("django_kms_secrets.checks.reports.is_anything_loaded", lambda: False)
    with override_settings(DEFAULT_EXCEPTION_REPORTER=DJANGOS):
        assert check_reporting() == []


def test_an_object_is_printed_once():
    """The repr of a queryset is a query: what is shown is the text that was looked at."""
    printed = []

    class Query:
        def __repr__(self) -> str:
            printed.append(1)
            return "<Query>"

    assert pformat(hidden(Query())) == "<Query>"
    assert len(printed) == 1
