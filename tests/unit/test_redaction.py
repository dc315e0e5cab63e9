"""Hiding by value: in whatever form a loaded value stands, and only as long as it is loaded."""

from __future__ import annotations

import base64
import gc
import html
import json
import re
import sys
import threading
import time
from collections import deque
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_kms_secrets import SecretStr, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.redaction import FLOOR, Loaded, Matcher, matcher, parts, redact, scrub
from django_kms_secrets.types import MASK

VALUE = "p@ss/w0rd <'\"&\\ é\n+?%41"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqh\nAgEAAoIBAQC7\n-----END KEY-----\n"

WRITTEN = {
    "plain": str,
    "repr": repr,
    "repr with both quotes": lambda text: repr(f"'\"{text}"),
    "repr of a repr": lambda text: repr(repr([text])),
    "ascii": ascii,
    "repr of bytes": lambda text: repr(text.encode()),
    "JSON": json.dumps,
    "JSON as it is": lambda text: json.dumps(text, ensure_ascii=False),
    "repr of JSON": lambda text: repr(json.dumps({"a": text})),
    "JSON in a page": lambda text: json.dumps(text).translate(
        {ord(char): f"\\u{ord(char):04X}" for char in "<>&"}
    ),
    "HTML": html.escape,
    "HTML of a repr": lambda text: html.escape(repr(text)),
    "HTML of Jinja": lambda text: (
        html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    ),
    "quote": quote,
    "quote everything": lambda text: quote(text, safe=""),
    "quote twice": lambda text: quote(quote(text, safe=""), safe=""),
    "quote_plus": quote_plus,
    "small percents": lambda text: re.sub("%..", lambda m: m[0].lower(), quote(text, safe="")),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
}


@pytest.fixture(autouse=True, scope="module")
def nothing_loaded_before():
    """What other tests loaded is hidden until it is collected, be it a host name."""
    gc.collect()


@pytest.fixture
def loaded():
    """What is loaded for one test."""
    return Loaded()


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("value", [VALUE, "plain-token-1", "höchst-geheim"], ids=repr)
def test_it_is_found_in_every_form(written, value, loaded):
    """However a value was escaped or quoted on its way, a mask takes its place."""
    text = written(value)
    assert redact(f"before {text} after") == f"before {text} after"
    loaded.add([value])
    clean = redact(f"before {text} after")
    assert MASK in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    around = html.unescape(clean).partition(MASK)
    assert len(around[0] + around[2]) <= len("before '[]' after") + 10, "the form's own quotes"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("value", [VALUE, "a?>?>?b", "tokentoken12"])
def test_it_is_found_in_base64_at_every_alignment(encode, before, after, value, loaded):
    """Whatever stands before and after it, with and without padding, in a URL as well.

    Of the characters at its ends, which its neighbours have a share in, one may stay on each side.
    """
    loaded.add([value])
    whole = encode(b"x" * before + value.encode() + b"y" * after).decode()
    for text in (whole, whole.rstrip("="), quote(whole, safe="")):
        clean = redact(text)
        assert MASK in clean
        rest = clean.replace(MASK, "").replace("%3D", "").rstrip("=")
        assert len(rest) <= (before * 8 + 5) // 6 + (after * 8 + 5) // 6 + 3


@given(st.text(min_size=FLOOR), st.text(), st.text())
@example("0000000a", "0000000", "a")  # what stands around it would be the same once more
def test_any_text_is_found_anywhere(value, before, after):
    """Whatever its characters and its place."""
    left = Matcher([value]).redact(before + value + after).split(MASK)
    assert len(left) > 1
    assert not any(value in piece for piece in left)


@given(st.lists(st.text("ab", min_size=FLOOR, max_size=9), min_size=1), st.text("ab"))
def test_overlapping_values_are_all_covered(values, text):
    """Where values overlap, no end of either stands out; nothing else is taken away."""
    covered = {
        at
        for value in values
        for start in range(len(text))
        if text.startswith(value, start)
        for at in range(start, start + len(value))
    }
    kept = "".join(char for at, char in enumerate(text) if at not in covered)
    assert Matcher(values).redact(text).replace(MASK, "") == kept


def test_a_value_inside_another_hides_no_less():
    """The longer one is hidden to its end."""
    assert Matcher(["abcdefghijklmnop", "defghijk"]).redact("abcdefghijklmnop!") == f"{MASK}!"


def test_short_values_stay(loaded):
    """A port or a "yes" is not looked for, so that it does not blank the page."""
    loaded.add(["5432", "yes", "x" * (FLOOR - 1)])
    text = f"port 5432, yes, {'x' * (FLOOR - 1)}"
    assert redact(text) is text


@pytest.mark.parametrize(
    "value, secret",
    [
        ("postgres://app:hunter2-p@db/name", {"hunter2-p"}),
        ("postgres://app:hunter2%40p@db/name", {"hunter2%40p", "hunter2@p"}),
        ("https://publickey@sentry.example/42", {"publickey"}),
        ("redis://:hunter2-p@cache:6379/0", {"hunter2-p"}),
        ("postgres:///name?sslmode=require&password=hunter2-p", {"hunter2-p"}),
        ("host=db.internal user=applicant password=hunter2-p", {"hunter2-p"}),
        ("Endpoint=sb://x.example;SharedAccessKey=hunter2-p", {"hunter2-p"}),
        ('{"a": {"b": ["hunter2-p", 1]}}', {"hunter2-p"}),
        ('{"url": "smtp://me:hunter2-p@mail"}', {"hunter2-p", "smtp://me:hunter2-p@mail"}),
        ("hunter2-p,hunter3-p", {"hunter2-p", "hunter3-p"}),
        ("one=hunter2-p,t=short", {"one=hunter2-p", "hunter2-p", "t=short"}),
        (
            "redis://:hunter2-p@a,redis://:hunter3-p@b",
            {"redis://:hunter2-p@a", "hunter2-p", "redis://:hunter3-p@b", "hunter3-p"},
        ),
        ("some words, some others", set()),
        ("http://[", set()),
        ("{not JSON", set()),
        ("[" * 100_000, set()),
        (
            '{"engine": "postgres", "host": "db.internal", "username": "postgres", '
            '"password": "hunter2-p"}',
            {"hunter2-p"},
        ),
        (PEM, {"MIIEvQIBADANBgkqh", "AgEAAoIBAQC7"}),
        (base64.b64encode(b"hunter2-p").decode(), {"hunter2-p"}),
        (
            base64.urlsafe_b64encode(b'{"??>": "hunter2-p"}').decode(),
            {'{"??>": "hunter2-p"}', "hunter2-p"},
        ),
        (base64.b64encode(bytes(range(128, 160))).decode(), set()),
        (base64.b64encode(b"hunter2-pw").decode().rstrip("="), {"hunter2-pw"}),
        ('\ufeff \n{"a": "hunter2-p"}', {"hunter2-p"}),
        ("[hunter2-p,hunter3-p]", {"[hunter2-p", "hunter3-p]"}),
        ("postgres://app:hunter2#p@db/name", {"hunter2#p"}),
        ("postgres://app:hunter2-p@db/name\n", {"hunter2-p", "postgres://app:hunter2-p@db/name"}),
        (
            "Server=db;Password=ab,hunter2-p;",
            {"Server=db;Password=ab", "hunter2-p;", "ab,hunter2-p", "db;Password=ab"},
        ),
        ("user=app password='my spaced secret'", {"my spaced secret", "'my spaced secret'"}),
        (
            "https://hooks.example/services/T0001/tail?a=b",
            {"/services/T0001/tail?a=b", "/services/T0001/tail"},
        ),
        ("https://hooks.example/short", set()),
        ("postgres://postgres@db/name", set()),
        ('{"HOST": "db.internal", "PASSWORD": "hunter2-p"}', {"hunter2-p"}),
    ],
)  # fmt: skip
def test_parts_are_hidden_alone(value, secret):
    """What is secret in a value is hidden where it stands alone; its host and the like are not."""
    assert parts(value) == {value} | secret


@pytest.mark.parametrize(
    "value, read",
    [
        ("(hunter2-p,short)", lambda env: env.tuple("A")[0]),
        ("[hunter2-p,short]", lambda env: env.list("A")[0]),
        ("hunter2-p,with a space", lambda env: env.list("A")[0]),
        ("a=hunter2-p;b=some words", lambda env: env("A", cast={"value": str})["a"]),
        ("hunter2\\nsecond", lambda env: env.str("A", multiline=True)),
        ("  hunter2-p  ", lambda env: env("A", cast=str.strip)),
        ("postgres://app:hunter2#p@db/x", lambda env: "hunter2#p"),
        ("mysql://app:hunter2-p@db/x", lambda env: env.db("A")["PASSWORD"]),
    ],
)
def test_what_a_cast_makes_of_it_is_hidden(value, read):
    """Whatever the casts hand out that is not the stored text itself."""
    with LocMemStore(name="redaction-casts") as store:
        store.put("A", value)
    secrets = load("locmem://redaction-casts")
    text = str(read(secrets.env))
    assert len(secrets) == 1
    assert len(text) >= FLOOR
    assert redact(f"x {text} y") == f"x {MASK} y"


def test_what_is_no_secret_in_a_config_is_not_hidden():
    """Of a database URL the password is; an option such as sslmode=require stays."""
    with LocMemStore(name="redaction-config") as store:
        store.put("A", "postgres://app:hunter2-p@database/x?sslmode=require")
    secrets = load("locmem://redaction-config")
    assert secrets.env.db("A")
    assert redact("database require") == "database require"


def test_a_number_in_a_tree_is_hidden_when_it_was_read():
    """Its digits are no string in the tree; what is public in the tree stays."""
    with LocMemStore(name="redaction-number") as store:
        store.put("A", '{"pin": 12345678, "host": "db.internal", "password": "hunter2-p"}')
    secrets = load("locmem://redaction-number")
    assert (secrets["A.pin"], secrets["A.host"]) == ("12345678", "db.internal")
    assert redact("12345678 db.internal hunter2-p") == f"{MASK} db.internal {MASK}"


@pytest.mark.timeout(60)
def test_many_alike_are_looked_for_in_one_pass():
    """A thousand numbers that begin alike cost no thousand comparisons at every zero of a page."""
    found = Matcher(f"0000000000{number:04}" for number in range(1000))
    page = "0" * 1_000_000
    assert found.redact(page) == MASK
    assert found.redact("5" + page[:9]) == "5" + page[:9]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["pass", "key ", ";auth", "token=", "a,", "key=a,", "key='", "://:", "@", "key" + " " * 50],
)
def test_the_parts_of_a_long_value_are_found_in_one_pass(text):
    """One secret that repeats the name of a member must not hold up every host that loads it."""
    value = text * (200_000 // len(text))
    assert value in parts(value)


def test_what_a_store_gives_is_hidden_as_long_as_it_is_held():
    """Fetched, refreshed and staged values are hidden, and forgotten with the Secrets."""
    with LocMemStore(name="redaction") as store:
        for value in ("first-value", "second-value"):
            store.put("A", value)
        store.stage("A", "third-value")
    secrets = load("locmem://redaction")
    assert redact("second-value") == "second-value", "nothing is fetched yet"
    assert len(secrets) == 1
    assert redact("second-value") == MASK
    assert redact("third-value") == "third-value"
    secrets.fallbacks("A")
    assert redact("first-value, third-value") == f"{MASK}, {MASK}"
    with LocMemStore(name="redaction") as store:
        store.promote("A")
    secrets.refresh("A")
    assert redact("first-value, third-value") == f"{MASK}, {MASK}"
    assert redact("second-value") == MASK, "settings may still have the old value"
    del secrets
    gc.collect()
    assert redact("first-value second-value") == "first-value second-value"


def test_two_holders_do_not_disturb_each_other():
    """A value that two hold is hidden until both are gone."""
    one, two = Loaded(), Loaded()
    one.add(["shared-value"])
    two.add(["shared-value"])
    del one
    gc.collect()
    assert redact("shared-value") == MASK
    del two
    gc.collect()
    assert redact("shared-value") == "shared-value"


def test_the_matcher_is_built_once(loaded, monkeypatch):
    """It is built anew only when the values are others."""
    built = []
    monkeypatch.setattr(
        "django_kms_secrets.redaction.Matcher", lambda values: built.append(1) or Matcher(values)
    )
    for value in ("one-value", "one-value", "other-value"):
        loaded.add([value])
        redact("text")
        redact("text")
    assert len(built) == 2


def test_the_matcher_is_kept_when_there_is_nothing_new(loaded):
    """What is known already, and a holder without values that comes and goes, cost nothing."""
    loaded.add(["one-value", "other-value"])
    before = matcher()
    loaded.add(["one-value"])
    del_me = Loaded()
    del del_me
    gc.collect()
    assert matcher() is before


def test_loading_while_others_log():
    """One thread makes and fills holders while others redact: no error, and it is built once."""
    held, errors, done = [], [], threading.Event()

    def log() -> None:
        try:
            while not done.is_set():
                redact("a line")
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=log) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for number in range(300):
            held.append(Loaded())
            if number % 30 == 0:
                held[-1].add([f"value-{number:04}"])
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert errors == []
    assert redact("value-0000 value-0270") == f"{MASK} {MASK}"


def test_one_thread_builds_for_all(loaded, monkeypatch):
    """Those that come meanwhile wait for it."""
    built, began = [], threading.Barrier(5)

    def slow(values):
        built.append(1)
        time.sleep(0.05)
        return Matcher(values)

    def log() -> None:
        began.wait()
        redact("a line")

    gc.collect()  # holders of other tests, whose values would change while these are built
    monkeypatch.setattr("django_kms_secrets.redaction.Matcher", slow)
    loaded.add(["one-value"])
    threads = [threading.Thread(target=log) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_trees_are_scrubbed(loaded):
    """In strings, keys and bytes of any depth; a SecretStr is masked however short it is."""
    loaded.add(["one-value"])
    tree = {
        "a": ["x one-value", ("one-value", 1)],
        "one-value": b"\0one-value",
        "s": SecretStr("s"),
    }
    assert scrub(tree) == {"a": [f"x {MASK}", (MASK, 1)], MASK: MASK.encode(), "s": MASK}
    assert tree["a"][0] == "x one-value"


class Point(NamedTuple):
    """A tuple that is made in another way."""

    x: str
    y: int


def test_other_containers_are_scrubbed(loaded):
    """Sets and queues; what is derived from them stays as it is, or becomes a plain one."""
    loaded.add(["one-value"])
    tree = [{"one-value"}, frozenset(["one-value"]), deque(["one-value"]), Point("one-value", 1)]
    assert scrub(tree) == [{MASK}, frozenset([MASK]), deque([MASK]), (MASK, 1)]
    clean = Point("x", 1)
    assert scrub([clean])[0] is clean


def test_what_holds_values_does_not_show_them(loaded):
    """Neither the holder nor the matcher has a value in its repr or its attributes' repr."""
    loaded.add(["one-value"])
    assert "one-value" not in repr(loaded) + repr(vars(loaded))
    assert redact("one-value") == MASK
    assert "one-value" not in repr(vars(matcher()))
