"""Log records without the value of any loaded secret."""

from __future__ import annotations

import builtins
import logging
import re
import traceback
from types import TracebackType
from typing import Any

from .redaction import redact, scrub
from .types import MASK, SecretStr

#: Loggers of what talks to AWS. At DEBUG they print requests and replies whole, before anybody
#: could know what of them is a secret.
WIRE = ("botocore", "boto3", "urllib3")

#: Members of requests and replies that are plaintext, data keys or credentials of AWS.
_PLAINTEXT = re.compile(
    "SecretString|SecretBinary|Plaintext|SecretAccessKey|SessionToken|X-Amz-Security-Token"
    "|WebIdentityToken|SAMLAssertion|accessToken|sso_bearer_token|metadata-token",
    re.I,
)

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # since Python 3.11

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class RedactingFilter(logging.Filter):
    """A filter for handlers: hides values in the message, the traceback and extra attributes.

    It belongs on handlers: a filter of a logger does not see the records of the loggers below it.
    It lets every record pass, changed if need be.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide what is to be hidden; True."""
        try:
            _clean(record)
        except Exception as exc:
            # Logging must not stop the program, and not print what could not be looked at.
            record.msg = f"a record that could not be redacted ({type(exc).__name__}) is hidden"
            record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True


def _clean(record: logging.LogRecord) -> None:
    _clean_message(record)
    _clean_exception(record)
    if record.stack_info:
        record.stack_info = redact(record.stack_info)
    for name in record.__dict__.keys() - _STANDARD:
        record.__dict__[name] = scrub(record.__dict__[name])


def _clean_message(record: logging.LogRecord) -> None:
    if isinstance(record.msg, (dict, list, tuple)):
        # Formatters of JSON write what is in it, and structlog needs a dict.
        record.msg = _clean_tree(record.msg)
    message = _message(record)
    clean = redact(message)
    if str(record.name).partition(".")[0] in WIRE and _PLAINTEXT.search(message):
        clean = "a message with plaintext of AWS in it is hidden"
    if clean != message or _holds_secrets(record.args):
        record.msg, record.args = clean, ()


def _clean_tree(tree: Any) -> Any:
    """A tree without values; an object that would show one becomes its clean ``repr``."""
    clean = scrub(tree)
    text = repr(clean)
    shown = redact(text)
    if shown == text:
        return tree if clean == tree else clean
    if isinstance(clean, dict):
        return {key: _clean_tree(inner) for key, inner in clean.items()}
    if isinstance(clean, (list, tuple)):
        return [_clean_tree(inner) for inner in clean]
    return shown


def _message(record: logging.LogRecord) -> str:
    """The message; a `SecretStr` among its arguments stays masked, however short it is."""
    args: Any = record.args
    if isinstance(args, dict):
        args = {key: _argument(value) for key, value in args.items()}
    elif isinstance(args, tuple):
        args = tuple(map(_argument, args))
    message = str(record.msg)
    try:
        return message % args if args else message
    except Exception:
        # The program's own mistake. logging would print the arguments with its complaint.
        return f"{message} {args!r}"


def _argument(value: Any) -> Any:
    return MASK if isinstance(value, SecretStr) and value else value


def _holds_secrets(tree: Any) -> bool:
    """Whether there is a value or a `SecretStr` in it, at any depth."""
    try:
        return bool(scrub(tree) != tree)
    except RecursionError:  # it holds itself
        return True


def _clean_exception(record: logging.LogRecord) -> None:
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        text = record.exc_text or "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        clean = redact(text)
        if clean != text or _holds_values(record.exc_info[1], set()):
            # Formatters take this text. For those that make their own there is a stand-in.
            record.exc_text = clean
            record.exc_info = _stand_in(record.exc_info)
    elif record.exc_text:
        record.exc_text = redact(record.exc_text)


def _holds_values(exc: BaseException, seen: set[int]) -> bool:
    """Whether the attributes of an exception or of one behind it, such as ``doc``, have a value."""
    seen.add(id(exc))
    return _holds_secrets({**vars(exc), "args": exc.args}) or any(
        _holds_values(inner, seen)
        for inner in (exc.__cause__, exc.__context__, *_leaves(exc))
        if inner is not None and id(inner) not in seen
    )


def _leaves(exc: BaseException) -> tuple[BaseException, ...]:
    """The exceptions in a group."""
    return getattr(exc, "exceptions", ()) if isinstance(exc, _GROUP) else ()


def _stand_in(exc_info: Any) -> _ExcInfo:
    """An exception with the same name, traceback and notes, whose texts are clean."""
    error = _stand_in_for(exc_info[1], set())
    return type(error), error, exc_info[2]


def _stand_in_for(exc: BaseException, seen: set[int]) -> BaseException:
    seen.add(id(exc))
    kind = type(exc)
    text = redact(str(exc))
    members = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__str__": lambda _: text,
        "__repr__": lambda _: f"{kind.__name__}({text!r})",
    }
    leaves = [_stand_in_for(inner, seen) for inner in _leaves(exc) if id(inner) not in seen]
    base, args = (_GROUP, (text, leaves)) if leaves else (Exception, (text,))
    make: Any = type(kind.__name__, (base,), members)
    made: BaseException = make(*args)
    made.__traceback__ = exc.__traceback__
    for name in ("__cause__", "__context__"):
        inner = getattr(exc, name)
        if inner is not None and id(inner) not in seen:
            setattr(made, name, _stand_in_for(inner, seen))
    made.__suppress_context__ = exc.__suppress_context__
    notes = getattr(exc, "__notes__", None)
    if notes:
        made.__dict__["__notes__"] = scrub(list(notes))
    debug = getattr(exc, "template_debug", None)
    if debug is not None:  # where in a template, for Django's mails
        made.__dict__["template_debug"] = scrub(debug)
    return made
