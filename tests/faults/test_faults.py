"""Every store and every verb under every fault: the right result, or one error that says what.

For each cell one rule. An error is of our family, within the deadline, and names service, operation
and a mend; it is never "there is no such secret", and shows no value. After a write that failed the
store holds all of it or nothing, or the error says what was stored.

A test is one fault on one kind of store, and all uses of it. Each begins with the same account,
which is put back from memory: building it by requests took longer than all else together.
"""

from __future__ import annotations

import json
import re
import signal
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from django_kms_secrets import StoreNotReady, recording
from django_kms_secrets.config import read_config
from django_kms_secrets.deadline import Deadline
from django_kms_secrets.transport import client

from ..server.certificates import Certificates
from ..server.silent import closed_port
from .between import Between, Fault
from .cells import OPERATIONS, PATIENCE, Cell, Prepared, attempt, url_of
from .faults import CELLS, FAULTS, KINDS, VERB_CELLS
from .uses import GIVEN, READING_VERBS, READS, WRITES, WRITING_VERBS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..server.embedded import EmbeddedAWS

#: Of Secrets Manager there is nothing that these could do.
ONLY_CREDSTASH = ("setup --create-key", "reencrypt --prune")


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


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that `audit` and `run` go by: they read A, B and the pending value of A."""
    monkeypatch.setattr(recording, "recordings", [])
    read = recording.Recording((None,))
    read.note("A", required=True)
    read.note("B", required=True)
    read.staged.add("A")
    # The environment is the one of the command.
    monkeypatch.setattr(recording, "environment", None)


@pytest.fixture(scope="module")
def _all_prepared() -> Iterator[dict[str, Prepared]]:
    made: dict[str, Prepared] = {}
    yield made
    for prepared in made.values():
        prepared.clean.close()


@pytest.fixture
def prepared(
    request: pytest.FixtureRequest, aws: EmbeddedAWS, _all_prepared: dict[str, Prepared]
) -> Prepared:
    """The account with the stores of one kind."""
    kind = str(request.param)
    if kind not in _all_prepared:
        _all_prepared[kind] = Prepared(aws, kind)
    _all_prepared[kind].put_back()
    return _all_prepared[kind]


def cell_of(
    prepared: Prepared, files: Path, fault: Fault, endpoint: str, between: Between | None
) -> Cell:
    (files / "source.json").write_text(json.dumps(GIVEN))
    (files / "source.json").chmod(0o600)
    url = url_of(prepared.kind, endpoint_url=endpoint, **fault.options)
    there = read_config(url).with_options(key_id="alias/credstash").make_store()
    there.open()
    return Cell(prepared, url, there, fault, between, files)


@pytest.fixture
def cell(
    request: pytest.FixtureRequest, prepared: Prepared, aws: EmbeddedAWS, tmp_path: Path
) -> Iterator[Cell]:
    """A store behind the fault of this name."""
    fault = FAULTS[request.param]
    with Between(aws, fault) as between:
        made = cell_of(prepared, tmp_path, fault, between.endpoint, between)
        yield made
        made.begin()
        made.there.close()
        # One that hits nothing proves nothing; but not every store needs all operations, or sends
        # so many requests.
        assert made.hits or fault.operations or fault.after
    assert not {o for o in between.operations if not re.fullmatch(OPERATIONS, o)}


def assert_reads(cell: Cell) -> None:
    cell.prepared.put_back()
    for what, read in READS.items():
        cell.reads(what, read)


def assert_writes(cell: Cell) -> None:
    for what, write in WRITES.items():
        if hasattr(cell.there, write.on):
            cell.writes(
                what,
                write,
                lambda new, what=what, write=write: attempt(
                    what, partial(write.do, cell.there, new)
                ),
            )


def assert_reading_verbs(cell: Cell) -> None:
    for what, words in READING_VERBS.items():
        cell.reads_by_verb(what, words)


def assert_writing_verbs(cell: Cell) -> None:
    for what, verb in WRITING_VERBS.items():
        if "credstash" in cell.prepared.kind or what not in ONLY_CREDSTASH:
            cell.writes_by_verb(what, verb)


def under(cells: Sequence[tuple[str, str]]) -> Any:
    ids = [f"{kind}-{fault}" for kind, fault in cells]
    return pytest.mark.parametrize("prepared, cell", cells, indirect=True, ids=ids)


on_every_kind = pytest.mark.parametrize("prepared", KINDS, indirect=True)


@under(CELLS)
def test_reads(cell):
    assert_reads(cell)


@under(CELLS)
def test_writes(cell):
    assert_writes(cell)


@under(VERB_CELLS)
def test_verbs_that_read(cell):
    assert_reading_verbs(cell)


@under(VERB_CELLS)
def test_verbs_that_write(cell):
    assert_writing_verbs(cell)


# Nobody, or the wrong one, is there

NOTHING = Fault(lambda _: False)


@contextmanager
def impostor(aws: EmbeddedAWS, context: ssl.SSLContext) -> Iterator[str]:
    """Who shows a certificate that is not AWS's, and is sent nothing."""
    with Between(aws, NOTHING, context) as between:
        yield between.endpoint
        assert not between.requests


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "ca")


@pytest.fixture(params=["refused", "no such host", "wrong name", "unknown CA"])
def endpoint(
    request: pytest.FixtureRequest,
    aws: EmbeddedAWS,
    certificates: Certificates,
    tmp_path: Path,
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
        trusted, shown = certificates, certificates.elsewhere
        if request.param == "unknown CA":
            trusted, shown = Certificates(tmp_path / "other"), certificates.server
        # A small one: boto3 reads it for each connection.
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted.authority))
        with impostor(aws, shown) as url:
            yield url


@on_every_kind
def test_a_service_that_cannot_be_reached(prepared, tmp_path, endpoint):
    cell = cell_of(prepared, tmp_path, NOTHING, endpoint, None)
    for what, read in READS.items():
        # A document is itself what is re-encrypted.
        asks = what != "to_reencrypt" or prepared.kind in ("credstash", "names")
        assert attempt(what, partial(read, cell.there)) is not None or not asks, what
    assert_writes(cell)
    assert_reading_verbs(cell)
    assert_writing_verbs(cell)
    cell.there.close()


@on_every_kind
@pytest.mark.parametrize("wrong", ["name", "CA"])
def test_who_is_not_aws_is_not_read_without_boto3_either(
    prepared, aws, tmp_path, certificates, monkeypatch, wrong
):
    """What the system trusts is what settings are read through, where boto3 is told nothing."""
    if wrong == "name":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    shown = certificates.elsewhere if wrong == "name" else certificates.server
    with impostor(aws, shown) as url:
        cell = cell_of(prepared, tmp_path, NOTHING, url, None)
        for what in ("settings", "settings, all"):
            assert attempt(what, partial(READS[what], cell.there)) is not None, what
        cell.there.close()


@on_every_kind
def test_the_wrong_region_is_a_store_that_is_not_there(prepared):
    """Where every name is a secret of its own nothing tells: there is no such secret there."""
    with read_config(url_of(prepared.kind, region_name="eu-west-1")).make_store() as store:
        if prepared.kind == "names":
            assert store.get_many(["A"]) == {}
            return
        for what, read in READS.items():
            if what != "to_reencrypt" or prepared.kind == "credstash":  # a document is itself
                with pytest.raises(StoreNotReady, match="eu-west-1"):
                    read(store)
