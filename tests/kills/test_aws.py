"""Whoever writes to AWS may be killed at any request: all or nothing, and a rerun finishes.

They are killed before each request that writes, and after the last one. At any other moment AWS has
what it has at one of these.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.config import read_config
from django_kms_secrets.types import CURRENT

from .harness import KILLED, PATIENCE, sampled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from django_kms_secrets.types import Secret

    from ..server.embedded import EmbeddedAWS, Refusal
    from .harness import Run, Writer

#: Machines are busy at times, and a time limit that passed is no kill.
URLS = {
    "credstash": "credstash://?timeout=60",
    "credstash document": "credstash://?timeout=60&document=notes",
    "secretsmanager document": "secretsmanager:///notes?timeout=60",
    "secretsmanager": "secretsmanager://?prefix=notes/&timeout=60",
}
#: Those in which every secret is written by itself.
APART = ("credstash", "secretsmanager")
#: Where copies with versions come from.
ORIGIN = "secretsmanager:///origin?timeout=60"
#: What each test begins with, and what putall makes of it.
OLD = {"A": "one", "B": "two"}
NEW = {"A": "1", "B": "two", "C": "3"}
#: What AWS is not changed by.
READS = {
    *("Query", "Scan", "Decrypt", "GenerateDataKey", "DescribeKey", "DescribeTable"),
    *("DescribeSecret", "GetSecretValue", "BatchGetSecretValue", "ListSecrets"),
    "ListSecretVersionIds",
}

State = dict[str, dict[str, str]]


class Command(NamedTuple):
    """A command that writes.

    Attributes:
        argv: the command; SOURCE and VALUE stand for files, STORE for the URL.
        staged: whether a value of A is pending before it.
        again: what it says when it is run again after it has done all; "": nothing is wrong then.
        in_steps: the stores in which it writes one thing after another: some may be there.
    """

    argv: str
    staged: bool = False
    again: str = ""
    in_steps: Collection[str] = ()


COMMANDS = {
    "putall": Command("putall @SOURCE --url STORE"),
    "putall --prune": Command('putall {"A":"1","C":"3"} --prune --yes --url STORE', in_steps=APART),
    "copy": Command("copy --url file://SOURCE --to STORE --existing overwrite"),
    "copy --versions": Command(f"copy --versions --url {ORIGIN} --to STORE", in_steps=APART),
    "rotate": Command("rotate A --value @VALUE --yes --url STORE", again="is the one it has"),
    "stage": Command("rotate A --stage --value @VALUE --url STORE", again="is pending already"),
    "promote": Command(
        "rotate A --promote --url STORE", staged=True, again="no value of A is pending"
    ),
    "retire": Command("rotate B --retire --yes --url STORE", again="B has no version PREVIOUS"),
    "reencrypt": Command("reencrypt --key-id alias/other --yes --url STORE", staged=True),
}


class Scene:
    """A store as it is before a command, and what is in it."""

    def __init__(
        self, aws: EmbeddedAWS, writer: Writer, files: Path, url: str, command: Command
    ) -> None:
        self.aws = aws
        self.writer = writer
        self.command = command
        self.store = read_config(url).make_store()
        (files / "source.json").write_text(json.dumps(NEW))
        (files / "value").write_text("other")
        stands_for = {
            "@SOURCE": f"@{files}/source.json",
            "file://SOURCE": f"file://{files}/source.json",
            "@VALUE": f"@{files}/value",
            "STORE": url,
        }
        self.argv = [stands_for.get(word, word) for word in command.argv.split()]

    def begin(self) -> None:
        """A new account."""
        self.aws.reset()
        store: Any = self.store
        if store.scheme == "credstash":
            store.setup_key()
        store.setup()
        store.put_many({**OLD, "B": "before"})
        store.rotate("B", "two", expected=store.get("B").version)
        if self.command.staged:
            store.stage("A", "pending")
        if ORIGIN in self.argv:
            with read_config(ORIGIN).make_store() as origin:
                _fill_origin(origin)
        if "reencrypt" in self.argv:
            with CredStashStore(key_id="alias/other") as other:
                other.setup_key()
        self.aws.requests.clear()

    def state(self) -> State:
        """Every value at every stage; a previous one that is the current one is none.

        What a killed command has sent is carried out first.
        """
        self.aws.settle(PATIENCE)
        names = sorted({entry.name for entry in self.store.list_secrets()})
        return {name: _in_use(self.store.get_stages(name)) for name in names}

    def writes(self) -> list[str]:
        """What has been sent that changes something."""
        return [request for request in self.aws.requests if request.split(".")[1] not in READS]

    def count(self) -> int:
        """How many writes the command sends."""
        self.writer.warm(*self.argv)
        return len(self.writes())

    def killed_at(self, number: int, *, done: bool = False) -> None:
        """Run the command, and kill it at a write, which AWS carries out or not."""
        run = self.writer.begin(*self.argv)
        numbers = itertools.count(1)

        def fault(operation: str, _: object) -> Refusal | None:
            if operation in READS or next(numbers) != number:
                return None
            run.kill()
            return None if done else (500, "InternalFailure")

        self.aws.faults.append(fault)
        code = run.finish()
        self.aws.faults.remove(fault)
        assert code == KILLED, self.writer.words

    def finish(self, found: State, after: State) -> None:
        """Run it again: it comes to its end, and where all was done, it writes nothing."""
        self.aws.requests.clear()
        code = self.writer.run(*self.argv)
        words = self.writer.words
        assert self.state() == after, words
        if found != after or not self.command.again:
            assert code == 0, words
        else:
            assert (code, self.command.again in words) == (1, True), words
        if found == after and "reencrypt" not in self.argv:
            assert self.writes() == []


def _fill_origin(store: Any) -> None:
    """A has one more value than where it is copied to, and a pending one; C is not there."""
    store.setup()
    store.put_many({"A": OLD["A"], "C": "3"})
    store.rotate("A", "1", expected=store.get("A").version)
    store.stage("A", "2")


def _in_use(stages: dict[str, Secret]) -> dict[str, str]:
    current = stages[CURRENT].value
    return {
        stage: found.value
        for stage, found in stages.items()
        if stage == CURRENT or found.value != current
    }


@pytest.fixture
def credstash_store(aws: EmbeddedAWS, one_loader: None) -> Iterator[CredStashStore]:
    """A table and its key."""
    with CredStashStore(timeout=60) as store:
        store.setup_key()
        store.setup()
        yield store


@pytest.fixture
def scene(
    aws: EmbeddedAWS, writer: Writer, tmp_path: Path, one_loader: None
) -> Iterator[Callable[[str, str], Scene]]:
    """Makes the scene of a store and a command."""
    with contextlib.ExitStack() as stack:

        def make(store: str, command: str) -> Scene:
            scene = Scene(aws, writer, tmp_path, URLS[store], COMMANDS[command])
            stack.enter_context(scene.store)
            return scene

        yield make


def check(place: Scene, store: str, found: State, before: State, after: State) -> None:
    """All or nothing; where each secret is one of its own, of each of them.

    What is written in steps is completed by the rerun.
    """
    if store in place.command.in_steps:
        assert {n: v for n, v in found.items() if before.get(n) == after.get(n)} == {
            n: v for n, v in after.items() if before.get(n) == v
        }
        return
    if store != "secretsmanager":
        assert found in (before, after)
    for name in {*before, *after, *found}:
        assert found.get(name) in (before.get(name), after.get(name))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("store", URLS)
def test_killed_at_every_write(
    scene: Callable[[str, str], Scene], store: str, command: str
) -> None:
    """Of the last one, which is carried out, nobody saw the answer."""
    place = scene(store, command)
    place.begin()
    before = place.state()
    count = place.count()
    after = place.state()
    assert (before == after) == (command == "reencrypt")
    for number in range(1, count + 2):
        place.begin()
        place.killed_at(min(number, count), done=number > count)
        found = place.state()
        check(place, store, found, before, after)
        place.finish(found, after)


@pytest.mark.parametrize("store", ["credstash", "secretsmanager"])
def test_killed_at_system_calls(scene: Callable[[str, str], Scene], store: str) -> None:
    """Of its threads, which connect, send and receive: at most 20 of those calls, evenly."""
    place = scene(store, "putall")
    place.begin()
    place.count()
    after = place.state()
    place.begin()
    before = place.state()
    calls = place.writer.calls(("connect", "sendto", "sendmsg", "recvfrom"), *place.argv)
    killed = 0
    for call in sampled(calls, 20):
        place.begin()
        killed += place.writer.killed_at(call, *place.argv)
        found = place.state()
        check(place, store, found, before, after)
        place.finish(found, after)
    assert killed > 4, "a thread may do more of the work than it did the time before"


def test_killed_between_two_transactions_a_rerun_writes_only_the_rest(
    aws: EmbeddedAWS, writer: Writer, tmp_path: Path, credstash_store: CredStashStore
) -> None:
    """More than 100 names are written in parts, each of which is there whole or not at all."""
    source = tmp_path / "many.json"
    values = {f"NAME_{number:03}": str(number) for number in range(103)}
    source.write_text(json.dumps(values))
    argv = ("putall", f"@{source}", "--url", URLS["credstash"])
    run = writer.begin(*argv)
    sent: list[list[Any]] = []

    def fault(operation: str, body: dict[str, Any]) -> Refusal | None:
        if operation == "TransactWriteItems":
            sent.append(body["TransactItems"])
            if len(sent) == 2:
                run.kill()
                return 500, "InternalFailure"
        return None

    aws.faults.append(fault)
    assert run.finish() == KILLED
    assert [entry.name for entry in credstash_store.list_secrets()] == [*values][:100]
    assert writer.run(*argv) == 0, writer.words
    assert [len(items) for items in sent] == [100, 3, 3]
    assert {int(entry.version) for entry in credstash_store.list_secrets()} == {1}
    found = credstash_store.get_many(None)
    assert {name: secret.value for name, secret in found.items()} == values


@pytest.mark.parametrize("store", ["credstash document", "secretsmanager document"])
def test_a_setup_that_is_killed_is_finished_by_the_next(
    aws: EmbeddedAWS, writer: Writer, store: str, one_loader: None
) -> None:
    """A key without its alias stays behind: nothing tells whose it is."""
    create_key = ["--create-key"] if store == "credstash document" else []
    argv = ("setup", *create_key, "--url", URLS[store])
    for number in itertools.count(1):
        aws.reset()
        run = writer.begin(*argv)
        numbers = itertools.count(1)

        def fault(operation: str, _: object, run: Run = run, at: int = number) -> None:
            if operation not in READS and next(numbers) == at:  # noqa: B023 - of this turn
                run.kill()  # and it is carried out

        aws.faults.append(fault)
        code = run.finish()
        aws.settle(PATIENCE)
        aws.faults.clear()
        assert writer.run(*argv) == 0, writer.words
        with read_config(URLS[store]).make_store() as ready:
            ready.put("A", "1")
            assert ready.get("A").value == "1"
        if code != KILLED:
            assert number == (5 if create_key else 2)
            return
