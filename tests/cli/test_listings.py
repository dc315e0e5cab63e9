"""`list`, `keys`, `history`, `delete`, `setup`: all about secrets, never a value."""

from __future__ import annotations

import json

import pytest

from tests.server.embedded import REGION

from .conftest import MARK, denied


@pytest.fixture
def _three(fill):
    fill({"A": MARK, "B": f'{{"deep": "{MARK}"}}'})
    fill({"A": f"{MARK}-2"})


@pytest.mark.usefixtures("_three")
class TestListings:
    @pytest.mark.parametrize("args", [["list"], ["keys"], ["history", "A"]], ids=" ".join)
    def test_no_values(self, secrets, args):
        """Listings print no value, and decrypt none."""
        for options in ([], ["-f", "text"], ["--format", "json"]):
            assert MARK not in secrets(*args, *options).ok().words

    def test_decrypts_nothing(self, secrets, aws):
        """Whoever may not use the KMS key can still list."""
        aws.faults.append(denied("Decrypt"))
        for args in (["list"], ["keys"], ["history", "A"]):
            secrets(*args).ok()
        assert "KMS denies the use of its key" in secrets("get", "A").failed()

    def test_tabs(self, secrets):
        """In a pipe a listing is separated by tabs: name, version, stages, created, comment."""
        lines = secrets("list").ok().out.splitlines()
        assert [line.split("\t") for line in lines] == [
            ["A", f"{1:019}", "PREVIOUS", "", ""],
            ["A", f"{2:019}", "CURRENT", "", ""],
            ["B", f"{1:019}", "CURRENT", "", ""],
        ]

    def test_json(self, secrets):
        """``-f json`` parses, and has the same content."""
        rows = json.loads(secrets("list", "-f", "json").ok().out)
        assert rows[0] == {
            "name": "A",
            "version": f"{1:019}",
            "stages": ["PREVIOUS"],
            "created": None,
            "comment": "",
        }
        assert len(rows) == 3
        assert json.loads(secrets("keys", "-f", "json").ok().out) == ["A", "B"]
        assert json.loads(secrets("history", "B", "-f", "json").ok().out) == rows[2:]

    def test_history(self, secrets):
        """``history`` lists one secret, oldest first; a missing name is an error."""
        assert [
            line.split("\t")[1].lstrip("0")
            for line in secrets("history", "A").ok().out.splitlines()
        ] == ["1", "2"]
        assert "NOPE is not in CredStash table" in secrets("history", "NOPE").failed()

    def test_comment_is_no_column(self, secrets):
        """A comment with tabs, line breaks or terminal codes cannot pose as something else."""
        secrets("put", "C", "-", "-c", "a\tb\n\x1b[31mC\t9", stdin=MARK).ok()
        line = secrets("list").ok().out.splitlines()[-1]
        assert line.split("\t") == ["C", f"{1:019}", "CURRENT", "", "a b  [31mC 9"]


class TestCreated:
    def test_date(self, secrets, aws):
        """Where the service knows when a version was written, the listing says so."""
        url = f"secretsmanager://?region_name={REGION}&prefix=notes/"
        secrets("put", "A", "-", stdin=MARK, url=url).ok()
        (row,) = json.loads(secrets("list", "-f", "json", url=url).ok().out)
        assert row["name"] == "A"
        assert row["created"].startswith("20")
        assert "T" in row["created"]
        assert MARK not in secrets("history", "A", url=url).ok().words


class TestDelete:
    @pytest.fixture(autouse=True)
    def _fill(self, fill):
        fill({"A": MARK, "B": MARK})
        fill({"A": MARK})

    def test_needs_a_yes(self, secrets, stored):
        """Without a terminal there is nobody to ask: nothing is deleted without --yes."""
        error = secrets("delete", "A", stdin="y\n").failed()
        assert error == (
            "error: not done without a yes: delete A from CredStash table credential-store in "
            f"{REGION}?\nhint: add --yes\n"
        )
        assert set(stored()) == {"A", "B"}

    @pytest.mark.parametrize("yes", ["-y", "--yes"])
    def test_all_versions(self, secrets, stored, yes):
        """``--yes`` answers the question; all versions go, and only of that name."""
        secrets("delete", "A", yes).ok()
        assert set(stored()) == {"B"}
        assert "A" not in secrets("keys").out

    def test_missing(self, secrets, stored):
        """A name that is not there is an error (credstash says nothing)."""
        assert "NOPE is not in" in secrets("delete", "NOPE", "--yes").failed()
        assert set(stored()) == {"A", "B"}

    def test_glob_is_a_name(self, secrets, stored):
        """``delete`` knows no globs: one name, typed in full."""
        assert "* is not in" in secrets("delete", "*", "--yes").failed()
        assert set(stored()) == {"A", "B"}


class TestSetup:
    def test_key_is_not_made_unasked(self, secrets, aws):
        """Without --create-key only the table is made: a key costs money every month."""
        aws.reset()
        secrets("setup").ok()
        assert "there is no KMS key" in secrets("put", "A", "-", stdin=MARK).failed()

    def test_store_without_a_key(self, secrets, file_url):
        """A store that needs no key says so."""
        error = secrets("setup", "--create-key", url=file_url).failed()
        assert error == ("error: FileStore needs no key of its own\nhint: leave --create-key out\n")

    def test_key_by_id(self, secrets, aws):
        """A key can only be made for an alias, because its id cannot be chosen."""
        aws.reset()
        url = f"credstash://?region_name={REGION}&key_id=1234abcd-12ab-34cd-56ef-1234567890ab"
        assert "there is no KMS key" in secrets("setup", "--create-key", url=url).failed()

    def test_file(self, secrets, tmp_path):
        """For a file, setup makes it, empty and private; again, it stays as it is."""
        path = tmp_path / "new" / "secrets.json"
        assert f"file {path}: created" in secrets("setup", url=f"file://{path}").ok().err
        assert path.stat().st_mode & 0o777 == 0o600
        secrets("put", "A", "-", stdin=MARK, url=f"file://{path}").ok()
        assert "nothing to create" in secrets("setup", url=f"file://{path}").ok().err
        assert secrets("get", "A", url=f"file://{path}").ok().out == f"{MARK}\n"
