"""*Did you mean*: what was mistyped, out of what there is, without repeating what was typed."""

from __future__ import annotations

import json

import pytest

from django_kms_secrets.config import read_config
from django_kms_secrets.exceptions import SecretsError, did_you_mean
from django_kms_secrets.generators import choose

from .conftest import MARK, denied
from .doors import inside


@pytest.mark.parametrize(
    "args, meant",
    [
        (["lsit"], "list"),
        (["rollbak", "A"], "rollback"),
        (["list", "-f", "jsno"], "json"),
        (["policy", "raeder"], "reader"),
        (["putall", "-", "--dry-rnu"], "--dry-run"),
        (["put", "A", f"--coment={MARK}"], "--comment"),
        (["getall", "--keepgoing", "--url", "locmem://"], "--keep-going"),
    ],
    ids=" ".join,
)
def test_a_verb_an_option_or_a_choice(on_file, args, meant):
    """One that is mistyped: the word that is meant, and not the one that was typed."""
    error = on_file(*args, stdin="A=1").refused()
    assert f"did you mean {meant}?" in error
    assert MARK not in error
    assert (args[-1] if len(args) > 1 else args[0]) not in error.partition("error: ")[2]


@pytest.mark.parametrize("door", ["module", "manage"])
@pytest.mark.parametrize(
    "args", [["--ulr", MARK, "list"], [f"--ulr={MARK}", "list"], ["--ulr", MARK, "lsit"]], ids=str
)
def test_an_option_before_the_verb(door, args):
    """Its value is not taken for a verb: the error is about the option, and repeats nothing."""
    error = inside(door, "locmem://", args).refused()
    assert error.partition("error: ")[2] == "unknown option before the verb; did you mean --url?\n"


def test_options_before_the_verb_that_are_right_get_no_suggestion():
    for args in (["--url", "locmem://", "frobnicate"], ["--url=locmem://"], ["--frobnicate"]):
        assert "did you mean" not in inside("module", "locmem://", args).refused()


def test_what_is_like_nothing_gets_no_suggestion(on_file):
    for args in (["frobnicate"], ["list", "--frobnicate"], ["list", "-f", "xxxx"]):
        assert "did you mean" not in on_file(*args).refused()


@pytest.mark.parametrize(
    "args",
    [
        ["get", "treee"],
        ["get", "TREE"],
        ["history", "tre"],
        ["delete", "treee", "--yes"],
        ["rotate", "treee", "--length", "50", "--yes"],
    ],
    ids=" ".join,
)
def test_a_name(file_url, args):
    """One that is not stored: the one that is, before what the error says anyway."""
    assert "hint: did you mean tree? " in inside("module", file_url, args).failed()


@pytest.mark.parametrize(
    "args",
    [
        ["rotate", "SECRT_KEY", "--status"],
        ["rollback", "SECRT_KEY", "previous"],
        ["reencrypt", "SECRT_KEY", "--bind", "--yes"],
    ],
    ids=" ".join,
)
def test_a_name_in_a_table(secrets, fill, args):
    fill({"SECRET_KEY": MARK, "OTHER": MARK})
    error = secrets(*args).failed()
    assert "hint: did you mean SECRET_KEY? " in error
    assert MARK not in error


def test_many_names(tmp_path):
    """Of many names that are missing the first are enough: each takes its time."""
    (tmp_path / "s.json").write_text(json.dumps({f"KEY_{n}": MARK for n in "ABCDEFGH"}))
    missing = ",".join(f"KYE_{n}" for n in "ABCDEFGH")
    url = f"file://{tmp_path}/s.json?names={missing}"
    error = inside("module", url, ["copy", "--to", "locmem://"]).failed()
    assert "did you mean KEY_A, KEY_B, KEY_C, KEY_D, KEY_E? " in error


class TestTheRequest:
    """Names are asked for after an error only, and never in the place of it."""

    def test_none_without_an_error(self, secrets, fill, aws):
        fill({"A": MARK})
        with aws.counted() as sent:
            secrets("get", "A").ok()
        assert not [request for request in sent if "Scan" in request]

    def test_a_refusal_is_not_shown(self, secrets, fill, aws):
        fill({"SECRET_KEY": MARK})
        aws.faults.append(denied("Scan"))
        error = secrets("get", "SECRT_KEY").failed()
        assert "SECRT_KEY is not in" in error
        assert "Scan" not in error
        assert "did you mean" not in error

    def test_a_version_that_is_missing_is_no_mistyped_name(self, secrets, fill):
        fill({"A1": MARK, "A2": MARK})
        assert "did you mean" not in secrets("get", "A1", "-v", "9").failed()


@pytest.mark.parametrize(
    "source, meant",
    [
        ("secretmanager://x", "secretsmanager"),
        ("credstash://?regionname=x", "region_name"),
        ({"BACKEND": "django_kms_secrets.backends.file.FilesStore"}, "FileStore"),
        ({"BAKEND": "x"}, "BACKEND"),
    ],
    ids=str,
)
def test_a_scheme_an_option_or_a_store(source, meant):
    with pytest.raises(SecretsError) as caught:
        read_config(source).make_store()
    question = caught.value.hint.partition("? ")[0]
    assert question.startswith("did you mean ")
    assert question.endswith(meant)


def test_a_url_that_is_none_gets_no_suggestion():
    """It may be a password that was pasted."""
    with pytest.raises(SecretsError) as caught:
        read_config("secretsmanage")
    assert "did you mean" not in caught.value.hint


def test_a_generator():
    path = "django.core.management.utils.get_random_secretkey"
    with pytest.raises(SecretsError) as caught:
        choose("A", path=path)
    assert caught.value.hint.startswith("did you mean get_random_secret_key? ")


def test_several_words_and_known_ones():
    assert did_you_mean(["KYE_A", "KEY_B", "zzz"], ["KEY_A", "KEY_B"]) == "did you mean KEY_A? "
    assert did_you_mean(["KYE_A", "kEYB"], ["KEY_A", "KEY_B"]) == "did you mean KEY_A, KEY_B? "
    assert did_you_mean([], ["KEY_A"]) == did_you_mean(["x"], []) == ""
