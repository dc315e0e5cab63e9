"""Writers who race: whoever is told that it was stored finds it, and nobody's write is lost."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.exceptions import SecretNotFound, VersionConflict
from django_kms_secrets.types import CURRENT, PENDING

from .kinds import Kind, only

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_kms_secrets.backends.base import BaseStore

#: Attempts of one write, each after a longer pause: more than any race here needs.
ATTEMPTS = 200


def race(writers: int, work: Callable[[int], None]) -> None:
    """Run one function in many threads that start together; the first error is raised."""
    start = threading.Barrier(writers)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        start.wait(30)
        try:
            work(number)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def until_won(write: Callable[[], Any], pause: float = 0.1) -> int:
    """Repeat a write until it is no conflict; gives how many conflicts there were.

    Args:
        write: what to repeat.
        pause: before each attempt, up to so long (seconds).
    """
    for attempt in range(ATTEMPTS):
        time.sleep(random.uniform(0, pause))
        try:
            write()
        except VersionConflict:
            continue
        return attempt
    raise AssertionError("it never won")


def test_sixteen_writers_of_one_document_lose_none_of_500_updates(
    document: Any, another_document: Callable[[], Any]
) -> None:
    """Each reads the whole document, adds one name and writes it whole."""
    conflicts = []

    def work(number: int) -> None:
        with another_document() as store:
            for update in range(number, 500, 16):
                # Long enough that most attempts of the 16 meet one other, and not fifteen.
                conflicts.append(until_won(lambda: store.put(f"N{update}", str(update)), 1.2))  # noqa: B023

    race(16, work)
    found = {name: secret.value for name, secret in document.get_many(None).items()}
    assert found == {f"N{update}": str(update) for update in range(500)}
    assert sum(conflicts) > 0, "they never met"


remote = only(lambda kind: kind.remote)


@remote
def test_increments_of_one_value_are_never_lost(
    store: BaseStore, another: Callable[[], BaseStore]
) -> None:
    """Read, add one, write with the version that was read: the sum is that of all increments."""
    store.put("N", "0")

    def increment(mine: BaseStore) -> None:
        secret = mine.get("N")
        mine.put("N", str(int(secret.value) + 1), expected=secret.version)

    def work(_: int) -> None:
        with another() as mine:
            for _ in range(4):
                until_won(lambda: increment(mine))

    race(6, work)
    assert store.get("N").value == "24"


@remote
def test_of_two_who_put_at_the_same_time_the_loser_is_told(
    store: BaseStore, another: Callable[[], BaseStore], kind: Kind
) -> None:
    """Every value whose put succeeded was the current one; no other ever was."""
    store.put("KEY", "start")
    won: list[str] = []

    def work(number: int) -> None:
        with another() as mine:
            for turn in range(4):
                value = f"{number}-{turn}"
                try:
                    mine.put("KEY", value)
                except VersionConflict:
                    continue
                won.append(value)

    race(4, work)
    assert won
    assert store.get("KEY").value in won
    if store.scheme == "credstash":
        history = store.history("KEY")[1 if kind.is_document else 0 :]  # which begins empty
        versions = [store.get("KEY", version=entry.version) for entry in history]
        assert sorted(secret.value for secret in versions) == sorted(["start", *won])


@remote
@pytest.mark.parametrize("step", ["stage", "promote", "unstage"])
def test_of_many_who_take_the_same_step_at_the_same_time_one_wins(
    store: Any, another: Callable[[], Any], step: str
) -> None:
    """Rotations are for one operator at a time, and the others are told so."""
    store.put("KEY", "old")
    if step != "stage":
        store.stage("KEY", "new")
    outcomes: list[str] = []

    def work(number: int) -> None:
        arguments = [f"new-{number}"] if step == "stage" else []
        with another() as mine:
            try:
                getattr(mine, step)("KEY", *arguments)
            except (VersionConflict, SecretNotFound):
                return
        outcomes.append(f"new-{number}")

    race(5, work)
    found = {stage: secret.value for stage, secret in store.get_stages("KEY").items()}
    if step == "stage":
        assert [found[PENDING]] == outcomes
        assert found[CURRENT] == "old"
    elif step == "promote":
        assert outcomes, "on Secrets Manager, who finds it done while doing it has not failed"
        assert found[CURRENT] == "new"
        assert PENDING not in found
    else:
        assert outcomes
        assert found == {CURRENT: "old"}
