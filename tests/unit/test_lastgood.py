"""The last known good copy: what is served on an outage, what ends it, and who may have made it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from django_kms_secrets import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    files,
    lastgood,
    layer,
    load,
    loader,
)
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.redaction import redact

VALUE, OLD = "hunter2-marker", "hunter1-marker"
HOUR = 3600


class RemoteStore(LocMemStore):
    """A store that is somewhere else, and fails as a test says."""

    is_local = False
    error: SecretsError | None = None
    asked = 0

    def _fail(self):
        RemoteStore.asked += 1
        if self.error:
            raise self.error

    def get_many(self, names):
        self._fail()
        return super().get_many(names)

    def get_stages(self, name):
        self._fail()
        return super().get_stages(name)


@pytest.fixture(autouse=True)
def outage(monkeypatch):
    """Makes the store raise an error, or none; the process has said nothing so far."""
    monkeypatch.setattr(RemoteStore, "error", None)
    monkeypatch.setattr(RemoteStore, "asked", 0)
    monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())
    lastgood._said.clear()

    def fail(error=None):
        RemoteStore.error = error

    return fail


@pytest.fixture
def memory():
    """A directory in memory."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def path(memory):
    """Of the copy."""
    return memory / "copy"


@pytest.fixture
def source(path):
    """A configuration with a copy, of a store that has a rotated secret."""
    store = LocMemStore(name="last")
    store.put_many({"A": OLD, "B": "other-marker"})
    store.put("A", VALUE)
    return {
        "BACKEND": f"{__name__}.RemoteStore",
        "OPTIONS": {"name": "last"},
        "LAST_KNOWN_GOOD": {"path": str(path), "max_age": HOUR},
    }


OUT = StoreUnavailable("it does not answer", hint="wait")


def written(source):
    """The same, after a process has read all it needs."""
    secrets = load(source)
    assert (secrets["A"], secrets.fallbacks("A")) == (VALUE, [OLD])
    return source


def starts(source):
    """Whether a new process would start."""
    try:
        return load(source)["A"] == VALUE
    except StoreUnavailable:
        return False


def change(path, **parts):
    """Change what the copy says of its parts."""
    content = json.loads(path.read_text())
    for part in content["parts"].values():
        part.update({name: value(part[name]) for name, value in parts.items()})
    path.write_text(json.dumps(content))


class TestOutage:
    def test_a_process_starts(self, source, outage, caplog):
        """While the store is out, values and fallbacks come from the copy, and the log says so."""
        written(source)
        outage(OUT)
        secrets = load(source)
        assert (secrets["A"], secrets["B"]) == (VALUE, "other-marker")
        assert secrets.fallbacks("A") == [OLD]
        assert secrets.previous("A") == OLD
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "memory store last is out" in record.getMessage()
        assert re.search(r"copy of \d+ s ago: it does not answer", record.getMessage())
        assert VALUE not in redact(f"a report with {VALUE}")

    def test_it_is_waited_for_once(self, source, outage):
        """Who has waited for one time limit does not wait again for each name's fallbacks."""
        written(source)
        outage(OUT)
        asked = RemoteStore.asked
        assert load(source).fallbacks("A") == [OLD]
        assert RemoteStore.asked == asked + 1

    def test_only_the_fallbacks_fail(self, source, outage):
        """A store that is throttled may answer to the first request, and not to the second; then
        something in use is old."""
        written(source)
        secrets = load(source)
        assert secrets["A"] == VALUE
        assert loader.served() == []
        outage(OUT)
        assert secrets.fallbacks("A") == [OLD]
        assert [place for place, _ in loader.served()] == ["memory store last"]

    def test_fallbacks_when_the_store_may_be_back(self, source, outage, monkeypatch):
        """A while after the outage the store has the word again: the copy is for outages only."""
        now = time.monotonic()
        monkeypatch.setattr(lastgood.time, "monotonic", lambda: now)
        written(source)
        outage(OUT)
        secrets = load(source)
        assert secrets["A"] == VALUE
        outage(AccessDenied("refused"))
        now += lastgood.STILL_OUT + 1
        with pytest.raises(AccessDenied):
            secrets.fallbacks("A")

    def test_without_a_copy(self, source, outage, caplog):
        """The error is the store's, and the log says why there is nothing instead."""
        outage(OUT)
        with pytest.raises(StoreUnavailable) as caught:
            load(source)["A"]
        assert caught.value is OUT
        assert "the last known good copy is not used: there is none" in caplog.text

    def test_off_by_default(self, source, outage, memory):
        """Without the key nothing is written, and nothing served."""
        del source["LAST_KNOWN_GOOD"]
        written(source)
        assert list(memory.iterdir()) == []
        outage(OUT)
        assert not starts(source)

    def test_a_refresh_asks_the_store(self, source, outage):
        """Who wants what is there now is not given what was there before."""
        written(source)
        secrets = load(source)
        outage(OUT)
        for names in ([], ["A"]):
            with pytest.raises(StoreUnavailable):
                secrets.refresh(*names)

    def test_the_store_is_back(self, source, outage):
        """The first fetch that succeeds ends it: nothing is said to be old any more."""
        written(source)
        outage(OUT)
        secrets = load(source)
        assert secrets["A"] == VALUE
        assert [place for place, _ in loader.served()] == ["memory store last"]
        outage()
        secrets.refresh()
        assert loader.served() == []

    def test_somebody_else_answers(self, source, outage):
        """A certificate that is not trusted, or a reply that is none, is no outage; nor a removal:
        the store itself has said nothing."""
        written(source)
        strange = StoreUnavailable("it is not the store that answers")
        strange.is_outage = False
        outage(strange)
        assert not starts(source)
        outage(OUT)
        assert starts(source)

    def test_a_process_that_reads_anew(self, source, outage, path, monkeypatch):
        """With a max_age it asks again: for what is in use is old, but not at every read."""
        now = time.monotonic()
        for module in (loader, layer):
            monkeypatch.setattr(module, "monotonic", lambda: now)
        written(source)
        change(path, since=lambda since: since - 100)
        outage(OUT)
        secrets = load(source, max_age=60)
        asked = RemoteStore.asked
        for _ in range(3):
            assert secrets["A"] == VALUE
        assert RemoteStore.asked == asked + 1
        outage()
        LocMemStore(name="last").put("A", "new-marker")
        now += 1
        assert secrets["A"] == "new-marker"


class TestHandlersOfLogs:
    """They have a lock while they write, and may read a secret."""

    @pytest.fixture
    def handler(self):
        """Calls what a test says for each record; gives how many there were."""

        class Handler(logging.Handler):
            count = 0

            def emit(self, record):
                self.count += 1
                self.use()

        handler = Handler()
        loader.logger.addHandler(handler)
        yield handler
        loader.logger.removeHandler(handler)

    def test_in_the_first_fetch(self, source, outage, handler):
        """What it reads is there when it is told where that comes from."""
        written(source)
        outage(OUT)
        secrets = load(source)
        handler.use = lambda: secrets["A"]
        asked = RemoteStore.asked
        assert secrets["A"] == VALUE
        assert (RemoteStore.asked, handler.count) == (asked + 1, 1)

    def test_without_a_copy(self, source, outage, handler):
        """It has the error too, and does not tell itself so without end."""
        outage(OUT)
        secrets = load(source)

        def use():
            with pytest.raises(StoreUnavailable):
                secrets["A"]

        handler.use = use
        with pytest.raises(StoreUnavailable):
            secrets["A"]
        assert (RemoteStore.asked, handler.count) == (2, 1)

    @pytest.mark.parametrize(
        "error, first, read",
        [
            (OUT, len, lambda secrets: secrets.fallbacks("A")),
            (OUT, repr, len),
            (AccessDenied("refused"), repr, len),
            (AccessDenied("refused"), len, lambda secrets: secrets.fallbacks("A")),
            (AccessDenied("refused"), len, lambda secrets: secrets.refresh()),
        ],
    )
    def test_of_another_thread(self, source, outage, handler, error, first, read):
        """No lock is held while something is logged: one that waits for it would never end."""
        secrets = load(written(source))
        first(secrets)
        free = []

        def use():
            thread = threading.Thread(target=lambda: free.append(is_free(secrets)))
            thread.start()
            thread.join()

        handler.use = use
        outage(error)
        with suppress(AccessDenied):
            read(secrets)
        assert free == [True]


def is_free(secrets):
    """Whether a thread would get the locks of the secrets at once."""
    return all(
        lock.acquire(blocking=False) and not lock.release()
        for lock in (secrets._lock, secrets._refreshing)
    )


class TestRevocation:
    @pytest.mark.parametrize(
        "kind", [AccessDenied, DecryptionError, SecretIntegrityError, SecretNotFound, StoreNotReady]
    )
    def test_a_refusal_ends_it(self, source, outage, path, kind, caplog):
        """It is raised and the copy removed, so that a later outage does not bring it back."""
        written(source)
        outage(kind("refused"))
        with pytest.raises(kind):
            load(source)["A"]
        assert not path.exists()
        assert f"the last known good copy at {path} is removed: refused" in caplog.text
        outage(OUT)
        assert not starts(source)

    @pytest.mark.parametrize("ask", [lambda s: s.refresh(), lambda s: s.refresh("A")])
    def test_of_a_refresh(self, source, outage, path, ask):
        """A process that lives finds out first."""
        secrets = load(written(source))
        assert secrets["A"] == VALUE
        outage(AccessDenied("refused"))
        with pytest.raises(AccessDenied):
            ask(secrets)
        assert not path.exists()
        assert secrets["A"] == VALUE, "what a process has stays"

    def test_of_fallbacks(self, source, outage, path):
        """They are a read like others."""
        secrets = load(written(source))
        assert secrets["A"] == VALUE
        outage(AccessDenied("refused"))
        with pytest.raises(AccessDenied):
            secrets.fallbacks("A")
        assert not path.exists()

    def test_a_deleted_secret(self, source, outage, path):
        """What the store does not have any more, the copy does not have: nor its fallbacks."""
        written(source)
        LocMemStore(name="last").delete("A")
        assert "A" not in load(source)
        assert OLD not in path.read_text()
        outage(OUT)
        assert "A" not in load(source)

    def test_a_deleted_secret_that_is_read_anew(self, source, path):
        """A refresh of its name alone takes it out too, with its fallbacks."""
        secrets = load(written(source))
        assert secrets["B"] == "other-marker"
        LocMemStore(name="last").delete("A")
        assert secrets.refresh("A") == {"A"}
        assert VALUE not in path.read_text()
        assert OLD not in path.read_text()
        assert "other-marker" in path.read_text()

    def test_a_value_read_anew(self, source, outage, path):
        """A refresh of one name is in the copy too, which does not become younger by it."""
        secrets = load(written(source))
        assert secrets["A"] == VALUE
        change(path, since=lambda since: since - HOUR + 600)
        LocMemStore(name="last").put("A", "new-marker")
        assert secrets.refresh("A") == {"A"}
        outage(OUT)
        assert load(source)["A"] == "new-marker"
        change(path, since=lambda since: since - 601)
        with pytest.raises(StoreUnavailable):
            load(source)["A"]

    def test_another_error_of_the_store(self, source, outage, path):
        """What neither refuses nor is an outage serves nothing and removes nothing."""
        written(source)
        outage(SecretsError("an option is wrong"))
        with pytest.raises(SecretsError):
            load(source)["A"]
        assert path.exists()


#: A process whose store answers, when it is asked, what its stdin says.
PROCESS = """
import sys
from django_kms_secrets import AccessDenied, StoreUnavailable, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.types import Secret, SecretStr

class Store(LocMemStore):
    is_local = False

    def _answer(self):
        print("asked", flush=True)
        answer, _, found = input().partition(" ")
        if answer == "refuse":
            raise AccessDenied("refused")
        if answer == "out":
            raise StoreUnavailable("it does not answer")
        return {name: Secret(name, SecretStr(f"{name}-marker"), "1") for name in found.split()}

    def get_many(self, names):
        return self._answer()

    def get_stages(self, name):
        return dict(zip(["PENDING"], self._answer().values()))

if __name__ == "__main__":
    secrets = load({
        "BACKEND": "process.Store",
        "LAST_KNOWN_GOOD": {"path": sys.argv[1], "max_age": 3600},
    })
    try:
        print(*sorted(secrets), flush=True)
        for name in sys.argv[2:]:
            if name.startswith("anew:"):
                secrets.refresh(name.removeprefix("anew:"))
            else:
                secrets.fallbacks(name)
    except (AccessDenied, StoreUnavailable) as exc:
        print(type(exc).__name__, flush=True)
"""


class Process:
    """One that has asked its store."""

    def __init__(self, *argv):
        self.process = subprocess.Popen(
            [sys.executable, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.line() == "asked"

    def line(self):
        """What it says next; "" at its end."""
        return self.process.stdout.readline().strip()

    def says_nothing(self):
        return not select.select([self.process.stdout], [], [], 0.5)[0]

    def answered(self, answer):
        """Has its store answer."""
        print(answer, file=self.process.stdin, flush=True)

    def after(self, answer):
        """What it says after an answer."""
        self.answered(answer)
        return self.line()

    def end(self):
        self.process.communicate()
        assert self.process.returncode == 0


class TestManyProcesses:
    @pytest.fixture
    def begin(self, path, tmp_path):
        """Begins one; it wants the fallbacks of some names too, or reads some anew."""
        (tmp_path / "process.py").write_text(PROCESS)
        running = []

        def begun(*wanted):
            running.append(Process(tmp_path / "process.py", path, *wanted))
            return running[-1]

        yield begun
        for process in running:
            process.end()

    def test_what_was_read_before_a_refusal(self, begin, path):
        """It is not kept after it, whoever read it."""
        slow = begin()
        assert begin().after("refuse") == "AccessDenied"
        assert slow.after("values A") == "A", "it has its values"
        assert not path.exists()
        assert begin().after("out") == "StoreUnavailable"

    def test_what_was_staged_before_a_refusal(self, begin):
        """The current values do not come back with the fallbacks of one of them."""
        slow = begin("A")
        assert slow.after("values A") == "A"
        assert slow.line() == "asked"
        assert begin().after("refuse") == "AccessDenied"
        assert slow.after("values A") == ""
        assert begin().after("out") == "StoreUnavailable"

    def test_what_is_read_after_a_refusal(self, begin):
        """It is good again."""
        assert begin().after("refuse") == "AccessDenied"
        assert begin().after("values A") == "A"
        assert begin().after("out") == "A"

    def test_what_was_read_before_a_deletion(self, begin):
        """The copy goes by who asked last, and not by who was answered last."""
        slow, staged = begin(), begin("A")
        assert staged.after("values A B") == "A B"
        assert staged.line() == "asked"
        assert begin().after("values B") == "B"
        assert slow.after("values A B") == "A B"
        assert staged.after("values A") == ""
        assert begin().after("out") == "B"

    @pytest.mark.parametrize("meanwhile", ["refuse", "values B"])
    def test_one_name_that_was_read_before_that(self, begin, meanwhile):
        """A name that is read anew goes by the same moments as all of them."""
        slow = begin("anew:A")
        assert slow.after("values A B") == "A B"
        assert slow.line() == "asked"
        begin().after(meanwhile)
        assert begin().after("values B") == "B"
        assert slow.after("values A") == ""
        assert begin().after("out") == "B"

    @pytest.mark.parametrize("removed, served", [(False, "B"), (True, "StoreUnavailable")])
    def test_all_names_that_were_read_before_one(self, begin, path, removed, served):
        """What was gone when it was read anew does not come back with the rest."""
        first, slow = begin("anew:A"), begin()
        assert first.after("values A B") == "A B"
        assert first.line() == "asked"
        if removed:
            path.unlink()
        assert first.after("values") == ""
        assert slow.after("values A B") == "A B"
        assert begin().after("out") == served

    def test_single_names_that_were_read_side_by_side(self, begin):
        """Each goes by its own moments: of one the last read counts, and none hides another's."""
        slow, other, last = begin("anew:A"), begin("anew:B"), begin("anew:A")
        for process in (slow, other, last):
            assert process.after("values A B C") == "A B C"
            assert process.line() == "asked"
        assert last.after("values") == ""
        assert slow.after("values A") == ""
        assert other.after("values") == ""
        assert begin().after("out") == "C"

    def test_one_writes_at_a_time(self, begin, path):
        """From reading the copy to writing it."""
        second = begin()
        with path.with_name(f".copy.{os.geteuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            second.answered("values A")
            assert second.says_nothing()
            refused = begin()
            assert refused.after("refuse") == "AccessDenied", "which waits for nobody"
        assert second.line() == "A"
        assert not path.exists()

    def test_a_copy_that_came_late(self, begin, path):
        """Between the look at what was refused and the write: it is there, and is not used."""
        assert begin().after("values A") == "A"
        late = path.read_bytes()
        assert begin().after("refuse") == "AccessDenied"
        path.write_bytes(late)
        path.chmod(0o600)
        assert begin().after("out") == "StoreUnavailable"
        assert not path.exists()


class TestAge:
    def test_max_age(self, source, outage, path, caplog):
        """A copy that is older is not used, and does not stay."""
        written(source)
        outage(OUT)
        change(path, since=lambda since: since - HOUR + 600)
        assert starts(source)
        change(path, since=lambda since: since - 601)
        assert not starts(source)
        assert "it is older than 3600 s" in caplog.text
        assert not path.exists()

    def test_the_clock_of_the_machine_may_be_set(self, source, outage, path):
        """In the same boot only the clock that nobody can set counts."""
        written(source)
        outage(OUT)
        change(path, fetched=lambda fetched: fetched + 10 * HOUR)
        assert starts(source)

    @pytest.mark.parametrize(
        "part, value, reason",
        [
            ("since", lambda since: since + 600, "it is from the future"),
            ("since", lambda _: float("nan"), "it has no age"),
            ("boot", lambda _: "another", "another boot of this machine wrote it"),
            ("boot", lambda _: "", "another boot of this machine wrote it"),
        ],
    )
    def test_moments_that_cannot_be(self, source, outage, path, caplog, part, value, reason):
        """What has no age is not used."""
        written(source)
        change(path, **{part: value})
        outage(OUT)
        assert not starts(source)
        assert reason in caplog.text

    def test_the_age_counts_from_before_the_fetch(self, source, path, monkeypatch):
        """What changed while it was fetched may be as old as its beginning."""
        slow = []

        def get_many(self, names, before=LocMemStore.get_many):
            slow.append(lastgood.snapshot.now())
            return before(self, names)

        monkeypatch.setattr(RemoteStore, "get_many", get_many)
        assert load(source)["A"] == VALUE
        assert json.loads(path.read_text())["parts"][""]["since"] <= slow[0]


class TestFile:
    def test_the_memory_is_not_mounted_any_more(self, source, path, monkeypatch, caplog):
        """What a process writes later does not come to a disk either."""
        secrets = load(written(source))
        assert secrets["A"] == VALUE
        before = path.read_text()
        monkeypatch.setattr(lastgood, "_IN_MEMORY", set())
        LocMemStore(name="last").put("A", "new-marker")
        assert secrets.refresh() == {"A"}
        assert path.read_text() == before
        assert "which is not in memory" in caplog.text

    def test_for_its_owner(self, source, outage, path):
        """Nobody else can read it, whatever the umask."""
        before = os.umask(0)
        try:
            written(source)
            outage(AccessDenied("refused"))
            with pytest.raises(AccessDenied):
                load(source)["A"]
            outage()
            written(source)
        finally:
            os.umask(before)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == dict.fromkeys(("copy", "copy.refused", f".copy.{os.geteuid()}.lock"), 0o600)

    @pytest.mark.parametrize(
        "spoil, reason",
        [
            (lambda path: path.chmod(0o640), "others can read or write it"),
            (lambda path: os.truncate(path, 40), "it is not of the form"),
            (lambda path: path.write_text("[]"), "it is not of the form"),
            (lambda path: path.write_text('{"format": 2}'), "another version"),
            (lambda path: path.write_bytes(b"\xff"), "it is not of the form"),
            (lambda path: change(path, values=lambda _: {"A": 1}), "it is not of the form"),
            (lambda path: change(path, values=lambda _: None), "it is not of the form"),
            (lambda path: change(path, fetched=lambda _: 10**400), "it is not of the form"),
            (lambda path: (path.unlink(), path.mkdir()), "it is no regular file"),
            (lambda path: (path.unlink(), os.mkfifo(path, 0o600)), "it is no regular file"),
            (lambda path: path.rename(path.with_name("b")).parent.joinpath("copy").symlink_to("b"),
             "Too many levels of symbolic links"),
        ],
    )  # fmt: skip
    def test_what_is_not_ours(self, source, outage, path, caplog, spoil, reason):
        """It is not used; the log says why, without its content."""
        written(source)
        spoil(path)
        outage(OUT)
        assert not starts(source)
        assert reason in caplog.text
        assert VALUE not in caplog.text

    def test_one_that_others_can_read_is_not_used_and_removed_by_a_refusal(
        self, source, outage, path
    ):
        written(source)
        path.chmod(0o644)
        outage(OUT)
        assert not starts(source)
        assert path.exists()
        outage(AccessDenied("refused"))
        with pytest.raises(AccessDenied):
            load(source)["A"]
        assert not path.exists()

    def test_of_another_user(self, source, outage, path, monkeypatch, caplog):
        """Of another user than root: seen by the owner that the file says."""
        written(source)
        owner = path.stat().st_uid + 1
        if os.geteuid() == 0:
            os.chown(path, owner, -1)
        else:  # only root can give a file away
            monkeypatch.setattr(os, "geteuid", lambda: owner)
        outage(OUT)
        assert not starts(source)
        assert "it belongs to another user" in caplog.text

    @pytest.mark.parametrize("name", ["AWS_REGION", "HOME", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"])
    def test_of_other_surroundings(self, source, outage, path, monkeypatch, name, caplog):
        """Another account or region may be meant; it is neither used nor removed."""
        written(source)
        monkeypatch.setenv(name, "/another")
        outage(OUT)
        assert not starts(source)
        assert "of another configuration" in caplog.text
        outage(AccessDenied("refused"))
        with pytest.raises(AccessDenied):
            load(source)["A"]
        assert path.exists()

    def test_of_another_configuration(self, source, outage):
        """Other NAMES, another store, another age: each has a copy of its own."""
        written(source)
        outage(OUT)
        assert not starts({**source, "NAMES": ["A"]})

    def test_a_container_is_told_anew_who_it_is(self, source, outage, monkeypatch):
        """By variables that differ at each start, for the same role."""
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/one")
        written(source)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/two")
        outage(OUT)
        assert starts(source)

    def test_it_cannot_be_written(self, source, memory, path, caplog):
        """That stops nobody, and is said once."""
        path.mkdir()
        for _ in range(2):
            written(source)
        (record,) = caplog.records
        assert f"is not kept: {path} is a symbolic link or not a regular file" in record.message


class TestConfiguration:
    def test_another_process_was_stopped_in_a_write(self, source, path, caplog, monkeypatch):
        """It is waited for, and then done without: a site starts."""
        monkeypatch.setattr(files, "LOCK_SECONDS", 0.1)
        with path.with_name(f".copy.{os.geteuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert load(source)["A"] == VALUE
        assert "is not kept: another process has kept" in caplog.text
        assert not path.exists()

    def test_a_path_that_is_not_in_memory(self, source):
        """It is an error of the configuration, when it is loaded."""
        source["LAST_KNOWN_GOOD"]["path"] = "/proc/copy"
        with pytest.raises(SecretsError, match="which is not in memory") as caught:
            load(source)
        assert "key_id" in caught.value.hint

    def test_no_directory(self, source, memory):
        """So is one that is not there."""
        source["LAST_KNOWN_GOOD"]["path"] = f"{memory}/none/copy"
        with pytest.raises(SecretsError, match="cannot be looked at: No such file"):
            load(source)

    def test_a_system_that_does_not_say(self, source, monkeypatch, tmp_path):
        """Without /proc nothing is taken for memory."""
        monkeypatch.setattr(lastgood, "_MOUNTS", tmp_path / "none")
        with pytest.raises(SecretsError, match="not in memory"):
            load(source)

    def test_a_platform_without_owners(self, source, monkeypatch):
        """What cannot be looked at is not trusted."""
        monkeypatch.delattr(os, "O_NOFOLLOW")
        with pytest.raises(SecretsError, match="not for this platform"):
            load(source)

    def test_options_that_are_objects(self, source):
        """They are not the same in another process."""
        source["OPTIONS"]["name"] = Path("last")
        with pytest.raises(SecretsError, match="text, numbers, lists and dicts"):
            load(source)

    def test_a_key_for_a_store_elsewhere(self, source):
        """Only a store in AWS has a KMS to ask."""
        source["LAST_KNOWN_GOOD"]["key_id"] = "alias/a"
        with pytest.raises(SecretsError, match="not for memory store last"):
            load(source)

    def test_offline(self, source, monkeypatch):
        """An image is built where there is no such directory."""
        monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
        source["LAST_KNOWN_GOOD"]["path"] = "/none/copy"
        assert load(source)["A"] == ""
