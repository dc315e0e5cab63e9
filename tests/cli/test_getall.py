"""`getall`: all values, to stdout or to a private file, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import time

import pytest
import yaml

from tests.server.embedded import REGION

from .conftest import MARK, denied

VALUES = {
    "b": "quote \" and ' and , comma",
    "a": "two\nlines\r\n",
    "c": "$HOME `id` \\n",
    "tree": '{"x": [1, null], "ü": "ß"}',
    "almost": '{"x":1}',
    "empty": "",
}
AS_JSON = {**VALUES, "tree": {"x": [1, None], "ü": "ß"}}


@pytest.fixture
def _filled(fill):
    fill(VALUES)


@pytest.fixture
def torn(secrets, fill):
    """Three secrets, one of them written under another context."""
    fill({"A": f"{MARK}-a", "C": f"{MARK}-c"})
    secrets("put", "B", "-", "env=other", stdin=f"{MARK}-b").ok()


@pytest.mark.usefixtures("_filled")
class TestFormats:
    @pytest.mark.parametrize("verb", ["getall", "pull"])
    def test_json(self, secrets, verb):
        """JSON is the default: sorted, indented; canonical JSON text comes back as a tree."""
        out = secrets(verb).ok().out
        assert out == json.dumps(dict(sorted(AS_JSON.items())), indent=4, ensure_ascii=False) + "\n"
        assert out == secrets(verb, "-f", "json").ok().out

    def test_yaml(self, secrets):
        """YAML has the same content, in the same order."""
        assert list(yaml.safe_load(secrets("getall", "-f", "yaml").ok().out).items()) == sorted(
            AS_JSON.items()
        )

    def test_csv(self, secrets):
        """CSV is quoted, one record for each secret, without an empty line at the end."""
        out = secrets("getall", "-f", "csv").ok().out
        assert [tuple(row) for row in csv.reader(io.StringIO(out, newline=""))] == sorted(
            VALUES.items()
        )

    def test_dotenv(self, secrets):
        """dotenv is sorted and escaped; a name keeps its case."""
        assert secrets("getall", "-f", "dotenv").ok().out == (
            'a="two\\nlines\\r\\n"\n'
            "almost='{\"x\":1}'\n"
            'b="quote \\" and \' and , comma"\n'
            'c="\\$HOME \\`id\\` \\\\n"\n'
            "empty=''\n"
            'tree=\'{"x": [1, null], "ü": "ß"}\'\n'
        )

    @pytest.mark.parametrize("form", ["json", "yaml", "csv", "dotenv"])
    def test_order_is_stable(self, secrets, tmp_path, form):
        """The same secrets give the same text, in whichever order the store has them."""
        outputs = set()
        for number, names in enumerate(("bac", "cba", "abc")):
            path = tmp_path / f"{number}.json"
            path.write_text(json.dumps(dict.fromkeys(names, "x")))
            outputs.add(secrets("getall", "-f", form, url=f"file://{path}").ok().out)
        assert len(outputs) == 1
        assert secrets("getall", "-f", form).ok() == secrets("getall", "-f", form).ok()

    def test_other_context(self, secrets):
        """A context on the command line is used for every secret; all that it cannot open are
        named, once each."""
        error = secrets("getall", "env=prod").failed()
        assert "6 secrets of CredStash table" in error
        for name in VALUES:
            assert error.count(f"  {name} version 000") == 1

    def test_prefix(self, secrets, url):
        """A store with a prefix gives only what is under it, without the prefix."""
        assert secrets("getall", url=f"{url}&prefix=t").ok().out == (
            '{\n    "ree": {\n        "x": [\n            1,\n            null\n        ],\n'
            '        "ü": "ß"\n    }\n}\n'
        )

    def test_empty(self, secrets, aws):
        """An empty store gives an empty mapping."""
        url = f"credstash://empty?region_name={REGION}"
        secrets("setup", url=url).ok()
        assert secrets("getall", url=url).ok().out == "{}\n"
        assert secrets("getall", "-f", "dotenv", url=url).ok().out == ""


class TestTargets:
    @pytest.mark.parametrize(
        "target, value",
        [
            ("python-dotenv", "pre${HOME}post"),
            ("django-environ", "$HOME"),
            ("django-environ", "two\nlines"),
            ("docker", "two\nlines"),
            ("docker", " spaces "),
        ],
    )
    def test_value_is_refused_by_name(self, secrets, fill, tmp_path, target, value):
        """What the reader would misread is refused by name, and nothing is written."""
        fill({"FINE": "x", "BAD": f"{value}{MARK if value[0] == 'p' else ''}", "WORSE": value})
        for output in ([], ["-f", "dotenv", "-o", str(tmp_path / "out")]):
            error = secrets("getall", "--for", target, *output).failed()
            assert f"{target} would not read back what dotenv can write for BAD, WORSE\n" in error
            assert MARK not in error
        assert not (tmp_path / "out").exists()

    def test_name_is_refused(self, secrets, fill):
        """So is a name that such a reader does not know as one."""
        fill({"a-b": "x", "OK": "x"})
        for target in ("python-dotenv", "django-environ", "docker"):
            assert f"dotenv for {target} has no way to write the name 'a-b'" in (
                secrets("getall", "--for", target).failed()
            )

    def test_target_means_dotenv(self, secrets, fill):
        """``--for`` needs no -f, and refuses another one."""
        fill({"A": "it's"})
        assert secrets("getall", "--for", "python-dotenv").ok().out == 'A="it\'s"\n'
        assert secrets("getall", "--for", "docker").ok().out == "A=it's\n"
        error = secrets("getall", "--for", "docker", "-f", "json").failed()
        assert "--for goes with dotenv, not with json" in error


@pytest.mark.usefixtures("torn")
class TestOneThatCannotBeOpened:
    def test_whole_or_not_at_all(self, secrets):
        """One undecryptable secret is named, with its cause; nothing is printed, at once."""
        start = time.monotonic()
        error = secrets("getall").failed()
        assert time.monotonic() - start < 10  # credstash waits for ever
        assert f"B version {1:019} in CredStash table credential-store in {REGION}: " in error
        assert "KMS would not decrypt its data key" in error
        assert "the encryption context must be the one it was written with" in error
        assert MARK not in error

    def test_keep_going(self, secrets):
        """``--keep-going`` prints the rest, names the one, and still exits with 1."""
        done = secrets("getall", "--keep-going")
        assert done.code == 1
        assert json.loads(done.out) == {"A": f"{MARK}-a", "C": f"{MARK}-c"}
        assert done.err.startswith(f"error: B version {1:019}")
        assert "\nhint: " in done.err

    def test_keep_going_where_all_is_well(self, secrets):
        """Where nothing is wrong it changes nothing."""
        secrets("delete", "B", "-y").ok()
        assert secrets("getall", "--keep-going").ok() == secrets("getall").ok()

    def test_keep_going_into_a_file(self, secrets, tmp_path):
        """The file then has the rest; the words say how many, and which one is not in it."""
        path = tmp_path / "out.json"
        done = secrets("getall", "--keep-going", "-o", str(path))
        assert done.code == 1
        assert set(json.loads(path.read_text())) == {"A", "C"}
        assert done.err.startswith(f"2 secrets written to {path}\nerror: B version")

    def test_no_file_is_left(self, secrets, tmp_path):
        """A failed command leaves no file behind, and an old one as it was."""
        path = tmp_path / "out" / "s.json"
        path.parent.mkdir()
        secrets("getall", "-o", str(path)).failed()
        assert list(path.parent.iterdir()) == []
        path.write_text("old")
        secrets("getall", "-o", str(path)).failed()
        assert path.read_text() == "old"
        assert list(path.parent.iterdir()) == [path]

    def test_not_a_partial_failure(self, secrets, aws):
        """``--keep-going`` is about single secrets: where none can be read, it is an error."""
        aws.faults.append(denied("Scan"))
        assert "Scan was refused by DynamoDB" in secrets("getall", "--keep-going").failed()

    def test_tampered(self, secrets, aws):
        """A record that was tampered with is named too."""
        import boto3

        table = boto3.resource("dynamodb", region_name=REGION).Table("credential-store")
        key = {"name": "A", "version": f"{1:019}"}
        table.update_item(
            Key=key,
            UpdateExpression="SET #c = :c",
            ExpressionAttributeNames={"#c": "contents"},
            ExpressionAttributeValues={":c": "AAAA"},
        )
        table.meta.client.close()
        done = secrets("getall", "--keep-going")
        assert json.loads(done.out) == {"C": f"{MARK}-c"}
        assert "2 secrets of CredStash table" in done.err
        assert "A version" in done.err
        assert "B version" in done.err


@pytest.mark.usefixtures("_filled")
class TestOutputFile:
    @pytest.mark.parametrize(
        "name, first",
        [
            ("s.json", "{"),
            ("s.yaml", "a:"),
            ("s.yml", "a:"),
            (".env", "a="),
            ("prod.env", "a="),
        ],
    )
    def test_format_by_suffix(self, secrets, tmp_path, name, first):
        """The file's name says the format; values go nowhere else."""
        path = tmp_path / name
        done = secrets("getall", "-o", str(path)).ok()
        assert done.words == f"6 secrets written to {path}\n"
        assert path.read_text().startswith(first)

    def test_what_it_writes_is_what_it_prints(self, secrets, tmp_path):
        """-f overrules the name; the file has the same text as stdout would."""
        path = tmp_path / "s.json"
        secrets("getall", "-o", str(path), "-f", "csv").ok()
        assert path.read_bytes().decode() == secrets("getall", "-f", "csv").ok().out

    def test_unknown_suffix(self, secrets, tmp_path, aws):
        """A name that says no format is refused before anything is fetched."""
        with aws.counted() as sent:
            error = secrets("getall", "-o", str(tmp_path / "s.txt")).failed()
        assert "say which: with -f where it is written" in error
        assert not sent

    def test_private(self, secrets, tmp_path):
        """Only the owner can read it, whatever the umask and whoever could read the old one."""
        path = tmp_path / "s.json"
        path.write_text("old")
        path.chmod(0o644)
        old = os.umask(0)
        try:
            secrets("getall", "-o", str(path)).ok()
        finally:
            os.umask(old)
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_text()) == AS_JSON

    def test_symbolic_link(self, secrets, tmp_path):
        """A link is refused: somebody may have laid it to make the values public."""
        target, link = tmp_path / "target.json", tmp_path / "s.json"
        link.symlink_to(target)
        assert f"{link} is a symbolic link" in secrets("getall", "-o", str(link)).failed()
        assert not target.exists()
        target.write_text("old")
        secrets("getall", "-o", str(link)).failed()
        assert target.read_text() == "old"
        assert link.is_symlink()

    @pytest.mark.parametrize("kind", ["no directory", "a directory"])
    def test_cannot_be_written(self, secrets, tmp_path, kind):
        """A file that cannot be written is an error with the path."""
        path = tmp_path / ("nowhere/s.json" if kind == "no directory" else "dir.json")
        if kind == "a directory":
            path.mkdir()
        before = sorted(tmp_path.rglob("*"))
        assert str(path) in secrets("getall", "-o", str(path)).failed()
        assert sorted(tmp_path.rglob("*")) == before
