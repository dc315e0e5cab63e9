"""Bounded time: its limits, and tasks that are run side by side within a deadline."""

from __future__ import annotations

import contextlib
import contextvars
import math
import queue
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .exceptions import SecretsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .aws import Service

T = TypeVar("T")

#: Requests under way at once, and sockets kept for them. With 20 ms for an answer, 32 read a
#: thousand records in 55 % of the time that 16 need; with more, threads and TLS handshakes cost
#: what they gain.
POOL_SIZE = 32

# Seconds of one wait for a thread, at most. A signal that comes between Python's last look for
# signals and such a wait does not end it: one Ctrl-C in a hundred, on a busy machine.
_LONGEST_WAIT = 0.25

#: The records for which one `Timeouts.overall` is enough, whatever the machine and the network.
BULK = 1000

#: Seconds: the longest pause before a throttled request is sent again.
_THROTTLED_PAUSE = 2.0

#: The longest time limit (seconds): a day. The system's own clocks take no number of any size.
_LONGEST = 86_400


class Timeouts(NamedTuple):
    """How long AWS may take, in seconds.

    Attributes:
        overall: for one whole operation of a store, retries included.
        connect: for one connection.
        read: for one pause while reading a reply.
    """

    overall: float = 10.0
    connect: float = 2.0
    read: float = 5.0

    @classmethod
    def from_options(
        cls, timeout: float | str, connect_timeout: float | str, read_timeout: float | str
    ) -> Timeouts:
        """Read the three OPTIONS, which a URL gives as text.

        Raises:
            SecretsError: one of them is no positive number.
        """
        options = {
            "timeout": timeout,
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
        }
        return cls(*(_seconds(name, value) for name, value in options.items()))

    def for_many(self, count: int) -> float:
        """Seconds for so many operations: in each thread of the pool they run one after another."""
        return self.overall * max(1, math.ceil(count / POOL_SIZE))

    def for_bulk(self, count: int) -> float:
        """Seconds for one operation on so many records, which are asked for side by side."""
        return self.overall * max(1, math.ceil(count / BULK))


#: What holds where OPTIONS say nothing.
TIMEOUTS = Timeouts()


def _seconds(name: str, value: float | str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        raise SecretsError(
            f"{name} {value!r} is not a number of seconds",
            hint=f"give a number above 0, and at most {_LONGEST}",
        )
    return seconds


class Deadline:
    """A moment on the monotonic clock by which an operation has to be over.

    Attributes:
        seconds: from its beginning.
        refusal: what was throttled last, and not answered since; None for nothing.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds: float = seconds
        self.refusal: StoreUnavailable | None = None
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())

    def pause(self) -> bool:
        """Wait before a throttled request is sent again; False if there is no time for that.

        The transports have tried four times by then. Full jitter, so that the threads of a bulk
        read do not come back together.
        """
        left = self.remaining()
        time.sleep(random.uniform(0, min(left, _THROTTLED_PAUSE)))  # noqa: S311 - no secret
        return left > 0

    def lengthen(self, seconds: float) -> None:
        """Give the operation this long in all, because there is more to do than was known."""
        self._end += max(0.0, seconds - self.seconds)
        self.seconds = max(self.seconds, seconds)


class Over(StoreUnavailable):
    """A request was not sent, as nobody waits for its answer any more."""


class Run:
    """Tasks that are run side by side, until they are over, failed, late or interrupted.

    Args:
        deadline: theirs.
        outer: that which one of whose tasks runs them, or None.
    """

    def __init__(self, deadline: Deadline, outer: Run | None) -> None:
        self.deadline = deadline
        self.ended = False
        self._outer = outer

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more for what its tasks do."""
        over = self.ended or not self.deadline.remaining()
        return over or (self._outer is not None and self._outer.is_over)


#: That of the task that this thread runs.
current: contextvars.ContextVar[Run | None] = contextvars.ContextVar("run", default=None)


def run_all(
    tasks: Sequence[Callable[[], T]],
    *,
    deadline: Deadline,
    services: Sequence[Service],
    done: Callable[[int, int], object] | None = None,
    settle: bool = False,
) -> list[T]:
    """Run tasks in at most `POOL_SIZE` threads, and be back by the deadline whatever they do.

    botocore bounds the connect and each read, but not the whole: names that do not resolve, hosts
    with many addresses and replies that trickle can take minutes. So the caller waits, in this
    thread, only as long as the deadline says; a thread that is stuck then is left to its own
    time-outs (it is a daemon, and holds no lock).

    Args:
        tasks: what to run. The first exception ends the whole: no task begins any more, and those
            that are under way send nothing more.
        deadline: when to give up.
        services: whom the tasks ask, for the message.
        done: called in this thread after each, with how many are done, and how many there are.
        settle: after an exception wait for the tasks that are under way, which write, so that it
            is known what they did.

    Returns:
        The results, in the order of ``tasks``.

    Raises:
        StoreUnavailable: the deadline passed.
        SecretsError: the system lets this process have no thread.
        Exception: what a task raised.
    """
    todo = deque(enumerate(tasks))
    finished: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()

    run = Run(deadline, current.get())

    def work() -> None:
        current.set(run)
        while todo:
            try:
                index, task = todo.popleft()
            except IndexError:
                return
            try:
                finished.put((index, task(), None))
            except BaseException as exc:
                finished.put((index, None, exc))

    results: dict[int, T] = {}
    failed: list[BaseException] = []
    waiting, late = len(tasks), False
    try:
        threads = _started(work, min(POOL_SIZE, len(tasks)))
        while waiting and not late and (settle or not failed):
            try:
                wait = min(_LONGEST_WAIT, deadline.remaining())
                index, result, error = finished.get(timeout=wait)
            except queue.Empty:
                late = not deadline.remaining()
                continue
            waiting -= 1
            if isinstance(error, Over):
                late = True
            elif error is not None:
                failed.append(error)
                waiting -= _emptied(todo)
            else:
                results[index] = result
                if done:
                    done(len(results), len(tasks))
    finally:
        _emptied(todo)  # whatever ended it, Ctrl-C too: what has not begun does not begin
        run.ended = True
    if failed:
        raise failed[0]
    if late:
        raise deadline.refusal or _deadline_passed(deadline, services)
    for thread in threads:
        thread.join()
    return [results[index] for index in range(len(tasks))]


def _started(work: Callable[[], None], count: int) -> list[threading.Thread]:
    """So many threads, or as many as the system lets this process have."""
    threads: list[threading.Thread] = []
    for _ in range(count):
        thread = threading.Thread(target=work, name="kms-secrets", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            break
        threads.append(thread)
    if count and not threads:
        raise SecretsError(
            "the system lets this process have no thread",
            hint="raise the limit of processes: `ulimit -u`, or that of the container (pids)",
        )
    return threads


def _emptied(todo: deque[Any]) -> int:
    """Take out what has not begun: how many that were. Threads may take some meanwhile."""
    taken = 0
    while todo:
        with contextlib.suppress(IndexError):
            todo.popleft()
            taken += 1
    return taken


def _deadline_passed(deadline: Deadline, services: Sequence[Service]) -> StoreUnavailable:
    if not services:
        return StoreUnavailable(
            f"no AWS credentials within {deadline.seconds:g} s",
            hint="check what AWS_PROFILE, AWS_CONTAINER_CREDENTIALS_* and ~/.aws/config name as "
            'their source; OPTIONS["timeout"] is the limit in seconds',
        )
    waiting = [s for s in services if s.waiting_for] or services
    places = ", ".join(
        f"{' and '.join(sorted(s.waiting_for)) or 'requests'} at {s.place}" for s in waiting
    )
    return StoreUnavailable(
        f"no answer within {deadline.seconds:g} s: {places}",
        hint="check region_name and endpoint_url, the network, and the VPC endpoint if any; "
        'OPTIONS["timeout"] is the limit in seconds',
    )
