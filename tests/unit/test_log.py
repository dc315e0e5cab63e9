"""The filter for logs: what a handler writes has no value, and every record is still written."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from django_kms_secrets import SecretStr
from django_kms_secrets.log import RedactingFilter
from django_kms_secrets.redaction import Loaded
from django_kms_secrets.types import MASK

VALUE = "hunter2-marker"


@pytest.fixture(autouse=True)
def loaded():
    """One value is loaded."""
    holder = Loaded()
    holder.add([VALUE])
    return holder


class Log:
    """A logger and what its handler wrote."""

    def __init__(self, name: str) -> None:
        self.records: list[logging.LogRecord] = []
        self.written = io.StringIO()
        handler = logging.StreamHandler(self.written)
        handler.addFilter(RedactingFilter())
        handler.addFilter(lambda record: self.records.append(record) or True)
        self.logger = logging.Logger(name)
        self.logger.addHandler(handler)


@pytest.fixture
def log():
    return Log("site")


def failed(exc):
    """The exception, raised and caught."""
    try:
        raise exc
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "args",
    [
        (f"a {VALUE} b",),
        ("a %s b", VALUE),
        ("a %(x)s b", {"x": VALUE}),
        ("a %s b", [VALUE]),
        (ValueError(VALUE),),
    ],
)
def test_messages(log, args):
    """In the text and in what is formatted into it."""
    log.logger.warning(*args)
    assert MASK in log.written.getvalue()
    assert VALUE not in log.written.getvalue() + repr(vars(log.records[0]))


@pytest.mark.parametrize("value", [VALUE, SecretStr(VALUE), SecretStr("s3")], ids=str)
def test_a_structured_message_keeps_its_type(value):
    """python-json-logger and structlog pass dicts, which their formatters write without repr."""
    record = logging.makeLogRecord({"msg": {"event": "x", "password": value, "tree": [value]}})
    RedactingFilter().filter(record)
    assert record.msg == {"event": "x", "password": MASK, "tree": [MASK]}


def test_an_object_in_a_structured_message(log):
    """It becomes its clean repr where that has a value in it, and stays where not."""
    clean = object()
    log.logger.warning({"error": [ValueError(VALUE)], "clean": clean})
    assert log.records[0].msg == {"error": [f"ValueError('{MASK}')"], "clean": clean}


@pytest.mark.parametrize("value", [VALUE, SecretStr("s3")], ids=str)
def test_secrets_deep_in_arguments(value):
    """A formatter that writes the arguments themselves finds none; the message is as it was."""
    record = logging.makeLogRecord({"msg": "a %s b", "args": ({"password": [value]},)})
    RedactingFilter().filter(record)
    assert value not in json.dumps([record.msg, record.args])
    assert record.getMessage().startswith("a {'password': [")
    assert value not in record.getMessage()


def test_a_clean_record_is_left_alone(log):
    """Who groups records by their message and arguments still can."""
    log.logger.warning("a %s b", "c")
    assert (log.records[0].msg, log.records[0].args) == ("a %s b", ("c",))
    assert log.written.getvalue() == "a c b\n"


def test_a_masked_string_stays_masked_however_short(log):
    """As an argument, alone or in a dict, and as an extra attribute."""
    log.logger.warning("a %s %s b", SecretStr("s3"), SecretStr(""))
    log.logger.warning("a %(x)s b", {"x": SecretStr("s3")}, extra={"token": SecretStr("s3")})
    assert log.written.getvalue() == f"a {MASK}  b\na {MASK} b\n"
    assert log.records[1].token == MASK


def test_tracebacks(log):
    """With the chain and the notes; who formats it anew finds a stand-in of the same name."""
    cause = failed(KeyError(VALUE))
    exc = failed(ValueError(f"a {VALUE} b"))
    exc.__cause__ = cause
    if sys.version_info >= (3, 11):
        exc.add_note(f"note {VALUE}")
    log.logger.error("failed", exc_info=exc)
    record = log.records[0]
    again = logging.Formatter().formatException(record.exc_info)
    for text in (log.written.getvalue(), again):
        assert VALUE not in text
        assert f"ValueError: a {MASK} b" in text
        assert f"KeyError: '{MASK}'" in text
        assert "raise exc" in text
    assert record.exc_info[2] is exc.__traceback__


def test_where_in_a_template(log):
    """Django's mails show the place in a template, of a stand-in too."""
    exc = failed(ValueError(VALUE))
    exc.template_debug = {"line": 1, "message": f"no {VALUE}"}
    log.logger.error("failed", exc_info=exc)
    assert log.records[0].exc_info[1].template_debug == {"line": 1, "message": f"no {MASK}"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python has no groups before 3.11")
def test_a_group_of_exceptions(log):
    """The exceptions in a group are there, clean, with their tracebacks, however deep."""
    inner = failed(ExceptionGroup("inner", [failed(json.JSONDecodeError("no", VALUE, 0))]))  # noqa: F821
    group = ExceptionGroup("outer", [failed(KeyError("k")), inner])  # noqa: F821
    log.logger.error("failed", exc_info=failed(group))
    again = logging.Formatter().formatException(log.records[0].exc_info)
    assert VALUE not in again
    for text in ("ExceptionGroup: outer", "KeyError: 'k'", "JSONDecodeError: no", "raise exc"):
        assert text in again
    assert VALUE not in repr(vars(log.records[0].exc_info[1].exceptions[1].exceptions[0]))


def test_a_cycle_of_exceptions_ends(log):
    """A chain that comes back to itself is followed once."""
    one, two = failed(ValueError(VALUE)), failed(ValueError("two"))
    one.__context__, two.__context__ = two, one
    log.logger.error("failed", exc_info=one)
    assert VALUE not in log.written.getvalue()
    assert "two" in log.written.getvalue()


def test_a_clean_exception_is_left_alone(log):
    """Handlers that look at its type still can."""
    exc = failed(ValueError("nothing"))
    log.logger.error("failed", exc_info=exc)
    assert log.records[0].exc_info[1] is exc


@pytest.mark.parametrize("chained", [False, True])
def test_the_attributes_of_an_exception(log, chained):
    """Such as the document that was no JSON: no line shows it, and a formatter that shows the
    attributes of exceptions, also of those behind, finds a stand-in.
    """
    exc = failed(json.JSONDecodeError("wrong", f"{{{VALUE}", 1))
    if chained:
        cause, exc = exc, failed(ValueError("text"))
        exc.__cause__ = cause
    log.logger.error("failed", exc_info=exc)
    shown = log.records[0].exc_info[1]
    for each in (shown, shown.__cause__):
        assert VALUE not in repr(each and (vars(each), each.args))
    assert "JSONDecodeError: wrong: line 1 column 2" in log.written.getvalue()
    assert type(shown).__name__ == ("ValueError" if chained else "JSONDecodeError")


def test_an_exception_that_holds_itself_is_logged(log):
    """Attributes in which there is no end are not shown, and the rest is."""
    exc = failed(ValueError("text"))
    exc.held = [exc, {}]
    exc.held[1]["again"] = exc.held
    log.logger.error("failed", exc_info=exc)
    assert "ValueError: text" in log.written.getvalue()


def test_the_stack_and_extra_attributes(log):
    """Strings and trees of strings; an object stays the object it is."""
    request = object()
    log.logger.warning("x", extra={"token": VALUE, "tree": {"a": [VALUE]}, "request": request})
    log.logger.warning("x", stack_info=True, extra={"unused": VALUE})
    first = log.records[0]
    assert (first.token, first.tree, first.request) == (MASK, {"a": [MASK]}, request)
    record = logging.makeLogRecord({"stack_info": f"a {VALUE}", "exc_text": f"b {VALUE}"})
    assert RedactingFilter().filter(record) is True
    assert (record.stack_info, record.exc_text) == (f"a {MASK}", f"b {MASK}")


def test_arguments_that_do_not_fit(log, capsys):
    """logging would print them with its complaint; they are put into the message instead."""
    log.logger.warning("a %d b", VALUE)
    log.logger.warning("%s %s", VALUE)
    written = log.written.getvalue() + capsys.readouterr().err
    assert VALUE not in written
    assert f"a %d b ('{MASK}',)" in written
    assert "Logging error" not in written


def test_a_failure_of_the_filter_hides_the_record(log, monkeypatch):
    """It raises nothing, and lets nothing through that it could not look at."""
    monkeypatch.setattr("django_kms_secrets.log.redact", lambda text: 1 / 0)
    log.logger.warning("a %s b", VALUE, exc_info=failed(ValueError(VALUE)))
    written = log.written.getvalue()
    assert written == "a record that could not be redacted (ZeroDivisionError) is hidden\n"


@pytest.mark.parametrize("name", ["botocore.parsers", "botocore.endpoint", "urllib3.x", "boto3"])
@pytest.mark.parametrize(
    "text",
    [
        b'{"SecretString":"not-loaded-yet"}',
        "{'SecretBinary': b'not-loaded-yet'}",
        b'{"KeyId": "k", "Plaintext": "bm90LWxvYWRlZC15ZXQ="}',
        "<SecretAccessKey>not-loaded-yet</SecretAccessKey>",
        "x-amz-security-token:not-loaded-yet",
        "{'WebIdentityToken': 'not-loaded-yet'}",
        "{'SAMLAssertion': 'not-loaded-yet'}",
        '{"accessToken": "not-loaded-yet"}',
        "x-amz-sso_bearer_token: not-loaded-yet",
        "x-aws-ec2-metadata-token: not-loaded-yet",
    ],
)
def test_what_talks_to_aws_shows_no_plaintext(name, text):
    """Requests and replies with plaintext in them are hidden before any value is known."""
    log = Log(name)
    log.logger.debug("Response body:\n%s", text)
    assert log.written.getvalue() == "a message with plaintext of AWS in it is hidden\n"


def test_only_what_talks_to_aws_is_hidden_by_pattern(log):
    """The other messages of botocore, and the words of everybody else, stay."""
    log.logger.warning("SecretString is a member")
    other = Log("botocore.hooks")
    other.logger.warning("Event before-call")
    assert log.written.getvalue() + other.written.getvalue() == (
        "SecretString is a member\nEvent before-call\n"
    )
