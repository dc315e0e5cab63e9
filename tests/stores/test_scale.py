"""Many records: no page is held, no throttled record is missing, and every request is counted."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import deadline
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.credstash.table import PAGES_ALONE, SEGMENTS
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.exceptions import SecretIntegrityError, SecretsError, StoreUnavailable
from django_kms_secrets.transport import client

from ..server.scripted import ScriptedServer, reply

if TYPE_CHECKING:
    import socket

    from ..server.embedded import EmbeddedAWS, Refusal

TRANSPORTS = ("boto3", "auto")
NAMES = 60


@pytest.fixture(params=TRANSPORTS)
def credstash(request, aws: EmbeddedAWS):
    """A table with sixty names, opened as settings do."""
    with CredStashStore() as store:
        store.setup()
        store.setup_key()
        store.put_many({f"NAME_{number:02}": f"value {number}" for number in range(NAMES)})
    store = CredStashStore(transport=request.param, timeout=60)
    with store.reading():
        yield store


def values() -> dict[str, str]:
    return {f"NAME_{number:02}": f"value {number}" for number in range(NAMES)}


def texts(found: dict[str, Any]) -> dict[str, str]:
    return {name: secret.value for name, secret in found.items()}


def in_pages_of(aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch, items: int) -> None:
    """Let the service give so many items a page, wherever a Scan begins."""
    from moto.dynamodb.models.table import Table

    original = Table.scan

    def scan(self: Any, filters: Any, _: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, filters, items, *args, **kwargs)

    monkeypatch.setattr(Table, "scan", scan)


@pytest.mark.parametrize("versions", [1, 3])
def test_a_large_table_is_scanned_in_segments_and_whole(aws, credstash, monkeypatch, versions):
    """A few pages alone, then all of it side by side; what is newest is found in any of them."""
    for _ in range(versions - 1):
        with CredStashStore() as writer:
            writer.put_many(values())
    in_pages_of(aws, monkeypatch, 10)
    segments: Counter[Any] = Counter()
    aws.faults.append(lambda sent, body: segments.update([body.get("Segment")] * (sent == "Scan")))
    with aws.counted() as requests:
        assert texts(credstash.get_many(None)) == values()
    assert requests["trentservice.Decrypt"] == NAMES
    assert segments[None] == PAGES_ALONE
    assert {*segments} == {None, *range(SEGMENTS)}
    full = NAMES * versions // 10
    assert full <= requests["dynamodb.Scan"] <= PAGES_ALONE + full + SEGMENTS


def test_a_table_of_a_few_pages_is_scanned_alone(aws, credstash, monkeypatch):
    in_pages_of(aws, monkeypatch, 25)
    with aws.counted() as requests:
        assert texts(credstash.get_many(None)) == values()
    assert requests == {"dynamodb.Scan": PAGES_ALONE, "trentservice.Decrypt": NAMES}


def test_a_listing_of_a_large_table_has_every_version_once(aws, monkeypatch):
    with CredStashStore() as store:
        store.setup()
        store.setup_key()
        for _ in range(2):
            store.put_many(values())
        in_pages_of(aws, monkeypatch, 10)
        listed = [(entry.name, int(entry.version)) for entry in store.list_secrets()]
    assert listed == [(name, number) for name in values() for number in (1, 2)]


def test_one_page_needs_one_request_more_than_the_records(aws, credstash):
    with aws.counted() as requests:
        credstash.get_many(None)
    assert requests.total() == NAMES + 1


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pauses."""

    class Clock:
        sleep = staticmethod(lambda _: None)

    monkeypatch.setattr("botocore.endpoint.time", Clock)
    monkeypatch.setattr(client, "_pause", lambda *_: 0.0)
    monkeypatch.setattr(deadline, "_THROTTLED_PAUSE", 0.01)


@pytest.mark.usefixtures("_hasty")
def test_a_read_whose_data_keys_are_all_throttled_at_first_is_whole(aws, credstash):
    """Each six times: more often than a client tries by itself."""
    seen: Counter[str] = Counter()

    def throttled(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation != "Decrypt":
            return None
        seen[body["CiphertextBlob"]] += 1
        return (400, "ThrottlingException") if seen[body["CiphertextBlob"]] <= 6 else None

    aws.faults.append(throttled)
    assert texts(credstash.get_many(None)) == values()
    assert {*seen.values()} == {7}


@pytest.mark.usefixtures("_hasty")
def test_one_data_key_that_is_throttled_for_ever_is_an_error_and_no_partial_result(
    aws, credstash, clock
):
    """The deadline comes when it is the only one that is still asked for, again and again."""
    chosen: list[str] = []
    is_alone = threading.Event()
    times = count(1)

    def throttled(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation != "Decrypt":
            return None
        chosen[:] = chosen or [body["CiphertextBlob"]]
        if body["CiphertextBlob"] not in chosen:
            return None
        if is_alone.is_set() and next(times) > 40:
            clock.pass_by(60)
        return 400, "ThrottlingException"

    def done(number: int, _: int) -> None:
        if number == NAMES - 1:
            is_alone.set()

    aws.faults.append(throttled)
    with (
        credstash.followed(done),
        pytest.raises(StoreUnavailable, match=r"Decrypt was refused .*: too many requests"),
    ):
        credstash.get_many(None)
    assert is_alone.is_set()


@pytest.mark.usefixtures("_hasty")
def test_names_of_their_own_are_written_side_by_side_through_throttling(aws):
    seen: Counter[str] = Counter()

    def throttled(operation: str, body: dict[str, Any]) -> Refusal | None:
        name = body.get("Name", "")
        seen[name] += 1
        return (400, "ThrottlingException") if name and seen[name] <= 6 else None

    aws.faults.append(throttled)
    with SecretsManagerStore(prefix="many/", timeout=60) as store:
        written = store.put_many(values())
        assert [entry.name for entry in written] == list(values())
        assert texts(store.get_many(None)) == values()


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_is_throttled_is_sent_again_with_its_token(aws, reason):
    tokens: list[str] = []

    def throttled(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation != "TransactWriteItems":
            return None
        tokens.append(body["ClientRequestToken"])
        reasons = [{"Code": "None"}, {"Code": reason}]
        kind = "TransactionCanceledException"
        reply = {"__type": kind, "message": "cancelled", "CancellationReasons": reasons}
        return (400, reply) if len(tokens) <= 3 else None

    with CredStashStore() as store:
        store.setup()
        store.setup_key()
        aws.faults.append(throttled)
        store.put_many({"A": "1", "B": "2"})
        assert texts(store.get_many(None)) == {"A": "1", "B": "2"}
    assert len(tokens) == 4
    assert len({*tokens}) == 1


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_secrets_that_are_throttled_within_a_batch_are_asked_for_again(aws, transport):
    """The reply is a success, with an entry for each that was not read."""
    with SecretsManagerStore(prefix="n/") as store:
        store.put_many({"A": "1"})
    failed = [
        {"SecretId": f"n/{name}", "ErrorCode": "ThrottlingException", "Message": "Rate exceeded"}
        for name in ("A", "GONE")
    ]
    reply = (200, {"SecretValues": [], "Errors": failed})
    aws.faults.append(lambda sent, _: reply if sent == "BatchGetSecretValue" else None)
    with SecretsManagerStore(prefix="n/", transport=transport).reading() as store:
        assert texts(store.get_many(["A", "GONE"])) == {"A": "1"}


def test_what_is_done_is_shown_up_to_the_whole(aws, credstash):
    shown: list[tuple[int, int]] = []
    with credstash.followed(lambda *done: shown.append(done)):
        credstash.get_many(list(values()))
    assert shown == [(number, NAMES) for number in range(1, NAMES + 1)]
    credstash.get_many(None)
    assert len(shown) == NAMES, "nobody follows any more"


def test_what_is_done_of_batches_is_shown_in_records(aws):
    shown: list[tuple[int, int]] = []
    with SecretsManagerStore(prefix="n/") as store:
        store.put_many({f"N{number}": "1" for number in range(45)})
        with store.followed(lambda *done: shown.append(done)):
            store.get_many(None)
    assert shown == [(20, 45), (40, 45), (45, 45)]


def test_a_listing_has_the_time_of_as_many_records_as_it_is_long(aws, monkeypatch):
    """Known while it is read: each page may take what the records up to there may."""
    limits: list[float] = []
    original = deadline.Deadline.lengthen

    def lengthen(self: deadline.Deadline, seconds: float) -> None:
        original(self, seconds)
        limits.append(self.seconds)

    def listed(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation == "BatchGetSecretValue":
            return 400, "AccessDeniedException"
        page = int(body.get("NextToken", 0))
        entries = [{"Name": f"n/{page}-{n}", "ARN": "arn:aws:x"} for n in range(100)]
        more = {"NextToken": str(page + 1)} if page < 24 else {}
        return 200, {"SecretList": entries, **more}

    monkeypatch.setattr(deadline.Deadline, "lengthen", lengthen)
    aws.faults.append(listed)
    with (
        SecretsManagerStore(prefix="n/", timeout=20) as store,
        pytest.raises(SecretsError, match="BatchGetSecretValue"),
    ):
        store.get_many(None)
    assert limits[:25] == [20.0] * 10 + [40.0] * 10 + [60.0] * 5


@pytest.mark.parametrize("refused", ["", "x" * 70_000])
def test_a_value_that_is_refused_is_found_before_any_is_written(aws, refused):
    with SecretsManagerStore(prefix="n/") as store:
        with aws.counted() as requests, pytest.raises(SecretsError, match=r"^BAD "):
            store.put_many({"A": "1", "BAD": refused})
        assert not requests


def held(aws: EmbeddedAWS, names: set[str], begun: threading.Event) -> threading.Event:
    """Let the service take up these names only when the event is set; the other tells of them."""
    release = threading.Event()

    def hold(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation == "CreateSecret" and body["Name"].removeprefix("n/") in names:
            begun.set()
            release.wait(60)
        return None

    aws.faults.append(hold)
    return release


def test_a_write_that_is_under_way_at_the_deadline_is_named_as_unknown(aws, clock):
    begun = threading.Event()
    release = held(aws, {"SLOW"}, begun)

    def late(*_: int) -> None:
        assert begun.wait(60)
        clock.pass_by(60)

    with (
        SecretsManagerStore(prefix="n/", timeout=60, read_timeout=60) as store,
        store.followed(late),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            store.put_many({"A": "1", "SLOW": "2"})
        release.set()
    assert caught.value.message.endswith(
        "; but stored meanwhile: A; not known whether stored: SLOW"
    )


def test_writes_that_are_interrupted_are_named_in_the_log(aws, caplog):
    """As by Ctrl-C, which comes to the thread that waits."""
    # Not SLOW: the test before may still be answered, after its end.
    begun = threading.Event()
    release = held(aws, {"HELD"}, begun)

    def interrupt(*_: int) -> None:
        assert begun.wait(60)
        raise KeyboardInterrupt

    with SecretsManagerStore(prefix="n/") as store, store.followed(interrupt):
        with pytest.raises(KeyboardInterrupt):
            store.put_many({"A": "planted", "HELD": "planted"})
        release.set()
    assert "stored: A; not known whether stored: HELD" in caplog.text
    assert "planted" not in caplog.text


#: Bytes of the values of a page.
PAGE = 100 * 2000


class Pages(ScriptedServer):
    """A table that has so many pages of the versions of four names; nothing else is answered.

    The embedded AWS reads what comes after a request into ten megabytes, as many times at once as
    it happens: more than what is measured.
    """

    def __init__(self, pages: int) -> None:
        super().__init__(lambda _: None)
        self._pages = pages
        items = [
            {
                **{attribute: {"S": "x"} for attribute in ("key", "digest", "hmac")},
                "name": {"S": "NAME"},
                "version": {"S": f"START{number:02}"},
                "contents": {"S": f"{number:02}" * 1000},
            }
            for number in range(100)
        ]
        self._items = json.dumps(items)[1:-1]

    def _answer(self, connection: socket.socket, head: str, body: bytes) -> bool:
        if ".Scan" not in head:
            connection.sendall(reply(b'{"__type": "AccessDeniedException"}', 400))
            return True
        asked = json.loads(body)
        name = f"NAME_{asked.get('Segment', 0)}"
        start = int(asked.get("ExclusiveStartKey", {"version": {"S": "0"}})["version"]["S"])
        items = self._items.replace("NAME", name).replace("START", f"{start:017}")
        end = {"LastEvaluatedKey": {"name": {"S": name}, "version": {"S": str(start + 1)}}}
        is_last = start + 1 >= self._pages // asked.get("TotalSegments", 1)
        rest = "" if is_last else f", {json.dumps(end)[1:-1]}"
        connection.sendall(reply(f'{{"Items": [{items}]{rest}}}'.encode()))
        return True


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_memory_does_not_grow_with_old_versions(aws, transport):
    """Of eighty pages there are never half in memory; how many come at once is chance."""
    peak(transport, pages=8)  # the first read imports what it needs
    few = peak(transport, pages=8)
    assert peak(transport, pages=80) - few < 40 * PAGE


def peak(transport: str, *, pages: int) -> int:
    """Bytes at most while a table of so many pages is read."""
    with (
        Pages(pages) as server,
        CredStashStore(
            transport=transport, timeout=60, read_timeout=30, endpoint_url=server.endpoint
        ).reading() as store,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(SecretIntegrityError, match="4 secrets"):
                store.get_many(None)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
