"""`rollback`: an old value is the current one again, and nothing is lost."""

from __future__ import annotations

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.credstash.names import Names
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.config import read_config
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS
from tests.server.embedded import REGION

from .conftest import MARK
from .doors import inside

MEMORY = "locmem://rollback"
PLACE = "memory store rollback"
URLS = {
    "memory": MEMORY,
    "document": f"secretsmanager:///notes?region_name={REGION}",
    "names": f"secretsmanager://?region_name={REGION}&prefix=notes/",
}


@pytest.fixture(params=["memory", "credstash", "credstash document", "document", "names"])
def versioned(request):
    """The URL of each store that keeps versions, with three of A in it."""
    if request.param.startswith("credstash"):
        url = request.getfixturevalue("url")
        url += "&document=notes" if "document" in request.param else ""
    else:
        request.getfixturevalue("aws")
        url = URLS[request.param]
    with read_config(url).make_store() as store:
        store.setup()
        for value in ("first", "second", "third"):
            store.put("A", f"{MARK} {value}")
    return url


@pytest.fixture(params=["module", "manage", "call"])
def door(request):
    """The command through each of its doors."""

    def run(*args, url=MEMORY):
        return inside(request.param, url, args)

    return run


@pytest.fixture
def rollback(versioned):
    """``rollback A …`` on each store."""

    def run(*args):
        return inside("module", versioned, ["rollback", "A", *args])

    return run


@pytest.fixture
def values(versioned):
    """A function that gives what is stored of A: the values by stage."""

    def read():
        with read_config(versioned).make_store() as store:
            found = {stage: secret.value for stage, secret in store.get_stages("A").items()}
        return {stage: value.removeprefix(f"{MARK} ") for stage, value in found.items()}

    return read


@pytest.fixture
def ids(versioned):
    """The version ids of A, oldest first."""
    with read_config(versioned).make_store() as store:
        return [entry.version for entry in store.history("A")][-3:]


def fill():
    with read_config(MEMORY).make_store() as store:
        store.put("A", f"{MARK} first")
        store.put("A", f"{MARK} second")


def test_transcript(door):
    """It says from which version to which, as which, and what to deploy."""
    fill()
    done = door("rollback", "A", "previous").ok()
    assert (done.out, done.err) == (
        "",
        f"A in {PLACE} rolled back from version 2 to version 1, as 3\n"
        "next: deploy every host, so that all of them use it\n",
    )


@pytest.mark.parametrize("word", ["previous", "PREVIOUS", "Previous"])
def test_previous(rollback, values, ids, word):
    """`previous`, in any case, is the version before the current one; there and back again."""
    done = rollback(word).ok()
    assert f"from version {ids[2]} to version {ids[1]}" in done.err
    assert MARK not in done.words
    assert values() == {CURRENT: "second", PREVIOUS: "third"}
    rollback(word).ok()
    assert values() == {CURRENT: "third", PREVIOUS: "second"}


def test_version_id(rollback, values, ids):
    """A version id of `history` works, however old; what was current is the previous one."""
    done = rollback(ids[0]).ok()
    assert f"from version {ids[2]} to version {ids[0]}" in done.err
    assert values() == {CURRENT: "first", PREVIOUS: "third"}


@pytest.mark.usefixtures("aws")
def test_document_takes_one_name_back(door):
    """In a document one name gets its old value, wherever that is kept; the others stay."""
    url = URLS["document"]
    with read_config(url).make_store() as store:
        store.setup()
        store.put("A", f"{MARK} first")
        old = store.put("B", "other").version
        store.stage("A", f"{MARK} second")
        store.promote("A")
        store.put("B", "newer")
        done = door("rollback", "A", "previous", "--dry-run", url=url).ok()
        assert " to its previous value\n" in done.err
        done = door("rollback", "A", "previous", url=url).ok()
        assert " to its previous value, as " in done.err
        assert store.get("A").value == f"{MARK} first"
        assert store.get("A", version=PREVIOUS).value == f"{MARK} second"
        assert store.get("B").value == "newer"
        done = door("rollback", "B", old, url=url).ok()
        assert f" to version {old}, as " in done.err
        assert store.get("B").value == "other"
        assert store.get("A").value == f"{MARK} first"


@pytest.mark.parametrize("wanted", ["1", "01", f"{1:019}"])
def test_number_without_its_zeros(secrets, fill, stored, wanted):
    """The numbers of a CredStash table may be typed without the zeros."""
    fill({"A": "first"})
    fill({"A": "second"})
    done = secrets("rollback", "A", wanted).ok()
    assert f"to version {1:019}, as {3:019}" in done.err
    assert stored() == {"A": "first"}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["real", "dry"])
class TestRefused:
    @pytest.mark.parametrize("wanted", ["99", "no-such-version", "", "x" * 36])
    def test_version_that_is_not_there(self, rollback, values, wanted, dry):
        """A version that is not there is an error that says where to look, and changes nothing."""
        before = values()
        error = rollback(wanted, *dry).failed()
        assert f"A has no version {wanted}" in error
        assert "hint: `secrets history A` lists its versions" in error
        assert values() == before

    def test_current(self, rollback, values, ids, dry):
        """The current version is no version to go back to, by its id or by its stage."""
        for wanted in ("current", ids[2]):
            error = rollback(wanted, *dry).failed()
            assert f"version {ids[2]} of A in " in error
            assert " is the current one" in error
        assert values() == {CURRENT: "third", PREVIOUS: "second"}

    def test_no_previous(self, door, dry):
        """A secret with one version has nothing to go back to."""
        with read_config(MEMORY).make_store() as store:
            store.put("A", MARK)
        error = door("rollback", "A", "previous", *dry).failed()
        assert f"A has no version PREVIOUS in {PLACE}" in error

    def test_missing_name(self, door, dry):
        """A name that is not there is an error."""
        assert f"NOPE is not in {PLACE}" in door("rollback", "NOPE", "previous", *dry).failed()

    @pytest.mark.parametrize("kind", ["memory", "credstash", "names"])
    @pytest.mark.parametrize("by", ["stage", "id", "number"])
    def test_pending(self, request, kind, by, dry):
        """A pending value was never in force: it is promoted, by its stage or by its id."""
        request.getfixturevalue("aws")
        url = request.getfixturevalue("url") if kind == "credstash" else URLS[kind]
        with read_config(url).make_store() as store:
            store.put("A", f"{MARK} first")
            version = store.stage("A", f"{MARK} pending").version
        wanted = {"stage": "pending", "id": version, "number": version.lstrip("0")}[by]
        error = inside("module", url, ["rollback", "A", *dry, "--", wanted]).failed()
        assert "the pending value of A in " in error
        assert " was never current" in error
        assert "`secrets rotate A --promote` makes it current" in error
        with read_config(url).make_store() as store:
            assert store.get("A").value == f"{MARK} first"
            assert store.get("A", version=PENDING).value == f"{MARK} pending"

    def test_nothing_is_pending(self, door, dry):
        """PENDING without a pending value says how one is made."""
        fill()
        assert "no value of A is pending" in door("rollback", "A", "PENDING", *dry).failed()

    def test_file(self, on_file, dry):
        """A file keeps no older versions."""
        assert "A has no version PREVIOUS" in on_file("rollback", "A", "previous", *dry).failed()
        assert "is the current one" in on_file("rollback", "A", "1", *dry).failed()


def test_dry_run(rollback, values, ids):
    """--dry-run says what would be done, and writes nothing."""
    before = values()
    done = rollback("previous", "--dry-run").ok()
    assert done.out == ""
    assert f"would be rolled back from version {ids[2]} to version {ids[1]}\n" in done.err
    assert done.err.endswith("nothing was written: --dry-run\n")
    assert MARK not in done.words
    assert values() == before


def test_dry_run_reads_the_old_value(secrets, fill):
    """An old value that cannot be opened is known before anybody needs it."""
    secrets("put", "A", f"{MARK} sealed otherwise", "env=other").ok()
    fill({"A": MARK})
    error = secrets("rollback", "A", "previous", "--dry-run").failed()
    assert "KMS would not decrypt its data key" in error
    assert "would be" not in error
    assert "KMS would not decrypt" in secrets("rollback", "A", "previous").failed()


@pytest.mark.parametrize("store_class", [LocMemStore, CredStashStore])
def test_loser_of_a_race_stores_nothing(request, monkeypatch, store_class):
    """Somebody else writes between the look and the write: the error says so, and theirs stays."""
    url = request.getfixturevalue("url") if store_class is CredStashStore else MEMORY
    with read_config(url).make_store() as store:
        store.put("A", "first")
        store.put("A", "second")
    writer = Names if store_class is CredStashStore else store_class  # whose `put` it calls
    put = writer.put

    def second(self, name, value, *args, **options):
        monkeypatch.setattr(writer, "put", put)
        with read_config(url).make_store() as other:
            other.put(name, "of the other operator")
        return put(self, name, value, *args, **options)

    monkeypatch.setattr(writer, "put", second)
    error = inside("module", url, ["rollback", "A", "previous"]).failed()
    assert "somebody else wrote it" in error
    with read_config(url).make_store() as store:
        assert store.get("A").value == "of the other operator"


def test_a_pending_value_stays_pending(door):
    """A rollback while a value is pending is possible: an emergency does not wait."""
    fill()
    with read_config(MEMORY).make_store() as store:
        store.stage("A", f"{MARK} pending")
        door("rollback", "A", "previous").ok()
        assert store.get("A").value == f"{MARK} first"
        assert store.get("A", version=PENDING).value == f"{MARK} pending"


@pytest.mark.parametrize("args", [(), ("A",), ("A", "previous", MARK)], ids=" ".join)
def test_usage(door, args):
    """NAME and VERSION, and nothing else; what is too much is not repeated."""
    done = door("rollback", *args)
    assert done.code in (1, 2)
    assert MARK not in done.words
