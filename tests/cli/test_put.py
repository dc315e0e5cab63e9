"""`put` and `get`: one value, in credstash's spellings."""

from __future__ import annotations

import os
import threading

import pytest

from django_kms_secrets.cli.arguments import DIGESTS
from django_kms_secrets.config import read_config
from django_kms_secrets.envelope import DIGESTS as WRITABLE
from tests.server.embedded import REGION, EmbeddedAWS

from .conftest import MARK

ON_COMMAND_LINE = "warning: the value was on the command line"
PLACE = f"CredStash table credential-store in {REGION}"


def versions(url: str, name: str) -> list[str]:
    with read_config(url).make_store() as store:
        return [entry.version.lstrip("0") for entry in store.history(name)]


class TestWhereTheValueComesFrom:
    def test_stdin(self, secrets, stored):
        """``-`` is stdin; the value is nowhere to be seen, and stdout stays empty."""
        done = secrets("put", "A", "-", stdin=MARK).ok()
        assert done.out == ""
        assert done.err == f"A version 0000000000000000001 stored in {PLACE}\n"
        assert stored() == {"A": MARK}

    @pytest.mark.parametrize("text", [f"{MARK}\r\n\n", "", " ", "päß 中 🔑\0\n"])
    def test_nothing_is_stripped(self, secrets, stored, text):
        """Stdin is stored as it is; an end of line at the end is warned about, not removed."""
        done = secrets("put", "A", "-", stdin=text).ok()
        assert ("ends with a line break" in done.err) is text.endswith("\n")
        assert stored() == {"A": text}
        assert secrets("get", "A", "-n").ok().out == text

    @pytest.mark.parametrize("home", [False, True], ids=["path", "~"])
    def test_file(self, secrets, stored, tmp_path, home):
        """``@FILE`` is a file, in the home directory too."""
        path = (tmp_path / "home" if home else tmp_path) / "value"
        path.write_text(MARK)
        done = secrets("put", "A", "@~/value" if home else f"@{path}").ok()
        assert MARK not in done.words
        assert ON_COMMAND_LINE not in done.err
        assert stored() == {"A": MARK}

    def test_link(self, on_file, file_url, tmp_path):
        """A symbolic link is followed: it is read, with the rights of whoever typed it."""
        (tmp_path / "value").write_text(MARK)
        (tmp_path / "link").symlink_to(tmp_path / "value")
        on_file("put", "A", f"@{tmp_path}/link").ok()
        assert on_file("get", "A", "-n").ok().out == MARK

    def test_pipe(self, on_file, file_url, tmp_path):
        """A pipe is read to its end, as ``@<(command)`` needs it."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=[MARK], daemon=True)
        writer.start()
        on_file("put", "A", f"@{pipe}").ok()
        writer.join()
        assert on_file("get", "A", "-n").ok().out == MARK

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("missing", "there is no file of the name that was given"),
            ("a link to nothing", "there is no file of the name that was given"),
            ("a name too long", "there is no file of the name that was given"),
            ("a directory", "Is a directory"),
            ("a device without end", "is larger than 16,777,216 bytes"),
            ("huge", "is larger than 16,777,216 bytes"),
        ],
    )
    @pytest.mark.parametrize("verb", [["put", "A"], ["putall", "--input-format", "json"]], ids=str)
    def test_no_surprise(self, on_file, file_url, tmp_path, kind, reason, verb):
        """What is no file of values is refused, and no further read than a file may be large."""
        path = {"a directory": tmp_path, "a device without end": "/dev/zero"}.get(
            kind, tmp_path / ("x" * 300 if kind == "a name too long" else "value")
        )
        if kind == "a link to nothing":
            path.symlink_to(tmp_path / "nothing")
        if kind == "huge":
            with path.open("wb") as file:
                file.truncate(1 << 40)  # sparse: it takes no room
        assert reason in on_file(*verb, f"@{path}").failed()

    def test_argument(self, secrets, stored):
        """A value on the command line works, as in credstash, with a warning."""
        done = secrets("put", "A", MARK).ok()
        assert done.err.startswith(ON_COMMAND_LINE)
        assert MARK not in done.words
        assert stored() == {"A": MARK}

    def test_nowhere(self, secrets, stored):
        """No VALUE and no terminal to ask on is an error, whatever stdin holds."""
        assert secrets("put", "A", stdin=MARK).failed() == (
            "error: no value for A, and no terminal to ask on\n"
            "hint: write `put A -` to read it from stdin, or @FILE\n"
        )
        assert "no terminal" in secrets("put", "A", "-P", stdin=MARK).failed()
        assert stored() == {}

    def test_not_text(self, secrets, stored, tmp_path):
        """What is not UTF-8 is refused, by place and byte."""
        path = tmp_path / "binary"
        path.write_bytes(b"ab\xff")
        assert f"{path} is not UTF-8 text (byte 2)" in secrets("put", "A", f"@{path}").failed()
        assert (
            "stdin is not UTF-8 text (byte 0)" in secrets("put", "A", "-", stdin=b"\xff").failed()
        )
        assert stored() == {}

    def test_too_large(self, secrets, stored):
        """What DynamoDB would not take is refused with both sizes."""
        assert "DynamoDB takes 409,600" in secrets("put", "A", "-", stdin="x" * 400_000).failed()
        assert stored() == {}


class TestVersions:
    def test_every_put_is_a_new_version(self, secrets, url):
        """A put without a version makes the next one, with -a too; the old ones stay."""
        for value, options in (("one", []), ("two", ["-a"]), ("three", ["--autoversion"])):
            secrets("put", "A", "-", *options, stdin=value).ok()
        assert versions(url, "A") == ["1", "2", "3"]
        assert secrets("get", "A").ok().out == "three\n"

    def test_version_of_choice(self, secrets, url):
        """``-v`` makes that number, padded as credstash pads it; the next one goes on from it."""
        secrets("put", "A", "-", "-v", "7", stdin="x").ok()
        assert "0000000000000000008" in secrets("put", "A", "-", stdin="y").ok().err
        assert versions(url, "A") == ["7", "8"]

    @pytest.mark.parametrize("version", ["7", "07", "6", "0"])
    def test_taken_or_lower(self, secrets, url, version):
        """A version that is taken, or would not be the newest, is an error that says so."""
        secrets("put", "A", "-", "-v", "7", stdin="x").ok()
        error = secrets("put", "A", "-", "-v", version, stdin=MARK).failed()
        assert f"A version {int(version):019} would not be the newest in {PLACE}" in error
        assert "leave the version out" in error
        assert versions(url, "A") == ["7"]

    @pytest.mark.parametrize("version", [MARK, "-1", "1.0", "²", " 1"])
    def test_not_a_number(self, secrets, stored, version):
        """A version that is no number is refused before anything else, and not repeated."""
        done = secrets("put", "A", "-", f"--version={version}", stdin=MARK)
        assert (
            done.failed() == "error: the version is not a number\nhint: leave -v out for the next\n"
        )
        assert stored() == {}

    def test_get_a_version(self, secrets):
        """``get -v`` takes a number, as typed or padded, and PREVIOUS."""
        for value in ("one", "two"):
            secrets("put", "A", "-", stdin=value).ok()
        for version in ("1", "0000000000000000001", "PREVIOUS"):
            assert secrets("get", "A", "-v", version).ok().out == "one\n"
        assert "A has no version 3" in secrets("get", "A", "-v", "3").failed()


class TestCredstashSpellings:
    def test_comment(self, secrets):
        """``-c`` is stored unencrypted, and listed."""
        secrets("put", "A", "-", "-c", "rotate in May", stdin=MARK).ok()
        assert "rotate in May" in secrets("list").ok().out

    @pytest.mark.parametrize("digest", DIGESTS)
    def test_digest(self, secrets, digest):
        """``-d`` is one of credstash's digests; the value reads back whichever it is."""
        secrets("put", "A", "-", "-d", digest, stdin=MARK).ok()
        assert secrets("get", "A").ok().out == f"{MARK}\n"

    def test_digests_are_those_of_the_format(self):
        """The command offers exactly the digests that can be written."""
        assert DIGESTS == WRITABLE

    def test_key(self, secrets, stored):
        """``-k`` is the KMS key of this record; one that does not exist is an error."""
        error = secrets("put", "A", "-", "-k", "alias/other", stdin=MARK).failed()
        assert "there is no KMS key alias/other" in error
        assert "secrets setup --create-key" in error
        assert stored() == {}
        secrets("put", "A", "-", "-k", "alias/credstash", stdin=MARK).ok()

    def test_context(self, secrets):
        """``k=v …`` after the value is the encryption context; reading needs the same one."""
        secrets("put", "A", "-", "env=prod", "app=notes", stdin=MARK).ok()
        assert secrets("get", "A", "app=notes", "env=prod").ok().out == f"{MARK}\n"
        error = secrets("get", "A", "env=prod").failed()
        assert "KMS would not decrypt its data key" in error
        assert '(OPTIONS["context"] is now: env)' in error

    def test_context_replaces_the_configured_one(self, secrets, url):
        """A context on the command line is the whole context, not an addition."""
        configured = f"{url}&context.env=prod"
        secrets("put", "A", "-", "env=test", stdin=MARK, url=configured).ok()
        assert secrets("get", "A", "env=test").ok().out == f"{MARK}\n"

    @pytest.mark.parametrize("wrong", ["env", "env=", "=prod"])
    def test_context_that_is_none(self, secrets, stored, wrong):
        """What is not of the form k=v is refused, and not repeated."""
        error = secrets("put", "A", "-", wrong, stdin=MARK).failed()
        assert "not of the form key=value" in error
        assert "A=" not in error
        assert stored() == {}

    def test_context_twice(self, secrets):
        """The same key twice is an error: one of them would be lost."""
        assert "env twice" in secrets("put", "A", "-", "env=a", "env=b", stdin=MARK).failed()

    def test_value_with_an_equals_sign(self, secrets, stored):
        """In a context the value ends at the end of the argument, not at a second ``=``."""
        secrets("put", "A", "-", "env=a=b", stdin=MARK).ok()
        assert secrets("get", "A", "env=a=b").ok().out == f"{MARK}\n"

    def test_no_line(self, secrets):
        """``get`` ends with a line break for people; ``-n`` leaves it out."""
        secrets("put", "A", "-", stdin="x").ok()
        assert secrets("get", "A").out == "x\n"
        assert secrets("get", "A", "-n").out == secrets("get", "--noline", "A").out == "x"

    @pytest.mark.parametrize(
        "arguments",
        [
            ["A", "-k", "alias/credstash", MARK, "env=prod"],
            ["-k", "alias/credstash", "A", MARK, "env=prod"],
            ["A", MARK, "-d", "SHA512", "env=prod", "-k", "alias/credstash"],
            ["A", MARK, "env=prod", "-a"],
            ["-c", "note", "--", "A", MARK, "env=prod"],
            ["A", "-c", "note", "--", MARK, "env=prod"],
        ],
        ids=" ".join,
    )
    def test_any_order(self, secrets, arguments):
        """Options may stand anywhere between the positional arguments."""
        secrets("put", *arguments).ok()
        assert secrets("get", "env=prod", "A").code == 1
        assert secrets("get", "A", "env=prod").ok().out == f"{MARK}\n"
        assert secrets("get", "-n", "A", "-v", "1", "env=prod").ok().out == MARK

    @pytest.mark.parametrize("value", ["-hidden", "--", "-k", "-", "--help", "-v=1", "@x"])
    def test_value_that_begins_with_a_dash(self, secrets, stored, value):
        """After ``--`` nothing is an option (``-`` and ``@`` keep their meaning)."""
        done = secrets("put", "-c", "note", "--", "A", value, stdin="from stdin")
        if value == "@x":
            assert "no file" in done.failed()
        else:
            done.ok()
            assert stored() == {"A": "from stdin" if value == "-" else value}

    def test_number_that_is_negative(self, secrets, stored):
        """A negative number is no option."""
        secrets("put", "A", "-5").ok()
        assert stored() == {"A": "-5"}


class TestGet:
    @pytest.fixture(autouse=True)
    def _fill(self, fill):
        fill(
            {
                "db": '{"host": "h", "login": {"password": "p"}, "port": 5432}',
                "db.user": "dotted itself",
                "API_KEY": "k1",
                "API_TOKEN": '{"b": 1, "a": [true]}',
                "other": "o",
            }
        )

    @pytest.mark.parametrize(
        "name, value",
        [
            ("db.host", "h"),
            ("db.login.password", "p"),
            ("db.port", "5432"),
            ("db.login", '{"password": "p"}'),
            ("db.user", "dotted itself"),
        ],
    )
    def test_dotted_names(self, secrets, name, value):
        """A dotted name reaches into a tree; a name that has dots itself comes first."""
        assert secrets("get", name).ok().out == f"{value}\n"

    @pytest.mark.parametrize("name", ["db.nope", "nope.host", "other.x", "nope", "db."])
    def test_missing(self, secrets, name):
        """A missing name is an error that says how to write it; nothing is on stdout."""
        meant = {"other.x": "did you mean other? ", "db.": "did you mean db? "}.get(name, "")
        assert secrets("get", name).failed() == (
            f"error: {name} is not in {PLACE}\n"
            f"hint: {meant}`secrets put {name}` writes it, `secrets keys` lists what is there\n"
        )

    @pytest.mark.parametrize(
        "glob, names",
        [
            ("API_*", ["API_KEY", "API_TOKEN"]),
            ("API_KE?", ["API_KEY"]),
            ("[ao]*", ["other"]),
            ("d.*", []),
            ("API_*+", []),
        ],
    )
    def test_globs(self, secrets, glob, names):
        """``*``, ``?`` and ``[`` are a glob, not a regular expression; case matters."""
        done = secrets("get", glob, "-f", "csv")
        if names:
            assert [line.split(",")[0].strip('"') for line in done.ok().out.splitlines()] == names
        else:
            assert f"no name in {PLACE} matches {glob}" in done.failed()

    def test_glob_formats(self, secrets):
        """What matches is written in the format of -f, trees as trees, sorted by name."""
        assert secrets("get", "API_*").ok().out == (
            '{\n    "API_KEY": "k1",\n    "API_TOKEN": {\n        "b": 1,\n        "a": [\n'
            "            true\n        ]\n    }\n}\n"
        )
        assert secrets("get", "API_K*", "-f", "dotenv").ok().out == "API_KEY='k1'\n"

    def test_glob_takes_the_context(self, secrets):
        """A glob with another context names the secrets that it cannot open."""
        error = secrets("get", "API_*", "env=prod").failed()
        assert "API_KEY" in error
        assert "API_TOKEN" in error


class TestOtherStores:
    def test_options_of_credstash(self, secrets, file_url):
        """What only CredStash has is refused elsewhere, by name."""
        error = secrets("put", "A", "-", "-c", "note", stdin=MARK, url=file_url).failed()
        assert "FileStore numbers its versions itself and has no comments" in error
        error = secrets("get", "A", "env=prod", url=file_url).failed()
        assert "'context' is not an option of FileStore" in error

    def test_document(self, secrets, aws: EmbeddedAWS):
        """In a Secrets Manager document, put keeps the tree and get reaches into it."""
        url = f"secretsmanager:///notes?region_name={REGION}"
        secrets("setup", url=url).ok()
        secrets("putall", "-", stdin='{"db": {"user": "u", "port": 1}}', url=url).ok()
        secrets("put", "db.port", "-", stdin="2", url=url).ok()
        assert secrets("get", "db", url=url).ok().out == '{"user": "u", "port": 2}\n'
        assert secrets("get", "db.port", url=url).ok().out == "2\n"
