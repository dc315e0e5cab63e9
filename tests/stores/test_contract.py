"""The contract of `BaseStore`, proved on every store alike."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import urllib3.util.connection

from django_kms_secrets.backends.base import ABSENT
from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.exceptions import SecretNotFound, SecretsError, VersionConflict
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS, SecretStr

from .kinds import of_reads, only

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_kms_secrets.backends.base import BaseStore

VALUES = {
    "PLAIN": "hunter2",
    "BLOCKS": "0123456789abcdef0123456789abcdef!",
    "UNICODE": "pässwörd-中文-🔑",
    "SPACES": "  both ends\t",
    "LINES": "one\ntwo\r\nthree\r\n",
    "QUOTES": 'it\'s "quoted" \\ `so` $HOME ${HOME} #x',
    "CONTROL": "\x00\x01\x1f\x7f\x85\u2028\ufeff",
    "NUMBER": "007",
    "TRUE": "true",
    "NULL": "null",
    "TREE": '{"user": "app", "ports": [1, 2.5, null]}',
    "LOOSE_TREE": '{"user":"app"}',
    "BROKEN_TREE": '{"user"',
    "LONG": "x" * 4000,
}
#: Names that every store takes.
NAMES = ["UPPER", "lower", "with-dash_9", "path/to.name", "mail@example+x"]


# Reading


@of_reads()
def test_what_was_put_is_what_is_got(store):
    for name, value in VALUES.items():
        put = store.put(name, value)
        got = store.get(name)
        assert (got.name, got.value, got.version) == (name, value, put.version)
        assert put.name == name
        assert CURRENT in put.stages
    everything = {name: secret.value for name, secret in store.get_many(None).items()}
    assert everything == VALUES


@of_reads()
def test_sixty_kilobytes_come_back(store):
    value = "é" * 30_000
    store.put("LARGE", value)
    assert store.get("LARGE").value == value


@of_reads()
def test_an_empty_value_comes_back_or_is_refused_by_name(store, kind):
    if kind.takes_empty:
        store.put("EMPTY", "")
        assert store.get("EMPTY").value == ""
        assert store.get_many(None)["EMPTY"].value == ""
    else:
        with pytest.raises(SecretsError, match="EMPTY would be empty, and Secrets Manager"):
            store.put("EMPTY", "")
        assert store.get_many(None) == {}


@of_reads()
def test_a_name_is_kept_as_it_is(store):
    for name in NAMES:
        store.put(name, "x")
        assert store.get(name).name == name
    assert sorted(store.get_many(NAMES)) == sorted(store.get_many(None)) == sorted(NAMES)
    assert {entry.name for entry in store.list_secrets()} == set(NAMES)


@of_reads()
def test_values_are_masked_where_they_leave_the_store(store):
    store.put("A", "planted-value")
    secrets = [store.get("A"), *store.get_many(["A"]).values(), *store.get_many(None).values()]
    assert {type(secret.value) for secret in secrets} == {SecretStr}
    assert "planted" not in repr([secrets, store.list_secrets(), store.history("A"), store])


@of_reads()
def test_a_missing_name_is_an_error_that_names_it_the_store_and_the_way_on(store):
    store.put("OTHER", "planted-value")
    with pytest.raises(SecretNotFound) as caught:
        store.get("NAME")
    error = caught.value
    assert isinstance(error, KeyError)
    assert error.names == ("NAME",)
    assert error.message == f"NAME is not in {store.place}"
    assert error.hint == "`secrets put NAME` writes it, `secrets keys` lists what is there"
    assert error.__context__ is None


@of_reads()
def test_a_missing_version_is_an_error_that_names_it(store):
    store.put("NAME", "x")
    for version in ("0", "7", "0000000000000000007", "abc", "f" * 36, PREVIOUS):
        with pytest.raises(SecretNotFound) as caught:
            store.get("NAME", version=version)
        assert caught.value.names == ("NAME",)
        assert caught.value.message == f"NAME has no version {version} in {store.place}"
        assert caught.value.hint == "`secrets history NAME` lists its versions"
        assert caught.value.__context__ is None


@of_reads()
def test_a_missing_pending_value_is_an_error_that_says_how_to_make_one(store):
    store.put("NAME", "x")
    with pytest.raises(SecretNotFound) as caught:
        store.get("NAME", version=PENDING)
    assert caught.value.names == ("NAME",)
    assert caught.value.message == f"no value of NAME is pending in {store.place}"
    assert caught.value.hint == "`secrets rotate NAME --stage` makes one"
    assert caught.value.__context__ is None


@of_reads()
def test_what_is_no_name_is_never_found(store):
    store.put("NAME", "x")
    for name in ("", " ", "a b\n"):
        with pytest.raises(SecretsError):
            store.get(name)


@of_reads()
def test_get_many_takes_all_or_names_and_leaves_out_what_is_missing(store):
    store.put_many({"A": "1", "B": "2", "C": "3"})
    assert texts(store.get_many(None)) == {"A": "1", "B": "2", "C": "3"}
    assert texts(store.get_many(["C", "A"])) == {"C": "3", "A": "1"}
    assert texts(store.get_many(["A", "MISSING", "B"])) == {"A": "1", "B": "2"}
    assert texts(store.get_many(["A", "A", "A"])) == {"A": "1"}
    assert texts(store.get_many(name for name in ("A", "B", "A"))) == {"A": "1", "B": "2"}
    assert store.get_many(["MISSING"]) == {}
    assert store.get_many([]) == {}


@of_reads()
def test_get_many_keys_are_the_names_of_the_secrets(store):
    store.put_many({"A": "1", "B": "2"})
    for found in (store.get_many(None), store.get_many(["A", "B"])):
        assert {name: secret.name for name, secret in found.items()} == {"A": "A", "B": "B"}


@of_reads()
def test_an_empty_store_has_nothing(store):
    assert store.get_many(None) == {}
    assert store.get_many(["A"]) == {}
    assert list(store.list_secrets()) == []


# Versions


@of_reads()
def test_the_last_version_is_current_and_the_one_before_is_previous(store, kind):
    first, second, third = (store.put("A", value).version for value in ("1", "2", "3"))
    assert store.get("A").value == "3"
    assert store.get("A", version=CURRENT).version == third
    assert store.get("A", version=third).value == "3"
    if kind.versions_change:
        assert len({first, second, third}) == 3
    if kind.keeps_versions:
        assert store.get("A", version=PREVIOUS).value == "2"
        assert store.get("A", version=PREVIOUS).version == second
        assert store.get("A", version=second).value == "2"
        assert store.get("A", version=first).value == "1"
    else:
        with pytest.raises(SecretNotFound):
            store.get("A", version=PREVIOUS)


@of_reads()
def test_every_put_is_a_new_version_even_of_the_same_value(store, kind):
    versions = [store.put("A", "same").version for _ in range(3)]
    assert len(set(versions)) == (3 if kind.versions_change else 1)
    assert store.get("A").version == versions[-1]


@of_reads()
def test_more_than_nine_versions_stay_in_their_order(store, kind):
    """As text, 10 would come before 9."""
    versions = [store.put("A", str(number)).version for number in range(11)]
    assert store.get("A").value == "10"
    assert store.get_many(None)["A"].value == "10"
    if kind.keeps_versions:
        history = [entry.version for entry in store.history("A")]
        assert [version for version in history if version in versions] == versions


def test_list_is_sorted_by_name_with_one_current_version_each_and_no_value(store):
    store.put_many({"B": "planted-value", "C": "planted-value", "A": "planted-value"})
    store.put("B", "planted-value")
    listed = store.list_secrets()
    assert [entry.name for entry in listed] == sorted(entry.name for entry in listed)
    current = [entry for entry in listed if CURRENT in entry.stages]
    assert [entry.name for entry in current] == ["A", "B", "C"]
    for entry in current:
        assert entry.version == store.get(entry.name).version
    of_b = [entry for entry in listed if entry.name == "B"]
    assert of_b[-1].stages == (CURRENT,), "oldest first"
    assert "planted" not in repr(listed)


def test_history_is_oldest_first_and_ends_with_the_current_version(store, kind):
    versions = [store.put("A", value).version for value in ("1", "2", "3")]
    store.put("B", "other")
    history = store.history("A")
    assert {entry.name for entry in history} == {"A"}
    if kind.is_document:  # one history for all its names
        assert history[-1].version == store.get("B").version
        history = history[-4:-1]
    else:
        assert history[-1].stages == (CURRENT,)
    if kind.keeps_versions:
        assert [entry.version for entry in history] == versions
    else:
        assert [entry.version for entry in history] == versions[-1:]
    for entry in history:
        assert store.get("A", version=entry.version).version == entry.version


def test_history_of_a_missing_name_is_not_found(store):
    store.put("OTHER", "x")
    with pytest.raises(SecretNotFound, match="NAME is not in ") as caught:
        store.history("NAME")
    assert caught.value.names == ("NAME",)


# Writing


def test_a_put_without_expectation_always_writes(store):
    store.put("A", "1")
    store.put("A", "2", expected=None)
    assert store.get("A").value == "2"


def test_a_put_that_expects_the_current_version_writes(store):
    version = store.put("A", "1").version
    put = store.put("A", "2", expected=version)
    assert store.get("A").value == "2"
    assert store.get("A").version == put.version


def test_a_put_that_expects_no_such_name_writes(store):
    put = store.put("A", "1", expected=ABSENT)
    assert store.get("A").version == put.version


def test_a_put_that_expects_another_version_is_a_conflict_and_writes_nothing(store):
    store.put("A", "planted-value")
    for name in ("A", "MISSING"):
        for expected in ("7", "0000000000000000007", "f" * 36, "abc"):
            with pytest.raises(VersionConflict) as caught:
                store.put(name, "planted-value-too", expected=expected)
            assert name in caught.value.message
            assert store.place in caught.value.message
            assert caught.value.names == (name,)
            assert "planted" not in str(caught.value)
            assert caught.value.__context__ is None
    assert texts(store.get_many(None)) == {"A": "planted-value"}


def test_a_put_that_expects_an_old_version_is_a_conflict(store, kind):
    old = store.put("A", "1").version
    new = store.put("A", "2").version
    if kind.versions_change:
        with pytest.raises(VersionConflict):
            store.put("A", "3", expected=old)
        assert store.get("A").version == new
        assert store.get("A").value == "2"
    else:
        assert old == new, "a file has only one version, and cannot tell"


def test_a_put_that_expects_no_such_name_is_a_conflict_where_it_is(store):
    store.put("A", "1")
    with pytest.raises(VersionConflict):
        store.put("A", "2", expected=ABSENT)
    assert store.get("A").value == "1"


def test_put_many_gives_the_current_versions_in_the_order_of_the_values(store):
    store.put("B", "old")
    put = store.put_many({"C": "3", "A": "1", "B": "2"})
    assert [entry.name for entry in put] == ["C", "A", "B"]
    assert texts(store.get_many(None)) == {"A": "1", "B": "2", "C": "3"}
    assert {entry.name: entry.version for entry in put} == {
        name: secret.version for name, secret in store.get_many(None).items()
    }
    assert all(CURRENT in entry.stages for entry in put)


def test_put_many_of_nothing_writes_nothing(store):
    version = store.put("A", "1").version
    assert list(store.put_many({})) == []
    assert store.get("A").version == version
    assert [entry.version for entry in store.history("A")][-1] == version


def test_put_many_that_expects_the_versions_that_were_read_writes(store):
    store.put_many({"A": "1", "B": "2"})
    read = {name: secret.version for name, secret in store.get_many(None).items()}
    put = store.put_many(
        {"A": "3", "tree": '{"x": "4"}', "B": "5"}, expected={**read, "tree": ABSENT}
    )
    assert texts(store.get_many(None)) == {"A": "3", "B": "5", "tree": '{"x": "4"}'}
    assert {entry.name: entry.version for entry in put} == {
        name: secret.version for name, secret in store.get_many(None).items()
    }


def test_put_many_expects_nothing_of_a_name_that_expected_leaves_out(store):
    store.put_many({"A": "1", "B": "2"})
    read = store.get("A").version
    store.put_many({"A": "3", "B": "4", "C": "5"}, expected={"A": read})
    assert texts(store.get_many(None)) == {"A": "3", "B": "4", "C": "5"}


@pytest.mark.parametrize(
    "expected", ["0000000000000000007", "f" * 36, "old", pytest.param(ABSENT, id="absent")]
)
def test_put_many_that_expects_another_version_is_a_conflict_and_overwrites_nothing(
    store, kind, expected
):
    old = store.put("A", "planted").version
    store.put("A", "planted-value")
    if expected == "old" and not kind.versions_change:
        assert store.get("A").version == old, "a file has only one version, and cannot tell"
        return
    known = {"A": old if expected == "old" else expected, "NEW": ABSENT}
    with pytest.raises(VersionConflict) as caught:
        store.put_many({"NEW": "planted-too", "A": "planted-too"}, expected=known)
    assert caught.value.names == ("A",)
    assert store.place in caught.value.message
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None
    found = texts(store.get_many(None))
    assert found.pop("A") == "planted-value"
    stored = "; but stored" in caught.value.message
    assert found == ({"NEW": "planted-too"} if stored else {})
    assert not (stored and kind.writes_whole)


@only(lambda kind: kind.writes_whole)
def test_put_many_names_every_name_that_is_at_another_version(store):
    store.put_many({"A": "1", "B": "2", "C": "3"})
    known = {"A": ABSENT, "B": store.get("B").version, "C": ABSENT, "D": "7", "E": ABSENT}
    with pytest.raises(VersionConflict) as caught:
        store.put_many(dict.fromkeys(known, "new"), expected={"D": "7", "E": ABSENT})
    assert caught.value.names == ("D",)
    with pytest.raises(VersionConflict) as caught:
        store.put_many(dict.fromkeys("ABCE", "new"), expected={**known, "D": ABSENT})
    assert set(caught.value.names) >= {"A", "C"}
    assert texts(store.get_many(None)) == {"A": "1", "B": "2", "C": "3"}


def test_apply_writes_and_deletes(store):
    """What is gone already is not missed."""
    store.put_many({"A": "1", "B": "2", "C": "3"})
    store.apply({"A": "4", "NEW": "5"}, ["B", "GONE"])
    assert texts(store.get_many(None)) == {"A": "4", "C": "3", "NEW": "5"}
    store.apply({}, ["A", "NEW"])
    assert texts(store.get_many(None)) == {"C": "3"}


@only(lambda kind: kind.is_document)
def test_apply_to_a_document_is_one_write(store):
    """The kill tests prove the same of a file."""
    store.put_many({"A": "1", "B": "2", "C": "3"})
    before = len(store.history("A"))
    store.apply({"A": "4", "NEW": "5"}, ["B", "C"])
    assert texts(store.get_many(None)) == {"A": "4", "NEW": "5"}
    assert len(store.history("A")) == before + 1


def test_apply_of_nothing_writes_nothing(store):
    store.put("A", "1")
    before = [entry.version for entry in store.history("A")]
    store.apply({}, ["GONE"])
    assert [entry.version for entry in store.history("A")] == before


@pytest.mark.parametrize("expected", ["f" * 36, pytest.param(ABSENT, id="absent")])
def test_apply_that_expects_another_version_is_a_conflict_and_deletes_nothing(store, expected):
    store.put_many({"A": "1", "B": "2"})
    with pytest.raises(VersionConflict) as caught:
        store.apply({"A": "3"}, ["B"], expected={"A": expected})
    assert caught.value.names == ("A",)
    assert texts(store.get_many(None)) == {"A": "1", "B": "2"}


@only(lambda kind: kind.is_document)
def test_apply_deletes_nothing_of_a_document_that_somebody_else_has_written(store, another):
    """What is gone already is no conflict: nothing is to be done."""
    store.put_many({"A": "1", "B": "2"})
    listed = {entry.name: entry.version for entry in store.list_secrets()}
    with another() as other:
        other.put("B", "theirs")
    with pytest.raises(VersionConflict) as caught:
        store.apply({}, ["B"], expected=listed)
    assert caught.value.names == ("B",)
    assert texts(store.get_many(None)) == {"A": "1", "B": "theirs"}
    with another() as other:
        other.delete("B")
    store.apply({}, ["B"], expected=listed)
    assert texts(store.get_many(None)) == {"A": "1"}


def test_put_many_conflicts_where_somebody_else_wrote_or_deleted_meanwhile(store, another, kind):
    """Neither is undone; a file can tell only that a name came or went."""
    store.put_many({"CHANGED": "1", "GONE": "1"})
    read = {name: secret.version for name, secret in store.get_many(None).items()}
    known = {**read, "NEW": ABSENT}
    with another() as other:
        other.put("CHANGED", "theirs")
        other.put("NEW", "theirs")
        other.delete("GONE")
    for name in known if kind.versions_change else ("NEW", "GONE"):
        with pytest.raises(VersionConflict) as caught:
            store.put_many({name: "ours"}, expected=known)
        assert caught.value.names == (name,)
    assert texts(store.get_many(None)) == {"CHANGED": "theirs", "NEW": "theirs"}


BAD_NAMES = [
    "",
    " A",
    "A ",
    "A\n",
    "A\0",
    "A\x7f",
    "A\x1b[31m",
    "A\u2028B",
    "\ud800",
    5,
    None,
    b"A",
]
BAD_VALUES = [5, None, True, b"bytes", ["list"], {"a": "tree"}, "planted\ud800", "\udfffplanted"]


def test_a_bad_name_is_refused_and_nothing_is_written(store):
    store.put("OLD", "x")
    for name in BAD_NAMES:
        with pytest.raises(SecretsError, match="is not a name for a secret") as caught:
            store.put(name, "planted-value")
        str(caught.value).encode("utf-8")
        assert "planted" not in str(caught.value)
        with pytest.raises(SecretsError, match="is not a name for a secret"):
            store.put_many({"OLD": "changed", name: "planted-value"})
    assert texts(store.get_many(None)) == {"OLD": "x"}


def test_a_bad_value_is_refused_by_its_name_and_nothing_is_written(store):
    store.put("OLD", "x")
    for value in BAD_VALUES:
        with pytest.raises(SecretsError, match="the value of BAD is not ") as caught:
            store.put("BAD", value)
        assert caught.value.names == ("BAD",)
        assert "planted" not in str(caught.value)
        with pytest.raises(SecretsError, match="the value of BAD is not "):
            store.put_many({"OLD": "changed", "BAD": value})
    assert texts(store.get_many(None)) == {"OLD": "x"}


def test_delete_takes_away_the_name_with_all_its_versions(store):
    store.put_many({"A": "1", "B": "2"})
    store.put("A", "3")
    store.delete("A")
    assert texts(store.get_many(None)) == {"B": "2"}
    assert texts(store.get_many(["A", "B"])) == {"B": "2"}
    assert {entry.name for entry in store.list_secrets()} == {"B"}
    for read in (
        lambda: store.get("A"),
        lambda: store.history("A"),
        lambda: store.delete("A"),
    ):
        with pytest.raises(SecretNotFound) as caught:
            read()
        assert caught.value.names == ("A",)


@only(lambda kind: kind.forgets)
def test_an_old_version_of_a_deleted_name_is_gone(store):
    """Secrets Manager keeps old versions: those of a document, and those to be restored."""
    old = store.put("A", "1").version
    store.put("A", "2")
    store.delete("A")
    for version in (old, PREVIOUS):
        with pytest.raises(SecretNotFound):
            store.get("A", version=version)


def test_delete_of_a_missing_name_is_not_found_and_changes_nothing(store):
    store.put("B", "2")
    with pytest.raises(SecretNotFound, match="A is not in "):
        store.delete("A")
    assert texts(store.get_many(None)) == {"B": "2"}


@pytest.mark.parametrize("expected", [None, ABSENT])
def test_a_deleted_name_can_be_put_again(store, kind, expected):
    store.put("A", "1")
    store.put("A", "2")
    store.delete("A")
    put = store.put("A", "3", expected=expected)
    assert store.get("A").value == "3"
    assert store.get("A").version == put.version
    assert texts(store.get_many(None)) == texts(store.get_many(["A"])) == {"A": "3"}
    assert [entry.name for entry in store.list_secrets() if CURRENT in entry.stages] == ["A"]
    if kind.forgets:
        with pytest.raises(SecretNotFound):
            store.get("A", version=PREVIOUS)


# Opening, closing, setting up


def test_setup_is_idempotent_and_keeps_what_is_there(store):
    store.put("A", "1")
    assert store.setup() is False
    assert store.setup() is False
    assert texts(store.get_many(None)) == {"A": "1"}


def test_setup_says_whether_it_created_something(another, kind):
    needs_nothing = {"minimal", "locmem", "secretsmanager prefix"}
    with another() as store:
        if isinstance(store, KeyedStore):
            store.setup_key()
        assert store.setup() is (kind.name not in needs_nothing)
        assert store.setup() is False


def test_another_store_sees_what_one_wrote(store, another):
    store.put_many({"A": "1", "B": "2"})
    with another() as other:
        assert texts(other.get_many(None)) == {"A": "1", "B": "2"}
        other.put("A", "3")
        other.delete("B")
    assert texts(store.get_many(None)) == {"A": "3"}


@only(lambda kind: kind.remote)
def test_a_store_that_is_not_open_says_so(another):
    store = another()
    for use in uses(store):
        with pytest.raises(SecretsError, match="Store is not open") as caught:
            use()
        assert caught.value.hint == "use `with store:`"
    with store:
        if isinstance(store, KeyedStore):
            store.setup_key()
        store.setup()
    with pytest.raises(SecretsError, match="is not open"):
        store.get_many(None)


def uses(store: BaseStore) -> list[Callable[[], Any]]:
    return [
        lambda: store.get("A"),
        lambda: store.get_many(None),
        lambda: store.get_many(["A"]),
        lambda: store.get_many([]),
        lambda: store.list_secrets(),
        lambda: store.history("A"),
        lambda: store.put("A", "x"),
        lambda: store.put_many({"A": "x"}),
        lambda: store.delete("A"),
        lambda: store.setup(),
    ]


def test_making_a_store_and_closing_one_that_is_not_open_do_nothing(another):
    store = another()
    store.close()
    store.close()
    assert list(store.check()) == []


@of_reads()
def test_a_store_can_be_opened_again(store):
    store.put("A", "1")
    store.close()
    store.open()
    assert store.get("A").value == "1"


def test_close_leaves_no_client_no_thread_and_no_socket(store, monkeypatch):
    store.close()
    sockets = []
    connect = urllib3.util.connection.create_connection

    def note(*args: Any, **kwargs: Any) -> Any:
        sockets.append(connect(*args, **kwargs))
        return sockets[-1]

    monkeypatch.setattr(urllib3.util.connection, "create_connection", note)
    with store:
        store.put_many({"A": "1", "B": "2", "C": "3"})
        assert len(store.get_many(None)) == 3
        kept = list(getattr(store, "_services", []))
    assert bool(sockets) is bool(kept), "the sockets are seen where there are any"
    assert {sock.fileno() for sock in sockets} <= {-1}, "closed, and not left to be collected"
    clients = [weakref.ref(service.client) for service in kept]
    kept.clear()
    assert [t.name for t in threading.enumerate() if t.name.startswith("kms-secrets")] == []
    gc.collect()
    assert [client() for client in clients] == [None] * len(clients)


# Threads, and two writers


@of_reads()
def test_sixteen_threads_read_at_once(store):
    store.put_many({"A": "1", "B": "2"})
    start = threading.Barrier(16)

    def read(number: int) -> dict[str, str]:
        start.wait(30)
        if number % 3 == 0:
            return {"A": store.get("A").value, "B": store.get("B").value}
        return texts(store.get_many(None if number % 3 == 1 else ["A", "B"]))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(read, range(16))) == [{"A": "1", "B": "2"}] * 16


def test_eight_threads_write_names_of_their_own_at_once(store):
    """A document refuses all but one at a time, as it must; who is refused tries again."""
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(30)
        for _ in range(8):
            try:
                store.put(f"NAME_{number}", str(number))
            except VersionConflict:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert texts(store.get_many(None)) == {f"NAME_{n}": str(n) for n in range(8)}


@pytest.mark.parametrize("deleted", [False, True], ids=["new", "deleted before"])
def test_of_two_writers_of_a_new_name_exactly_one_wins(store, another, deleted):
    def prepare(name: str) -> str:
        if deleted:
            store.put(name, "old")
            store.delete(name)
        return ABSENT

    race(store, another, prepare)


@only(lambda kind: kind.versions_change)
def test_of_two_writers_who_expect_the_same_version_exactly_one_wins(store, another):
    """A file has only one version, and cannot tell."""
    race(store, another, lambda name: store.put(name, "old").version)


def race(store: BaseStore, another: Callable[[], BaseStore], prepare: Callable[[str], str]) -> None:
    """Let two stores put the same names, with what `prepare` gives as their expectation."""
    with another() as one, another() as two, ThreadPoolExecutor(2) as pool:
        for number in range(3):
            name = f"NAME_{number}"
            put = partial(put_or_lose, threading.Barrier(2), name, prepare(name))
            winners = [value for value in pool.map(put, [one, two], ["one", "two"]) if value]
            assert len(winners) == 1
            assert store.get(name).value == winners[0]


def put_or_lose(
    start: threading.Barrier, name: str, expected: str, store: BaseStore, value: str
) -> str:
    start.wait(30)
    try:
        store.put(name, value, expected=expected)
    except VersionConflict:
        return ""
    return value


def texts(secrets: dict[str, Any]) -> dict[str, str]:
    return {name: secret.value for name, secret in secrets.items()}
