"""Fifty processes that start at once against a service that throttles: no storm of requests.

The back-off is the package's own; the clock and the service are simulated. Time passes only where
somebody pauses, so the threads of all processes run one at a time, in the order of their alarms.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import deadline
from django_kms_secrets.aws import LightService
from django_kms_secrets.deadline import TIMEOUTS, Deadline, Run
from django_kms_secrets.transport.client import Answer, Client
from django_kms_secrets.transport.credentials import Credentials
from django_kms_secrets.types import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSES = 50
#: Seconds of an answer.
LATENCY = 0.02


class Clock:
    """Time for threads that take turns: `sleep` gives the turn to whose alarm is next."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._alarms: list[tuple[float, int, threading.Event]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        turn = threading.Event()
        heapq.heappush(self._alarms, (self.now + seconds, next(self._numbers), turn))
        self._pass_on()
        turn.wait()

    def _pass_on(self) -> None:
        if self._alarms:
            self.now, _, turn = heapq.heappop(self._alarms)
            turn.set()

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """Run tasks that all begin now, to their end."""

        def work(task: Callable[[], None], turn: threading.Event) -> None:
            turn.wait()
            task()
            self._pass_on()

        threads = []
        for task in tasks:
            turn = threading.Event()
            heapq.heappush(self._alarms, (self.now, next(self._numbers), turn))
            threads.append(threading.Thread(target=work, args=(task, turn)))
        for thread in threads:
            thread.start()
        self._pass_on()
        for thread in threads:
            thread.join()


class Throttling:
    """A service with a bucket of tokens: a request takes one, or is refused.

    Args:
        rate: tokens that come in a second.
        burst: tokens that there are at first, and at most.
    """

    def __init__(self, clock: Clock, rate: float, burst: float) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._tokens, self._seen = burst, clock.now
        self.requests = 0

    def answer(self) -> Answer:
        self._clock.sleep(LATENCY)
        self.requests += 1
        passed, self._seen = self._clock.now - self._seen, self._clock.now
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        metadata = {"HTTPStatusCode": 200, "HTTPHeaders": {}}
        if self._tokens < 1:
            return Answer(
                {
                    "Error": {"Code": "ThrottlingException", "Message": ""},
                    "ResponseMetadata": {**metadata, "HTTPStatusCode": 400},
                },
                code="ThrottlingException",
            )
        self._tokens -= 1
        return Answer({"ResponseMetadata": metadata})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline, "time", clock)
    return clock


class _Closed:
    """What a client waits on between its attempts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wait(self, seconds: float) -> bool:
        self._clock.sleep(seconds)
        return False


def process(clock: Clock, server: Throttling, threads: int, each: int) -> list[Any]:
    """The threads of one process, which read side by side within one deadline."""
    sender = Client(
        "kms",
        "us-east-1",
        "https://kms",
        Credentials("AKIAEXAMPLE", SecretStr("x"), SecretStr("")),
        connect_timeout=1,
        read_timeout=1,
        context=None,
    )
    sender._attempt = lambda *_: server.answer()  # type: ignore[method-assign]
    sender._closed = _Closed(clock)  # type: ignore[assignment]
    service = LightService(sender, "KMS")
    run = Run(Deadline(TIMEOUTS.overall), None)

    def read() -> None:
        deadline.current.set(run)
        for _ in range(each):
            service.call("Decrypt")

    return [read] * threads


@pytest.mark.parametrize(
    ("threads", "each", "seconds"),
    [
        *[(1, 1, 1), (1, 1, 3), (1, 2, 2), (1, 5, 1), (1, 5, 3), (1, 5, 6), (1, 20, 5), (5, 5, 3)],
        *[(20, 1, 1), (20, 1, 3), (20, 2, 1), (20, 2, 2), (20, 2, 4), (20, 2, 6), (32, 30, 5)],
    ],
)
def test_all_are_served_within_the_deadline_with_twice_the_requests(clock, threads, each, seconds):
    """Of a service that is able to answer them all in so many seconds."""
    assert sent_for_each_that_was_needed(clock, threads, each, seconds) <= 2


@pytest.mark.parametrize("threads", [1, 20])
def test_where_each_sends_one_request_a_slow_service_is_sent_three_times_the_need(clock, threads):
    """At first it refuses six of seven, and the one answer has told nobody how slow it is."""
    assert sent_for_each_that_was_needed(clock, threads, each=1, seconds=6) <= 3


def sent_for_each_that_was_needed(clock: Clock, threads: int, each: int, seconds: float) -> float:
    """How many requests a start sends for each that it needs; all are served by the deadline."""
    random.seed(threads * each)
    need = PROCESSES * threads * each
    server = Throttling(clock, rate=need / (seconds + 1), burst=need / (seconds + 1))
    failed: list[BaseException] = []

    def guarded(read: Callable[[], None]) -> Callable[[], None]:
        def task() -> None:
            try:
                read()
            except BaseException as exc:
                failed.append(exc)

        return task

    tasks = [guarded(r) for _ in range(PROCESSES) for r in process(clock, server, threads, each)]
    began = clock.now
    clock.run(tasks)
    assert not failed
    assert clock.now - began <= TIMEOUTS.overall
    return server.requests / need
