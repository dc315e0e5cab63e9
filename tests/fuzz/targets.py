"""What is fuzzed: name -> a function of any bytes, which raises if a rule is broken.

The rule everywhere: hostile input ends in a `SecretsError` or in nothing, and no message has a
value in it. Each target plants `MARKER` where a value would stand.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import logging
import os
import sys
import tempfile
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

import django_kms_secrets.db.entry
from django_kms_secrets import SecretsError, envelope, formats, load, redaction
from django_kms_secrets.__main__ import main
from django_kms_secrets.aws import LightService
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.config import _SCHEMES, read_config
from django_kms_secrets.formats import dotenv, tree
from django_kms_secrets.types import SecretStr, masked

from . import MARKER, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Broken(AssertionError):
    """A rule was broken."""


def _must(holds: object, rule: str) -> None:
    if not holds:
        raise Broken(rule)


@contextlib.contextmanager
def _refusing(*, marked: bool = True) -> Iterator[None]:
    """Only errors of ours, and none with the planted value."""
    try:
        yield
    except SecretsError as exc:
        if marked:
            _hidden(exc)


def _hidden(exc: BaseException) -> None:
    told = f"{exc!s} {exc!r} {vars(exc)}"
    _must(MARKER not in told, f"a value is in a message: {told}")
    _must(exc.__context__ is None, f"another error is behind it: {exc.__context__!r}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


# Formats


def fuzz_json(data: bytes) -> None:
    text = _text(data)
    for whole in (text, f'{{"A": "{MARKER}", {text}', f'{text}: "{MARKER}"}}'):
        with _refusing():
            _comes_back(formats.parse(whole, "json"))


def fuzz_dotenv(data: bytes) -> None:
    text = _text(data)
    for whole in (text, f"A={MARKER}\n{text}", f"{text}={MARKER}"):
        with _refusing():
            values = formats.parse(whole, "dotenv")
            _must(dotenv.edit(whole, {}) == whole, "an edit of nothing changed something")
            _comes_back(values)


def fuzz_yaml(data: bytes) -> None:
    text = _text(data)
    for whole in (text, f'A: "{MARKER}"\n{text}', f'{text}: "{MARKER}"'):
        with _refusing():
            _comes_back(formats.parse(whole, "yaml"))


def _comes_back(values: dict[str, str]) -> None:
    """What was read can be written in every format, and is read as the same."""
    for kind in ("json", "yaml", "dotenv"):
        with _refusing():
            _must(formats.parse(formats.dump(values, kind), kind) == values, f"{kind} loses")
    with _refusing():
        text = formats.dump(values, "csv")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        _must(rows == [list(pair) for pair in values.items()], "csv loses")
    for target in dotenv.TARGETS:
        with _refusing():
            formats.dump(values, "dotenv", target=target)


def fuzz_tree(data: bytes) -> None:
    """A document, a dotted name on the first line, and what is to be put there."""
    name, _, rest = _text(data).partition("\n")
    value, _, text = rest.partition("\n")
    document = tree.parse_object(text)
    masked(document)
    if document is None:
        return
    before = json.dumps(document)
    found = tree.reach(document, name)
    tree.place(document, name, value)
    _must(tree.reach(document, name) is not tree.MISSING, "a value that was placed is not there")
    _must(tree.remove(document, name), "a value that was placed cannot be removed")
    if found is tree.MISSING:
        _must(tree.reach(json.loads(before), name) is tree.MISSING, "reading changed it")


# Records


def fuzz_envelope(data: bytes) -> None:
    """An item as JSON; strings that begin with a NUL are bytes."""
    try:
        item = json.loads(data)
    except (ValueError, RecursionError):
        item = {"key": "", "contents": _text(data), "hmac": data, "digest": "SHA256"}
    if not isinstance(item, dict):
        return
    item = {
        name: value[1:].encode() if isinstance(value, str) and value[:1] == "\0" else value
        for name, value in item.items()
    }
    with _refusing():
        found = envelope.decode(item)
        envelope.unseal(found, data_key=wire.DATA_KEY)
    with _refusing():
        sealed = envelope.seal(data, data_key=wire.DATA_KEY, encrypted_key=data)
        _must(envelope.unseal(sealed, data_key=wire.DATA_KEY) == data, "a value is another one")
        _must(envelope.decode(envelope.encode(sealed)) == sealed, "a record is another one")
        envelope.unseal(sealed, data_key=data)


# Configurations


def fuzz_config(data: bytes) -> None:
    """A URL; where its scheme is nobody's, it may be anything, and nothing of it is repeated."""
    url = _text(data)
    known = url.partition("://")[0] in _SCHEMES
    with _refusing(marked=not known):
        read_config(url if known else url + MARKER).make_store()
    if known:
        with _refusing():
            read_config(url + "?" * ("?" not in url) + "&zzz=" + MARKER).make_store()


def fuzz_database(data: bytes) -> None:
    """A database's secret: all of it is a value."""
    text = _text(data)
    for whole in (text, f"{text}{MARKER}", text.replace("@", f"{MARKER}@")):
        with LocMemStore(name="database") as store:
            store.delete("D") if store.get_many(["D"]) else None
            with _refusing():
                store.put("D", whole)
            if not store.get_many(["D"]):
                return
        secrets = load("locmem://database?names=D")
        with _refusing():
            django_kms_secrets.db.entry.entry_of(secrets, "D")
            list(django_kms_secrets.db.entry.credentials_of(secrets, "D"))
        with _refusing():
            secrets.json("D")
        with _refusing():
            _must(secrets["D"] == whole, "a value is another one")


# The command


def fuzz_cli(data: bytes) -> None:
    """Arguments, one a line, and after an empty line what is on stdin."""
    head, _, stdin = data.partition(b"\n\n")
    args = [_tame(arg) for arg in os.fsdecode(head).replace("\0", "").split("\n") if arg]
    out, err = (io.TextIOWrapper(io.BytesIO(), errors=errors) for errors in _ERRORS)
    given = io.TextIOWrapper(io.BytesIO(stdin))
    with (
        _room(),
        wire.answering([(400, b'{"__type": "AccessDeniedException"}')]),
        mock.patch.multiple(sys, stdin=given, stdout=out, stderr=err),
    ):
        try:
            code = main(args)
        except SystemExit as exc:
            code = exc.code
    out.flush()
    err.flush()
    words = err.buffer.getvalue().decode("utf-8", "replace")
    _must(code in (0, 1, 2), f"the exit code is {code!r}")
    _must("Traceback" not in words, words)
    _must("cannot write to stdout" not in words, f"a stray OSError: {words}")
    _must(MARKER not in words, f"a value is in the words: {words}")
    # What diff shows is its data, and its exit code is not 0 then.
    data_out = out.buffer.getvalue()
    hidden = _SHOWING.isdisjoint(args)
    _must(not (hidden and MARKER.encode() in data_out), "a value is in what other verbs show")
    _must(code == 0 or words.strip() or data_out, "a failure without a word")
    _must(not words.startswith("usage: ") or not data_out, "wrong usage, and data")


_ERRORS = ("strict", "backslashreplace")
#: The verbs that print values.
_SHOWING = {"get", "getall", "pull"}


def _tame(argument: str) -> str:
    """Nothing is read or written outside of the room."""
    scheme, separator, rest = argument.partition("://")
    tamed = (rest if separator else argument).replace("/", "_").replace("~", "_")
    tamed = tamed.replace("%2F", "_").replace("%2f", "_")
    return f"{scheme.replace('/', '_').replace('~', '_')}://{tamed}" if separator else tamed


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """An empty directory with a file of secrets, and a memory store that is configured."""
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.dict(os.environ, {**_ENVIRONMENT, "KMS_SECRETS_URL": "locmem://cli"}),
        mock.patch("django_kms_secrets.backends.locmem._STORES", {}),
        _inside(directory),
    ):
        with LocMemStore(name="cli") as store:
            store.put("A", MARKER)
            store.put("A", MARKER + "2")
            store.put("TREE", json.dumps({"inner": MARKER}))
            store.stage("A", MARKER + "3")
        with open("a.json", "w") as file:  # noqa: PTH123 - the directory is the current one
            file.write(json.dumps({"A": MARKER, "B": MARKER}))
        yield


@contextlib.contextmanager
def _inside(directory: str) -> Iterator[None]:
    before = os.getcwd()  # noqa: PTH109
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAFUZZ",
    "AWS_SECRET_ACCESS_KEY": "fuzz",
    "AWS_DEFAULT_REGION": "ap-northeast-2",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HOME": os.devnull,
}


# Replies


def fuzz_credstash(data: bytes) -> None:
    _store(data, _credstash(), (*_READS, *_NUMBERED))


def fuzz_document(data: bytes) -> None:
    _store(data, _document(), _READS)


def fuzz_names(data: bytes) -> None:
    _store(data, _named(), _READS)


_READS: tuple[Callable[[Any], Any], ...] = (
    lambda store: store.get("A"),
    lambda store: store.get_many(["A", "B"]),
    lambda store: store.get_many(None),
    lambda store: store.list_secrets(),
    lambda store: store.history("A"),
    lambda store: store.get_stages("A"),
    lambda store: store.put("A", MARKER),
    lambda store: store.get("A", version="0123456789abcdef0123456789abcdef"),
    lambda store: store.stage("A", MARKER),
    lambda store: store.promote("A"),
    lambda store: store.unstage("A"),
    lambda store: store.retire("A"),
    lambda store: store.delete("A"),
    lambda store: store.put_many({"A": MARKER, "B": MARKER}),
    lambda store: store.rollback("A", "PREVIOUS"),
    lambda store: store.reencrypt(store.to_reencrypt(), lambda *_: None),
    lambda store: _checks(store, ["A"]),
    lambda store: _checks(store, None),
)
#: What settings read, and so without boto3 too.
_LIGHT = (_READS[0], _READS[1], _READS[2], _READS[5])
_NUMBERED = (
    lambda store: store.prune(["A"], lambda *_: None),
    lambda store: store.setup_key(),
    lambda store: store.put_version("A", MARKER, version="7"),
)


def fuzz_transports(data: bytes) -> None:
    """Whatever is answered to a read, both transports make the same of it, or one refuses it.

    botocore takes the keys of an object for a list, and the characters of a text; ours does not
    look at members that no store uses.
    """
    first, _, lines = data.partition(b"\n")
    number = int(first) if first.isdigit() and len(first) < 4 else len(first)
    kind, use = divmod(number % (3 * len(_LIGHT)), len(_LIGHT))
    ends = [_end(store, b"%d\n%b" % (use, lines)) for store in _pairs()[kind]]
    boto3, light = ends
    same = boto3 == light or _is_unreadable(light) or _is_unreadable(boto3)
    _must(same, f"boto3 gives {boto3}, ours {light}")


def _is_unreadable(end: Any) -> bool:
    return isinstance(end[0], tuple) and end[0][1].startswith("the answer to ")


def _end(store: Any, data: bytes) -> Any:
    found: list[Any] = []

    def noted(use: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def wrapped(store: Any) -> Any:
            try:
                result = use(store)
            except SecretsError as exc:
                # What a text is not is said in the words of botocore's models and of ours.
                found.append((type(exc), exc.message.partition(" cannot be read (")[0], exc.hint))
                raise
            found.append(result)
            return result

        return wrapped

    # In one thread, so that both ask in the same order.
    with mock.patch("django_kms_secrets.deadline.POOL_SIZE", 1):
        _store(data, store, tuple(map(noted, _LIGHT)))
    return found


def _checks(store: Any, names: list[str] | None) -> None:
    for check in store.checks(names):
        with _refusing():
            check.look()


def _store(data: bytes, store: Any, uses: tuple[Callable[[Any], Any], ...]) -> None:
    """The first line says what is done; every other one is a reply: the status, and the body."""
    first, *lines = data.split(b"\n")
    number = (
        int(first) % len(uses) if first.isdigit() and len(first) < 4 else len(first) % len(uses)
    )
    replies = [_reply(line) for line in lines if line] or [(200, b"")]
    with wire.answering(replies), _logged(), _refusing():
        found = uses[number](store)
        _usable(found)


def _reply(line: bytes) -> tuple[int, bytes]:
    status, _, body = line.partition(b" ")
    return (int(status) if status in (b"400", b"403", b"500", b"503") else 200), body


def _usable(found: Any) -> None:
    """What a read gives has the types that it promises: it can be compared, and written."""
    if isinstance(found, dict):
        found = list(found.values())
    for one in found if isinstance(found, (list, tuple)) else [found]:
        for attribute, kind in _TYPES.items():
            if hasattr(one, attribute):
                _must(isinstance(getattr(one, attribute), kind), f"{attribute} of {type(one)}")


_TYPES: dict[str, Any] = {"name": str, "version": str, "value": SecretStr, "comment": str}


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    lines = _Lines()
    logger = logging.getLogger("django_kms_secrets")
    logger.addHandler(lines)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.propagate = propagate
    _must(MARKER not in " ".join(lines.lines), "a value is in the log")


@cache
def _credstash() -> CredStashStore:
    return _opened(CredStashStore(former_context={"a": "b"}))


@cache
def _document() -> SecretsManagerStore:
    return _opened(SecretsManagerStore(secret_id="document", key_id="alias/new"))


@cache
def _named() -> SecretsManagerStore:
    return _opened(SecretsManagerStore(prefix="", key_id="alias/new"))


@cache
def _pairs() -> list[tuple[Any, Any]]:
    """Each store, opened with boto3 and without."""
    return [
        (_credstash(), _opened(CredStashStore(former_context={"a": "b"}), light=True)),
        (_document(), _opened(SecretsManagerStore(secret_id="document"), light=True)),
        (_named(), _opened(SecretsManagerStore(prefix=""), light=True)),
    ]


def _opened(store: Any, *, light: bool = False) -> Any:
    # Where a file of AWS's configuration is, all goes through boto3.
    files = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} if light else set()
    environment = {name: text for name, text in _ENVIRONMENT.items() if name not in files}
    with mock.patch.dict(os.environ, environment, clear=True):
        if light:
            store.open_to_read()
            _must(type(store.services[0]) is LightService, "it is boto3")
        else:
            store.open()
    return store


# Hiding


def fuzz_redaction(data: bytes) -> None:
    """Values, one a line, and after an empty line a text, in which the values are put as well."""
    head, _, text = data.decode("utf-8", "surrogateescape").partition("\n\n")
    values = head.split("\n")
    long = [value for value in values if len(value) >= redaction.FLOOR]
    matcher = redaction.Matcher([head, *values])
    for before, value in itertools.product(("", text), ["", *long]):
        _redacted(matcher, long, before + value + text)
    for value in long:
        for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1]):
            _must(form not in matcher.redact(f"<{form}>"), f"{form!r} is shown")
        with contextlib.suppress(UnicodeEncodeError):
            _must(quote(value) not in matcher.redact(quote(value)), "it is shown in a URL")


def _redacted(matcher: redaction.Matcher, values: list[str], text: str) -> None:
    left = matcher.redact(text).split(redaction.MASK)
    for value in values:
        _must(not any(value in piece for piece in left), f"{value!r} is shown")
    matcher.finds(text.encode("utf-8", "surrogatepass"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "json": fuzz_json,
    "dotenv": fuzz_dotenv,
    "yaml": fuzz_yaml,
    "tree": fuzz_tree,
    "envelope": fuzz_envelope,
    "config": fuzz_config,
    "database": fuzz_database,
    "cli": fuzz_cli,
    "credstash": fuzz_credstash,
    "document": fuzz_document,
    "names": fuzz_names,
    "transports": fuzz_transports,
    "redaction": fuzz_redaction,
}
