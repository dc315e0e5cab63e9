"""`secrets audit`: what settings read, held against what is stored; names, and never a value."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from django_kms_secrets import load
from django_kms_secrets.config import read_config

from .conftest import MARK, denied
from .doors import inside

FINDINGS = {"missing", "unused", "never-rotated", "too-old"}
DOCUMENT = "secretsmanager:///notes"
NAMES = "secretsmanager://?prefix=notes/"


@pytest.fixture
def settings(monkeypatch):
    """A function that imports settings as the command does: with a function on their `Secrets`."""

    def read(source, how=lambda secrets: None):
        with monkeypatch.context() as patch:
            patch.setenv("KMS_SECRETS_OFFLINE", "1")
            how(load(source) if isinstance(source, str) else source())

    return read


@pytest.fixture
def file(file_url):
    """A URL of a file with A, B and a tree, and some names that are fetched of it."""
    return lambda *names: f"{file_url}?names={','.join(names)}" if names else file_url


@pytest.fixture
def twice():
    """A function that puts names into a store, each with two values."""

    def put(url, *names):
        with read_config(url).make_store() as store:
            if hasattr(store, "setup_key"):
                store.setup_key()
            store.setup()
            for value in (f"{MARK}-1", f"{MARK}-2"):
                store.put_many(dict.fromkeys(names, value))

    return put


def audit(*args, url="", code=None):
    """The findings: (finding, name) pairs, and the rows."""
    done = inside("module", url, ["audit", "-f", "json", *args])
    assert MARK not in done.words
    assert "Traceback" not in done.words
    rows = json.loads(done.out)
    found = [(row["finding"], row["name"]) for row in rows]
    assert done.code == int(bool(FINDINGS.intersection(finding for finding, _ in found))), done.err
    assert all(row["mend"] for row in rows if row["finding"] in FINDINGS)
    assert "what is read at run time is not seen" in done.err
    return found, rows


@pytest.mark.parametrize("url", [DOCUMENT, "credstash://?document=notes"])
def test_a_leaf_that_is_fetched_of_a_document(settings, aws, url):
    """NAMES may list a leaf of a document: it is not missing, nor is its tree unused."""
    with read_config(url).make_store() as store:
        if hasattr(store, "setup_key"):
            store.setup_key()
        store.setup()
        store.put_many({"tree": f'{{"inner": "{MARK}"}}', "other": MARK})
    names = f"{url}{'&' if '?' in url else '?'}names=tree.inner"
    settings(names, lambda secrets: (secrets["tree.inner"], secrets["tree.another"]))
    found, _ = audit("--skip", "never-rotated")
    assert found == [("missing", "tree.another"), ("unused", "other")]


class TestNames:
    def test_clean(self, settings, file):
        """All that is read is there, and all that is there is read."""
        settings(file(), lambda secrets: (secrets["A"], secrets.env("B"), secrets.json("tree")))
        assert audit()[0] == []

    def test_missing(self, settings, file):
        """What is read without a default and not stored is missing, whatever reads it."""
        settings(file("A", "B", "C", "D"), lambda s: (s["A"], s["B"], s["C"], s.env.db("D")))
        found, rows = audit("--ignore", "tree")
        assert found == [("missing", "C"), ("missing", "D")]
        assert rows[0]["mend"].startswith("to write it: `secrets put C --url URL`, with the URL of")
        assert rows[0]["found"].startswith("not in file ")

    def test_default(self, settings, file):
        """With a default it is worth a note, and nothing is wrong."""
        settings(file("A", "C"), lambda s: (s["A"], s.get("C", ""), s.fallbacks("A")))
        assert audit("--skip", "unused")[0] == [("default", "C")]

    def test_not_among_names(self, settings, file):
        """What NAMES leave out is not fetched, so it is missing though it is stored."""
        settings(file("A"), lambda s: (s["A"], s["B"]))
        found, rows = audit("--ignore", "tree")
        assert found == [("missing", "B")]  # and not unused: it is read
        assert rows[0]["mend"] == 'add "B" to NAMES'

    def test_what_env_reads_is_read(self, settings, file, monkeypatch):
        """A variable that the store has too is no name that nobody reads."""
        monkeypatch.setenv("B", "here")
        settings(file("A"), lambda s: (s["A"], s.env("B")))
        assert audit("--ignore", "tree")[0] == []

    def test_what_another_store_is_asked_for(self, settings, file, tmp_path):
        """A name that is read of one store is still unused in another."""
        other = tmp_path / "other.json"
        other.write_text('{"A": "1"}')
        settings(file(), lambda s: (s["A"], s["B"], s["tree"]))
        settings(f"file://{other}", lambda s: None)
        assert audit()[0] == [("unused", "A")]

    def test_variables_of_the_environment(self, settings, file, monkeypatch):
        """What `env` reads is no secret if NAMES leave it out, or if the environment has it."""
        monkeypatch.setenv("HOSTS", "here")
        settings(
            file("A"), lambda s: (s["A"], s.env("HOSTS"), s.env("PORT"), s.env("X", default=""))
        )
        settings(file(), lambda s: (s["B"], s["tree"], s.env("HOSTS")))
        assert audit()[0] == []

    def test_env_where_everything_is_fetched(self, settings, file):
        """Without NAMES a name that `env` reads may be a secret."""
        settings(file(), lambda s: (s["A"], s["B"], s["tree"], s.env("C"), s.env("D", default="")))
        assert audit()[0] == [("missing", "C"), ("default", "D")]

    def test_unused(self, settings, file):
        """What is stored, and what NAMES list, is unused if nothing reads it."""
        settings(file("A", "B", "C"), lambda s: s["A"])
        found, rows = audit()
        assert found == [("unused", name) for name in ("B", "C", "tree")]
        mends = {row["name"]: row["mend"] for row in rows}
        assert mends["C"] == "take it out of NAMES"
        assert mends["B"].startswith("--ignore it if something else reads it; if nothing does, ")

    def test_commands_act_on_the_store_that_they_are_about(self, settings, file, tmp_path):
        """A command stands alone only where the verbs act on that store; else it has --url."""
        other = tmp_path / "other.json"
        other.write_text('{"OLD": "1"}')
        layered = lambda: load(f"file://{other}") | load(file())  # noqa: E731
        settings(layered, lambda s: (s["B"], s["tree"], s["NONE"]))
        mends = {row["name"]: row["mend"] for row in audit(url=file())[1]}
        assert mends["NONE"] == "to write it: `secrets put NONE`"
        assert mends["A"].endswith(", `secrets delete A`")
        elsewhere = f"`secrets delete OLD --url URL`, with the URL of file {other}"
        assert mends["OLD"].endswith(f", {elsewhere}")
        assert all("--url URL`" in row["mend"] for row in audit(url="")[1])

    def test_commands_after_url(self, settings, file):
        """What was compared by --url takes --url to be changed."""
        settings(file(), lambda s: (s["A"], s["B"], s["tree"], s["C"]))
        (row,) = audit("--url", file(), url="file://another.env")[1]
        assert "`secrets put C --url URL`" in row["mend"]

    def test_dotted_names(self, settings, file):
        """A dotted name uses the tree that it reaches into."""
        settings(file("A", "B", "tree"), lambda s: (s["A"], s["B"], s["tree.inner.leaf"]))
        assert audit()[0] == []

    @pytest.mark.parametrize("names", [(), ("A", "B", "tree", "site")])
    def test_a_tree_that_is_missing(self, settings, file, names):
        """It is missing once, whatever reaches into it."""
        read = lambda s: (s["A"], s["B"], s["tree"], s["site.x"], s.json("site"), s.get("site.y"))  # noqa: E731
        settings(file(*names), read)
        assert audit()[0] == [("missing", "site")]

    def test_a_leaf_that_is_needed_of_a_tree_that_is_not(self, settings, file):
        """A default for the tree is none for its leaf."""
        settings(file(), lambda s: (s["A"], s["B"], s["tree"], s.get("site"), s["site.x"]))
        assert audit()[0] == [("missing", "site.x"), ("default", "site")]

    @pytest.mark.parametrize("how", [dict, lambda secrets: secrets.database()])
    def test_whole(self, settings, file, how):
        """Who goes through all names uses them all."""
        settings(file("A", "B", "tree"), how)
        assert audit()[0] == []

    def test_layers(self, settings, file, tmp_path):
        """A name of either layer is there; each store is looked through for what nobody reads."""
        other = tmp_path / "other.json"
        other.write_text('{"A": "1", "OWN": "2", "OLD": "3"}')
        layered = lambda: load(file()) | load(f"file://{other}")  # noqa: E731
        settings(layered, lambda s: (s["A"], s["B"], s["OWN"], s["tree"], s["NONE"]))
        found, rows = audit()
        assert found == [("missing", "NONE"), ("unused", "OLD")]
        assert rows[0]["found"] == f"not in {load(file()).place} | file {other}"

    @pytest.mark.parametrize(
        "both", [("credstash://t", "credstash://t?prefix=notes/"), (NAMES, f"{NAMES}own/")]
    )
    def test_a_prefix_within_another(self, aws, settings, twice, both):
        """A layer may be a part of the one below it: what is read of either is read."""
        outer, inner = both
        twice(outer, "SHARED")
        twice(inner, "KEY", "OLD")
        settings(lambda: load(outer) | load(inner), lambda s: (s["SHARED"], s["KEY"]))
        found, rows = audit()
        assert found == [("unused", "OLD")]
        assert inner.partition("prefix=")[2] in rows[0]["found"]

    def test_a_name_read_through_either_prefix(self, aws, settings, twice):
        """One secret has two names where one prefix begins with the other."""
        outer, inner = "credstash://t", "credstash://t?prefix=notes/"
        twice(inner, "KEY")
        settings(lambda: load(outer) | load(inner), lambda s: s["notes/KEY"])
        assert audit()[0] == []

    def test_two_of_one_store(self, settings, file):
        """What one `Secrets` leaves, another one may read."""
        settings(file("A"), lambda s: s["A"])
        settings(file("B", "tree"), lambda s: (s["B"], s["tree"]))
        assert audit()[0] == []

    def test_url(self, settings, file):
        """``--url`` takes the place of what the settings would read, even if that is nothing."""
        settings(lambda: load(), lambda s: (s["A"], s["B"], s["tree"], s["C"]))
        assert audit("--url", file())[0] == [("missing", "C")]

    def test_ignore_and_skip(self, settings, file):
        """``--ignore`` leaves out names, ``--skip`` a kind of finding; both as often as needed."""
        settings(file(), lambda s: (s["C1"], s["C2"], s["D"]))
        assert audit("--ignore", "C*", "--ignore", "D", "--skip", "unused")[0] == []
        assert audit("--skip", "missing", "--ignore", "[AB]")[0] == [("unused", "tree")]


class TestAges:
    def test_credstash(self, settings, url, twice, fill):
        """A table counts versions, and has no dates: that is said, and is no finding."""
        twice(url, "A", "RETIRED")
        with read_config(url).make_store() as store:
            store.retire("RETIRED")
        fill({"B": MARK})
        settings(url, lambda s: (s["A"], s["B"], s["RETIRED"]))
        assert audit()[0] == [("never-rotated", "B")]
        assert audit("--max-age", "1")[0] == [
            ("never-rotated", "B"),
            *(("unknown-age", name) for name in ("A", "B", "RETIRED")),
        ]

    def test_pending_is_not_rotated(self, settings, url, fill):
        """A value that is pending was never in force."""
        fill({"A": MARK})
        with read_config(url).make_store() as store:
            store.stage("A", MARK)
        settings(url, lambda s: s["A"])
        assert audit()[0] == [("never-rotated", "A")]

    def test_names(self, settings, aws, twice):
        """A secret per name knows both; what is young need not have been rotated."""
        twice(NAMES, "A")
        with read_config(NAMES).make_store() as store:
            store.put("B", MARK)
        settings(NAMES, lambda s: (s["A"], s["B"]))
        assert audit()[0] == [("never-rotated", "B")]
        assert audit("--max-age", "1")[0] == []
        _answers(aws, "ListSecretVersionIds", Versions=[_version(40, "AWSCURRENT")])
        assert audit("--max-age", "41")[0] == []
        found, rows = audit("--max-age", "39")
        assert found == [("too-old", "A"), ("too-old", "B")]
        assert rows[0]["found"] == "written 40 days ago"

    def test_names_after_a_rollback(self, settings, aws, twice):
        """The value counts that is in force, not what was written last."""
        twice(NAMES, "A")
        settings(NAMES, lambda s: s["A"])
        versions = [_version(40, "AWSCURRENT"), _version(20, "AWSPREVIOUS")]
        _answers(aws, "ListSecretVersionIds", Versions=versions)
        assert audit("--max-age", "30")[0] == [("too-old", "A")]

    def test_names_with_retired_versions(self, settings, aws, twice):
        """A version that lost its stage was in force; one that is pending never was."""
        twice(NAMES, "A")
        settings(NAMES, lambda s: s["A"])
        current = _version(40, "AWSCURRENT")
        _answers(aws, "ListSecretVersionIds", Versions=[_version(50), current])
        assert audit()[0] == []
        aws.faults.clear()
        _answers(aws, "ListSecretVersionIds", Versions=[current, _version(1, "AWSPENDING")])
        assert audit()[0] == [("never-rotated", "A")]

    def test_document(self, settings, aws, twice):
        """A document has one date for all: old if that is old, unknown otherwise."""
        twice(DOCUMENT, "A", "B")
        settings(DOCUMENT, lambda s: (s["A"], s["B"]))
        assert audit()[0] == []
        assert audit("--max-age", "1")[0] == [("unknown-age", "A"), ("unknown-age", "B")]
        values = json.dumps({"A": MARK, "B": MARK})
        reply = {
            "ARN": "arn",
            "Name": "notes",
            "SecretString": values,
            **_version(40, "AWSCURRENT"),
        }
        _answers(aws, "GetSecretValue", **reply)
        found, rows = audit("--max-age", "30")
        assert found == [("too-old", "A"), ("too-old", "B")]
        assert rows[0]["found"] == "written 40 days ago or earlier"

    def test_file(self, settings, file):
        """A file keeps nothing but values."""
        settings(file(), lambda s: (s["A"], s["B"], s["tree"]))
        assert audit()[0] == []
        assert audit("--max-age", "1", "--ignore", "[!A]*")[0] == [("unknown-age", "A")]


def _version(days, *labels):
    """A version as the service describes it, written so many days ago."""
    written = datetime.now(timezone.utc) - timedelta(days=days)
    stages = list(labels)
    return {"VersionId": f"{days:036}", "CreatedDate": written.timestamp(), "VersionStages": stages}


def _answers(aws, operation, **reply):
    """Let AWS give this answer to an operation: the embedded one keeps no dates."""
    aws.faults.append(lambda asked, _: (200, reply) if asked == operation else None)


class TestCommand:
    def test_reads_no_value(self, settings, url, aws, fill):
        """One Scan, and no value: whoever may not decrypt can audit."""
        fill({"A": MARK})
        settings(url, lambda s: s["A"])
        aws.faults.append(denied("Decrypt", "Query"))
        with aws.counted() as sent:
            audit("--max-age", "1")
        assert sent == {"dynamodb.Scan": 1}

    def test_text(self, settings, file):
        """In a pipe it is separated by tabs; the words are on stderr."""
        settings(file("A"), lambda s: (s["A"], s["C"]))
        done = inside("module", "", ["audit", "--skip", "unused"])
        place = load(file()).place
        assert done.code == 1
        assert (
            done.out
            == f'missing\tC\tnot among NAMES, so not fetched from {place}\tadd "C" to NAMES\n'
        )
        assert (
            done.err
            == f"the settings read 2 names of {place}; what is read at run time is not seen\n"
        )

    @pytest.mark.parametrize("door", ["module", "manage", "call"])
    def test_without_settings(self, door, file):
        """Where no settings were imported offline there is nothing to compare, and it says so."""
        error = inside(door, file(), ["audit"]).failed()
        assert "no settings were imported in offline mode" in error
        assert "`python manage.py secrets audit`" in error

    def test_no_store(self, settings, file):
        """A store that cannot be asked, or that is none, is an error and no finding."""
        settings("file://nowhere.json", lambda s: s["A"])
        assert "there is no file nowhere.json" in inside("module", "", ["audit"]).failed()

    def test_no_configuration(self, settings):
        """What load() would refuse, the audit refuses as well."""
        settings("http://nowhere", lambda s: s["A"])
        assert "not the URL of a store" in inside("module", "", ["audit"]).failed()

    @pytest.mark.parametrize(
        "args", [["--max-age", "-1"], ["--max-age", "x"], ["--max-age", "9" * 12], ["--skip", "x"]]
    )
    def test_usage(self, settings, file, args):
        """A number of days is one, and a finding is one of those there are."""
        settings(file(), lambda s: s["A"])
        assert args[0] in inside("module", "", ["audit", *args]).refused()
