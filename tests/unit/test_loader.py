"""load(): one fetch, a mapping of masked strings, and nothing that outlives the fetch."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading

import pytest

from django_kms_secrets import SecretNotFound, Secrets, SecretsError, SecretStr, load
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.config import read_config
from django_kms_secrets.signals import secrets_changed

MARKER = "hunter2-marker"
TREE = '{"password": "hunter2-marker", "port": 5432, "deep": {"er": [1]}}'


class CountingStore(LocMemStore):
    """A store that counts its fetches and tells whether it is open."""

    fetches = 0
    opened = 0
    broken = False

    def open(self) -> None:
        type(self).opened += 1

    def close(self) -> None:
        type(self).opened -= 1

    def get_many(self, names):
        type(self).fetches += 1
        if self.broken:
            raise SecretsError("broken")
        return super().get_many(names)


@pytest.fixture
def counting(monkeypatch):
    for name, value in (("fetches", 0), ("opened", 0), ("broken", False)):
        monkeypatch.setattr(CountingStore, name, value)
    return CountingStore


@pytest.fixture
def fill(request):
    """Put values into a memory store of this test's own; gives its name."""
    name = request.node.originalname

    def put(store: str = "", **values: str) -> str:
        with LocMemStore(name=name + store) as opened:
            for key, value in values.items():
                opened.put(key, value)
        return name + store

    return put


def config(name: str, *names: str, backend: type = LocMemStore) -> dict:
    return {
        "BACKEND": f"{backend.__module__}.{backend.__qualname__}",
        "OPTIONS": {"name": name},
        **({"NAMES": list(names)} if names else {}),
    }


def test_it_is_a_read_only_mapping_of_masked_strings(fill):
    secrets = load(config(fill(A="1", B=MARKER)))
    assert dict(secrets) == {"A": "1", "B": MARKER}
    assert all(type(value) is SecretStr for value in secrets.values())
    assert len(secrets) == 2
    assert "A" in secrets
    assert "C" not in secrets
    assert 42 not in secrets
    assert secrets.get("C") is None
    assert secrets.get("C", "default") == "default"
    with pytest.raises(TypeError):
        secrets["A"] = "2"  # type: ignore[index]


def test_neither_repr_nor_vars_show_a_value(fill):
    secrets = load(config(fill(B=MARKER)))
    assert secrets["B"] == MARKER
    for text in (repr(secrets), repr(vars(secrets)), str(secrets), repr(dict(secrets))):
        assert MARKER not in text
    assert "memory store" in repr(secrets)


def test_it_refuses_to_be_pickled(fill):
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(load(config(fill(B=MARKER))))


def test_one_fetch_at_first_use_however_often_it_is_used(fill, counting):
    secrets = load(config(fill(A="1"), backend=counting))
    assert counting.fetches == 0
    for _ in range(3):
        assert secrets["A"] == "1"
        assert secrets.env("A") == "1"
        assert len(secrets) == 1
    assert counting.fetches == 1
    assert counting.opened == 0


def test_many_threads_make_one_fetch(fill, counting):
    secrets = load(config(fill(A="1"), backend=counting))
    start, seen = threading.Barrier(16), []

    def read() -> None:
        start.wait()
        seen.append(secrets["A"])

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["1"] * 16
    assert counting.fetches == 1


def test_a_failed_fetch_closes_the_store_and_is_tried_again(fill, counting):
    secrets = load(config(fill(A="1"), backend=counting))
    counting.broken = True
    with pytest.raises(SecretsError, match="broken"):
        secrets["A"]
    assert counting.opened == 0
    counting.broken = False
    assert secrets["A"] == "1"


def test_all_missing_names_are_in_one_error(fill):
    secrets = load(config(fill(A="1"), "A", "C", "B"))
    assert secrets["A"] == "1"
    with pytest.raises(SecretNotFound) as caught:
        secrets["B"]
    assert caught.value.names == ("B", "C")
    assert "lacks B, C" in caught.value.message
    assert "manage.py secrets put B" in caught.value.hint


def test_a_missing_name_without_names_is_named_alone(fill):
    with pytest.raises(SecretNotFound, match="lacks B") as caught:
        load(config(fill(A="1")))["B"]
    assert caught.value.names == ("B",)


def test_a_name_outside_names_is_not_fetched_and_the_error_says_so(fill):
    secrets = load(config(fill(A="1", B="2"), "A"))
    with pytest.raises(SecretNotFound, match="B is not among NAMES") as caught:
        secrets["B"]
    assert caught.value.hint == 'add "B" to NAMES'


@pytest.mark.parametrize("names", [(), ("DATABASE_URL",)], ids=["all", "NAMES"])
def test_a_mistyped_name_has_its_suggestion(fill, counting, names):
    """Of the names in memory, or of NAMES: nothing more is asked for it."""
    secrets = load(config(fill(DATABASE_URL=MARKER), *names, backend=counting))
    with pytest.raises(SecretNotFound) as caught:
        secrets["DATABSE_URL"]
    assert caught.value.hint.startswith("did you mean DATABASE_URL? ")
    assert MARKER not in str(caught.value)
    with pytest.raises(SecretNotFound) as caught:
        secrets["SENTRY_DSN"]
    assert "did you mean" not in caught.value.hint
    assert counting.fetches <= 1


def test_a_default_for_a_name_outside_names_is_warned_about(fill, caplog):
    """It can never be anything but the default, so a mistake would stay unseen."""
    secrets = load(config(fill(A="1"), "A", "OPTIONAL"))
    with caplog.at_level(logging.WARNING, "django_kms_secrets"):
        assert secrets.get("OPTIONAL", "") == ""
        assert caplog.text == ""
        assert secrets.get("SENTRY_DSN", "") == ""
    assert "SENTRY_DSN is not among NAMES" in caplog.text


def test_dotted_names_reach_into_trees(fill):
    secrets = load(config(fill(database=TREE), "database"))
    assert secrets["database.password"] == MARKER
    assert secrets["database.port"] == "5432"
    assert secrets["database.deep"] == '{"er": [1]}'
    assert "database.password" in secrets
    assert "database.user" not in secrets
    assert MARKER not in repr(secrets["database.password"])
    with pytest.raises(SecretNotFound, match=r"lacks database\.user"):
        secrets["database.user"]


def test_a_name_with_a_dot_of_its_own_comes_first(fill):
    store = fill(**{"a": '{"b": "in the tree"}', "a.b": "itself"})
    assert load(config(store))["a.b"] == "itself"


def test_the_root_of_a_dotted_name_is_what_is_missing(fill):
    with pytest.raises(SecretNotFound) as caught:
        load(config(fill(A="1"), "database"))["database.password"]
    assert caught.value.names == ("database",)


def test_json_gives_a_tree_of_masked_strings(fill):
    tree = load(config(fill(database=TREE))).json("database")
    assert tree["password"] == MARKER
    assert tree["port"] == 5432
    assert MARKER not in repr(tree)


@pytest.mark.parametrize("value", [f"{{{MARKER}", "", f'{{"a": {MARKER}}}', '{"a": 1, "a": 2}'])
def test_json_of_something_else_is_an_error_without_the_value(fill, value):
    with pytest.raises(SecretsError, match=r"A in memory store .* is not valid JSON") as caught:
        load(config(fill(A=value))).json("A")
    assert MARKER not in str(caught.value)
    assert caught.value.__context__ is None


def test_layers_the_right_side_wins(fill):
    shared = load(config(fill("shared", A="shared", B="shared"), "A", "B"))
    app = load(config(fill("app", B="app", C="app"), "B", "C"))
    both = shared | app
    assert dict(both) == {"A": "shared", "B": "app", "C": "app"}
    assert "shared" in both.place
    assert "app" in both.place


def test_a_layer_may_supply_what_another_lacks(fill):
    both = load(config(fill("one", A="1"), "A", "B", "C")) | load(config(fill("two", B="2"), "B"))
    assert both["B"] == "2"
    with pytest.raises(SecretNotFound) as caught:
        both["C"]
    assert caught.value.names == ("C",)


def test_only_secrets_are_layered(fill):
    with pytest.raises(TypeError):
        load(config(fill(A="1"))) | {"A": "2"}


def test_previous_and_fallbacks(fill):
    secrets = load(config(fill(A="only")))
    assert secrets.previous("A") is None
    assert secrets.fallbacks("A") == []
    fill(A="new")
    secrets.refresh()
    assert secrets.previous("A") == "only"
    assert secrets.fallbacks("A") == ["only"]
    assert MARKER not in repr(secrets.fallbacks("A"))


def test_fallbacks_leave_out_the_current_value(fill):
    fill(A="same")
    assert load(config(fill(A="same"))).fallbacks("A") == []


def test_fallbacks_of_a_missing_name_are_empty(fill):
    secrets = load(config(fill(A="1"), "A"))
    assert secrets.fallbacks("SECRET_KEY") == []
    assert secrets.previous("SECRET_KEY") is None


def test_fallbacks_come_from_the_layer_whose_value_is_used(fill):
    fill("shared", KEY="shared-old")
    fill("shared", KEY="shared-new")
    fill("app", KEY="app-old")
    shared, app = fill("shared", X="1"), fill("app", KEY="app-new")
    assert (load(config(shared)) | load(config(app))).fallbacks("KEY") == ["app-old"]


def test_fallbacks_of_a_leaf_come_from_the_tree_it_is_in(fill):
    """A name that is the beginning of the tree's name, and no tree itself, is not it."""
    names = {"app": "text", "app.keys": '{"A": "old"}'}
    store = fill(**names)
    fill(**{"app.keys": '{"A": "new"}'})
    secrets = load(config(store))
    assert secrets["app.keys.A"] == "new"
    assert secrets.fallbacks("app.keys.A") == ["old"]


def test_pending_comes_before_previous(aws):
    """Django ticket 35400: a pending key must be accepted before it signs anywhere."""
    source = "secretsmanager://?prefix=notes/"
    store = read_config(source).make_store()
    with store:
        store.put("SECRET_KEY", "old")
        store.put("SECRET_KEY", "current")
        store._services[0].client.put_secret_value(
            SecretId="notes/SECRET_KEY", SecretString="pending", VersionStages=["AWSPENDING"]
        )
    secrets = load(source)
    assert secrets["SECRET_KEY"] == "current"
    assert secrets.fallbacks("SECRET_KEY") == ["pending", "old"]
    assert secrets.previous("SECRET_KEY") == "old"


def test_refresh_names_what_changed(fill):
    store = fill(A="1", B="1", C="1")
    secrets = load(config(store))
    assert secrets["A"] == "1"
    fill(A="2", D="1")
    with LocMemStore(name=store) as opened:
        opened.delete("C")
    assert secrets["A"] == "1"
    assert secrets.refresh() == {"A", "C", "D"}
    assert secrets["A"] == "2"
    assert secrets.refresh() == frozenset()


def test_refresh_of_names_fetches_no_others(fill):
    """A database whose password was rotated asks for its secret, and not for hundreds."""
    store = fill(A="1", B="1", C="1")
    secrets = load(config(store, "A", "B", "C", "D"))
    assert secrets["A"] == "1"
    fill(A="2", B="2", D="new")
    assert secrets.refresh("A", "D") == {"A", "D"}
    assert dict(secrets) == {"A": "2", "B": "1", "C": "1", "D": "new"}
    with LocMemStore(name=store) as opened:
        opened.delete("C")
    assert secrets.refresh("C") == {"C"}
    assert "C" not in secrets
    assert secrets.refresh() == {"B"}


def test_refresh_of_a_name_outside_of_names_asks_for_nothing(fill, counting):
    secrets = load(config(fill(A="1", B="1"), "A", backend=counting))
    assert secrets["A"] == "1"
    assert secrets.refresh("B") == frozenset()
    assert counting.fetches == 1


def test_refresh_of_a_dotted_name_fetches_the_tree(fill):
    secrets = load(config(fill(database='{"password": "one"}', A="1")))
    assert secrets["database.password"] == "one"
    assert secrets.fallbacks("database.password") == []
    fill(database='{"password": "two"}')
    assert secrets.refresh("database.password") == {"database"}
    assert secrets["database.password"] == "two"
    assert secrets.fallbacks("database.password") == ["one"]
    assert sorted(secrets) == ["A", "database"]


def test_refresh_of_names_before_the_first_fetch_fetches_all(fill):
    secrets = load(config(fill(A="1", B="1")))
    assert secrets.refresh("A") == {"A", "B"}
    assert dict(secrets) == {"A": "1", "B": "1"}


def test_refresh_of_names_keeps_the_order_of_layers(fill):
    shared, app = fill("shared", A="shared", B="shared"), fill("app", A="app")
    secrets = load(config(shared)) | load(config(app))
    assert secrets["A"] == "app"
    fill("shared", A="shared-2", B="shared-2")
    assert secrets.refresh("A", "B") == {"B"}
    assert secrets["A"] == "app"
    with LocMemStore(name=app) as opened:
        opened.delete("A")
    assert secrets.refresh("A") == {"A"}
    assert secrets["A"] == "shared-2"
    assert secrets.fallbacks("A") == ["shared"]


@pytest.fixture
def heard():
    """What the signal said."""
    calls = []

    def receiver(sender, secrets, names, **_):
        calls.append((sender, secrets, names))

    secrets_changed.connect(receiver)
    yield calls
    secrets_changed.disconnect(receiver)


def test_refresh_sends_the_names_that_changed(fill, heard):
    """Names and never values; once for a refresh; not for the first fetch."""
    secrets = load(config(fill(A=MARKER, B="1")))
    assert secrets["A"] == MARKER
    assert heard == []
    fill(A="hunter2-marker-2")
    secrets.refresh()
    assert heard == [(Secrets, secrets, frozenset({"A"}))]
    assert MARKER not in repr(heard)
    secrets.refresh()
    assert len(heard) == 1, "nothing changed"


def test_a_refresh_is_over_when_its_signal_is_sent(fill, heard):
    """A receiver reads the new values, also from another thread."""
    secrets = load(config(fill(A="1")))
    assert secrets["A"] == "1"
    seen = []

    def read(**_):
        thread = threading.Thread(target=lambda: seen.append(secrets["A"]))
        thread.start()
        thread.join(10)

    secrets_changed.connect(read)
    fill(A="2")
    secrets.refresh()
    secrets_changed.disconnect(read)
    assert seen == ["2"]


def test_a_receiver_that_fails_stops_neither_the_refresh_nor_the_others(fill, heard, caplog):
    def broken(**_):
        raise ValueError("broken receiver")

    secrets_changed.connect(broken)
    secrets = load(config(fill(A=MARKER)))
    assert secrets["A"] == MARKER
    fill(A="2")
    assert secrets.refresh() == {"A"}
    secrets_changed.disconnect(broken)
    assert len(heard) == 1
    assert "broken receiver" in caplog.text
    assert MARKER not in caplog.text


@pytest.mark.parametrize("moment", ["before", "PENDING", "CURRENT", "PREVIOUS", "never"])
def test_fallbacks_know_the_new_key_whenever_it_is_promoted(fill, monkeypatch, moment):
    """Between the fetch of the current key and each read of a stage: this host signs with the old
    key, others sign with the new one from now on, and this host must accept it."""
    store = fill(SECRET_KEY="old")
    with LocMemStore(name=store) as opened:
        opened.stage("SECRET_KEY", "new")
    secrets = load(config(store))
    assert secrets["SECRET_KEY"] == "old"

    def promote():
        with LocMemStore(name=store) as opened:
            opened.promote("SECRET_KEY")

    get = LocMemStore.get

    def get_and_promote(self, name, *, version="CURRENT"):
        found = get(self, name, version=version)
        if version == moment:
            monkeypatch.setattr(LocMemStore, "get", get)
            promote()
        return found

    if moment == "before":
        promote()
    elif moment != "never":
        monkeypatch.setattr(LocMemStore, "get", get_and_promote)
    assert "new" in secrets.fallbacks("SECRET_KEY")


def test_a_failed_refresh_keeps_the_old_values(fill, counting):
    secrets = load(config(fill(A="1"), backend=counting))
    assert secrets["A"] == "1"
    counting.broken = True
    with pytest.raises(SecretsError, match="broken"):
        secrets.refresh()
    assert secrets["A"] == "1"


AFTER_THE_FETCH = """
import os, sys, threading
from django_kms_secrets import load
for url in sys.argv[1:]:
    secrets = load(url)
    assert secrets["A"] == "value"
    assert secrets.fallbacks("A") == []
links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
         if os.path.islink(f"/proc/self/fd/{name}")]
print([link for link in links if link.startswith("socket:")], threading.enumerate())
pid = os.fork()
if pid == 0:
    os._exit(0 if secrets["A"] == "value" else 1)
print(os.waitpid(pid, 0)[1])
"""


def test_after_the_fetch_no_socket_or_thread_is_left_and_a_fork_needs_none(aws):
    """gunicorn forks its workers after it imported the settings."""
    urls = ["credstash://", "secretsmanager:///doc", "secretsmanager://?prefix=p/"]
    for url in urls:
        with read_config(url).make_store() as store:
            if url == "credstash://":
                store.setup_key()
            store.setup()
            store.put("A", "value")
    done = subprocess.run(
        [sys.executable, "-c", AFTER_THE_FETCH, *urls], capture_output=True, text=True, check=True
    )
    sockets, forked = done.stdout.splitlines()
    assert sockets.startswith("[] [<_MainThread(")
    assert sockets.count("Thread") == 2  # its class and its name
    assert forked == "0"


FORKED_IN_THE_FETCH = """
import os, signal, threading
from django_kms_secrets import Secrets, load
from django_kms_secrets.backends.locmem import LocMemStore
with LocMemStore() as store:
    store.put("A", "value")
secrets = load("locmem://")
reading, go_on = threading.Event(), threading.Event()
fetch = Secrets._fetch
def slow(self, **how):
    reading.set()
    go_on.wait(20)
    return fetch(self, **how)
Secrets._fetch = slow
thread = threading.Thread(target=lambda: secrets["A"])
thread.start()
reading.wait(20)
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    Secrets._fetch = fetch
    os._exit(0 if secrets["A"] == "value" else 1)
print(os.waitpid(pid, 0)[1])
go_on.set()
thread.join()
"""


def test_a_process_that_is_forked_during_the_fetch_fetches_by_itself():
    """The thread that holds the lock is in the parent only."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED_IN_THE_FETCH],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "0\n", done.stderr


def test_offline_every_secret_is_empty_and_no_store_is_touched(monkeypatch, counting, fill):
    name = fill(A="1")
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    secrets = load(config(name, "A", backend=counting))
    assert secrets["A"] == ""
    assert secrets["anything.else"] == ""
    assert type(secrets["A"]["deeper"]) is type(secrets["A"])
    assert secrets.fallbacks("A") == []
    assert secrets.previous("A") is None
    assert secrets.refresh() == frozenset()
    assert dict(secrets) == {}
    assert "A" not in secrets
    assert secrets.get("A", "default") == "default"
    assert counting.fetches == 0


def test_offline_a_tree_can_be_reached_into(monkeypatch):
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    tree = load().json("database")
    assert tree["password"] == ""
    assert tree["a"]["b"]["c"] == ""
    assert dict(**tree) == {}


def test_offline_no_configuration_is_needed(monkeypatch):
    """An image is built where nothing is configured."""
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    assert isinstance(load(), Secrets)
    assert (load() | load())["A"] == ""
    assert "offline" in repr(load())


def test_a_configuration_that_is_not_valid(monkeypatch):
    """It is an error of load(), and not of the first secret that is asked for."""
    with pytest.raises(SecretsError, match="option of LocMemStore"):
        load({"BACKEND": "django_kms_secrets.backends.locmem.LocMemStore", "OPTIONS": {"x": 1}})
    monkeypatch.setenv("KMS_SECRETS_URL", "")
    with pytest.raises(SecretsError, match="there is no store to read"):
        load()
