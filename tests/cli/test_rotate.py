"""`rotate`: a new value at once or in steps, in their order, with no value on the way out."""

from __future__ import annotations

import inspect
import json
import re
import sys
import traceback
from itertools import pairwise
from unittest import mock

import pytest

from django_kms_secrets import StoreUnavailable, VersionConflict, config
from django_kms_secrets.backends.capabilities import RotatingStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.cli import main as cli
from django_kms_secrets.cli.verbs import rotate as verb
from django_kms_secrets.config import read_config
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS
from tests.server.embedded import REGION

from .conftest import MARK, denied
from .doors import MODULE, inside, on_terminal

MEMORY = "locmem://rotation"
PLACE = "memory store rotation"
SECRETS_MANAGER = {
    "document": f"secretsmanager:///notes?region_name={REGION}",
    "names": f"secretsmanager://?region_name={REGION}&prefix=notes/",
}
STEPS = ("--stage", "--promote", "--retire", "--abandon", "--status")


@pytest.fixture(params=["module", "manage", "call"])
def door(request):
    """The command through each of its doors, on secrets in memory."""

    def run(*args, stdin="", url=MEMORY):
        return inside(request.param, url, args, stdin)

    return run


@pytest.fixture
def rotate():
    """``rotate NAME …`` on secrets in memory, through one door."""

    def run(*args, name="SECRET_KEY", stdin="", url=MEMORY):
        return inside("module", url, ["rotate", name, *args], stdin)

    return run


def memory(url=MEMORY):
    return read_config(url).make_store()


def values(name="SECRET_KEY", url=MEMORY):
    """What is stored of a name, by stage."""
    with memory(url) as store:
        return {stage: secret.value for stage, secret in store.get_stages(name).items()}


@pytest.fixture(autouse=True)
def _fill():
    with memory() as store:
        store.put("SECRET_KEY", f"{MARK} first")
        store.put("API_KEY", f"{MARK} first")


@pytest.fixture(params=["memory", "credstash", "credstash document", "document", "names"])
def staged(request):
    """The URL of each store that can stage, with a SECRET_KEY in it."""
    if request.param == "memory":
        return MEMORY
    if request.param in SECRETS_MANAGER:
        request.getfixturevalue("aws")
        with memory(SECRETS_MANAGER[request.param]) as store:
            store.setup()
            store.put("SECRET_KEY", f"{MARK} first")
        return SECRETS_MANAGER[request.param]
    url = request.getfixturevalue("url")
    url += "&document=notes" if "document" in request.param else ""
    with memory(url) as store:
        store.setup()
        store.put("SECRET_KEY", f"{MARK} first")
    return url


class TestAtOnce:
    def test_transcript(self, door):
        """A new version is current, the old one is the previous; it says so, and what is next."""
        done = door("rotate", "SECRET_KEY").ok()
        assert done.out == ""
        assert done.err == (
            f"SECRET_KEY version 2 stored in {PLACE}\n"
            "version 1 is the previous one: `secrets rollback SECRET_KEY 1` brings it back\n"
            "note: a host that was not deployed yet does not accept what the new key signs; with "
            "more than one host, begin with --stage\n"
            "next: deploy every host\n"
        )
        found = values()
        assert len(found.pop(CURRENT)) == 50
        assert found == {PREVIOUS: f"{MARK} first"}

    def test_every_store(self, rotate, staged):
        """It is the same on every store that keeps versions; the way back that it names works."""
        done = rotate(url=staged).ok()
        command = re.search(r"`secrets (rollback SECRET_KEY \S+)` brings it back", done.err)[1]
        found = values(url=staged)
        assert found[PREVIOUS] == f"{MARK} first"
        assert MARK not in found[CURRENT]
        assert PENDING not in found
        with memory(staged) as store:
            store.put("OTHER", "x")
        inside("module", staged, command.split()).ok()
        assert values(url=staged)[CURRENT] == f"{MARK} first"

    def test_note_is_for_keys_that_sign(self, rotate):
        """What is said of sessions is said of a SECRET_KEY only."""
        assert "note:" not in rotate("--length", "40", name="API_KEY").ok().err

    def test_name_must_exist(self, rotate):
        """A new name is for `put`: a typing error must not make a secret."""
        error = rotate("--length", "40", name="API_KEZ").failed()
        assert error.startswith(f"error: API_KEZ is not in {PLACE}\nhint: did you mean API_KEY? ")
        assert "`secrets put API_KEZ`" in error
        assert values("API_KEZ") == {}

    def test_not_while_a_value_is_pending(self, rotate, staged):
        """A rotation in steps is finished or abandoned first."""
        rotate("--stage", url=staged).ok()
        before = values(url=staged)
        error = rotate(url=staged).failed()
        assert "a value of SECRET_KEY is pending already" in error
        assert "--promote" in error
        assert "--abandon" in error
        assert values(url=staged) == before

    def test_loser_of_a_race_stores_nothing(self, rotate, staged, monkeypatch):
        """Of two operators at once one wins; the other is told, and nothing is overwritten."""
        store_class = type(memory(staged))
        write = store_class.rotate

        def second(self, name, value, *, expected):
            with memory(staged) as other:
                other.put(name, "of the other operator")
            return write(self, name, value, expected=expected)

        monkeypatch.setattr(store_class, "rotate", second)
        error = rotate(url=staged).failed()
        assert "SECRET_KEY" in error
        assert "somebody else wrote" in error
        assert values(url=staged)[CURRENT] == "of the other operator"
        assert values(url=staged)[PREVIOUS] == f"{MARK} first"

    def test_needs_no_permission_to_read(self, secrets, url, fill, aws):
        """Random characters are stored by who may not decrypt."""
        fill({"SECRET_KEY": MARK})
        aws.faults.append(denied("Decrypt"))
        for step in ([], ["--stage"]):
            assert "warning" not in secrets("rotate", "SECRET_KEY", *step).ok().err
        done = secrets("rotate", "SECRET_KEY", "--abandon").ok()
        assert MARK not in done.words

    def test_value_of_who_may_not_read(self, secrets, fill, stored, aws):
        """--value is stored too, with a warning that nobody could compare it."""
        fill({"A": MARK})
        aws.faults.append(denied("Decrypt"))
        done = secrets("rotate", "A", "--value", "-", stdin="new").ok()
        assert "warning: no telling whether this changes A" in done.err
        aws.faults.clear()
        assert stored() == {"A": "new"}


class TestFile:
    """A store that keeps one value of a secret."""

    def test_asks(self, on_file, file_url):
        """The old value would be gone: without a terminal nothing is done without --yes."""
        error = on_file("rotate", "A", "--value", "-", stdin="new").failed()
        path = file_url.removeprefix("file://")
        assert error == (
            f"error: not done without a yes: replace A in file {path}? Its old value is gone then\n"
            "hint: add --yes\n"
        )
        assert values("A", file_url) == {CURRENT: "1"}

    def test_yes(self, on_file, file_url):
        """With --yes it is replaced, and it says that there is no way back."""
        done = on_file("rotate", "A", "--value", "-", "--yes", stdin="new").ok()
        assert "the old value is gone: this store keeps no versions" in done.err
        assert "rollback" not in done.err
        assert values("A", file_url) == {CURRENT: "new"}

    def test_a_generator_does_not_run_before_the_yes(self, on_file, maker):
        """What asks is asked before anything is made."""
        on_file("rotate", "A", "--generator", maker.path).failed()
        assert maker.calls() == 0

    @pytest.mark.parametrize("step", STEPS)
    def test_has_no_steps(self, on_file, file_url, step):
        """A step is an error that says what can be done instead."""
        error = on_file("rotate", "A", step).failed()
        assert "FileStore keeps one value of a secret, so there are no steps" in error
        assert "hint: `secrets rotate A` replaces it at once" in error
        assert values("A", file_url) == {CURRENT: "1"}


class TestSteps:
    def test_transcript(self, door):
        """The whole way; after every step it says what to deploy and what comes next."""
        done = door("rotate", "SECRET_KEY", "--stage").ok()
        assert done.words == (
            f"SECRET_KEY version 2 is pending in {PLACE}; the current value stays in force\n"
            "next: deploy every host, so that all accept the new value; then "
            "`secrets rotate SECRET_KEY --promote`\n"
        )
        done = door("rotate", "SECRET_KEY", "--promote").ok()
        assert done.words == (
            f"SECRET_KEY version 2 is current in {PLACE}; the value before it is the previous one\n"
            "next: deploy every host, so that all use the new value; once nothing made with the "
            "old one (sessions, tokens) need be accepted any more, "
            "`secrets rotate SECRET_KEY --retire`\n"
        )
        done = door("rotate", "SECRET_KEY", "--retire", "--yes").ok()
        assert done.words == (
            f"SECRET_KEY in {PLACE} has no previous value any more\n"
            "next: deploy every host once more, so that none accepts the old value\n"
        )
        door("rotate", "SECRET_KEY", "--stage").ok()
        done = door("rotate", "SECRET_KEY", "--abandon").ok()
        assert done.words == (
            f"SECRET_KEY in {PLACE}: the pending value is dropped\n"
            "next: deploy every host that was deployed since --stage, so that none accepts it\n"
        )

    def test_what_is_stored(self, rotate, staged):
        """On every store: the value moves from pending to current, and the old one goes last."""
        old = f"{MARK} first"
        rotate("--stage", "--value", "-", stdin="new", url=staged).ok()
        assert values(url=staged) == {PENDING: "new", CURRENT: old}
        rotate("--promote", url=staged).ok()
        assert values(url=staged) == {CURRENT: "new", PREVIOUS: old}
        rotate("--stage", "--value", "-", stdin="newer", url=staged).ok()
        assert values(url=staged) == {PENDING: "newer", CURRENT: "new", PREVIOUS: old}
        rotate("--abandon", url=staged).ok()
        assert values(url=staged) == {CURRENT: "new", PREVIOUS: old}
        rotate("--retire", "--yes", url=staged).ok()
        assert values(url=staged) == {CURRENT: "new"}

    # What has happened before -> the steps that are refused then, and by which words.
    REFUSED = {
        (): {
            "--promote": "no value of SECRET_KEY is pending",
            "--abandon": "no value of SECRET_KEY is pending",
            "--retire": "SECRET_KEY has no version PREVIOUS",
        },
        ("--stage",): {
            "--stage": "a value of SECRET_KEY is pending already",
            "--retire": "a value of SECRET_KEY is pending already",
        },
        ("--stage", "--promote"): {
            "--promote": "no value of SECRET_KEY is pending",
            "--abandon": "no value of SECRET_KEY is pending",
        },
        ("--stage", "--promote", "--stage"): {
            "--stage": "a value of SECRET_KEY is pending already",
            "--retire": "a value of SECRET_KEY is pending already",
        },
        ("--stage", "--promote", "--retire"): {
            "--promote": "no value of SECRET_KEY is pending",
            "--abandon": "no value of SECRET_KEY is pending",
            "--retire": "SECRET_KEY has no version PREVIOUS",
        },
        ("--stage", "--abandon"): {
            "--promote": "no value of SECRET_KEY is pending",
            "--abandon": "no value of SECRET_KEY is pending",
            "--retire": "SECRET_KEY has no version PREVIOUS",
        },
    }

    @pytest.mark.parametrize("before", REFUSED, ids=" ".join)
    @pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["real", "dry"])
    def test_order(self, rotate, staged, before, dry):
        """A step out of order is refused, dry or not, and changes nothing; the others work."""
        for step in before:
            rotate(step, "--yes", url=staged).ok()
        stored = values(url=staged)
        for step in ("--stage", "--promote", "--retire", "--abandon"):
            done = rotate(step, "--yes", "--dry-run", url=staged)
            refused = self.REFUSED[before].get(step)
            if not refused:
                assert "would " in done.ok().err
                continue
            error = rotate(step, "--yes", *dry, url=staged).failed()
            assert refused in error
            assert "hint: `secrets " in error
        assert values(url=staged) == stored

    @pytest.mark.parametrize("step", STEPS)
    def test_missing_name(self, rotate, step):
        """A step of a name that is not there is an error."""
        error = rotate(step, "--length", "40", name="NOPE") if step == "--stage" else None
        error = (error or rotate(step, name="NOPE")).failed()
        assert f"NOPE is not in {PLACE}" in error

    def test_promotion_that_somebody_else_did_first(self, rotate, monkeypatch):
        """What happens between the look and the step is the store's error, not a traceback."""
        rotate("--stage").ok()
        promote = LocMemStore.promote

        def second(self, name):
            promote(self, name)
            return promote(self, name)

        monkeypatch.setattr(LocMemStore, "promote", second)
        assert "no value of SECRET_KEY is pending" in rotate("--promote").failed()

    def test_only_one_step_at_a_time(self, rotate):
        """Two steps are wrong usage."""
        modes = [*STEPS, "--lambda"]
        for one, two in pairwise(modes):
            assert "not allowed with argument" in rotate(one, two).refused()
        with pytest.raises(Exception, match="one step at a time"):
            verb.prepare({**dict.fromkeys(_options(), None), "stage": True, "promote": True})


def _options():
    import argparse

    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return [action.dest for action in parser._actions]


class TestRetire:
    @pytest.fixture(autouse=True)
    def _promoted(self, rotate):
        rotate("--length", "40", name="API_KEY").ok()

    def test_needs_a_yes(self, rotate):
        """Without a terminal nothing is dropped without --yes."""
        assert rotate("--retire", name="API_KEY", stdin="y\n").failed() == (
            f"error: not done without a yes: drop the previous value of API_KEY and what is "
            f"older from {PLACE}? There is no rollback to it then\nhint: add --yes\n"
        )
        assert set(values("API_KEY")) == {CURRENT, PREVIOUS}

    @pytest.mark.parametrize("answer, gone", [("y", True), ("n", False)])
    def test_asks(self, url, fill, cwd, monkeypatch, answer, gone):
        """On a terminal it asks, and only a yes is a yes."""
        fill({"A": f"{MARK} one"})
        fill({"A": f"{MARK} two"})
        monkeypatch.setenv("KMS_SECRETS_URL", url)
        question = "There is no rollback to it then [y/N] "
        argv = [*MODULE, "rotate", "A", "--retire"]
        done = on_terminal(argv, [(question, f"{answer}\n")], cwd=cwd)
        assert done.code == (0 if gone else 1), done.screen
        assert set(values("A", url)) == ({CURRENT} if gone else {CURRENT, PREVIOUS})
        assert MARK not in done.screen + done.piped

    @pytest.mark.parametrize("meanwhile", ["put", "stage"])
    def test_something_happens_while_it_asks(self, rotate, monkeypatch, meanwhile):
        """A yes to one version is no yes to another: the hosts may still use that one."""
        question = []

        def confirm(self, text, *, yes):
            question.append(text)
            with memory() as store:
                getattr(store, meanwhile)("API_KEY", "of somebody else")

        monkeypatch.setattr("django_kms_secrets.cli.console.Console.confirm", confirm)
        error = rotate("--retire", name="API_KEY").failed()
        assert "API_KEY in memory store rotation has changed since it was asked about" in error
        assert question
        assert set(values("API_KEY")) >= {CURRENT, PREVIOUS}


class TestNewValue:
    @pytest.mark.parametrize("step", [[], ["--stage"]], ids=["at once", "staged"])
    @pytest.mark.parametrize(
        "options, pattern",
        [
            (["--length", "32"], "[A-Za-z0-9]{32}"),
            (["--alphabet", "0123456789abcdef"], "[0-9a-f]{50}"),
            (["--alphabet", "01", "--length", "200"], "[01]{200}"),
            (["--generator", "project_makers.make"], f"{MARK} made"),
            (["--value", "-"], f"{MARK} stdin"),
            (["--value", "@FILE"], f"{MARK} file"),
            (["--value", f"{MARK} typed"], f"{MARK} typed"),
            ([f"--value=-{MARK}"], f"-{MARK}"),
        ],
        ids=lambda given: " ".join(given) if isinstance(given, list) else "",
    )
    def test_sources(self, door, maker, tmp_path, step, options, pattern):
        """A new value comes from where the options say, at once and staged, and is not shown."""
        (tmp_path / "value").write_text(f"{MARK} file")
        options = [option.replace("@FILE", f"@{tmp_path / 'value'}") for option in options]
        done = door("rotate", "API_KEY", *step, *options, stdin=f"{MARK} stdin").ok()
        found = values("API_KEY")
        assert re.fullmatch(pattern, found[PENDING if step else CURRENT])
        assert found[CURRENT if step else PREVIOUS] == f"{MARK} first"
        assert MARK not in done.words
        typed = any(MARK in option for option in options)
        assert ("warning: the value was on the command line" in done.err) is typed
        assert "leave it out to be asked" not in done.err

    def test_line_break(self, rotate):
        """What is read is stored as it is; a line break at its end is warned about."""
        done = rotate("--value", "-", stdin=f"{MARK}\n").ok()
        assert "the value ends with a line break" in done.err
        assert values()[CURRENT] == f"{MARK}\n"

    def test_no_option(self, rotate):
        """No name but SECRET_KEY has a value that could be guessed; the error names the options."""
        for step in ([], ["--stage"], ["--dry-run"]):
            error = rotate(*step, name="API_KEY").failed()
            assert "no telling what a new value of API_KEY looks like" in error
            for option in ("--length", "--generator", "--value -", "--value @FILE"):
                assert option in error
        assert values("API_KEY") == {CURRENT: f"{MARK} first"}

    def test_value_needs_an_argument(self, rotate):
        """--value alone is wrong usage: there is no prompt that a script would wait at."""
        assert "expected one argument" in rotate("--value", name="API_KEY").refused()

    @pytest.mark.parametrize(
        "options",
        [
            ["--value", MARK, "--length", "40"],
            ["--value", MARK, "--generator", "os.getcwd"],
            ["--generator", "os.getcwd", "--alphabet", "abcdef"],
            ["--value", MARK, "--generator", "os.getcwd", "--length", "40"],
        ],
        ids=" ".join,
    )
    def test_options_exclude_each_other(self, door, options):
        """A value comes from one place; the error names the options that were given."""
        error = door("rotate", "API_KEY", *options).failed()
        assert "a new value comes from one place" in error
        for option in options:
            assert (option in error) is option.startswith("--")
        assert values("API_KEY") == {CURRENT: f"{MARK} first"}

    @pytest.mark.parametrize("step", ["--promote", "--retire", "--abandon", "--status", "--lambda"])
    @pytest.mark.parametrize("option", ["--length", "--alphabet", "--generator", "--value"])
    def test_other_steps_make_none(self, rotate, step, option):
        """An option that a step would ignore is refused."""
        error = rotate(step, option, "7").failed()
        assert f"{step} makes no new value of its own\nhint: leave {option} out" in error

    @pytest.mark.parametrize("step", [[], ["--stage"]], ids=["at once", "staged"])
    @pytest.mark.parametrize(
        "options", [["--value", "-"], ["--generator", "project_makers.make"]], ids=" ".join
    )
    def test_value_it_has_already(self, rotate, staged, maker, step, options):
        """The value that is current is no new one: nothing is written."""
        with memory(staged) as store:
            store.put("API_KEY", f"{MARK} made")
        error = rotate(*step, *options, name="API_KEY", stdin=f"{MARK} made", url=staged).failed()
        assert "the new value of API_KEY in " in error
        assert " is the one it has" in error
        assert set(values("API_KEY", staged)) <= {CURRENT, PREVIOUS}
        assert values("API_KEY", staged)[CURRENT] == f"{MARK} made"
        assert MARK not in error

    def test_empty(self, rotate):
        """An empty stdin is a program that failed, not a new value."""
        assert "the new value of SECRET_KEY is empty" in rotate("--value", "-").failed()
        assert set(values()) == {CURRENT}

    def test_weak(self, rotate):
        """Too few bits are an error with their number; few are a warning."""
        error = rotate("--length", "10", name="API_KEY").failed()
        assert "10 characters out of 62 are 59 bits" in error
        done = rotate("--length", "20", name="API_KEY").ok()
        assert done.err.startswith("warning: 20 characters out of 62 are 119 bits; 128 bits take ")
        assert "warning" not in rotate("--length", "22", name="API_KEY").ok().err

    def test_numbers_that_are_none(self, rotate):
        """What is no number is wrong usage, and not repeated."""
        for option in ("--length", "--wait"):
            assert MARK not in rotate(option, MARK).refused()


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """A project's module with a generator that counts its calls."""
    (tmp_path / "project_makers.py").write_text(
        f"calls = []\ndef make():\n    calls.append(1)\n    return '{MARK} made'\n"
        f"def fail():\n    raise ValueError('{MARK}')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield mock.Mock(
        path="project_makers.make", calls=lambda: len(sys.modules["project_makers"].calls)
    )
    sys.modules.pop("project_makers", None)


class TestDryRun:
    @pytest.mark.parametrize(
        "before, step, words",
        [
            ([], [], "would store what django.core.management.utils.get_random_secret_key makes"),
            ([], ["--length", "40"], "would store what 40 random characters"),
            ([], ["--value", "-"], "would store what --value gives as the current value"),
            ([], ["--stage"], "as the pending value"),
            ([], ["--stage", "--value", "@nowhere"], "would store what --value gives"),
            (["--stage"], ["--promote"], "would make the pending value the current one"),
            (["--stage"], ["--abandon"], "would drop the pending value"),
            ([""], ["--retire"], "would drop the previous value and what is older"),
        ],
    )
    def test_writes_nothing(self, door, before, step, words):
        """It says what would be done, asks nothing, and leaves all as it was."""
        for earlier in before:
            door("rotate", "SECRET_KEY", *filter(None, [earlier])).ok()
        found = values()
        done = door("rotate", "SECRET_KEY", *step, "--dry-run").ok()
        assert words in done.err
        assert done.err.startswith(f"SECRET_KEY in {PLACE}: would ")
        assert done.err.endswith("\nnothing was written: --dry-run\n")
        assert done.out == ""
        assert values() == found

    def test_makes_no_value(self, rotate, maker):
        """A generator is looked up, and not called."""
        done = rotate("--generator", maker.path, "--dry-run", name="API_KEY").ok()
        assert f"would store what {maker.path} makes" in done.err
        assert maker.calls() == 0
        error = rotate("--generator", f"{maker.path}r", "--dry-run", name="API_KEY").failed()
        assert "cannot be used: AttributeError" in error

    def test_reads_no_value(self, rotate):
        """Stdin is left alone: what would be read is not there yet."""
        stdin = mock.Mock()
        with mock.patch("django_kms_secrets.cli.arguments.read_stdin", stdin):
            rotate("--value", "-", "--dry-run").ok()
        stdin.assert_not_called()

    def test_status(self, rotate):
        """--status never writes, so --dry-run changes nothing about it."""
        assert rotate("--status", "--dry-run").ok() == rotate("--status").ok()


class TestStatus:
    def test_text(self, door):
        """Stages with versions go to stdout, what comes next to stderr."""
        next_stage = "next: `secrets rotate SECRET_KEY --stage`, for another value\n"
        done = door("rotate", "SECRET_KEY", "--status").ok()
        assert (done.out, done.err) == ("CURRENT\t1\t\n", next_stage)
        door("rotate", "SECRET_KEY", "--stage").ok()
        done = door("rotate", "SECRET_KEY", "--status").ok()
        assert done.out == "PENDING\t2\t\nCURRENT\t1\t\n"
        assert done.err == (
            "next: `secrets rotate SECRET_KEY --promote`, once every host was deployed and "
            "accepts the pending value; or `secrets rotate SECRET_KEY --abandon`, to drop it\n"
        )
        door("rotate", "SECRET_KEY", "--promote").ok()
        done = door("rotate", "SECRET_KEY", "--status", "-f", "text").ok()
        assert done.out == "CURRENT\t2\t\nPREVIOUS\t1\t\n"
        assert done.err.startswith("next: `secrets rotate SECRET_KEY --retire`, once nothing made")
        door("rotate", "SECRET_KEY", "--retire", "--yes").ok()
        assert door("rotate", "SECRET_KEY", "--status").ok().err == next_stage

    def test_json(self, door):
        """-f json has all of it on stdout, for programs."""
        door("rotate", "SECRET_KEY").ok()
        door("rotate", "SECRET_KEY", "--stage").ok()
        done = door("rotate", "SECRET_KEY", "--status", "-f", "json").ok()
        assert done.err == ""
        found = json.loads(done.out)
        assert found.pop("store")
        assert found == {
            "name": "SECRET_KEY",
            "stages": [
                {"stage": "PENDING", "version": "3", "created": None},
                {"stage": "CURRENT", "version": "2", "created": None},
                {"stage": "PREVIOUS", "version": "1", "created": None},
            ],
            "next": ["promote", "abandon"],
        }

    def test_what_comes_next_works(self, rotate, staged):
        """Every step that is named as the next one is one that is not refused, on every store."""
        for step in ("--stage", "--promote", "--retire"):
            rotate(step, "--yes", url=staged).ok()
            done = rotate("--status", "-f", "json", url=staged).ok()
            for following in json.loads(done.out)["next"]:
                rotate(f"--{following}", "--dry-run", url=staged).ok()

    def test_decrypts_nothing(self, secrets, fill, aws):
        """Whoever may not use the KMS key can still look."""
        fill({"A": MARK})
        aws.faults.append(denied("Decrypt"))
        assert MARK not in secrets("rotate", "A", "--status").ok().words


class Rotating(LocMemStore, RotatingStore):
    """Secrets in memory, and a service that needs some time to rotate them."""

    polls_needed = 2
    asked = 0
    faults: list[Exception] = []

    def start_rotation(self, name):
        with memory() as store:
            return store.stage(name, f"{MARK} rotated").version

    def has_rotated(self, name, version):
        type(self).asked += 1
        if self.faults:
            raise self.faults.pop()
        if self.asked < self.polls_needed:
            return False
        with memory() as store:
            return store.promote(name).version == version


class TestLambda:
    @pytest.fixture(autouse=True)
    def _service(self, monkeypatch):
        monkeypatch.setitem(config._SCHEMES, "locmem", f"{__name__}.Rotating")
        monkeypatch.setattr(Rotating, "asked", 0)
        monkeypatch.setattr(Rotating, "faults", [])
        monkeypatch.setattr(verb, "POLL_SECONDS", 0.01)

    def test_waits_until_it_is_done(self, door):
        """It asks again until the new version is current; a plain line says what is waited for."""
        done = door("rotate", "API_KEY", "--lambda").ok()
        assert done.words == (
            f"API_KEY in {PLACE}: waiting up to 300 s for version 2\n"
            f"API_KEY version 2 is current in {PLACE}\nnext: deploy every host\n"
        )
        assert Rotating.asked == 2
        assert values("API_KEY")[CURRENT] == f"{MARK} rotated"

    @pytest.mark.parametrize("seconds", ["0", "1"])
    def test_does_not_wait_for_ever(self, rotate, monkeypatch, seconds):
        """After --wait it fails, and says where to look; the rotation is left to the service."""
        monkeypatch.setattr(Rotating, "polls_needed", 10**9)
        error = rotate("--lambda", "--wait", seconds, name="API_KEY").failed()
        assert error == (
            f"error: API_KEY in {PLACE} is not rotated after {seconds} s; the rotation goes on "
            "without us\nhint: `secrets rotate API_KEY --status` says where it stands, the "
            "function's log says why\n"
        )
        assert Rotating.asked >= 1
        assert values("API_KEY")[PENDING] == f"{MARK} rotated"

    def test_polls_are_apart(self, rotate, monkeypatch):
        """It sleeps between two questions, and not beyond the end of --wait."""
        slept = []
        monkeypatch.setattr(verb, "POLL_SECONDS", 2.0)
        monkeypatch.setattr(verb.time, "sleep", slept.append)
        rotate("--lambda", name="API_KEY").ok()
        assert slept == [2.0]
        monkeypatch.setattr(Rotating, "polls_needed", Rotating.asked + 2)
        rotate("--lambda", "--wait", "1", name="API_KEY").ok()
        assert 0 < slept[-1] <= 1

    def test_a_question_that_fails(self, rotate):
        """That the service could not be asked once says nothing about the rotation."""
        Rotating.faults.append(StoreUnavailable("no network"))
        rotate("--lambda", name="API_KEY").ok()
        Rotating.faults.append(VersionConflict("it was taken back", hint="begin again"))
        assert "it was taken back" in rotate("--lambda", name="API_KEY").failed()

    def test_not_while_a_value_is_pending(self, rotate):
        """AWS would refuse it as well, in other words."""
        rotate("--stage").ok()
        assert "a value of SECRET_KEY is pending already" in rotate("--lambda").failed()

    def test_dry_run(self, rotate):
        """Nothing is started."""
        done = rotate("--lambda", "--dry-run", name="API_KEY").ok()
        assert f"API_KEY in {PLACE}: would let AWS rotate it" in done.err
        assert set(values("API_KEY")) == {CURRENT}
        assert f"NOPE is not in {PLACE}" in rotate("--lambda", "--dry-run", name="NOPE").failed()

    def test_store_that_cannot(self, rotate, file_url):
        """A store without such a service says so."""
        error = rotate("--lambda", name="A", url=file_url).failed()
        assert "FileStore has no service that rotates a secret by itself" in error

    @pytest.mark.parametrize("args", [("--wait", "5"), ("--stage", "--wait", "5")])
    def test_wait_is_for_the_service(self, rotate, args):
        """--wait with anything else is refused, and so is less than nothing."""
        assert "--wait is how many seconds --lambda waits" in rotate(*args).failed()
        assert "--wait is how" in rotate("--lambda", "--wait=-1").failed()

    def test_spinner_on_a_terminal_only(self, cwd, tmp_path, monkeypatch):
        """On a terminal something moves while it waits, and is wiped away; stdout stays empty."""
        script = tmp_path / "wait.py"
        script.write_text(
            "import sys\n"
            "from django_kms_secrets.cli.console import Console\n"
            "with Console(sys.stdout, sys.stderr).waiting('waiting [for] it'):\n"
            "    sys.stdin.readline()\n"
        )
        # It waits until it has been drawn twice.
        drawn = "waiting [for] it"
        answers = [(drawn, ""), (drawn, "\n")]
        done = on_terminal([sys.executable, str(script)], answers, cwd=cwd)
        assert done.code == 0, done.screen
        assert done.screen.count("waiting [for] it") > 1
        assert done.screen.endswith("\x1b[2K") or "\x1b[2K" in done.screen
        assert done.piped == ""


class TestNothingIsShown:
    @pytest.mark.parametrize(
        "args",
        [
            ["--value", MARK],
            ["--value", "-"],
            ["--value", "@FILE"],
            ["--generator", "project_makers.make"],
            ["--stage", "--value", "-"],
        ],
        ids=" ".join,
    )
    def test_in_the_frames_of_a_failed_write(self, args, maker, tmp_path, monkeypatch):
        """When the store fails, no variable of the command's frames holds the value unmasked."""

        def fail(self, name, value, **options):
            raise VersionConflict("somebody else wrote first", hint="again")

        monkeypatch.setattr(LocMemStore, "put", fail)
        monkeypatch.setattr(LocMemStore, "stage", fail)
        (tmp_path / "value").write_text(MARK)
        args = [arg.replace("@FILE", f"@{tmp_path / 'value'}") for arg in args]
        caught = _failure(["rotate", "API_KEY", *args], MARK)
        assert caught.__context__ is None
        shown = "".join(
            traceback.TracebackException.from_exception(caught, capture_locals=True).format()
        )
        package = inspect.getfile(cli).rpartition("/")[0]
        assert package in shown
        assert MARK not in shown[shown.index(package) :]

    def test_of_a_generator_that_fails(self, door, maker):
        """What a generator raises may have the value in it: only its type is shown."""
        error = door("rotate", "API_KEY", "--generator", "project_makers.fail").failed()
        assert "the generator failed: project_makers.fail raised ValueError" in error
        assert MARK not in error
        assert values("API_KEY") == {CURRENT: f"{MARK} first"}

    @pytest.mark.parametrize("option", ["--generator", "--value", "--lenght"])
    def test_of_a_value_in_the_wrong_place(self, door, option):
        """A value after the wrong option, or one that is not there, is not repeated."""
        done = door("rotate", "API_KEY", option, f"@{MARK}")
        assert done.code
        assert MARK not in done.words


def _failure(argv, stdin):
    """The exception that a run of the command raises inside this process."""
    import argparse
    import io

    from django_kms_secrets.cli.console import Console

    parser = argparse.ArgumentParser()
    cli.add_verbs(parser)
    options = vars(parser.parse_args(argv))
    text = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    del argv, stdin
    with mock.patch("sys.stdin", text), pytest.raises(VersionConflict) as caught:
        cli.run(options, Console(io.StringIO(), io.StringIO()), MEMORY)
    return caught.value
