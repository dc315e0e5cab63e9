"""`-f json`: what a verb did is one JSON document on stdout; the words stay on stderr."""

from __future__ import annotations

import json

import pytest

from django_kms_secrets.cli.main import VERBS, add_verbs

from .conftest import MARK
from .doors import inside

PLACE = "CredStash table credential-store in ap-northeast-2"
FIRST, SECOND = (f"{number:019}" for number in (1, 2))


@pytest.fixture
def ask(secrets):
    """A function that gives what a verb writes with -f json, which never has a value in it."""

    def run(*args, stdin="", code=0, **options):
        done = secrets(*args, "-f", "json", stdin=stdin, **options)
        assert done.code == code, done.err
        assert MARK not in done.words
        return json.loads(done.out)

    return run


class TestShapes:
    """One of each verb: what the page of the command says."""

    def test_setup(self, ask, aws, url):
        aws.reset()
        assert ask("setup", "--create-key") == {
            "store": PLACE,
            "created": True,
            "key_created": True,
        }
        assert ask("setup") == {"store": PLACE, "created": False, "key_created": None}

    def test_put_and_delete(self, ask):
        done = {"store": PLACE, "name": "A"}
        assert ask("put", "A", "-", stdin=MARK) == {**done, "version": FIRST}
        assert ask("delete", "A", "--yes") == done

    def test_putall(self, ask, fill):
        fill({"A": MARK, "B": MARK, "C": MARK})
        wanted = json.dumps({"A": MARK, "B": f"{MARK}-2", "D": MARK})
        assert ask("putall", "-", "--prune", "--yes", stdin=wanted) == {
            "store": PLACE,
            "added": ["D"],
            "changed": ["B"],
            "unchanged": ["A"],
            "deleted": ["C"],
        }

    @pytest.mark.parametrize("verb", [["diff"], ["putall", "--dry-run"]], ids=" ".join)
    def test_differences(self, ask, fill, verb):
        fill({"A": MARK})
        (row,) = ask(*verb, "-", stdin=f"B={MARK}\nA={MARK}", code=1)[:1]
        assert (row["state"], row["name"], row["stored"]) == ("added", "B", None)

    @pytest.mark.parametrize("versions", [(), ("--versions",)], ids=str)
    def test_copy(self, ask, fill, versions):
        fill({"A": MARK, "B": MARK})
        url = f"locmem://copied-with{''.join(versions)}"
        inside("module", url, ["put", "A", "-"], f"{MARK}-a").ok()
        copy = ("copy", "--to", url, "--existing", "keep", *versions)
        done = {
            "store": f"memory store {url.removeprefix('locmem://')}",
            "unchanged": [],
            "kept": ["A"],
        }
        assert ask(*copy) == {**done, "copied": ["B"]}
        assert ask(*copy) == {**done, "copied": [], "unchanged": ["B"]}

    def test_rotate(self, ask, fill):
        fill({"SECRET_KEY": MARK})
        done = {"store": PLACE, "name": "SECRET_KEY", "dry_run": False, "version": None}
        rotate = ("rotate", "SECRET_KEY", "--yes")
        assert ask(*rotate, "--dry-run") == {**done, "step": "replace", "dry_run": True}
        assert ask(*rotate) == {**done, "step": "replace", "version": SECOND}
        staged = ask(*rotate, "--stage")
        assert staged == {**done, "step": "stage", "version": staged["version"]}
        assert staged["version"] not in {None, SECOND}
        assert ask(*rotate, "--promote")["step"] == "promote"
        assert ask(*rotate, "--retire") == {**done, "step": "retire"}
        assert ask(*rotate, "--stage")["version"]
        assert ask(*rotate, "--abandon") == {**done, "step": "abandon"}
        found = ask("rotate", "SECRET_KEY", "--status")
        assert (found["store"], found["name"], found["next"]) == (PLACE, "SECRET_KEY", ["stage"])
        assert [list(row) for row in found["stages"]] == [["stage", "version", "created"]]

    def test_rollback(self, ask, fill):
        fill({"A": MARK})
        fill({"A": f"{MARK}-2"})
        done = {"store": PLACE, "name": "A", "from": SECOND, "to": FIRST}
        dry = ask("rollback", "A", "previous", "--dry-run")
        assert dry == {**done, "dry_run": True, "version": None}
        found = ask("rollback", "A", "previous")
        assert found == {**done, "dry_run": False, "version": found["version"]}
        assert found["version"]

    def test_reencrypt(self, ask, fill):
        fill({"A": MARK})
        fill({"A": f"{MARK}-2", "B": MARK})
        done = {"store": PLACE, "names": ["A", "B"]}
        bind = ("reencrypt", "--bind", "--prune", "--yes")
        dry = {"dry_run": True, "reencrypted": [], "pruned": []}
        assert ask(*bind, "--dry-run") == {**done, **dry}
        found = ask(*bind)
        assert sorted(found["reencrypted"]) == sorted(found["pruned"]) == ["A", "B"]
        assert found["dry_run"] is False
        assert ask(*bind)["reencrypted"] == []


def test_every_verb_that_says_what_it_did_says_it_as_json():
    """All but run and completion: one becomes another program, the other writes a script."""
    import argparse

    parser = argparse.ArgumentParser()
    add_verbs(parser)
    for verb in VERBS:
        found = [
            action
            for choice in parser._subparsers._group_actions[0].choices.items()
            for action in choice[1]._actions
            if choice[0] == verb and action.dest == "format"
        ]
        assert verb in {"run", "completion"} or "json" in found[0].choices


def test_words_stay_on_stderr(secrets):
    """They are the same with and without it."""
    done = secrets("put", "A", "-", "-f", "json", stdin="x").ok()
    assert done.err == f"A version {FIRST} stored in {PLACE}\n"


def test_an_error_is_words_and_an_exit_code(secrets):
    """Nothing is on stdout then: an empty document is no JSON, so nobody takes it for one."""
    secrets("rotate", "NOPE", "--length", "50", "-f", "json").failed()
    secrets("delete", "NOPE", "--yes", "-f", "json").failed()


def test_a_file_has_an_input_format(file_url, tmp_path):
    """`-f` is of what is written, in every verb; what is read has an option of its own."""
    done = inside("module", file_url, ["diff", "-", "--input-format", "yaml", "-f", "json"], "A: x")
    assert [row["name"] for row in json.loads(done.out)] == ["A", "B", "tree"]
    assert "invalid choice" in inside("module", file_url, ["diff", "-", "-f", "yaml"]).refused()
