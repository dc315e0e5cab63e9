"""Django's error reports without the value of any loaded secret.

Both classes are needed: the filter keeps values out of what is shown of settings, requests and
variables, while they are still whole; the reporter goes once over all that was rendered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.datastructures import MultiValueDict
from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from .redaction import redact, scrub
from .types import MASK, SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView
    from types import FrameType

    from django.http import HttpRequest

#: What is shown in the place of a report that could not be made, or could not be made clean.
UNREPORTABLE = "An error occurred, and the report of it failed as well, so it is not shown: {}"


class RedactingExceptionReporterFilter(SafeExceptionReporterFilter):
    """For ``DEFAULT_EXCEPTION_REPORTER_FILTER``: hides values, beside what Django hides by name.

    It does so with ``DEBUG`` on as well.
    """

    def cleanse_setting(self, key: int | str, value: Any) -> Any:
        """A setting, an item of ``request.META`` or a cookie."""
        return hidden(super().cleanse_setting(key, value))

    def get_post_parameters(self, request: HttpRequest | None) -> MultiValueDict[str, Any]:
        """The parameters of a form."""
        return _parameters(super().get_post_parameters(request))

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        """The variables of a frame."""
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {name: hidden(value) for name, value in found}.items()


class RedactingExceptionReporter(ExceptionReporter):
    """For ``DEFAULT_EXCEPTION_REPORTER``: hides values in the whole report, HTML or text."""

    def get_traceback_html(self) -> SafeString:
        """The debug page, or the HTML part of a mail."""
        return self._redacted(super().get_traceback_html)

    def get_traceback_text(self) -> SafeString:
        """The debug page as text, or a mail."""
        return self._redacted(super().get_traceback_text)

    def get_traceback_data(self) -> dict[str, Any]:
        """What the report is rendered from."""
        data = super().get_traceback_data()
        if "request_GET_items" in data:
            data["request_GET_items"] = [(key, hidden(v)) for key, v in data["request_GET_items"]]
        args = getattr(self.exc_value, "args", ())
        if data.get("unicode_hint") and hidden(args) is not args:
            data["unicode_hint"] = MASK  # eleven characters of it are too many
        return data

    def _redacted(self, make: Callable[[], str]) -> SafeString:
        # A page about the error has to come, so nothing may be raised here; and it may not come
        # with what could not be looked at.
        try:
            return mark_safe(redact(make()))  # noqa: S308 - rendered, and so escaped, already
        except Exception as exc:
            return mark_safe(UNREPORTABLE.format(type(exc).__name__))  # noqa: S308 - a name


_PLAIN = (type(None), bool, int, float, bytes, list, tuple, set, frozenset, dict)


class _Shown:
    """Stands for an object, and prints as the clean text that was made of it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def hidden(value: Any) -> Any:
    """What may be shown in the place of a value.

    Django prints it with ``pprint``, which breaks long texts in pieces that nobody would
    recognise, and cuts off the rest; so it is looked at before that.

    Args:
        value: anything.

    Returns:
        The same value, if it is a plain one; or a string, or an object that prints as the redacted
        ``repr``.
    """
    if isinstance(value, str):
        return value if isinstance(value, SecretStr) else redact(value)
    try:
        text = repr(value)
        clean = redact(text)
    except Exception:
        return value  # Django's pprint will say what went wrong; the reporter reads that too
    # An object is printed only here: the repr of a queryset is a query. Of plain values and
    # containers pprint makes lines, as long as there is nothing to hide.
    return value if clean == text and isinstance(value, _PLAIN) else _Shown(clean)


def _parameters(found: Any) -> MultiValueDict[str, Any]:
    lists = dict(found.lists()) if isinstance(found, MultiValueDict) else {}
    clean = scrub(lists)
    return found if clean == lists else MultiValueDict(clean)
