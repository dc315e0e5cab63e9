"""A process that refreshes its secrets for weeks, through faults, grows by nothing."""

from __future__ import annotations

import gc
import itertools
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from django_kms_secrets import SecretsError, load
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore

from .faulty import FAULTS, FaultyServer

#: Options of every store: short, as a fault that says nothing is waited for.
QUICKLY = "timeout=5&connect_timeout=0.2&read_timeout=0.05"
SERIAL = "serial-"
#: The first refreshes fill caches, of the interpreter too.
WARM_UP = 0.1
#: What may come and go between two looks: blocks of memory by Python's allocator, and pages. One
#: block kept by each refresh is thousands, and one buffer of a page is megabytes. With boto3 there
#: are few refreshes, but one of its clients is tens of thousands of blocks, and its caches grow.
BLOCKS, PAGES, BLOCKS_OF_BOTO3 = 1500, 1000, 10_000
#: Seconds: for threads that end and sockets that close a moment later.
PATIENCE = 20


class Held(NamedTuple):
    """What this process holds."""

    threads: int
    descriptors: int
    blocks: int
    pages: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return cls(threading.active_count(), descriptors, sys.getallocatedblocks(), pages)


def at_rest(threads: int, descriptors: int) -> Held:
    """What is held as soon as there are no more threads and descriptors, or after a while."""
    end = time.monotonic() + PATIENCE
    held = Held.now()
    while held.threads > threads or held.descriptors > descriptors:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
        held = Held.now()
    # Once more: what the last thread has left is collected only now.
    return Held.now()


class Outcome(NamedTuple):
    """What a long run was.

    Attributes:
        first, half, last: what was held after the warm-up, half-way and at the end.
        results: how many refreshes succeeded, and how many failed with which error.
        by_boto3: whether boto3 asked.
    """

    first: Held
    half: Held
    last: Held
    results: Counter[str]
    by_boto3: bool

    def check_nothing_grew(self) -> None:
        assert self.last.threads == self.half.threads == self.first.threads
        assert self.last.descriptors == self.half.descriptors == self.first.descriptors
        more = self.last.blocks - self.half.blocks
        assert more < (BLOCKS_OF_BOTO3 if self.by_boto3 else BLOCKS)
        if not self.by_boto3:  # each of its clients reads megabytes, which leave holes behind
            assert self.last.pages - self.half.pages < PAGES


@pytest.fixture
def nothing_is_waited_for(monkeypatch):
    """No pause between attempts, and none between refreshes: for those a day goes by each time."""
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    days = itertools.count(step=86_400)
    for module in ("loader", "layer"):
        monkeypatch.setattr(f"django_kms_secrets.{module}.monotonic", days.__next__)


@pytest.fixture
def nobody():
    """The URL of a port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def run_long(aws, nothing_is_waited_for, nobody, monkeypatch):
    """Refreshes so often, past one endpoint and at times past none; gives the outcome."""

    def run(server: FaultyServer, url: str, count: int, seen=lambda secrets: None) -> Outcome:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        load(url)  # which records the replies
        secrets = load(f"{url}{'&' if '?' in url else '?'}{QUICKLY}")
        idle = Held.now()
        looks, results = [], Counter()
        server.is_faulty = True
        chance = random.Random(7)
        for number in range(count + 1):
            if number in (int(count * WARM_UP), count // 2, count):
                looks.append(at_rest(idle.threads, idle.descriptors))
            refused = chance.random() < 0.01
            os.environ["AWS_ENDPOINT_URL"] = nobody if refused else server.endpoint
            try:
                secrets.refresh()
            except SecretsError as exc:
                results[type(exc).__name__] += 1
            else:
                assert not refused
                results["refreshed"] += 1
                seen(secrets)
        return Outcome(*looks, results, server.agents == {"Boto3"})

    return run


def test_ten_thousand_refreshes_of_a_document_hold_nothing_more(run_long, aws):
    with SecretsManagerStore(secret_id="notes/production") as store:
        store.setup()
        store.put("SERIAL", f"{SERIAL}{0:09}")
    values = Counter()

    def seen(secrets):
        values[str(secrets["SERIAL"])] += 1

    with FaultyServer(aws.endpoint, SERIAL) as server:
        outcome = run_long(server, "secretsmanager:///notes/production", 10_000, seen)
    print(outcome, server.requests)  # shown where a check fails
    outcome.check_nothing_grew()
    assert server.agents == {"django-kms-secrets"}
    assert server.requests.total() >= 10_000
    assert {*server.requests} == {"answered", *FAULTS}
    assert outcome.results["refreshed"] > 5000
    assert outcome.results["StoreUnavailable"] > 50
    assert min(values.values()) > 1000, "it is the new reply that is read, not the one before"


@pytest.mark.parametrize(
    ("transport", "count", "agent"),
    [("auto", 500, "django-kms-secrets"), ("boto3", 60, "Boto3")],
    ids=["light", "boto3"],
)
def test_refreshes_of_a_table_hold_nothing_more(run_long, aws, transport, count, agent):
    """Its data keys are asked for in a pool of threads."""
    with CredStashStore() as store:
        store.setup()
        store.setup_key()
        store.put_many({f"NAME_{number}": f"value {number}" for number in range(20)})

    def seen(secrets):
        assert len(secrets) == 20

    with FaultyServer(aws.endpoint) as server:
        url = f"credstash://credential-store?transport={transport}"
        outcome = run_long(server, url, count, seen)
    print(outcome, server.requests)  # shown where a check fails
    outcome.check_nothing_grew()
    assert server.agents == {agent}
    assert server.requests.total() >= 20 * outcome.results["refreshed"]
    assert {*server.requests} >= {"answered", "throttled", "reset", "half"}
    assert outcome.results["refreshed"]
    assert outcome.results["StoreUnavailable"]
