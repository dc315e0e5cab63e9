"""refresh() and max_age: one fetch for all threads, no storm after a failure, old values then."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest

from django_kms_secrets import (
    AccessDenied,
    SecretNotFound,
    SecretsError,
    layer,
    load,
    loader,
    snapshot,
)
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.signals import secrets_changed
from django_kms_secrets.types import SecretStr


class GateStore(LocMemStore):
    """A store that counts, fails, and waits at a gate, as a test says."""

    fetches = 0
    error: Exception | None = None
    entered = threading.Event()
    gate = threading.Event()

    def meanwhile(self):
        """What happens during a fetch."""

    def get_many(self, names):
        found = super().get_many(names)
        GateStore.fetches += 1
        self.meanwhile()
        GateStore.entered.set()
        assert GateStore.gate.wait(20)
        if GateStore.error:
            raise GateStore.error
        return found


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (loader, layer):
        monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture(autouse=True)
def store(monkeypatch):
    """The store, with one value."""
    for name, value in (
        ("fetches", 0),
        ("error", None),
        ("entered", threading.Event()),
        ("gate", threading.Event()),
    ):
        monkeypatch.setattr(GateStore, name, value)
    GateStore.gate.set()
    store = LocMemStore(name="gate")
    store.put("A", "one")
    return store


CONFIG = {"BACKEND": f"{__name__}.GateStore", "OPTIONS": {"name": "gate"}}


def fetched(**options):
    secrets = load(CONFIG, **options)
    assert secrets["A"] == "one"
    return secrets


def started(target):
    """A thread; its result, or what it raised, comes to a list."""
    results = []

    def work():
        try:
            results.append(target())
        except Exception as exc:
            results.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def closed_gate():
    """From now on a fetch waits for `GateStore.gate`."""
    GateStore.entered.clear()
    GateStore.gate.clear()


class TestBackOff:
    def test_a_failure_is_not_repeated(self, clock):
        """The same error comes at once, and says when the next try is."""
        secrets = fetched()
        error = GateStore.error = AccessDenied("refused", hint="allow it", names=["A"])
        error.permission = "kms:Decrypt"
        with pytest.raises(AccessDenied) as first:
            secrets.refresh()
        assert first.value is error
        assert 0.5 <= error.retry_after <= 1
        clock.now += 0.4
        with pytest.raises(AccessDenied, match=r"refused \(not asked again before 0\.") as again:
            secrets.refresh("A")
        assert again.value is not error
        assert (again.value.hint, again.value.names) == ("allow it", ("A",))
        assert again.value.permission == "kms:Decrypt"
        assert again.value.retry_after == pytest.approx(error.retry_after - 0.4)
        assert GateStore.fetches == 2
        assert secrets["A"] == "one"

    def test_it_is_tried_again_later(self, clock):
        """Each pause is twice as long, and at most a minute."""
        secrets = fetched()
        GateStore.error = SecretsError("refused")
        for longest in (1, 2, 4, 8, 16, 32, 60, 60):
            with pytest.raises(SecretsError) as caught:
                secrets.refresh()
            assert longest / 2 <= caught.value.retry_after <= longest
            clock.now += longest
        assert GateStore.fetches == 9

    def test_a_success_ends_it(self, clock, store):
        """The next failure has the first pause again."""
        secrets = fetched()
        for _ in range(3):
            GateStore.error = SecretsError("refused")
            with pytest.raises(SecretsError) as caught:
                secrets.refresh()
            assert caught.value.retry_after <= 1
            clock.now += 1
            GateStore.error = None
            assert secrets.refresh() == frozenset()

    def test_of_a_key_error(self, clock):
        """An error of two kinds is copied whole."""
        secrets = fetched()
        GateStore.error = SecretNotFound("not there", names=["A"])
        for _ in range(2):
            with pytest.raises(SecretNotFound, match="not there"):
                secrets.refresh()

    def test_an_error_keeps_nothing_alive(self, clock):
        """The frames of the failure, which may have values, end with it."""

        class Value(list):
            pass

        def fail():
            value = Value()
            refs.append(weakref.ref(value))
            secrets.refresh()

        secrets, refs = fetched(), []
        GateStore.error = SecretsError("refused")
        with pytest.raises(SecretsError):
            fail()
        GateStore.error = None
        gc.collect()
        assert refs[0]() is None

    def test_others_are_not_held_up(self, clock):
        """The pause is that of one `Secrets`."""
        secrets, other = fetched(), fetched()
        GateStore.error = SecretsError("refused")
        with pytest.raises(SecretsError):
            secrets.refresh()
        GateStore.error = None
        assert other.refresh() == frozenset()

    def test_the_engine_of_a_database_has_a_pause_of_its_own(self, clock, store):
        """A password that is refused is read anew, whatever a refresh has found."""
        store.put("DB", "postgres://app:old@db/app")
        secrets = fetched()
        secret = secrets.database("DB")["SECRET"]
        GateStore.error = SecretsError("refused")
        with pytest.raises(SecretsError):
            secrets.refresh()
        GateStore.error = None
        store.put("DB", "postgres://app:new@db/app")
        tried = []

        def connect(credentials):
            tried.append(str(credentials.password))
            if credentials.password != "new":
                raise ValueError

        first = secret.working or _credentials("app", "old")
        secret.connect(connect, first, lambda exc: isinstance(exc, ValueError))
        assert tried == ["old", "new"]


def _credentials(user, password):
    from django_kms_secrets.db.entry import Credentials

    return Credentials(SecretStr(user), SecretStr(password))


class CountedLock:
    """A lock that says when somebody wants it."""

    def __init__(self):
        self.wanted = threading.Semaphore(0)
        self._lock = threading.RLock()

    def __enter__(self):
        self.wanted.release()
        self._lock.acquire()

    def __exit__(self, *exc_info):
        self._lock.release()


class TestSingleFlight:
    def test_threads_share_a_fetch(self, store):
        """Those that call while one is under way get one more between them, and all its result:
        the one under way may have missed what they know."""
        secrets = fetched()
        waiting = secrets._refreshing = CountedLock()
        closed_gate()
        first = started(secrets.refresh)
        assert GateStore.entered.wait(20)
        store.put("A", "two")  # the first has read
        others = [started(secrets.refresh) for _ in range(8)]
        for _ in range(9):
            assert waiting.wanted.acquire(timeout=20)
        GateStore.gate.set()
        for thread, _ in [first, *others]:
            thread.join(20)
        assert first[1] == [frozenset()]
        assert [result for _, result in others] == [[frozenset({"A"})]] * 8
        assert GateStore.fetches == 3

    def test_the_signal_is_sent_once(self, store):
        """By the thread that fetched."""
        names = []

        def receive(**kwargs):
            names.append(kwargs["names"])

        secrets_changed.connect(receive)
        try:
            self.test_threads_share_a_fetch(store)
        finally:
            secrets_changed.disconnect(receive)
        assert names == [{"A"}]

    def test_a_failure_is_shared(self, clock):
        """Each gets an error, and one of them has asked."""
        secrets = fetched()
        GateStore.error = SecretsError("refused")
        closed_gate()
        first = started(secrets.refresh)
        assert GateStore.entered.wait(20)
        others = [started(secrets.refresh) for _ in range(8)]
        GateStore.gate.set()
        for thread, _ in [first, *others]:
            thread.join(20)
        assert all("refused" in str(results[0]) for _, results in [first, *others])
        assert GateStore.fetches == 2


class TestMaxAge:
    def test_off_by_default(self, clock, store):
        """Values stay as long as the process lives."""
        secrets = fetched()
        clock.now += 1e9
        assert secrets["A"] == "one"
        assert GateStore.fetches == 1

    def test_a_read_of_older_values_refreshes(self, clock, store):
        """Whatever the read is; younger ones are read as they are."""
        secrets = fetched(max_age=60)
        names = []

        def receive(**kwargs):
            names.append(kwargs["names"])

        secrets_changed.connect(receive)
        for number, read in enumerate(
            (
                lambda: secrets["A"],
                lambda: "A" in secrets,
                lambda: list(secrets),
                lambda: len(secrets),
                lambda: secrets.get("A"),
                lambda: secrets.env("A"),
                lambda: secrets.fallbacks("A"),
            ),
            2,
        ):
            store.put("A", f"value {number}")
            clock.now += 59
            read()
            assert GateStore.fetches == number - 1
            clock.now += 2
            read()
            assert GateStore.fetches == number
            assert secrets["A"] == f"value {number}"
        secrets_changed.disconnect(receive)
        assert names == [{"A"}] * 7

    def test_a_failure_leaves_the_old_values(self, clock, store, caplog):
        """It is a warning, and is not repeated within the pause."""
        secrets = fetched(max_age=60)
        GateStore.error = SecretsError("refused")
        clock.now += 61
        for _ in range(3):
            assert secrets["A"] == "one"
        assert GateStore.fetches == 2
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "values stay in use after their max_age: refused" in record.getMessage()
        with pytest.raises(SecretsError, match="not asked again"):
            secrets.refresh()
        clock.now += 1
        GateStore.error = None
        store.put("A", "two")
        assert secrets["A"] == "two"

    def test_a_store_that_is_broken(self, clock, caplog):
        """What is no error of ours stops no read either; its text may have anything in it."""
        secrets = fetched(max_age=60)
        GateStore.error = ValueError("hunter2")
        clock.now += 61
        for _ in range(3):
            assert secrets["A"] == "one"
        assert GateStore.fetches == 2
        assert "ValueError" in caplog.text
        assert "hunter2" not in caplog.text

    def test_other_threads_do_not_wait(self, clock, store):
        """One thread refreshes, the others have the old values meanwhile."""
        secrets = fetched(max_age=60)
        store.put("A", "two")
        clock.now += 61
        closed_gate()
        thread, results = started(lambda: secrets["A"])
        assert GateStore.entered.wait(20)
        assert [secrets["A"] for _ in range(3)] == ["one"] * 3
        GateStore.gate.set()
        thread.join(20)
        assert results == ["two"]
        assert GateStore.fetches == 2

    def test_a_read_of_fallbacks_is_not_waited_for(self, clock, store):
        """Who reads them has the other lock, and may log something to a handler that waits here."""
        secrets = fetched(max_age=900)
        clock.now += 901
        with secrets._lock:
            thread, results = started(lambda: secrets["A"])
            thread.join(20)
            assert results == ["one"]
        assert GateStore.fetches == 1

    def test_a_handler_of_logs_may_read(self, clock, store, monkeypatch):
        """A read inside of the refresh, in its own thread, begins no other one."""
        secrets = fetched(max_age=60)
        seen = []
        monkeypatch.setattr(GateStore, "meanwhile", lambda _: seen.append(str(secrets["A"])))
        store.put("A", "two")
        clock.now += 61
        assert secrets["A"] == "two"
        assert seen == ["one"]
        assert GateStore.fetches == 2

    def test_another_thread_was_first(self, clock):
        """Who gets the lock looks again whether there is anything to do."""
        secrets = fetched(max_age=60)
        lock = secrets._refreshing

        class Late:
            def acquire(self, *, blocking):
                secrets._refreshing = lock
                secrets.refresh()
                return lock.acquire(blocking)

        secrets._refreshing = Late()
        clock.now += 61
        assert secrets["A"] == "one"
        assert GateStore.fetches == 2

    def test_layers_have_the_smaller_one(self, clock, store):
        """And values as old as their oldest layer."""
        for secrets in (
            load(CONFIG, max_age=60) | load("locmem://other"),
            load("locmem://other", max_age=90) | load(CONFIG, max_age=60),
        ):
            store.put("A", "one")
            assert secrets["A"] == "one"
            store.put("A", "two")
            clock.now += 61
            assert secrets["A"] == "two"

    def test_what_run_handed_on_has_an_age(self, monkeypatch, store):
        """It was fetched when `secrets run` fetched it, and not when this process began."""
        monkeypatch.setattr(snapshot, "_warn", lambda _: None)
        one = snapshot.Handed("the run", None, {"A": SecretStr("handed")}, {}, 0)
        where = snapshot.write(
            {snapshot.key_of(CONFIG): one}, began=snapshot.now() - 100, max_age=300
        )
        monkeypatch.setenv(snapshot.VARIABLE, where)
        assert load(CONFIG)["A"] == "handed"
        assert load(CONFIG, max_age=200)["A"] == "handed"
        for secrets in (
            load(CONFIG, max_age=90),
            load(CONFIG, max_age=90) | load("locmem://other"),
            load("locmem://other", max_age=90) | load(CONFIG),
        ):
            assert "A" in secrets
            assert secrets["A"] == "one"

    def test_the_engine_of_a_database_reads_them_as_they_are(self, clock, store):
        """While it has its lock nothing else is refreshed, so no signal is sent."""
        store.put("DB", "postgres://app:old@db/app")
        secrets = fetched(max_age=60)
        secret = secrets.database("DB")["SECRET"]
        store.put_many({"A": "two", "DB": "postgres://app:new@db/app"})
        clock.now += 61
        heard = []

        def receive(**kwargs):
            heard.append(kwargs["names"])

        def connect(credentials):
            if credentials.password != "new":
                raise ValueError

        secrets_changed.connect(receive)
        first = _credentials("app", "old")
        secret.connect(connect, first, lambda exc: isinstance(exc, ValueError))
        assert heard == [{"DB"}]
        assert secrets["A"] == "two"
        secrets_changed.disconnect(receive)
        assert heard == [{"DB"}, {"A"}]

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "soon"])
    def test_no_number_of_seconds(self, seconds):
        """An age that cannot be is an error at load."""
        with pytest.raises(SecretsError, match="not a number of seconds above 0"):
            load(CONFIG, max_age=seconds)

    def test_seconds_of_the_environment(self):
        """They are text there."""
        assert load(CONFIG, max_age="900")._max_age == 900.0
