"""A cell of the matrix: one use of a store or of the command under one fault, and how it ends."""

from __future__ import annotations

import itertools
import json
import re
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from django_kms_secrets import SecretNotFound, SecretsError, SecretStr
from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.cli.plan import TROUBLE
from django_kms_secrets.cli.verbs.run_ import NOT_FOUND
from django_kms_secrets.config import read_config

from ..cli.doors import Done, inside
from ..server.embedded import REGION
from .account import Kept
from .uses import FIRST, ORIGIN, PLANTED, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..server.embedded import EmbeddedAWS
    from .between import Between, Fault
    from .uses import Values, Write, WritingVerb

URLS = {
    "credstash": "credstash://PLACE?",
    "credstash document": "credstash://?document=PLACE&",
    "document": "secretsmanager:///PLACE?",
    "names": "secretsmanager://?prefix=PLACE/&",
}

#: Longer than any cell takes, even on a busy machine (seconds): what takes longer hangs.
PATIENCE = 300

_SERVICES = r"DynamoDB|KMS|STS|Secrets Manager|CredStash"
OPERATIONS = (
    r"Query|Scan|Decrypt|GenerateDataKey|DescribeKey|PutItem|DeleteItem|TransactWriteItems|"
    r"DescribeTable|GetSecretValue|BatchGetSecretValue|ListSecrets|DescribeSecret|"
    r"ListSecretVersionIds|PutSecretValue|UpdateSecretVersionStage|UpdateSecret|CreateSecret|"
    r"DeleteSecret|RestoreSecret|GetCallerIdentity"
)

#: What says of which values there is no telling.
COMPARING = (
    *("diff", "diff -f json", "putall --dry-run", "putall --prune --dry-run", "copy --dry-run"),
)
#: An empty file of secrets, as `setup` makes it.
EMPTY = "{}\n"


def url_of(kind: str, place: str = "notes", **options: object) -> str:
    given = {"region_name": REGION, **options}
    return URLS[kind].replace("PLACE", place) + "&".join(f"{n}={v}" for n, v in given.items())


class Outcome(NamedTuple):
    """What came of a command.

    Attributes:
        code: the exit code.
        words: what it wrote, to stdout and to stderr.
        made: what is in the file and in the other store, which were empty; None if they are still.
    """

    code: int
    words: tuple[str, str]
    made: object


class Prepared:
    """The account with the stores of one kind, which is made once, and put back for each cell.

    Attributes:
        clean: the store, past every fault.
        outcomes: of the commands that only read.
    """

    def __init__(self, aws: EmbeddedAWS, kind: str) -> None:
        self._aws = aws
        self.kind = kind
        with filled(kind, "origin", ORIGIN) as origin:
            origin.rotate("E", ORIGIN["E"], expected=origin.get("E").version)
            origin.stage("E", f"{PLANTED}-E-pending")
        with filled(kind, "elsewhere", {}):
            pass
        self.clean = filled(kind, "notes", FIRST)
        for name in "AAB":
            self._rotate(name, f"{PLANTED}-{name}-old")
            self._rotate(name, FIRST[name])
        self._states = {False: self._kept()}
        # B as well: an answer about another secret is known by its name, and an empty one has none.
        for name in "AB":
            self.clean.stage(name, f"{PLANTED}-{name}-pending")
        self._states[True] = self._kept()
        self.outcomes: dict[str, Outcome] = {}

    def _rotate(self, name: str, value: str) -> None:
        self.clean.rotate(name, value, expected=self.clean.get(name).version)

    def _kept(self) -> tuple[Kept, Values]:
        return Kept(), state(self.clean)

    def put_back(self, *, pending: bool = False) -> Values:
        """Make the account what it was; gives what is in the store."""
        self._now, values = self._states[pending]
        self._now.put_back(self._aws)
        return values

    def is_as_before(self) -> bool:
        """Whether nothing was written since."""
        return self._now.is_there()

    def elsewhere(self) -> object:
        """What is in the store that was empty."""
        with read_config(url_of(self.kind, "elsewhere")).make_store() as store:
            return state(store)


def filled(kind: str, place: str, values: dict[str, str]) -> Any:
    """A store that is set up, open, and has these values, the first of them not at first."""
    store = read_config(url_of(kind, place)).make_store()
    store.open()
    if isinstance(store, KeyedStore):
        store.setup_key()
    store.setup()
    if values:
        store.put_many({**values, min(values): f"{PLANTED}-{min(values)}-first"})
    return store


@dataclass
class Cell:
    """A store behind a fault, and the same store past it.

    Attributes:
        url: of the store behind it.
        there: that store, open.
        files: where those of the command are.
        hits: how many requests the fault was done to, in the uses before.
    """

    prepared: Prepared
    url: str
    there: Any
    fault: Fault
    between: Between | None
    files: Path
    hits: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def clean(self) -> Any:
        return self.prepared.clean

    def settle(self) -> None:
        """What a use has left under way comes to its end."""
        for thread in threading.enumerate():
            if thread.name == "kms-secrets":
                thread.join(PATIENCE)

    def begin(self) -> None:
        self.settle()
        if self.between:
            self.hits += self.between.hits
            self.between.begin()

    def judge(self, what: str, error: str | None, *, read: bool = False) -> None:
        """See that a use ended as one that was hit, or was not, has to end.

        A read that nobody answered fails. What else goes through is looked at: it may be right, as
        when all that was hit is what a write does last and can do without.
        """
        hit = self.between.hits if self.between else error is not None
        ends = self.fault.ends if hit else "right"
        assert ends != "right" or error is None, (what, error, hit)
        assert ends != "error" or error is not None or not read, (what, hit)

    def reads(self, what: str, read: Callable[[Any], Any]) -> None:
        self.begin()
        try:
            found = read(self.there)
        except SecretsError as exc:
            self.judge(what, proper(what, exc), read=True)
        else:
            self.judge(what, None, read=True)
            assert found == read(self.clean), what

    def writes(
        self,
        what: str,
        write: Write,
        do: Callable[[SecretStr], str | None],
        complete: Callable[[SecretStr], None] | None = None,
    ) -> None:
        """See that all or nothing of a write is there.

        Args:
            what: its name.
            write: what it is to do.
            do: does it with a new value, and gives the error if there is one.
            complete: does it again, past the fault, where some of it may be there.
        """
        before = self.prepared.put_back(pending=write.pending)
        new = SecretStr(f"{PLANTED}-{what}-{next(self.numbers)}".replace(" ", "-"))
        effect = write.effect(before, new)
        self.begin()
        error = do(new)
        self.judge(what, error)
        self.settle()
        if error is not None and self.prepared.is_as_before():
            return
        changed, wrong = self._changed(before, effect)
        if error is None or not changed:
            assert not wrong or error is not None, (what, wrong)
        elif complete and wrong:
            complete(new)
            changed, wrong = self._changed(before, effect)
            assert not wrong, (what, wrong)
        elif wrong:  # some of it is there
            stored = error.partition("stored")[2]
            assert all(re.search(rf"\b{name}\b", stored) for name in changed), (what, error)
        assert changed <= set(effect), (what, changed)

    def _changed(self, before: Values, effect: dict[str, str | None]) -> tuple[set[str], set[str]]:
        """What is not as it was, and what is not as it is to be."""
        after = state(self.clean)
        names = {n for n in {*before, *after} if n != "A previous"} | set(effect)
        changed = {name for name in names if before.get(name) != after.get(name)}
        wrong = {name for name in names if after.get(name) != effect.get(name, before.get(name))}
        return changed, wrong

    # The command

    def argv(self, words: str, url: str, new: str = "") -> list[str]:
        """The arguments of a verb, on the store of this URL."""
        kind = self.prepared.kind
        for word, stands_for in (
            ("NEW", new),
            ("THERE", url),
            ("ORIGIN", url_of(kind, "origin")),
            ("ELSEWHERE", url_of(kind, "elsewhere")),
            ("SOURCE", str(self.files / "source.json")),
            ("TARGET", str(self.target)),
        ):
            words = words.replace(word, stands_for)
        return words.split()

    @property
    def target(self) -> Path:
        return self.files / "target.json"

    def _outcome(self, done: Done) -> Outcome:
        """What came of a command that writes nothing to the store."""
        self.settle()
        words = lasting(done.out), lasting(done.err).replace(str(self.files), "")
        file = self.target.read_text()
        if file == EMPTY and self.prepared.is_as_before():
            return Outcome(done.code, words, None)
        return Outcome(done.code, words, (file, self.prepared.elsewhere()))

    def _past(self, words: str) -> Outcome:
        url = url_of(self.prepared.kind)
        done = inside("module", url, self.argv(words, url))
        assert "error: " not in done.err or done.code == NOT_FOUND, done.err
        return self._outcome(done)

    def reads_by_verb(self, what: str, words: str) -> None:
        """See that a verb gives all that it gives without a fault, or else nothing and an error."""
        if what not in self.prepared.outcomes:
            self._clear()
            self.prepared.outcomes[what] = self._past(words)
        right = self.prepared.outcomes[what]
        self._clear()
        self.begin()
        done = self._verb(words)
        found = self._outcome(done)
        self.judge(what, self._error(what, words, done, found, right))

    def _clear(self) -> None:
        self.prepared.put_back()
        self.target.write_text(EMPTY)
        self.target.chmod(0o600)

    def _error(
        self, what: str, words: str, done: Done, found: Outcome, right: Outcome
    ) -> str | None:
        """The words of a verb's failure, which are an error's; None if all is right."""
        if found == right:
            return None
        if what == "doctor":  # it says what is wrong, and that is what it is for
            return done.out if done.code else None
        if what == "getall --keep-going" and done.out:
            _assert_in_part(done, right.words[0])
            return done.err
        if done.out and what in COMPARING:  # each value that cannot be read is named
            assert self.fault.of_values, done.words
            assert "warning: no telling" in done.err, done.words
            assert done.code == TROUBLE or what.startswith("copy"), done.words
            return done.err
        compares = what in COMPARING and not what.startswith("copy")
        error = done.failed(code=TROUBLE if compares else 1)
        assert_words(what, error)
        if found.made is not None:
            assert what.startswith("copy"), (what, found.made)
            assert self._past(words).made == right.made, what
        return error

    def writes_by_verb(self, what: str, verb: WritingVerb) -> None:
        """See that all or nothing of what a verb writes is there."""

        def do(new: SecretStr) -> str | None:
            done = self._verb(verb.args, new)
            if done.code == 0:
                return None
            assert_words(what, done.failed())
            return done.err

        def complete(new: SecretStr) -> None:
            url = url_of(self.prepared.kind)
            inside("module", url, self.argv(verb.args, url, new)).ok()

        self.writes(what, verb.write, do, complete if verb.resumes else None)

    def _verb(self, words: str, new: str = "") -> Done:
        done = inside("module", self.url, self.argv(words, self.url, new))
        assert PLANTED not in done.err, done.err
        assert PLANTED not in done.out or words.startswith("get"), done.out
        assert "Traceback" not in done.words
        return done


def _assert_in_part(done: Done, whole: str) -> None:
    """What --keep-going left out is named, and nothing else is."""
    right, found = json.loads(whole), json.loads(done.out)
    assert done.code == 1
    assert found.items() <= right.items()
    for name in right.keys() - found.keys():
        assert re.search(rf"\b{name}\b", done.err), done.err


def lasting(text: str) -> str:
    """Without moments, as moto says now every time, and without the fingerprints of one run."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+|\b[0-9a-f]{8}\b", "", text)


def attempt(what: str, do: Callable[[], object]) -> str | None:
    """The text of the error that something ends with, if it does."""
    try:
        do()
    except SecretsError as exc:
        return proper(what, exc)
    return None


def proper(what: str, exc: SecretsError) -> str:
    """See that an error is one, and shows nothing but itself; its text."""
    report = traceback.TracebackException.from_exception(exc, capture_locals=True)
    assert PLANTED not in "".join(report.format()), what
    assert exc.__context__ is None
    assert exc.__cause__ is None
    assert not isinstance(exc, SecretNotFound), (what, exc.message)
    assert_words(what, str(exc), exc.names)
    return str(exc)


def assert_words(what: str, text: str, names: tuple[str, ...] = ()) -> None:
    """See that an error names service, operation and a mend."""
    message, _, hint = text.partition("\nhint: ")
    assert hint.strip(), (what, text)
    assert re.search(_SERVICES, message), (what, text)
    # What is wrong with a record or a key is said of that, whichever operation has shown it.
    of_one = names or re.search(r"KMS key|\bversion \S+ in ", message)
    assert of_one or re.search(rf"\b({OPERATIONS})\b", message), (what, text)
