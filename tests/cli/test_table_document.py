"""Every verb on a document in a CredStash table, where it is not what it is on records."""

from __future__ import annotations

import json

import pytest

from django_kms_secrets import load
from django_kms_secrets.config import read_config
from tests.server.embedded import REGION

from .conftest import MARK, denied
from .doors import inside

PLACE = f"CredStash document notes in CredStash table credential-store in {REGION}"
VALUES = {"A": f"{MARK} a", "B": f"{MARK} b", "tree": {"user": "u", "ports": [1, None]}}


@pytest.fixture
def document(url):
    """The URL of a document with two secrets and a tree."""
    target = f"{url}&document=notes"
    with read_config(target).make_store() as store:
        store.setup()
        store.put_many({**VALUES, "tree": json.dumps(VALUES["tree"])})
    return target


@pytest.fixture
def run():
    """The command, on a URL."""
    return lambda target, *words, stdin="": inside("module", target, words, stdin)


def test_setup_from_nothing(aws, run):
    """One command makes the key, the table and the document; once more, it makes nothing."""
    target = f"credstash://?region_name={REGION}&document=notes"
    done = run(target, "setup", "--create-key").ok()
    assert done.err == f"KMS key: created\n{PLACE}: created\n"
    done = run(target, "setup", "--create-key").ok()
    assert done.err == f"KMS key: there already\n{PLACE}: nothing to create\n"
    assert run(target, "keys").ok().out == ""


def test_verbs(document, run):
    """putall, getall, put, get, keys, list, history, delete: a version is one of the document."""
    assert json.loads(run(document, "getall").ok().out) == VALUES
    done = run(document, "putall", "-", stdin=json.dumps({"A": VALUES["A"], "C": "new"})).ok()
    assert done.err == f"+ C\n{PLACE}: 1 added, 0 changed, 1 unchanged, 0 deleted\n"
    done = run(document, "put", "tree.user", "-", "-c", "why", stdin="v").ok()
    assert done.err == f"tree.user version {4:019} stored in {PLACE}\n"
    assert run(document, "get", "tree").ok().out == '{"user": "v", "ports": [1, null]}\n'
    assert run(document, "keys").ok().out.split() == ["A", "B", "C", "tree"]
    assert len(json.loads(run(document, "history", "A", "-f", "json").ok().out)) == 4
    run(document, "delete", "B", "--yes").ok()
    assert run(document, "keys").ok().out.split() == ["A", "C", "tree"]
    assert f"B is not in {PLACE}" in run(document, "get", "B").failed()


@pytest.mark.parametrize("there", ["credstash", "secretsmanager"])
def test_moving_from_records_to_a_document_and_back(url, run, aws, there):
    """``getall`` and ``putall`` between two URLs, trees and all; the records stay until deleted.

    In the same table the document is a record too, so ``getall`` comes before ``setup``.
    """
    target = f"{url}&document=notes" if there == "credstash" else "secretsmanager:///notes"
    run(url, "putall", "-", stdin=json.dumps(VALUES)).ok()
    moved = run(url, "getall").ok().out
    run(target, "setup").ok()
    run(target, "putall", "-", stdin=moved).ok()
    assert json.loads(run(target, "getall").ok().out) == VALUES
    with aws.counted() as requests:
        secrets = load(f"{target}{'&' if '?' in target else '?'}names=A,B,tree")
        assert secrets["A"] == VALUES["A"]
    assert sum(requests.values()) <= 2
    whole = json.loads(run(url, "getall").ok().out)
    assert whole == VALUES | ({"notes": VALUES} if there == "credstash" else {})
    back = f"{url}&prefix=back/"
    run(back, "putall", "-", stdin=run(target, "getall").ok().out).ok()
    assert json.loads(run(back, "getall").ok().out) == VALUES


def test_reencrypt(document, run):
    """The document is one thing to re-encrypt, and its old versions can be deleted."""
    done = run(document, "reencrypt", "--context", "env=live", "--dry-run").ok()
    assert done.err.startswith(f"~ notes\n{PLACE}: 1 secret would be worked on\n")
    done = run(document, "reencrypt", "--context", "env=live", "--prune", "--yes").ok()
    assert f"{PLACE}: 1 re-encrypted, 0 were already\n" in done.err
    assert json.loads(run(f"{document}&context.env=live", "getall").ok().out) == VALUES
    error = run(document, "reencrypt", "A", "--context", "env=x").failed()
    assert "a document is re-encrypted whole" in error


class TestDoctor:
    @staticmethod
    def rows(document):
        done = inside("module", document, ["doctor", "-f", "json"])
        assert MARK not in done.words
        return {row["check"]: row for row in json.loads(done.out)}

    def states(self, document, state):
        return [name for name, row in self.rows(document).items() if row["state"] == state]

    def test_all_is_well(self, document):
        for target in (document, f"{document}&names=A,B"):
            rows = self.rows(target)
            assert {row["state"] for row in rows.values()} == {"ok"}
        assert list(rows)[6:-1] == [
            "table",
            "key",
            "query",
            "document",
            "decrypt",
            "context",
            "fetch",
            "names",
            "pending",
            "versions",
        ]
        assert rows["document"]["found"] == f"{PLACE} is there"
        assert rows["fetch"]["found"] == "the settings can read 2 secrets"
        assert rows["names"]["found"] == "all 2 NAMES are there"

    def test_missing_names(self, document):
        assert self.states(f"{document}&names=A,C", "error") == ["names"]

    def test_no_document(self, url):
        """A wrong name of it is not an empty document."""
        rows = self.rows(f"{url}&document=other")
        assert rows["document"]["state"] == "error"
        assert "`secrets setup` creates it" in rows["document"]["mend"]

    def test_no_json(self, document, url, run):
        run(url, "put", "notes", "-", stdin=MARK).ok()
        assert self.states(document, "error") == ["fetch"]

    def test_another_context(self, document):
        assert self.states(f"{document}&context.env=live", "error") == ["context"]

    def test_denied(self, document, aws):
        """A reader needs Query and Decrypt, and each has its line."""
        aws.faults.append(denied("DescribeTable", "DescribeKey"))
        assert self.states(document, "skipped") == ["table", "key"]
        aws.faults.append(denied("Decrypt"))
        assert self.states(document, "error") == ["decrypt"]
        aws.faults.append(denied("Query"))
        assert self.states(document, "error") == ["query"]

    def test_pending(self, document, url, run):
        """A name's pending value, and a whole document that was staged as one record."""
        run(document, "rotate", "B", "--stage", "--length", "40").ok()
        assert self.rows(document)["pending"]["found"] == "a value is pending: B"
        run(url, "rotate", "notes", "--stage", "--value", "-", stdin='{"A": "x"}').ok()
        row = self.rows(document)["pending"]
        assert row["state"] == "warning"
        assert row["found"] == f"the whole of {PLACE} is pending"


class TestAudit:
    @pytest.fixture(autouse=True)
    def _reads(self, document, monkeypatch):
        monkeypatch.setattr("django_kms_secrets.recording.recordings", [])
        monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
        secrets = load(document)
        secrets["A"], secrets["C"]

    @staticmethod
    def found(*words, code=1):
        done = inside("module", "", ["audit", "-f", "json", *words])
        assert done.code == code
        return [(row["finding"], row["name"]) for row in json.loads(done.out)]

    def test_names(self):
        assert self.found() == [("missing", "C"), ("unused", "B"), ("unused", "tree")]

    def test_another_document_of_the_table(self, url):
        """What is read of one document is not read of another, though the table is the same."""
        with read_config(f"{url}&document=other").make_store() as store:
            store.setup()
            store.put("A", MARK)
        load(f"{url}&document=other")
        assert ("unused", "A") in self.found()

    def test_ages(self):
        """The format has no dates, and numbers belong to the whole document."""
        kinds = self.found("--max-age", "1", "--skip", "missing", "--skip", "unused", code=0)
        assert kinds == [("unknown-age", "A")]


class TestPolicy:
    ACCOUNT = "123456789012"
    KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    URL = f"credstash://?region_name={REGION}&document=notes/live"

    def statements(self, role, target=URL):
        words = ["policy", role, "--account", self.ACCOUNT, "--key-arn", self.KEY]
        return json.loads(inside("module", target, words).ok().out)["Statement"]

    @pytest.mark.parametrize("names", ["", "&names=A,B"])
    def test_reader(self, names):
        """Query on this one name, and Decrypt; whatever NAMES say, and never a Scan."""
        assert self.statements("reader", self.URL + names) == [
            {
                "Sid": "Items",
                "Effect": "Allow",
                "Action": ["dynamodb:Query"],
                "Resource": [f"arn:aws:dynamodb:{REGION}:{self.ACCOUNT}:table/credential-store"],
                "Condition": {
                    "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["notes/live"]}
                },
            },
            {
                "Sid": "Records",
                "Effect": "Allow",
                "Action": ["kms:Decrypt"],
                "Resource": [self.KEY],
                "Condition": {"Null": {"kms:EncryptionContextKeys": "true"}},
            },
        ]

    def test_nobody_lists_the_table(self):
        """The names are in the document; who looks after it needs no other item either."""
        for role in ("reader", "writer", "rotator", "admin"):
            items, *others = self.statements(role)
            condition = items["Condition"]["ForAllValues:StringEquals"]
            assert condition == {"dynamodb:LeadingKeys": ["notes/live"]}
            assert "dynamodb:Scan" not in json.dumps([items, *others])

    def test_bound(self):
        """The key is for records of this name only."""
        (_, records) = self.statements("reader", f"{self.URL}&bind_to_name=true")
        assert records["Condition"]["StringEquals"] == {
            "kms:EncryptionContext:name": ["notes/live"]
        }


@pytest.mark.parametrize(
    "tree, differs",
    [
        ({"password": "other"}, True),
        ({"user": "u"}, True),
        ({"password": f"{MARK} leaf"}, False),
        ("text", False),
    ],
)
@pytest.mark.parametrize("turn", [1, -1])
def test_a_tree_and_its_leaf_with_two_values_are_not_written(
    document, url, run, tree, differs, turn
):
    """One of them would be lost, and every later run would write it again. Records have both."""
    pairs = [("database", tree), ("database.password", f"{MARK} leaf")]
    text = json.dumps(dict(pairs[::turn]))
    before = run(document, "getall").ok().out
    if differs:
        message = run(document, "putall", "-", stdin=text).failed()
        assert "twice, with different values: database.password and the tree database;" in message
        assert MARK not in message
        assert run(document, "getall").ok().out == before
    else:
        run(document, "putall", "-", stdin=text).ok()
        done = run(document, "putall", "-", stdin=text).ok()
        assert "0 added, 0 changed, 2 unchanged" in done.err
    run(url, "putall", "-", stdin=text).ok()
    assert "2 unchanged" in run(url, "putall", "-", stdin=text).ok().err
