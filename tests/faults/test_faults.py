"""Every store and every verb under every fault: the right result, or one error that says what.

For each cell one rule. An error is of our family, within the deadline, and names service, operation
and a mend; it is never "there is no such secret", and shows no value. After a write that failed the
store holds all of it or nothing, or the error says what was stored.
"""

from __future__ import annotations

import itertools
import re
import signal
import socket
import threading
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from django_kms_secrets import SecretNotFound, SecretsError, SecretStr, StoreNotReady
from django_kms_secrets.aws import Deadline
from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.config import read_config
from django_kms_secrets.transport import client

from ..cli.doors import Done, inside
from ..server.certificates import Certificates
from ..server.embedded import REGION
from ..server.silent import closed_port
from .between import Between, Fault
from .faults import FAULTS, VERBS, WRITTEN
from .uses import FIRST, PLANTED, READING_VERBS, READS, WRITES, WRITING_VERBS, prepare, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ..server.embedded import EmbeddedAWS
    from .uses import Write

URLS = {
    "credstash": "credstash://?",
    "credstash document": "credstash://?document=notes&",
    "document": "secretsmanager:///notes?",
    "names": "secretsmanager://?prefix=notes/&",
}

#: Longer than any cell takes, even on a busy machine (seconds): what takes longer hangs.
PATIENCE = 300

_SERVICES = r"DynamoDB|KMS|Secrets Manager|CredStash"
_OPERATIONS = (
    r"Query|Scan|Decrypt|GenerateDataKey|DescribeKey|PutItem|DeleteItem|TransactWriteItems|"
    r"DescribeTable|GetSecretValue|BatchGetSecretValue|ListSecrets|DescribeSecret|"
    r"ListSecretVersionIds|PutSecretValue|UpdateSecretVersionStage|UpdateSecret|CreateSecret|"
    r"DeleteSecret|RestoreSecret"
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody pauses between attempts, and a cell that hangs is ended."""

    class Clock:
        sleep = staticmethod(lambda _: None)

    monkeypatch.setattr("botocore.endpoint.time", Clock)
    monkeypatch.setattr(client, "_pause", lambda *_: 0.0)
    # What is throttled after all attempts of a client would be tried again until the deadline.
    monkeypatch.setattr(Deadline, "pause", lambda _: False)

    def hangs(*_: object) -> None:
        raise AssertionError(f"nothing came of it in {PATIENCE} s")

    former = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


@pytest.fixture(autouse=True)
def _same_clients(monkeypatch: pytest.MonkeyPatch, one_loader: None) -> Iterator[None]:
    """boto3's clients for one endpoint are made once, which is most of a verb's time."""
    made: dict[Any, Any] = {}
    make = boto3.session.Session.client

    def kept(session: Any, name: str, *, region_name: Any, endpoint_url: Any, config: Any) -> Any:
        key = name, region_name, endpoint_url, config.read_timeout
        if key not in made:
            made[key] = make(
                session, name, region_name=region_name, endpoint_url=endpoint_url, config=config
            )
        return made[key]

    monkeypatch.setattr(boto3.session.Session, "client", kept)
    yield
    for one in made.values():
        one.close()


@dataclass
class Cell:
    """A store behind a fault, and the same store past it."""

    url: str
    past: str
    there: Any
    clean: Any
    fault: Fault
    between: Between | None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def begin(self) -> None:
        """A use begins; what the one before has left under way is not its."""
        for thread in threading.enumerate():
            if thread.name == "kms-secrets":
                thread.join(PATIENCE)
        if self.between:
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

    def writes(self, what: str, write: Write, new: str, do: Callable[[], str | None]) -> None:
        """See that all or nothing of a write is there.

        Args:
            what: its name.
            new: the value it is given.
            write: what it is to do.
            do: does it, and gives the error if there is one.
        """
        before, listed = state(self.clean), self.clean.list_secrets()
        effect = write.effect(before, new)
        self.begin()
        error = do()
        self.judge(what, error)
        if error is not None and self.clean.list_secrets() == listed:
            return
        after = state(self.clean)
        names = {n for n in {*before, *after} if n != "A previous"} | set(effect)
        changed = {name for name in names if before.get(name) != after.get(name)}
        wrong = {name for name in names if after.get(name) != effect.get(name, before.get(name))}
        assert changed <= set(effect), (what, changed)
        if error is None or not changed:
            assert not wrong or error is not None, (what, wrong)
        elif wrong:  # some of it is there
            stored = error.partition("stored")[2]
            assert all(re.search(rf"\b{name}\b", stored) for name in changed), (what, error)

    def new(self, what: str) -> SecretStr:
        return SecretStr(f"{PLANTED}-{what}-{next(self.numbers)}".replace(" ", "-"))

    def verb(self, *args: str) -> Done:
        self.begin()
        done = inside("module", self.url, args)
        assert PLANTED not in done.err, done.err
        assert "Traceback" not in done.words
        return done


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
    message, _, hint = text.partition("\nhint: ")
    assert hint.strip(), (what, text)
    assert re.search(_SERVICES, message), (what, text)
    # What is wrong with a record or a key is said of that, whichever operation has shown it.
    of_one = names or "KMS key" in message
    assert of_one or re.search(rf"\b({_OPERATIONS})\b", message), (what, text)


def fill(url: str) -> Any:
    store = read_config(url).make_store()
    store.open()
    if isinstance(store, KeyedStore):
        store.setup_key()
    store.setup()
    store.put_many({**FIRST, "A": f"{PLANTED}-A0", "B": f"{PLANTED}-B0"})
    for name in "AB":
        store.rotate(name, FIRST[name], expected=store.get(name).version)
    return store


def cell_of(
    kind: str, aws: EmbeddedAWS, fault: Fault, endpoint: str, between: Between | None, **query: Any
) -> Cell:
    past = f"{URLS[kind]}region_name={REGION}"
    clean = fill(past)
    options = {"region_name": REGION, "endpoint_url": endpoint, **fault.options, **query}
    url = URLS[kind] + "&".join(f"{name}={value}" for name, value in options.items())
    there = read_config(url).with_options(key_id="alias/credstash").make_store()
    there.open()
    return Cell(url, past, there, clean, fault, between)


@pytest.fixture(params=URLS)
def kind(request: pytest.FixtureRequest, aws: EmbeddedAWS) -> str:
    return str(request.param)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "ca")


@pytest.fixture
def cell(request: pytest.FixtureRequest, kind: str, aws: EmbeddedAWS) -> Iterator[Cell]:
    """A store behind the fault of this name."""
    fault = FAULTS[request.param]
    with Between(aws, fault) as between:
        made = cell_of(kind, aws, fault, between.endpoint, between)
        yield made
        made.there.close()
        made.clean.close()
    assert not {o for o in between.operations if not re.fullmatch(_OPERATIONS, o)}


def attempt(what: str, do: Callable[[], object]) -> str | None:
    try:
        do()
    except SecretsError as exc:
        return proper(what, exc)
    return None


def under(faults: Iterable[str]) -> Any:
    return pytest.mark.parametrize("cell", faults, indirect=True)


def assert_reads(cell: Cell) -> None:
    for what, read in READS.items():
        cell.reads(what, read)


def assert_writes(cell: Cell) -> None:
    for what, write in WRITES.items():
        if hasattr(cell.there, write.on):
            prepare(cell.clean, write.before, cell.new("before"))
            new = cell.new(what)
            cell.writes(
                what, write, new, partial(attempt, what, partial(write.do, cell.there, new))
            )


def assert_reading_verbs(cell: Cell) -> None:
    for what, args in READING_VERBS.items():
        done = cell.verb(*args)
        if what == "doctor":  # it says what is wrong, and that is what it is for
            cell.judge(what, done.out if done.code else None)
            continue
        past = inside("module", cell.past, args)
        words = None
        if (done.code, undated(done.out)) != (past.code, undated(past.out)):
            words = done.failed(code=2 if "--dry-run" in args else 1)  # there 1 is a difference
            assert_words(what, words)
        cell.judge(what, words)


def undated(text: str) -> str:
    """Without what each run has of its own: moto's moments are now, a diff's key is for once."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+|\t[0-9a-f]{8}\b", "", text)


def assert_writing_verbs(cell: Cell) -> None:
    for what, (args, write) in WRITING_VERBS.items():
        prepare(cell.clean, write.before, cell.new("before"))
        new = cell.new(what)
        given = [arg.replace("NEW", new) for arg in args]

        def do(what: str = what, given: list[str] = given) -> str | None:
            done = cell.verb(*given)
            if done.code == 0:
                return None
            assert_words(what, done.failed())
            return done.err

        cell.writes(what, write, new, do)


@under(FAULTS)
def test_reads(cell):
    assert_reads(cell)


@under(WRITTEN)
def test_writes(cell):
    assert_writes(cell)


@under(VERBS)
def test_verbs_that_read(cell):
    assert_reading_verbs(cell)


@under(VERBS)
def test_verbs_that_write(cell):
    assert_writing_verbs(cell)


# Nobody, or the wrong one, is there


@pytest.fixture(params=["refused", "no such host", "wrong name", "wrong name: light", "unknown CA"])
def endpoint(
    request: pytest.FixtureRequest,
    aws: EmbeddedAWS,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Where AWS would be."""
    if request.param == "refused":
        yield closed_port()
    elif request.param == "no such host":
        look_up = socket.getaddrinfo

        def fail(host: Any, *args: Any, **kwargs: Any) -> Any:
            if host in ("nowhere.localhost", b"nowhere.localhost"):
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            return look_up(host, *args, **kwargs)

        monkeypatch.setattr("socket.getaddrinfo", fail)
        yield "http://nowhere.localhost:1"
    else:
        context = certificates.server
        if "wrong name" in request.param:
            context = certificates.elsewhere
            # What boto3 is told to trust, settings are read through it; the light transport trusts
            # what the system does.
            variable = "SSL_CERT_FILE" if "light" in request.param else "AWS_CA_BUNDLE"
            monkeypatch.setenv(variable, str(certificates.authority))
        with Between(aws, Fault(lambda _: False), context) as between:
            yield between.endpoint
            assert not between.requests


def test_a_service_that_cannot_be_reached(kind, aws, endpoint):
    cell = cell_of(kind, aws, Fault(lambda _: False), endpoint, None)
    for what, read in READS.items():
        asks = what != "to_reencrypt" or kind in ("credstash", "names")  # a document is itself
        assert attempt(what, partial(read, cell.there)) is not None or not asks, what
    assert_writes(cell)
    cell.there.close()
    cell.clean.close()


def test_the_wrong_region_is_a_store_that_is_not_there(kind, aws):
    """Where every name is a secret of its own nothing tells: there is no such secret there."""
    store = read_config(f"{URLS[kind]}region_name=eu-west-1").make_store()
    with store:
        if kind == "names":
            assert store.get_many(["A"]) == {}
            return
        for what, read in READS.items():
            if what != "to_reencrypt" or kind == "credstash":  # a document is itself
                with pytest.raises(StoreNotReady, match="eu-west-1"):
                    read(store)
