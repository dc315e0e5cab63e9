"""Sentry's events without the value of any loaded secret. sentry-sdk itself is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .redaction import redact, scrub

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is sent of an event that could not be looked at.
_HARMLESS = ("event_id", "timestamp", "level", "platform", "release", "environment", "type")


def before_send(event: Any, hint: Any) -> Any:  # noqa: ARG001
    """For ``sentry_sdk.init(before_send=…)``, ``before_send_transaction`` and ``before_send_log``.

    Args:
        event: what is going to be sent.
        hint: as Sentry passes it; not used.

    Returns:
        The event without values. If that fails, only that there was one.
    """
    try:
        return _as_sent(scrub(event))
    except Exception as exc:
        kept = {key: event[key] for key in _HARMLESS if key in event}
        return {**kept, "message": f"an event that could not be redacted: {type(exc).__name__}"}


def _as_sent(tree: Any) -> Any:
    """The attributes of a log may be objects, such as a request: Sentry sends their ``repr``."""
    if isinstance(tree, dict):
        return {key: _as_sent(inner) for key, inner in tree.items()}
    if tree is None or isinstance(tree, (str, bytes, int, float, list, tuple)):
        return tree
    text = repr(tree)
    clean = redact(text)
    return tree if clean == text else clean


def redacting(own: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Put `before_send` behind a project's own.

    Args:
        own: the project's ``before_send``. What it returns is redacted; what it drops is dropped.

    Returns:
        What to pass to ``sentry_sdk.init``.
    """

    def both(event: Any, hint: Any) -> Any:
        changed = own(event, hint)
        return None if changed is None else before_send(changed, hint)

    return both
