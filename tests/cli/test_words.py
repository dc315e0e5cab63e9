"""Data on stdout, words on stderr, an exit code; and no value among the words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from django_kms_secrets.__main__ import main
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.cli.main import VERBS

from .conftest import MARK
from .doors import inside

ALIASES = {"push": "putall", "pull": "getall"}


class TestTranscripts:
    """One of each verb, word for word, through both doors."""

    PLACE = "CredStash table credential-store in ap-northeast-2"

    def test_setup(self, either, aws, url):
        aws.reset()
        done = either("setup", "--create-key").ok()
        assert done.out == ""
        assert done.err == f"KMS key: created\n{self.PLACE}: created\n"
        again = either("setup", "--create-key").ok()
        assert again.err == f"KMS key: there already\n{self.PLACE}: nothing to create\n"

    def test_life_of_a_secret(self, either):
        done = either("put", "A", "-", "-c", "first", stdin="one").ok()
        assert (done.out, done.err) == (
            "",
            f"A version 0000000000000000001 stored in {self.PLACE}\n",
        )
        done = either("put", "A", "two").ok()
        assert (done.out, done.err) == (
            "",
            "warning: the value was on the command line, where `ps` and the shell's history show "
            "it; leave it out to be asked, or use - or @FILE\n"
            f"A version 0000000000000000002 stored in {self.PLACE}\n",
        )
        assert either("get", "A").ok() == either("get", "A", "-v", "2").ok()
        assert (either("get", "A").out, either("get", "A").err) == ("two\n", "")
        assert either("keys").ok().words == "A\n"
        assert either("history", "A").ok().words == either("list").ok().words
        assert either("list").ok().words == (
            "A\t0000000000000000001\tPREVIOUS\t\tfirst\nA\t0000000000000000002\tCURRENT\t\t\n"
        )
        done = either("delete", "A", "--yes").ok()
        assert (done.out, done.err) == ("", f"A deleted from {self.PLACE}\n")
        assert either("list").ok().words == ""

    def test_many(self, either):
        done = either("putall", "-", stdin='{"B": "2", "A": "1"}').ok()
        assert (done.out, done.err) == (
            "",
            f"+ B\n+ A\n{self.PLACE}: 2 added, 0 changed, 0 unchanged, 0 deleted\n",
        )
        done = either("getall").ok()
        assert (done.out, done.err) == ('{\n    "A": "1",\n    "B": "2"\n}\n', "")

    def test_error(self, either):
        done = either("get", "NOPE")
        assert (done.code, done.out) == (1, "")
        assert done.err == (
            f"error: NOPE is not in {self.PLACE}\n"
            "hint: `secrets put NOPE` writes it, `secrets keys` lists what is there\n"
        )

    def test_usage(self, either):
        err = either("get").refused()
        assert err.endswith(" get: error: the following arguments are required: NAME\n")


@pytest.mark.parametrize(
    "args",
    [
        (),
        (MARK,),
        ("frobnicate", "A", MARK),
        ("put",),
        ("put", "A", "--bogus", MARK),
        ("put", "A", f"--bogus={MARK}"),
        ("put", "A", f"-x{MARK}"),
        ("put", "A", f"--{MARK}"),
        ("put", "A", f"--prompt={MARK}"),
        ("put", "A", f"-Px{MARK}"),
        ("put", "A", "--comm", MARK),
        ("put", "A", f"-d{MARK}"),
        ("put", "A", "-d", MARK),
        ("put", "A", "-k", "--", MARK),
        ("put", "A", "-k"),
        ("get", "A", "-f", MARK),
        ("get", "A", f"--format={MARK} (choose from {MARK})"),
        ("get", "A", f"--noline={MARK}"),
        ("delete", "A", MARK),
        ("history", "A", MARK, MARK),
        ("keys", MARK),
        ("list", MARK),
        ("setup", MARK),
        ("setup", f"--create-key={MARK}"),
        ("getall", "--for", MARK),
        ("getall", f"--keep-going={MARK}"),
        ("putall", "-", f"--dry-run={MARK}"),
        ("diff", "-", f"--format={MARK}"),
        ("diff", "-", "--prune", MARK),
        ("copy", MARK),
        ("copy", "--to", "locmem://", MARK),
        ("copy", "--to", "locmem://", "--existing", MARK),
        (f"--bogus={MARK}", "put", "A", "x"),
        (f"--u={MARK}", f"--bogus={MARK}", "put", "A", "x"),
    ],
    ids=lambda args: " ".join(args) or "(nothing)",
)
def test_wrong_usage_repeats_no_value(on_file, file_url, args):
    """Wrong usage exits with 2, says what is wrong, and never repeats an argument."""
    before = Path(file_url.removeprefix("file://")).read_text()
    err = on_file(*args, stdin=MARK).refused()
    assert "error: " in err
    assert MARK not in err
    assert Path(file_url.removeprefix("file://")).read_text() == before


@pytest.mark.parametrize(
    "args",
    [
        ("put", "A", f"@{MARK}"),
        ("put", "A", f"@~{MARK}/x"),
        ("put", "A", "@" + MARK * 50),
        ("put", "A", "-", f"-v{MARK}"),
        ("put", "A", "-", MARK),
        ("put", "A", "-P", MARK),
        ("put", "A", MARK, "e=1", MARK),
        ("put", " A", MARK),
        ("put", f"A={MARK}"),
        ("put", f"A={MARK}", "env=prod"),
        ("putall", f"A={MARK}"),
        ("putall", f"A: {MARK}"),
        ("putall", f"@{MARK}.json"),
        ("putall", "A=" + MARK * 50),
        ("putall", f'{{"A": "{MARK}"'),
        ("putall", f'{{"A": "{MARK}", "B": 1}}'),
        ("putall", f'{{"A": "{MARK}", "A": "x"}}'),
        ("putall", "-"),
        ("putall", "-", "--input-format", "json"),
        ("putall", "-", "--input-format", "yaml"),
        ("copy", "--to", MARK),
        ("copy", "--to", f"postgres://u:{MARK}@h/db"),
        ("getall", MARK),
        ("get", "A", MARK),
        ("delete", "A"),
    ],
    ids=lambda args: " ".join(args)[:40],
)
def test_errors_repeat_no_value(on_file, file_url, args):
    """Every failure exits with 1, says error and hint, and never repeats a value."""
    before = Path(file_url.removeprefix("file://")).read_text()
    err = on_file(*args, stdin=f"A='{MARK}' {MARK}\n: {{ {MARK}").failed()
    assert MARK not in err
    assert Path(file_url.removeprefix("file://")).read_text() == before


@pytest.mark.parametrize(
    "args",
    [
        ("put", "A", MARK, "-k", "alias/none"),
        ("put", "A", MARK, "-d", "SHA1"),
        ("put", "B", MARK, "-v", "1"),
        ("putall", f'{{"A": "{MARK}"}}', "-k", "alias/none"),
        ("get", "B", "env=prod"),
        ("getall", "env=prod"),
    ],
    ids=lambda args: " ".join(args)[:40],
)
def test_errors_of_aws_repeat_no_value(secrets, fill, stored, args):
    """Nor does a failure on the way to the table, or in it."""
    fill({"B": f"{MARK} that is stored"})
    done = secrets(*args)
    assert done.code in (1, 2)
    assert MARK not in done.words
    assert set(stored()) == {"B"}


@pytest.mark.parametrize("url", ["", "nowhere", "postgres://u:hidden-marker@h/db", "file://x.txt"])
def test_wrong_store(url):
    """A URL that names no store is an error, and is not repeated: it may be another secret."""
    done = inside("module", url, ["get", "A"])
    assert MARK not in done.failed()


def test_no_store_at_all(capsys):
    """Without a store the error says where to name one."""
    assert main(["keys"]) == 1
    assert capsys.readouterr().err == (
        "error: there is no store to work on\n"
        "hint: give --url URL, or set KMS_SECRETS in the settings, or KMS_SECRETS_URL\n"
    )


@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_url_before_or_after_the_verb(file_url, place):
    """``--url`` may stand on either side of the verb; the one nearer to the verb's own wins."""
    args = {
        "before": ["--url", file_url, "get", "A"],
        "after": ["get", "A", "--url", file_url],
        "both": ["--url", "locmem://other", "get", "A", "--url", file_url],
    }[place]
    for door in ("module", "manage"):
        assert inside(door, "locmem://empty", args).ok().out == "1\n"


@pytest.mark.parametrize(
    "args, what",
    [
        (["delete", "A", "--yes", "--url", ""], "--url"),
        (["--url", "", "put", "A", "-"], "--url"),
        (["getall", "-o", ""], "-o"),
        (["getall", "-f", "json", "-o", ""], "-o"),
        (["put", "A", "-", "-k", ""], "-k"),
    ],
)
def test_what_is_empty_is_not_taken_as_left_out(on_file, tmp_path, args, what):
    """As of a shell's variable that is not set: the configured store or stdout is not meant."""
    before = (tmp_path / "store.json").read_text()
    assert f"error: {what} is empty" in on_file(*args, stdin="new").failed()
    assert (tmp_path / "store.json").read_text() == before


class TestHelp:
    @pytest.mark.parametrize("verb", [*VERBS, *ALIASES])
    def test_every_verb(self, on_file, verb):
        """``VERB --help`` names every argument of the verb, on stdout, with exit code 0."""
        done = on_file(verb, "--help").ok()
        assert done.err == ""
        name = ALIASES.get(verb, verb)
        # Without any white space: argparse breaks lines after hyphens too.
        for line in (VERBS[name].__doc__ or "").split("\n\n"):
            assert "".join(line.split()) in "".join(done.out.split())
        parser = _parser(VERBS[name])
        for action in parser._actions:
            for option in action.option_strings or [action.metavar]:
                assert str(option) in done.out

    def test_all_verbs(self, on_file):
        """The command's own help lists every verb and alias."""
        out = on_file("--help").ok().out
        for verb in [*VERBS, *ALIASES]:
            assert re.search(rf"\b{verb}\b", out)


def _parser(verb):
    import argparse

    parser = argparse.ArgumentParser(prog="verb")
    verb.add_arguments(parser)
    return parser


@pytest.mark.parametrize(("query", "seconds"), [("", 60.0), ("&timeout=7", 7.0)])
def test_a_command_has_more_time_than_a_fetch_unless_the_options_say(
    url, monkeypatch, query, seconds
):
    seen = []
    monkeypatch.setattr(
        "django_kms_secrets.cli.verbs.keys.run",
        lambda store, *_: seen.append(store.timeouts.overall) or 0,
    )
    inside("module", url + query, ["keys"]).ok()
    assert seen == [seconds]


@pytest.mark.parametrize(("query", "seconds"), [("", 60.0), ("&timeout=7", 7.0)])
def test_the_store_that_is_copied_to_has_as_much(url, tmp_path, monkeypatch, query, seconds):
    (tmp_path / "from.json").write_text('{"A": "1"}')
    seen = []
    write = CredStashStore.put_many
    monkeypatch.setattr(
        CredStashStore,
        "put_many",
        lambda store, *args, **options: (
            seen.append(store.timeouts.overall) or write(store, *args, **options)
        ),
    )
    inside("module", f"file://{tmp_path}/from.json", ["copy", "--to", url + query]).ok()
    assert seen == [seconds]
