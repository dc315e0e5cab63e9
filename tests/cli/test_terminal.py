"""What a terminal shows, on a real one; and that a pipe gets the same plain columns as ever."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from django_kms_secrets.cli.terminal import ago

from .doors import MODULE, environment, on_terminal, outside
from .test_process import MANAGE

# Rows as JSON, in the way of a verb: on the terminal that stdout is, or into its pipe.
ROWS = """
import json, sys
from datetime import datetime
from django_kms_secrets.cli.console import Console
rows = json.loads(sys.argv[1])
for row in rows:
    if row.get("created"):
        row["created"] = datetime.fromisoformat(row["created"])
format = sys.argv[2] if len(sys.argv) > 2 else "text"
Console(sys.stdout, sys.stderr).rows(list(rows[0]) if rows else ["name"], rows, format)
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def argv(rows, *words):
    return [sys.executable, "-c", ROWS, json.dumps(rows), *words]


def shown(cwd, rows, *, columns=80, **variables):
    """The lines of a table, with its colours."""
    env = environment(**{"TERM": "xterm-256color", **variables})
    done = on_terminal(argv(rows), [], cwd=cwd, pipe=False, columns=columns, env=env)
    assert done.code == 0, done.screen
    return done.screen.splitlines()


def plain(lines):
    return [COLOUR.sub("", line).rstrip() for line in lines]


@pytest.fixture
def store(file_url, monkeypatch):
    """The file A, B and tree, for a process."""
    monkeypatch.setenv("KMS_SECRETS_URL", file_url)


class TestTable:
    def test_it_has_a_heading_and_is_aligned(self, cwd):
        rows = [{"name": "A", "version": "1"}, {"name": "LONGER", "version": "2"}]
        assert plain(shown(cwd, rows)) == ["name    version", "A       1", "LONGER  2"]

    def test_a_column_with_nothing_in_it_is_left_out(self, cwd):
        """A pipe has it: its columns are counted."""
        rows = [{"name": "A", "created": None, "comment": ""}]
        assert plain(shown(cwd, rows)) == ["name", "A"]
        assert outside(argv(rows), cwd=cwd).out == "A\t\t\n"

    def test_a_state_has_a_colour_and_its_word(self, cwd):
        """The word says it by itself; a secret that is called like one has no colour."""
        rows = [
            {"state": state, "name": name}
            for state, name in (("error", "ok"), ("ok", "error"), ("new word", "warning"))
        ]
        _, *lines = shown(cwd, rows)
        assert plain(lines) == ["error     ok", "ok        error", "new word  warning"]
        assert [COLOUR.findall(line)[:1] for line in lines] == [["\x1b[1;31m"], ["\x1b[32m"], []]

    def test_a_time_is_an_age(self, cwd):
        """In a pipe and as JSON it is the time itself."""
        created = datetime.now(timezone.utc) - timedelta(days=3, hours=1)
        row = {"name": "A", "created": created.isoformat()}
        assert plain(shown(cwd, [row]))[1] == "A     3 days ago"
        exact = created.isoformat(timespec="seconds")
        assert outside(argv([row]), cwd=cwd).out == f"A\t{exact}\n"
        assert json.loads(outside(argv([row], "json"), cwd=cwd).out)[0]["created"] == exact

    @pytest.mark.parametrize("columns", [24, 30, 40, 60])
    def test_a_narrow_terminal_cuts_nothing(self, cwd, columns):
        """A name stands in one piece if half of the line takes it; the rest is folded."""
        long = "L" * 50
        rows = [
            {"name": name, "version": "123456789" * 3, "comment": "word " * 8}
            for name in ("SECRET_K", long)
        ]
        lines = plain(shown(cwd, rows[:1], columns=columns))
        assert max(map(len, lines)) <= columns
        assert any(line.startswith("SECRET_K ") for line in lines)
        lines = plain(shown(cwd, rows, columns=columns))
        assert max(map(len, lines)) <= columns
        assert "".join(lines).count("L") == 50
        assert "".join(lines).count("9") == 6

    @pytest.mark.parametrize("char", ["a", "漢"], ids=["narrow", "wide"])
    @pytest.mark.parametrize("columns", [40, 43, 60])
    def test_beside_a_name_is_room_for_all_columns(self, cwd, columns, char):
        """Every character of five columns is there, whatever its width and that of the name."""
        for count in (columns // 4, columns // 2):
            row = {"name": char * count, "version": "1234", "stages": "CURRENT"}
            row |= {"given": "5678", "comment": "字" * 9}
            lines = plain(shown(cwd, [row], columns=columns))
            folded = Counter("".join(lines))
            assert folded - Counter(" ") >= Counter("".join([*row, *row.values()])), lines

    @pytest.mark.parametrize("columns", [0, 1, 3, 15])
    def test_too_narrow_for_a_table_has_the_lines_of_a_pipe(self, cwd, columns):
        """The terminal folds them itself."""
        rows = [{"name": "SECRET_K", "version": "1"}]
        assert shown(cwd, rows, COLUMNS=str(columns)) == ["SECRET_K\t1"]

    def test_what_a_terminal_would_obey_is_inert(self, cwd):
        """Markup of rich is text, and control characters are spaces; in a pipe as well."""
        rows = [{"name": "[red]x[/red]\x1b[2J\n\x9b7m\u202e", "comment": ":smile: [link=x]"}]
        inert = "[red]x[/red] [2J  7m"
        line = shown(cwd, rows, columns=120)[1]
        assert line.split("  :")[0].startswith(inert)
        assert line.rstrip().endswith(":smile: [link=x]")
        assert "\x1b" not in line
        assert outside(argv(rows), cwd=cwd).out == f"{inert} \t:smile: [link=x]\n"

    def test_json_is_inert_and_exact(self, cwd):
        rows = [{"name": "é\x9b7m\u202e\U000e0001\n"}]
        out = outside(argv(rows, "json"), cwd=cwd).out
        assert json.loads(out) == rows
        assert "é" in out
        assert all(char.isprintable() or char == "\n" for char in out)

    def test_nothing_is_said_in_words(self, cwd):
        assert shown(cwd, []) == ["there is nothing to list"]
        done = outside(argv([]), cwd=cwd)
        assert (done.out, done.err) == ("", "")

    def test_what_its_encoding_does_not_have_is_an_error(self, cwd, store, file_url, tmp_path):
        path = tmp_path / "store.json"
        path.write_text('{"ключ": "1"}')
        env = environment(TERM="xterm", PYTHONIOENCODING="ascii:strict")
        done = on_terminal([*MODULE, "list"], [], cwd=cwd, pipe=False, env=env)
        assert done.code == 1
        assert "error: stdout takes only ascii" in done.screen
        assert "Traceback" not in done.screen


class TestColour:
    ROWS = [{"state": "error", "name": "A"}]

    @pytest.mark.parametrize(
        "variables, has_colour",
        [
            ({}, True),
            ({"NO_COLOR": "1"}, False),
            ({"NO_COLOR": ""}, True),
            ({"TERM": "dumb"}, False),
        ],
        ids=str,
    )
    def test_variables(self, cwd, variables, has_colour):
        """NO_COLOR counts where it is not empty (no-color.org); a dumb terminal has none."""
        _, line = shown(cwd, self.ROWS, **variables)
        assert ("31m" in line) == has_colour
        assert plain([line]) == ["error  A"]

    def test_a_pipe_stays_plain(self, cwd):
        """FORCE_COLOR is often set for all of a pipeline, and these columns are for programs."""
        env = environment(FORCE_COLOR="1", TERM="xterm-256color")
        assert outside(argv(self.ROWS), cwd=cwd, env=env).out == "error\tA\n"

    @pytest.fixture
    def manage(self, store, tmp_path):
        script = tmp_path / "manage.py"
        script.write_text(MANAGE)
        return [sys.executable, str(script), "secrets"]

    def test_no_color_of_django(self, manage, cwd):
        env = environment(TERM="xterm-256color")
        for words, has_colour in ((["list"], True), (["list", "--no-color"], False)):
            done = on_terminal([*manage, *words], [], cwd=cwd, pipe=False, env=env)
            assert "CURRENT" in done.screen
            assert ("\x1b[32m" in done.screen) == has_colour

    def test_force_color_of_django(self, manage, cwd):
        """It is asked for by name: the table, with its colours, also in a pipe."""
        env = environment(TERM="xterm-256color", NO_COLOR="1")
        done = outside([*manage, "list", "--force-color"], cwd=cwd, env=env)
        assert "\x1b[32mCURRENT" in done.ok().out
        assert "\x1b" not in outside([*manage, "list"], cwd=cwd, env=env).ok().out


# A bar that would appear at once, and what becomes of its work.
BAR = """
import sys
from django_kms_secrets.cli import console
console.MOMENT = 0.0
ours = console.Console(sys.stdout, sys.stderr)
try:
    with ours.progress("reading") as show:
        show(3, 7)
        if sys.argv[1] == "fails":
            raise ValueError
except ValueError:
    ours.say("it failed")
with ours.waiting("waiting for it"):
    pass
"""
CLEARED, CURSOR = "\x1b[2K", "\x1b[?25"


class TestProgress:
    def bar(self, cwd, end="ends", *, pipe=False, **variables):
        env = environment(**{"TERM": "xterm-256color", **variables})
        argv = [sys.executable, "-c", BAR, end]
        return on_terminal(argv, [], cwd=cwd, pipe=pipe, env=env)

    def test_it_is_gone_when_its_work_is_done(self, cwd):
        screen = self.bar(cwd).screen
        assert "reading" in screen
        assert "3/7" in screen
        assert screen.endswith(CLEARED)
        assert screen.rindex(CLEARED) > screen.rindex("waiting for it")
        assert screen.index(CLEARED, screen.rindex("3/7")) < screen.index("waiting for it")

    def test_it_is_gone_when_its_work_fails(self, cwd):
        """Before the error is written."""
        shown, _, _ = self.bar(cwd, "fails").screen.partition("it failed")
        _, _, rest = shown.rpartition("3/7")
        assert CLEARED in rest

    def test_the_cursor_is_never_hidden(self, cwd):
        """Neither by a bar nor by a spinner: who is killed beside one cannot show it again."""
        screen = self.bar(cwd).screen
        assert "3/7" in screen
        assert "waiting for it" in screen
        assert CURSOR not in screen

    @pytest.mark.parametrize("variables", [{"CI": "true"}, {"TERM": "dumb"}], ids=str)
    def test_where_nobody_watches_there_is_none(self, cwd, variables):
        """A log would keep every state of it; what is waited for is said once."""
        assert self.bar(cwd, **variables).screen == "waiting for it\n"

    def test_none_beside_a_pipe(self, cwd):
        """What reads the pipe may be writing to the same terminal."""
        assert "reading" not in self.bar(cwd, pipe=True).screen

    def test_none_in_a_pipe(self, cwd):
        done = outside([sys.executable, "-c", BAR, "ends"], cwd=cwd)
        assert (done.out, done.err) == ("", "waiting for it\n")


class TestPipe:
    def test_it_is_not_paid_for(self, store, cwd):
        """rich is imported where there is a terminal, and nowhere else."""
        timed = [sys.executable, "-X", "importtime", *MODULE[1:], "list"]
        assert not re.search(r"\| +rich", outside(timed, cwd=cwd).ok().err)
        done = on_terminal(timed, [], cwd=cwd, pipe=False)
        assert re.search(r"\| +rich", done.screen)

    def test_every_listing(self, store, cwd):
        """Columns, separated by tabs, without a heading: the same bytes as they always were."""
        listings = {
            "list": "A\t1\tCURRENT\t\t\nB\t1\tCURRENT\t\t\ntree\t1\tCURRENT\t\t\n",
            "history A": "A\t1\tCURRENT\t\t\n",
            "keys": "A\nB\ntree\n",
        }
        assert {
            words: outside([*MODULE, *words.split()], cwd=cwd).ok().out for words in listings
        } == listings


@pytest.mark.parametrize(
    "seconds, words",
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (86_400 * 2 - 1, "1 day ago"),
        (86_400 * 400, "400 days ago"),
    ],
)
def test_an_age(seconds, words):
    assert ago(datetime.now(timezone.utc) - timedelta(seconds=seconds)) == words
