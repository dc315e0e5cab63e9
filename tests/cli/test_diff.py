"""`diff`: a file against a store, by fingerprints that are worth nothing elsewhere."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.core.management import CommandError, call_command

from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.cli.plan import Plan
from django_kms_secrets.config import read_config
from django_kms_secrets.types import Secret, SecretStr
from tests.server.embedded import REGION

from .conftest import MARK, denied

STORED = {"A": f"{MARK}-a", "B": f"{MARK}-b", "OLD": f"{MARK}-moved"}
FILE = json.dumps({"A": f"{MARK}-a", "B": f"{MARK}-b2", "NEW": f"{MARK}-moved"})

DOCUMENTS = [
    f"credstash://?region_name={REGION}&document=notes",
    f"secretsmanager:///notes?region_name={REGION}",
]
URLS = [
    *DOCUMENTS,
    f"credstash://?region_name={REGION}",
    f"secretsmanager://?region_name={REGION}&prefix=notes/",
]


def table(out: str) -> list[list[str]]:
    """The columns: state, name, stored, given."""
    return [line.split("\t") for line in out.splitlines()]


def filled(url: str, values: dict[str, str]) -> None:
    with read_config(url).make_store() as store:
        if isinstance(store, KeyedStore):
            store.setup_key()
        store.setup()
        store.put_many(values)


class TestWhatItShows:
    @pytest.mark.parametrize("at", URLS)
    def test_each_state(self, either, at, aws):
        """Added, changed, same, and what only the store has: in every store, without a value."""
        filled(at, STORED)
        with aws.counted() as sent:
            done = either("diff", "-", stdin=FILE, url=at)
        assert (done.code, done.err) == (1, "")
        assert [row[:2] for row in table(done.out)] == [
            ["same", "A"],
            ["changed", "B"],
            ["added", "NEW"],
            ["only-stored", "OLD"],
        ]
        assert MARK not in done.words
        assert not [request for request in sent if "Put" in request or "Write" in request]

    def test_fingerprints(self, secrets, fill):
        """Within a run the same value has the same fingerprint, on both sides and of two names."""
        fill(STORED)
        (_, _, *same), (_, _, *changed), (_, _, none, new), (_, _, old, *_) = table(
            secrets("diff", "-", stdin=FILE).out
        )
        assert same[0] == same[1] != ""
        assert changed[0] != changed[1]
        assert none == ""
        assert new == old

    def test_no_fingerprint_is_worth_anything_elsewhere(self, secrets, fill):
        """Another run has others; none is a hash that a guess could be tried on."""
        fill(STORED)
        runs = [table(secrets("diff", "-", stdin=FILE).out) for _ in range(2)]
        one, other = ({cell for row in run for cell in row[2:] if cell} for run in runs)
        assert not one & other
        assert all(len(cell) == 8 for cell in one)
        for value in STORED.values():
            assert hashlib.sha256(value.encode()).hexdigest()[:8] not in one | other

    def test_the_key_is_not_shown(self):
        """Nor is a value, where a plan stands in a frame of a traceback."""
        plan = Plan({"A": SecretStr(MARK)}, {"A": Secret("A", SecretStr(MARK), "1")}, frozenset())
        assert MARK not in repr(plan)
        assert "_key" not in repr(plan)

    def test_json(self, secrets, fill):
        """``-f json`` has the same content; what is not there is null."""
        fill(STORED)
        rows = json.loads(secrets("diff", "-", "-f", "json", stdin=FILE).out)
        assert [list(row) for row in rows] == [["state", "name", "stored", "given"]] * 4
        assert [row["state"] for row in rows] == ["same", "changed", "added", "only-stored"]
        assert (rows[2]["stored"], rows[3]["given"]) == (None, None)

    @pytest.mark.parametrize("at", DOCUMENTS)
    def test_dotted_names_reach_into_trees(self, secrets, at):
        """In a document a dotted name is compared with its leaf; its tree is not left out."""
        filled(at, {"db": '{"user": "u", "password": "p"}'})
        done = secrets("diff", "-", stdin='{"db.user": "u", "db.password": "new"}', url=at)
        assert [row[:2] for row in table(done.out)] == [
            ["same", "db.user"],
            ["changed", "db.password"],
        ]

    def test_putall_does_what_it_showed(self, secrets, fill, tmp_path):
        """After putall --prune of the same file there is no difference."""
        fill(STORED)
        file = tmp_path / "all.json"
        file.write_text(FILE)
        shown = secrets("diff", str(file)).out
        dry = secrets("putall", str(file), "--dry-run").out
        assert [row[:2] for row in table(dry)] == [row[:2] for row in table(shown)]
        secrets("putall", str(file), "--prune", "--yes").ok()
        assert {row[0] for row in table(secrets("diff", str(file)).ok().out)} == {"same"}


class TestExitCode:
    def test_equal(self, either, fill):
        """0: nothing differs."""
        fill({"A": "1"})
        assert either("diff", "-", stdin="A=1").ok().err == ""

    @pytest.mark.parametrize("text", ["A=2\nB=2", "A=1\nB=2\nC=3", "A=1"])
    def test_different(self, either, fill, text):
        """1: changed, added, or only stored."""
        fill({"A": "1", "B": "2"})
        assert either("diff", "-", stdin=text).code == 1

    @pytest.mark.parametrize(
        "args, stdin",
        [
            (["/nowhere.json"], ""),
            (["-"], ""),
            (["-"], f"A={MARK}\nA=2"),
            (["-", "--input-format", "json"], MARK),
            (["-", "--url", "nowhere"], "A=1"),
            (["-", "--url", f"credstash://none?region_name={REGION}"], "A=1"),
        ],
    )
    def test_trouble(self, either, args, stdin):
        """2: it failed, and 1 would say that there are differences."""
        assert MARK not in either("diff", *args, stdin=stdin).failed(code=2)

    @pytest.mark.parametrize("text, code", [("A=1", 1), ("A=", 2)])
    def test_call_command(self, url, fill, tmp_path, text, code):
        """From Python code it is the exception's."""
        fill({"A": "1", "B": "2"})
        file = tmp_path / "all.env"
        file.write_text(text if code == 1 else "")
        with pytest.raises(CommandError) as caught:
            call_command("secrets", "diff", str(file), url=url)
        assert caught.value.returncode == code


class TestWhoMayNotRead:
    @pytest.fixture(autouse=True)
    def _fill(self, fill):
        fill({"A": MARK, "B": MARK, "OLD": MARK})

    def test_values(self, secrets, aws):
        """Who may list and not decrypt is told which names cannot be compared: exit code 2."""
        aws.faults.append(denied("Decrypt"))
        done = secrets("diff", "-", stdin="A=1\nB=2\nNEW=3")
        assert done.code == 2
        assert [(state, name, stored) for state, name, stored, _ in table(done.out)] == [
            ("unreadable", "A", ""),
            ("unreadable", "B", ""),
            ("added", "NEW", ""),
            ("only-stored", "OLD", ""),
        ]
        assert done.err.endswith("cannot be read: A, B\n")

    def test_one_value(self, secrets):
        """One that another context seals is named; the others are compared."""
        secrets("put", "A", "-", "env=other", stdin="a").ok()
        done = secrets("diff", "-", stdin=f"A=a\nB={MARK}\nOLD={MARK}")
        assert done.code == 2
        assert [row[0] for row in table(done.out)] == ["unreadable", "same", "same"]

    def test_listing(self, secrets, aws):
        """Who may read by name and not list is told that names may be left out: exit code 2."""
        aws.faults.append(denied("Scan"))
        done = secrets("diff", "-", stdin=f"A={MARK}\nB=2")
        assert done.code == 2
        assert [row[0] for row in table(done.out)] == ["same", "changed"]
        assert "no telling which names only the store has" in done.err
