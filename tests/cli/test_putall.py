"""`putall`: a file into the store, checked whole before the first write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from django_kms_secrets.config import read_config
from tests.server.embedded import REGION

from .conftest import MARK, denied

PLACE = f"CredStash table credential-store in {REGION}"
WRITES = {"dynamodb.PutItem", "dynamodb.TransactWriteItems", "dynamodb.DeleteItem"}


def versions(url: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with read_config(url).make_store() as store:
        for entry in store.list_secrets():
            found.setdefault(entry.name, []).append(entry.version.lstrip("0"))
    return found


class TestWhereItReadsFrom:
    @pytest.mark.parametrize("verb", ["putall", "push"])
    @pytest.mark.parametrize("at", ["", "@"])
    @pytest.mark.parametrize(
        "name, text",
        [
            ("s.json", '{"A": "1", "tree": {"x": [1, null]}}'),
            ("s.yaml", "A: '1'\ntree:\n  x: [1, null]\n"),
            ("prod.env", "A=1\ntree='{\"x\": [1, null]}'\n"),
            (".env.prod", '# all of them\nexport A="1"\ntree=\'{"x": [1, null]}\'\n'),
        ],
    )
    def test_file(self, secrets, stored, tmp_path, verb, at, name, text):
        """FILE and credstash's @FILE are the same; the name says the format."""
        path = tmp_path / name
        path.write_text(text)
        done = secrets(verb, f"{at}{path}").ok()
        assert done.out == ""
        assert stored() == {"A": "1", "tree": '{"x": [1, null]}'}

    def test_home(self, secrets, stored, tmp_path):
        """``~`` is the home directory."""
        (tmp_path / "home" / "s.json").write_text('{"A": "1"}')
        secrets("putall", "~/s.json").ok()
        secrets("putall", "@~/s.json").ok()
        assert stored() == {"A": "1"}

    @pytest.mark.parametrize(
        "text, options",
        [
            ('  {"A": "1"}', []),
            ("A=1", []),
            ("A: '1'", ["--input-format", "yaml"]),
            ("# {\nA=1", ["--input-format", "dotenv"]),
        ],
    )
    def test_stdin(self, secrets, stored, text, options):
        """``-`` is stdin: JSON or dotenv by its first character, or what --input-format says."""
        secrets("putall", "-", *options, stdin=text).ok()
        assert stored() == {"A": "1"}

    def test_argument(self, secrets, stored):
        """Literal JSON works, as in credstash, with a warning."""
        done = secrets("putall", json.dumps({"A": MARK})).ok()
        assert done.err.startswith("warning: the values were on the command line")
        assert MARK not in done.words
        assert stored() == {"A": MARK}

    def test_unknown_format(self, secrets, stored, tmp_path):
        """A name that says no format is an error that says what to do; --input-format helps."""
        path = tmp_path / "secrets.txt"
        path.write_text("A=1")
        assert "--input-format where it is read" in secrets("putall", str(path)).failed()
        assert stored() == {}
        secrets("putall", str(path), "--input-format", "dotenv").ok()
        assert stored() == {"A": "1"}

    def test_context_key_and_digest(self, secrets):
        """``-k``, ``-d`` and the context are those of every record."""
        secrets(
            "putall", "-", "env=prod", "-d", "SHA512", "-k", "alias/credstash", stdin="A=1"
        ).ok()
        assert secrets("get", "A", "env=prod").ok().out == "1\n"
        assert secrets("get", "A").code == 1
        assert "alias/none" in secrets("putall", "-", "-k", "alias/none", stdin="B=1").failed()


class TestRefusals:
    """What is wrong with a file is found before the first write, and all of it is named."""

    @pytest.mark.parametrize(
        "text, message",
        [
            (
                '{"ok": "hidden-marker", "N": 1, "B": true, "Z": null, "F": 1.5}',
                "these values are not text: B is true or false, F is a number, N is a number, "
                "Z is null",
            ),
            ('{"A": "x", "B": "y", "A": "hidden-marker"}', "more than once: A"),
            ("A=x\nB=y\nA=hidden-marker\n", "A stands more than once: on lines 1 and 3"),
            ('["hidden-marker"]', "line 1 is no NAME=value"),  # no JSON object, so dotenv
            ('{"A": "hidden-marker"', "not valid JSON (line 1, column"),
            ('{"A": NaN}', "NaN is not JSON"),
            ("hidden-marker", "line 1 is no NAME=value"),
            ("A='hidden-marker", "line 1: the quotes around the value of A are not closed"),
            ('{"A": "hidden-marker", "": "x"}', "'' is not a name for a secret"),
            ('{"A": "hidden-marker", "B\\n": "x"}', r"'B\n' is not a name for a secret"),
            ('{"A": "hidden-marker", "B": "\\ud800"}', "not valid"),
            ("", "there are no secrets in what was read"),
            ("{}", "there are no secrets in what was read"),
            ("# only a comment\n", "there are no secrets in what was read"),
        ],
    )
    def test_nothing_is_written(self, secrets, aws, text, message):
        """The error names the secret or the line, never a value; nothing was sent."""
        with aws.counted() as sent:
            error = secrets("putall", "-", stdin=text).failed()
        assert message in error
        assert MARK not in error
        assert not sent

    def test_list_in_a_file(self, secrets, tmp_path):
        """A JSON file has to be a mapping."""
        path = tmp_path / "s.json"
        path.write_text(f'["{MARK}"]')
        error = secrets("putall", str(path)).failed()
        assert "the JSON is not a mapping of names to values" in error
        assert MARK not in error

    def test_one_too_large(self, secrets, stored):
        """One value that cannot be stored: none is."""
        text = json.dumps({"A": "x", "B": "y" * 400_000})
        assert "B makes an item of" in secrets("putall", "-", stdin=text).failed()
        assert stored() == {}

    def test_a_name_with_a_dot_reaches_into_nothing(self, secrets, file_url):
        """Where it is stored as such, what it begins with is a name like others, and is pruned."""
        secrets("putall", "-", url=file_url, stdin="app=1\napp.key=2\n").ok()
        secrets("putall", "-", "--prune", "--yes", url=file_url, stdin="app.key=2\n").ok()
        assert secrets("keys", url=file_url).ok().out.split() == ["app.key"]

    def test_empty_input_prunes_nothing(self, secrets, stored):
        """``broken-command | putall - --prune --yes`` does not empty the store."""
        secrets("putall", "-", stdin="A=1").ok()
        secrets("putall", "-", "--prune", "--yes", stdin="").failed()
        assert stored() == {"A": "1"}


class TestWhatItWrites:
    def test_only_what_changed(self, secrets, url, stored):
        """Unchanged values get no new version; the words say what happened to which name."""
        secrets("putall", "-", stdin="A=1\nB=2\nC=3").ok()
        done = secrets("putall", "-", stdin="D=4\nC=3\nB=changed\nA=1").ok()
        assert done.err == f"+ D\n~ B\n{PLACE}: 1 added, 1 changed, 2 unchanged, 0 deleted\n"
        assert versions(url) == {"A": ["1"], "B": ["1", "2"], "C": ["1"], "D": ["1"]}
        assert stored() == {"A": "1", "B": "changed", "C": "3", "D": "4"}

    def test_it_is_the_newest(self, secrets, stored):
        """What is reported as stored is what a read gives (credstash's putall writes version 0)."""
        secrets("put", "A", "-", "-v", "5", stdin="old").ok()
        secrets("putall", "-", stdin="A=new").ok()
        assert stored() == {"A": "new"}

    def test_nothing_to_do(self, secrets, aws):
        """A file that is stored already writes nothing."""
        secrets("putall", "-", stdin="A=1").ok()
        with aws.counted() as sent:
            done = secrets("putall", "-", stdin="A=1").ok()
        assert done.err == f"{PLACE}: 0 added, 0 changed, 1 unchanged, 0 deleted\n"
        assert not WRITES & set(sent)

    @pytest.mark.parametrize(
        ("store", "name", "value", "refused"),
        [
            ("secretsmanager://?prefix=n/", "EMPTY", "", "EMPTY would be empty"),
            ("secretsmanager:///d?timeout=9", "django-kms-secrets", "x", "previous values"),
            ("credstash://?document=d", "django-kms-secrets.x", "x", "previous values"),
            ("file://x.env", "b c", "x", "no way to write the name 'b c'"),
        ],
    )
    def test_a_dry_run_refuses_what_the_store_cannot_hold(
        self, secrets, aws, store, name, value, refused
    ):
        """It does not promise what putall would refuse, and sends nothing."""
        where = store if store.startswith("file") else f"{store}&region_name={REGION}"
        text = json.dumps({"A": MARK, name: value})
        done = secrets("putall", "-", "--dry-run", stdin=text, url=where)
        assert done.code == 2
        assert refused in done.err
        assert not aws.requests

    def test_dry_run(self, secrets, aws, stored):
        """``--dry-run`` shows the differences and writes nothing, not even with --prune --yes."""
        secrets("putall", "-", stdin="A=1\nB=2\nC=3").ok()
        for options, rest in (([], "only-stored"), (["--prune", "--yes"], "removed")):
            with aws.counted() as sent:
                done = secrets("putall", "-", "--dry-run", *options, stdin=f"A=1\nB={MARK}\nD=4")
            assert done.code == 1
            assert [line.split("\t")[:2] for line in done.out.splitlines()] == [
                ["same", "A"],
                ["changed", "B"],
                ["added", "D"],
                [rest, "C"],
            ]
            assert done.err == "nothing was written: --dry-run\n"
            assert MARK not in done.words
            assert not WRITES & set(sent)
            assert "trentservice.GenerateDataKey" not in sent
        assert stored() == {"A": "1", "B": "2", "C": "3"}

    @pytest.mark.parametrize(
        "text, code", [("A=1", 0), ("A=2", 1), ("A=1\nB=2", 1), ("A", 2), ("", 2)]
    )
    def test_exit_code_of_a_dry_run(self, secrets, text, code):
        """It is diff's: 0 if all is the same, 1 if not, 2 if that could not be told."""
        secrets("putall", "-", stdin="A=1").ok()
        assert secrets("putall", "-", "--dry-run", stdin=text).code == code
        assert secrets("putall", "-", stdin=text).code == (code == 2)

    def test_trees(self, secrets, aws):
        """A tree is its JSON text in CredStash, and a tree in a document; both come back as one."""
        text = '{"db": {"user": "u", "ports": [1, 2], "on": true}}'
        document = f"secretsmanager:///notes?region_name={REGION}"
        secrets("setup", url=document).ok()
        for store in ({}, {"url": document}):
            secrets("putall", "-", stdin=text, **store).ok()
            assert json.loads(secrets("getall", **store).ok().out) == json.loads(text)
            assert secrets("get", "db.ports", **store).ok().out == "[1, 2]\n"


class TestSomebodyElse:
    @pytest.mark.parametrize("change", ["changed", "deleted", "added"])
    @pytest.mark.parametrize("prefix", [False, True], ids=["credstash", "secretsmanager"])
    def test_what_was_written_since_the_comparison_is_not_overwritten(
        self, secrets, aws, url, prefix, change
    ):
        """Two putalls at once are one after the other, or one of them is told."""
        url = f"secretsmanager://?prefix=n/&region_name={REGION}" if prefix else url
        secrets("putall", "-", stdin="A=1\nGONE=1", url=url).ok()
        name = {"changed": "A", "deleted": "GONE", "added": "NEW"}[change]
        # BatchGetSecretValue; Query; Query and Decrypt.
        comparison = [object()] * (1 if prefix or change == "added" else 2)

        def meanwhile(*_: object) -> None:
            if comparison:
                comparison.pop()
            else:
                aws.faults.clear()
                with read_config(url).make_store() as other:
                    other.delete(name) if change == "deleted" else other.put(name, "theirs")

        aws.faults.append(meanwhile)
        error = secrets("putall", "-", stdin=f"{name}=ours", url=url).failed()
        assert name in error
        assert "somebody else" in error
        with read_config(url).make_store() as store:
            found = store.get_many([name])
        assert {name: secret.value for name, secret in found.items()} == (
            {} if change == "deleted" else {name: "theirs"}
        )


class TestPrune:
    @pytest.fixture(autouse=True)
    def _fill(self, fill):
        fill({"A": "1", "B": "2", "other/C": "3", "app/D": "4", "app/E": "5"})

    def test_needs_a_yes(self, secrets, stored):
        """Without a terminal and without --yes nothing is deleted, and nothing written either."""
        error = secrets("putall", "-", "--prune", stdin="A=new\n").failed()
        assert "not done without a yes: delete B, app/D, app/E, other/C from" in error
        assert "add --yes" in error
        assert stored()["A"] == "1"
        assert len(stored()) == 5

    def test_yes(self, secrets, stored):
        """With --yes what the file does not have goes, after the rest was written."""
        done = secrets("putall", "-", "--prune", "--yes", stdin="A=new\nB=2").ok()
        assert done.err.startswith("~ A\n- app/D\n- app/E\n- other/C\n")
        assert stored() == {"A": "new", "B": "2"}

    def test_nothing_to_delete(self, secrets, stored):
        """Where nothing has to go, nothing is asked."""
        text = json.dumps({"A": "1", "B": "2", "other/C": "3", "app/D": "4", "app/E": "5"})
        secrets("putall", "-", "--prune", stdin=text).ok()
        assert len(stored()) == 5

    def test_only_under_the_prefix(self, secrets, url, stored):
        """One table for several projects: --prune sees only the names under its own prefix."""
        done = secrets(
            "putall", "-", "--prune", "--yes", stdin="D=4", url=f"{url}&prefix=app/"
        ).ok()
        assert done.err.startswith("- E\n")
        assert stored() == {"A": "1", "B": "2", "other/C": "3", "app/D": "4"}

    def test_only_under_the_prefix_in_secrets_manager(self, secrets, aws):
        """The same for secrets by name, where the service matches prefixes by its own rules."""
        app = f"secretsmanager://?region_name={REGION}&prefix=app/"
        whole = f"secretsmanager://?region_name={REGION}&prefix="
        secrets("putall", "-", stdin="app/D=1\napp/E=2\nAPP/F=3\nother=4", url=whole).ok()
        secrets("putall", "-", "--prune", "--yes", stdin="D=1", url=app).ok()
        assert secrets("keys", url=whole).ok().out.split() == ["APP/F", "app/D", "other"]

    @pytest.mark.parametrize(
        "document, write",
        [
            (f"credstash://?region_name={REGION}&document=notes", "dynamodb.PutItem"),
            (f"secretsmanager:///notes?region_name={REGION}", "secretsmanager.PutSecretValue"),
        ],
    )
    def test_a_document_is_written_once(self, secrets, aws, document, write):
        """What is added, changed and deleted goes together, so that a kill leaves no half of it."""
        secrets("setup", url=document).ok()
        secrets("putall", "-", stdin="A=1\nB=2\nC=3\nD=4", url=document).ok()
        aws.requests.clear()
        text = "A=new\nB=2\nE=5"
        done = secrets("putall", "-", "--prune", "--yes", stdin=text, url=document).ok()
        assert done.err.startswith("+ E\n~ A\n- C\n- D\n")
        assert aws.requests.count(write) == 1
        assert secrets("keys", url=document).ok().out.split() == ["A", "B", "E"]

        def meanwhile(operation, _):
            if write.endswith(operation):
                aws.faults.clear()
                with read_config(document).make_store() as other:
                    other.put("B", "theirs")

        aws.faults.append(meanwhile)
        text = "A=new"  # as it is: nothing but deletions
        error = secrets("putall", "-", "--prune", "--yes", stdin=text, url=document).failed()
        assert "somebody else" in error
        assert secrets("keys", url=document).ok().out.split() == ["A", "B", "E"]

    def test_what_somebody_else_deletes_meanwhile_is_deleted(self, secrets, aws, url, stored):
        """Of two prunes at once the later one goes on with what is left."""
        secrets("putall", "-", stdin="A=1\nB=2\nC=3").ok()
        store = read_config(url).make_store()

        def other(operation, _):
            if operation == "DeleteItem":
                aws.faults.clear()
                with store:
                    store.delete("C")

        aws.faults.append(other)
        done = secrets("putall", "-", "--prune", "--yes", stdin="A=1").ok()
        assert done.err.endswith("0 added, 0 changed, 1 unchanged, 5 deleted\n")
        assert stored() == {"A": "1"}


class TestPermissions:
    def test_writer_without_read(self, secrets, aws, url, stored):
        """Who may write and not decrypt can putall: all is written, and a warning says why."""
        secrets("putall", "-", stdin="A=1\nB=2").ok()
        aws.faults.append(denied("Decrypt"))
        done = secrets("putall", "-", stdin="A=1\nB=new\nC=3").ok()
        assert done.err == (
            "warning: no telling whether these changed, as their current value cannot be read: "
            f"A, B\n+ C\n~ A\n~ B\n{PLACE}: 1 added, 2 changed, 0 unchanged, 0 deleted\n"
        )
        aws.faults.clear()
        assert stored() == {"A": "1", "B": "new", "C": "3"}
        assert versions(url) == {"A": ["1", "2"], "B": ["1", "2"], "C": ["1"]}

    def test_other_context(self, secrets, stored):
        """A value that this context cannot open is written anew; the others are compared."""
        secrets("put", "A", "-", "env=old", stdin="a").ok()
        secrets("put", "B", "-", stdin="b").ok()
        done = secrets("putall", "-", stdin="A=a\nB=b").ok()
        assert done.err.endswith(f"~ A\n{PLACE}: 0 added, 1 changed, 1 unchanged, 0 deleted\n")
        assert stored() == {"A": "a", "B": "b"}

    @pytest.mark.parametrize(
        "operation, message, permission",
        [
            ("Query", "Query was refused by DynamoDB", "Query"),
            ("GenerateDataKey", "GenerateDataKey was refused by KMS", "GenerateDataKey"),
            (
                "TransactWriteItems",
                "TransactWriteItems was refused by DynamoDB",
                "PutItem, DeleteItem and ConditionCheckItem",
            ),
        ],
    )
    def test_not_a_writer(self, secrets, aws, stored, operation, message, permission):
        """Who may not write gets an error that names the permission; nothing is written."""
        aws.faults.append(denied(operation))
        error = secrets("putall", "-", stdin=f"A={MARK}").failed()
        assert message in error
        assert f":{permission} to this role or user" in error
        assert MARK not in error
        aws.faults.clear()
        assert stored() == {}

    def test_dry_run_of_who_may_not_read(self, secrets, aws):
        """A dry run that could not compare says so, instead of reporting changes."""
        secrets("putall", "-", stdin="A=1").ok()
        aws.faults.append(denied("Query"))
        done = secrets("putall", "-", "--dry-run", stdin="A=1\nB=1")
        assert done.code == 2
        assert done.err.startswith("warning: no telling whether these changed")
        assert [line.split("\t")[:2] for line in done.out.splitlines()] == [
            ["unreadable", "A"],
            ["added", "B"],
        ]


class TestCredstashOutput:
    def test_dotenv_of_the_real_credstash(self, secrets, aws, fill, tmp_path, stored):
        """What the real `credstash getall -f dotenv` writes for ordinary values is read back."""
        values = {
            "SECRET_KEY": "abc-123_+/=%$x&;!~(){}",
            "DATABASE_URL": "postgres://user:p%40ss@db.example:5432/notes?sslmode=require",
            "WITH_SPACES": "  two words # no comment  ",
            "UNICODE": "pässwörd 中文 🔑",
            "BACKSLASH": r"C:\temp\new",
            "DOUBLE": 'say "hi"',
            "EMPTY": "",
        }
        fill(values)
        credstash = Path(sys.executable).with_name("credstash")
        command = [credstash, "-r", REGION, "getall", "-f", "dotenv"]
        written = subprocess.run(
            command, cwd=tmp_path, capture_output=True, check=True, timeout=60
        ).stdout
        other = f"credstash://other?region_name={REGION}"
        secrets("setup", url=other).ok()
        secrets("putall", "-", stdin=written, url=other).ok()
        with read_config(other).make_store() as store:
            copied = {name: secret.value for name, secret in store.get_many(None).items()}
        assert copied == values
