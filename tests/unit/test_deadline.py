"""Tasks side by side within a deadline, and the limits of time."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import deadline as deadline_module
from django_kms_secrets.aws import Service
from django_kms_secrets.deadline import BULK, POOL_SIZE, Deadline, Timeouts, run_all
from django_kms_secrets.exceptions import SecretsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60.0


def run(tasks: list[Callable[[], Any]], seconds: float = PATIENCE, *services: Service) -> list[Any]:
    return run_all(tasks, deadline=Deadline(seconds), services=services)


def service(name: str) -> Service:
    client = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://kms.example"))
    return Service(client, name)


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kms-secrets"]


@pytest.mark.parametrize("count", [0, 1, POOL_SIZE, POOL_SIZE + 1, 100])
def test_results_stand_in_the_order_of_the_tasks(count):
    """Whichever comes first: the early ones wait for the late ones here."""
    done, others = [threading.Event() for _ in range(count)], ours()

    def task(number: int) -> int:
        last_of_its_run = min(count - 1, number // POOL_SIZE * POOL_SIZE + POOL_SIZE - 1)
        if number < last_of_its_run:
            done[number + 1].wait(PATIENCE)
        done[number].set()
        return number

    tasks = [lambda number=number: task(number) for number in range(count)]
    assert run(tasks) == list(range(count))
    assert not {*ours()} - {*others}, "those of another test may be stuck yet"


def test_no_more_tasks_run_at_once_than_sockets_are_kept():
    running, most, lock, all_in = 0, 0, threading.Lock(), threading.Barrier(POOL_SIZE)

    def task() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_in.wait(PATIENCE)
        with lock:
            running -= 1

    run([task] * (POOL_SIZE * 3))
    assert most == POOL_SIZE


def test_the_first_error_ends_the_whole_and_what_was_not_begun_is_not_begun():
    begun = []
    release = threading.Event()

    def fails() -> None:
        raise SecretsError("the first")

    def waits() -> None:
        begun.append(1)
        release.wait(PATIENCE)

    try:
        with pytest.raises(SecretsError, match="the first"):
            run([fails, *[waits] * 100])
    finally:
        release.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert len(begun) <= POOL_SIZE


def test_after_an_error_what_is_under_way_sends_nothing_more():
    """Also not in tasks that a task runs: a write that nobody waits for would be one unseen."""
    asked, failed = threading.Event(), threading.Event()
    sent = []

    class Noting(Service):
        def _send(self, operation: str, *_: object) -> dict[str, object]:
            sent.append(operation)
            return {}

    noting = Noting(None, "KMS")
    noting.client = type("Client", (), {"meta": type("Meta", (), {"endpoint_url": "here"})})

    def inner() -> None:
        noting.call("First")
        asked.set()
        assert failed.wait(PATIENCE)
        noting.call("Second")

    def fails() -> None:
        assert asked.wait(PATIENCE)
        raise SecretsError("the first")

    try:
        with pytest.raises(SecretsError, match="the first"):
            run([fails, lambda: run([inner])])
    finally:
        failed.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert sent == ["First"]


def test_tasks_that_write_may_be_waited_for_after_an_error():
    """What they did is known then; none begins."""
    under_way, failed = threading.Barrier(POOL_SIZE), threading.Event()
    ended = []

    def fails() -> None:
        under_way.wait(PATIENCE)
        failed.set()
        raise SecretsError("the first")

    def writes() -> None:
        under_way.wait(PATIENCE)
        assert failed.wait(PATIENCE)
        ended.append(1)

    with pytest.raises(SecretsError, match="the first"):
        run_all(
            [fails, *[writes] * (POOL_SIZE - 1), *[lambda: ended.append(2)] * 100],
            deadline=Deadline(PATIENCE),
            services=[],
            settle=True,
        )
    assert ended.count(1) == POOL_SIZE - 1


def test_as_many_threads_as_there_may_be(monkeypatch):
    """A limit of processes makes it slower; only none at all is an error."""
    start, left = threading.Thread.start, [1, 1]

    def limited(thread: threading.Thread) -> None:
        if thread.name == "kms-secrets":
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert run([lambda number=number: number for number in range(9)]) == list(range(9))
    with pytest.raises(SecretsError, match="no thread") as caught:
        run([lambda: 1])
    assert "pids" in caught.value.hint


def test_a_task_may_lengthen_the_deadline_for_the_whole(monkeypatch):
    """Who waits for it began to wait before that, and wakes when the first end would have come."""
    now = 0.0
    monkeypatch.setattr(deadline_module, "time", SimpleNamespace(monotonic=lambda: now))
    deadline = Deadline(0.1)

    def task() -> str:
        nonlocal now
        time.sleep(0.2)  # the caller waits by then
        deadline.lengthen(PATIENCE)
        now = 0.2
        time.sleep(0.3)
        return "done"

    assert run_all([task], deadline=deadline, services=[]) == ["done"]


def test_a_signal_that_does_not_end_the_wait_is_noticed_soon():
    """As Ctrl-C in the moment before the wait; here it is another thread that it interrupts."""
    released, ended = threading.Event(), []

    def raises(*_: object) -> None:
        raise InterruptedError

    def task() -> None:
        time.sleep(0.1)  # the caller waits by then
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        ended.append(not released.wait(PATIENCE))

    former = signal.signal(signal.SIGUSR1, raises)
    try:
        with pytest.raises(InterruptedError):
            run([task], 2 * PATIENCE)
        assert not ended
    finally:
        signal.signal(signal.SIGUSR1, former)
        released.set()


def test_an_interruption_while_threads_are_started_ends_the_whole(monkeypatch):
    """As Ctrl-C does later: what has not begun does not begin."""
    start, released, ended = threading.Thread.start, threading.Event(), []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "kms-secrets":
            raise KeyboardInterrupt

    def task() -> None:
        released.wait(PATIENCE)
        ended.append(1)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            run([task] * 10)
    finally:
        released.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert len(ended) <= 1


def test_an_interruption_in_a_task_reaches_the_caller():
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([interrupt])


def test_the_caller_is_back_at_the_deadline_whatever_the_tasks_do():
    release = threading.Event()
    start = time.monotonic()
    stuck = service("DynamoDB")
    stuck.waiting_for["Scan"] += 1
    try:
        with pytest.raises(StoreUnavailable) as caught:
            run([lambda: release.wait(PATIENCE)], 0.1, stuck, service("KMS"))
        assert time.monotonic() - start < PATIENCE / 2
        assert all(thread.daemon for thread in ours())
    finally:
        release.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert caught.value.message == (
        "no answer within 0.1 s: Scan at DynamoDB at http://kms.example"
    )
    assert caught.value.__context__ is None


def test_a_deadline_that_has_passed_before_is_missed_at_once():
    release = threading.Event()
    try:
        with pytest.raises(StoreUnavailable):
            run([lambda: release.wait(PATIENCE)], 0.0, service("KMS"))
    finally:
        release.set()
    for thread in ours():
        thread.join(PATIENCE)


def test_a_deadline_counts_down_to_zero_and_not_below():
    assert 9.0 < Deadline(10.0).remaining() <= 10.0
    assert Deadline(0.0).remaining() == 0.0


def test_nothing_to_do_needs_no_time_and_no_thread():
    assert run([], 0.0) == []


def test_a_deadline_is_lengthened_and_never_shortened():
    deadline = Deadline(3)
    deadline.lengthen(2)
    assert (deadline.seconds, 2 < deadline.remaining() <= 3) == (3, True)
    deadline.lengthen(600)
    assert (deadline.seconds, 500 < deadline.remaining() <= 600) == (600, True)


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 3), (1, 3), (BULK, 3), (BULK + 1, 6), (BULK * 5, 15)]
)
def test_bulk_reads_get_more_time_for_each_thousand(count, seconds):
    assert Timeouts(overall=3).for_bulk(count) == seconds


def test_timeouts_are_numbers_or_their_text():
    assert Timeouts.from_options("1", 2, 3.5) == Timeouts(1.0, 2.0, 3.5)


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 3), (1, 3), (POOL_SIZE, 3), (POOL_SIZE + 1, 6), (POOL_SIZE * 5, 15)]
)
def test_many_operations_have_the_time_of_one_in_each_thread(count, seconds):
    """None at all have the time of one, so that nothing is late before it began."""
    assert Timeouts(overall=3).for_many(count) == seconds
