"""Where values of secrets may be seen: reports, logs, the environment."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.utils.module_loading import import_string

from ..backends.capabilities import AWSStore
from ..loader import in_environment
from ..log import WIRE, RedactingFilter
from ..redaction import is_anything_loaded
from .stores import stores

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILTER = f"{RedactingFilter.__module__}.{RedactingFilter.__name__}"


def check_reporting(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W001, under ``--deploy``: secrets are loaded, and Django's reports may show them."""
    from .. import reporting

    wanted = {
        "DEFAULT_EXCEPTION_REPORTER": reporting.RedactingExceptionReporter,
        "DEFAULT_EXCEPTION_REPORTER_FILTER": reporting.RedactingExceptionReporterFilter,
    }
    lacking = {
        name: kind for name, kind in wanted.items() if not _is(getattr(settings, name), kind)
    }
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


def check_logging(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W002, under ``--deploy``: secrets are loaded, and logs may show them."""
    lacking = _unfiltered()
    if not lacking or not is_anything_loaded():
        return []
    return [
        Warning(
            "secrets are loaded, and logs may show their values: no filter on "
            f"{', '.join(lacking)}",
            hint=f'add {{"()": "{_FILTER}"}} to the filters of LOGGING, and its name to the '
            '"filters" of every handler; Django\'s own handlers go when LOGGING names their '
            'loggers, "django" and "django.server"',
            id="kms_secrets.W002",
        )
    ]


def check_wire_logs(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E003, under ``--deploy``: what talks to AWS logs requests and replies as they are."""
    lacking = [name for top in WIRE for name in _printing(top)]
    if not lacking or not any(isinstance(store, AWSStore) for store, _ in stores()):
        return []
    return [
        Error(
            f"at DEBUG, {', '.join(lacking)} would log secrets and data keys as AWS sends them",
            hint=f'set the level of "{lacking[0].partition(".")[0]}" to INFO in LOGGING, or give '
            f"every handler that gets its records the filter {_FILTER}",
            id="kms_secrets.E003",
        )
    ]


def check_environment(**kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W003, under ``--deploy``: the environment has the values of loaded secrets."""
    names = in_environment()
    if not names:
        return []
    return [
        Warning(
            "the process environment has secrets of the store too, with the same values: "
            f"{', '.join(names)}",
            hint="unset them where the process is started: every child process inherits them, "
            "and /proc and debug pages show them",
            id="kms_secrets.W003",
        )
    ]


def _is(found: object, kind: type) -> bool:
    """Whether something is a class or one of its subclasses, or names one."""
    try:
        return issubclass(import_string(found) if isinstance(found, str) else found, kind)  # type: ignore[arg-type]
    except (ImportError, TypeError):
        return False


def _unfiltered() -> list[str]:
    """The handlers that print records as they are, each with its logger.

    Those that there are, whatever made them: LOGGING does not name Django's own.
    """
    found = [
        f"{handler.name or type(handler).__name__} of {logger.name}"
        for logger in (logging.root, *_loggers())
        for handler in logger.handlers
        if _is_bare(handler)
    ]
    if not logging.root.handlers and logging.lastResort and _is_bare(logging.lastResort):
        found.append("logging.lastResort, which prints what no handler takes")
    return found


def _loggers() -> list[logging.Logger]:
    known = sorted(logging.root.manager.loggerDict.items())
    return [found for _, found in known if isinstance(found, logging.Logger)]


def _is_bare(handler: logging.Handler) -> bool:
    """Whether a handler prints records, and has no filter of ours."""
    return not isinstance(handler, logging.NullHandler) and not any(
        isinstance(found, RedactingFilter) for found in handler.filters
    )


def _printing(top: str) -> list[str]:
    """A logger if it prints at DEBUG; otherwise those below it that do."""
    if _prints_debug(logging.getLogger(top)):
        return [top]
    return [
        found.name
        for found in _loggers()
        if found.name.startswith(f"{top}.") and _prints_debug(found)
    ]


def _prints_debug(logger: logging.Logger) -> bool:
    """Whether a record at DEBUG reaches a handler that would print it as it is."""
    return logger.isEnabledFor(logging.DEBUG) and any(
        handler.level <= logging.DEBUG and _is_bare(handler) for handler in _handlers(logger)
    )


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    """Those that get the records of a logger."""
    while logger:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
