"""Hiding by value: every loaded secret is replaced wherever its text stands.

What holds secrets says so with `Loaded`; `redact` hides them in a text, and `scrub` in a tree.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import sys
import threading
import weakref
from collections import Counter, deque
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from .types import MASK, SecretBytes, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Shorter values are not looked for: a port, a "yes" or a "debug" would blank half of a page.
#: Seven is also what four bytes need to stand, wherever they begin, at a multiple of four (3 + 4).
#: So a text is read as numbers of four bytes, each of which is looked up; only around those that
#: stand in a form are texts compared. 1 MB and 100 secrets take 20 to 40 ms. One regular expression
#: of all forms takes two hundred times as long, as it tries them all at every position
#: (benchmarks/redaction.py).
FLOOR = 7
_GRAM = 4

#: How far into a form the rarest characters are looked for.
_CHOICE = 60

_URL_SAFE = {ord("-"): "+", ord("_"): "/", ord("\n"): None}

# Names of members whose values are to be hidden, in URLs (?password=…) and connection strings.
# Names of any length would be looked for from every "pass" in them: 64 KB of those take minutes.
_SENSITIVE_MEMBER = (
    r"(?i)(?:^|[?&;,\s])[\w.-]{0,64}(?:pass|pwd|secret|token|key|auth|sign)[\w.-]{0,64}"
    # Up to a comma, and again with what may have commas or spaces in it.
    r"\s*=\s*(?=('[^']{0,256}'|\"[^\"]{0,256}\"|[^&;\s]{1,256}))([^&;,\s]+)"
)

#: What is left as it is in a URL: by quote() in a query and in a path, by JavaScript, by Django.
_SAFE = ("", "/", "!*'()", "/#%[]=:;$&()+,!?@'*~")

_CONTAINERS: tuple[Any, ...] = (list, tuple, set, frozenset, deque)

# In whose URLs a user without a password is no secret.
_DATABASES = ("postgres", "postgis", "pgsql", "mysql", "oracle", "mssql", "redshift", "cockroach")

#: From how many characters on the path of a web address is looked for: those of webhooks are keys.
_PATH = 16

# What is no secret in a tree with a password in it (as Amazon RDS writes them), as in a URL.
_PUBLIC = {"dbclusteridentifier", "dbinstanceidentifier", "dbname", "engine", "host", "username"}


class Loaded:
    """The values that somebody holds: they are hidden as long as this object lives.

    An old value stays hidden after a refresh: settings and open sessions still have it.
    """

    def __init__(self) -> None:
        #: They are taken apart when something is to be hidden, and not while settings wait.
        self.values: frozenset[SecretStr] = frozenset()
        with _lock:
            _everybody.add(self)

    def add(self, values: Iterable[str]) -> None:
        """Hide these too."""
        found = frozenset(map(SecretStr, values))
        with _lock:
            if found <= self.values:
                return
            if not self.values:
                weakref.finalize(self, _changed).atexit = False
            self.values |= found
        _changed()


#: Held while holders change, and while a matcher is built: once for all threads.
_lock = threading.RLock()
_everybody: weakref.WeakSet[Loaded] = weakref.WeakSet()


class Matcher:
    """Finds values, in all of their forms, in one pass over a text.

    Args:
        texts: the values and their `parts`.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        found = {_raw(form) for text in texts for form in forms(text)}
        self._forms = {SecretBytes(form) for form in found if len(form) >= FLOOR}
        #: Four bytes as a number: where they stand in forms, and how long those are.
        self._known: dict[int, list[tuple[int, int]]] = {}
        counts = Counter(gram for form in self._forms for gram in _grams(form))
        for form in self._forms:
            start = _rarest(form, counts)
            for at in range(start, start + _GRAM):
                number = int.from_bytes(form[at : at + _GRAM], sys.byteorder)
                places = self._known.setdefault(number, [])
                if (at, len(form)) not in places:
                    places.append((at, len(form)))

    def __bool__(self) -> bool:
        return bool(self._forms)

    def redact(self, text: str) -> str:
        """The text with a mask in the place of every value; the same object if it has none."""
        raw = _raw(text)
        spans = self._spans(raw)
        return _covered(raw, spans).decode("utf-8", "surrogatepass") if spans else text

    def finds(self, raw: bytes) -> bool:
        """Whether a value stands in these bytes."""
        return bool(self._spans(raw))

    def _spans(self, raw: bytes) -> list[tuple[int, int]]:
        """Where values begin and end."""
        known, forms = self._known, self._forms
        numbers = memoryview(raw)[: len(raw) // _GRAM * _GRAM].cast("I")
        hits = [(at * _GRAM, number) for at, number in enumerate(numbers) if number in known]
        return sorted(
            (at - offset, at - offset + length)
            for at, number in hits
            for offset, length in known[number]
            if at >= offset and raw[at - offset : at - offset + length] in forms
        )


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _covered(raw: bytes, spans: list[tuple[int, int]]) -> bytes:
    """With a mask over every span; spans that overlap share one."""
    pieces: list[bytes] = []
    end = 0
    for start, stop in spans:
        if start >= end:
            pieces += [raw[end:start], MASK.encode()]
        end = max(end, stop)
    return b"".join([*pieces, raw[end:]])


_NOTHING = Matcher()
_generation = object()
_built: tuple[object, Matcher] = (_generation, _NOTHING)


def matcher() -> Matcher:
    """The matcher of all loaded values, built anew when they are others."""
    global _built
    generation, found = _built
    if generation is _generation:
        return found
    with _lock:
        generation, found = _built
        if generation is not _generation:
            # Before the values are read: if they change meanwhile, this one is known to be too old.
            generation = _generation
            values = {str(value) for loaded in _everybody for value in loaded.values}
            found = Matcher({part for value in values for part in parts(value)})
            _built = (generation, found)
    return found


def _changed() -> None:
    """Forget the matcher; it may run at any moment, when somebody's values are collected."""
    # So it takes no lock.
    global _generation, _built
    _generation = object()
    _built = (None, _NOTHING)


def _renew_lock() -> None:
    """In a process that was forked meanwhile: the thread that has the lock is not in it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def is_anything_loaded() -> bool:
    """Whether there is a value to hide."""
    return bool(matcher())


def redact(text: str) -> str:
    """Hide every loaded value in a text, in whatever form it stands there.

    Args:
        text: any text, such as a log line.

    Returns:
        The text with ten asterisks in the place of every value; the same object if it has none.
    """
    return matcher().redact(text)


def scrub(tree: Any) -> Any:
    """Hide every loaded value in the strings, keys and bytes of lists, tuples, sets and dicts.

    Args:
        tree: such as an event of Sentry. It is not changed.

    Returns:
        A tree of the same form, in which a `SecretStr` of any length is a mask too; what
        is of none of these types stays as it is.
    """
    return _scrubbed(tree, matcher())


def _scrubbed(tree: Any, found: Matcher) -> Any:
    if isinstance(tree, SecretStr):
        return MASK if tree else ""
    if isinstance(tree, str):
        return found.redact(tree)
    if isinstance(tree, (bytes, bytearray)):
        return MASK.encode() if found.finds(bytes(tree)) else tree
    if isinstance(tree, dict):
        return {_scrubbed(key, found): _scrubbed(value, found) for key, value in tree.items()}
    for kind in _CONTAINERS:
        if isinstance(tree, kind):
            clean = kind(_scrubbed(inner, found) for inner in tree)
            # How a subclass is made is not known: it stays, or becomes a plain one.
            return clean if type(tree) is kind or clean != tree else tree
    return tree


# What is looked for


def parts(value: str) -> set[str]:
    """A value, and what is secret of it alone.

    Args:
        value: the text of a secret.

    Returns:
        Itself; what it is in base64, if that is text; the strings in a JSON tree; the credentials
        in a URL, and the path of a web address; the items of a list; the lines of a PEM file;
        `FLOOR` characters long or longer.
    """
    found = {value} | _decoded(value)
    leaves = _leaves(value.lstrip("\ufeff \t\r\n"))
    if leaves is None:
        for item in (value, *(_lines(value) if "\n" in value else _items(value))):
            found |= {item, *_credentials(item)}
    else:
        for leaf in leaves:
            found |= parts(leaf) if leaf != value else set()
    return {part for part in found if len(part) >= FLOOR}


def _decoded(value: str) -> set[str]:
    """The parts of the text that a value is in base64, as the keys of some services are."""
    if len(value) < FLOOR:
        return set()
    try:
        text = value.translate(_URL_SAFE)
        padding = "=" * (-len(text) % 4)
        return parts(base64.b64decode(text + padding, validate=True).decode())
    except ValueError:
        return set()


def _leaves(text: str) -> list[str] | None:
    """The strings in a JSON tree; None where it is none."""
    if text[:1] not in ("{", "[", '"'):
        return None
    try:
        return list(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        return None


def _lines(value: str) -> list[str]:
    return [line.strip() for line in value.splitlines() if not line.startswith("-----")]


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list):
        for inner in tree:
            yield from _strings(inner)
    elif isinstance(tree, dict):
        public = _PUBLIC if "password" in map(str.lower, tree) else ()
        for key, inner in tree.items():
            if key.lower() not in public:
                yield from _strings(inner)


def _credentials(value: str) -> set[str]:
    """What is secret in a URL or a connection string, as it is written and decoded."""
    found = {text for pair in re.findall(_SENSITIVE_MEMBER, value) for text in pair}
    found |= {text[1:-1] for text in found if text[:1] in ("'", '"') and text[-1] == text[0]}
    try:
        url = urlsplit(value)
    except ValueError:
        return found
    # A DSN has a key and no password; a name beside a password is none.
    user = "" if url.scheme.startswith(_DATABASES) else url.username
    found.add(url.password or user or _password_in_two(value))
    if url.scheme in ("http", "https"):
        paths = {url.path, f"{url.path}?{url.query}"} if url.query else {url.path}
        found.update(path for path in paths if len(path) >= _PATH)
    return found | {unquote(text) for text in found}


def _password_in_two(value: str) -> str:
    """A password with a # or a / in it, where a URL would seem to go on behind its host."""
    before = value.partition("://")[2].rpartition("@")[0]
    return before.partition(":")[2]


def _items(value: str) -> set[str]:
    """What env.list() and env.dict() would make of it; a sentence with a comma is no list."""
    items = [item.strip() for item in value.split(",")]
    if any(re.search(r"\s", item) for item in items):
        return set()
    return {*items, *(item.partition("=")[2] for item in items if "://" not in item)}


def forms(text: str) -> set[str]:
    """The ways in which a text may be written.

    Args:
        text: a value or a part of one.

    Returns:
        As it is; escaped as by ``repr``, by JSON, in HTML or in a URL, and in the usual two of
        these; in base64 at every alignment; in hexadecimal.
    """
    raw = _raw(text)
    whole = {*_base64s(raw), raw.hex(), raw.hex().upper()}
    if re.fullmatch(r"[A-Za-z0-9_.~-]+", text):  # most keys: no escaping changes them
        return {text, *whole}
    shown = {text, *_escaped(text), *_jsons(text)}
    shown.update(form for inner in [*shown] for form in _escaped(inner))
    quoted = {quote_plus(raw), *(quote(raw, safe=safe) for safe in _SAFE)}
    quoted |= {quote(form, safe="") for form in (*quoted, *whole)}
    quoted |= {re.sub("%..", lambda match: match[0].lower(), form) for form in quoted}
    return {*shown, *quoted, *whole, *(text for form in (*shown, *quoted) for text in _htmls(form))}


def _escaped(text: str) -> Iterator[str]:
    """As in the repr of a string, or of the bytes, that it is a part of."""
    both = "'\""  # whether a quote is escaped depends on the quotes in the whole
    raw = _raw(text + both)
    for form in (repr(text + both)[1:-1], ascii(text + both)[1:-1], repr(raw)[2:-1]):
        inner = form.removesuffix("\\'\"")
        yield inner
        yield inner.replace("\\'", "'")


def _jsons(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        form = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield form
        yield form.translate({ord(char): f"\\u{ord(char):04X}" for char in "<>&"})  # json_script


def _htmls(text: str) -> Iterator[str]:
    form = html.escape(text)
    yield form
    yield form.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")  # Jinja's


def _base64s(raw: bytes) -> Iterator[str]:
    """In base64, without the characters that its neighbours have a share in."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + raw)
        first = (0, 2, 3)[before]
        last = len(text) - (0, 3, 2)[(before + len(raw)) % 3]
        form = text[first:last].decode()
        yield form
        yield form.translate({ord("+"): "-", ord("/"): "_"})


def _grams(form: bytes) -> list[bytes]:
    return [form[at : at + _GRAM] for at in range(min(len(form), _CHOICE) - _GRAM + 1)]


def _rarest(form: bytes, counts: Counter[bytes]) -> int:
    """Where to look for a form: what many forms have in common, such as https://, tells little."""
    each = [counts[gram] for gram in _grams(form)]
    commonness = list(map(max, each, each[1:], each[2:], each[3:]))
    return commonness.index(min(commonness))
