"""`call_command("secrets", …)`: from other Python code, errors are exceptions."""

from __future__ import annotations

import io
import os

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from .conftest import MARK


@pytest.fixture
def call(url):
    """A function that calls the command and gives what it wrote to stdout and stderr."""

    def run(*args, **options):
        out, err = io.StringIO(), io.StringIO()
        with override_settings(KMS_SECRETS=options.pop("source", url)):
            call_command("secrets", *args, stdout=out, stderr=err, **options)
        return out.getvalue(), err.getvalue()

    return run


def test_writes_to_the_streams_it_is_given(call):
    """Data and words go to the streams of the caller."""
    _, words = call("put", "A", MARK)
    assert "A version" in words
    assert call("get", "A") == (f"{MARK}\n", "")
    assert call("get", "A", noline=True) == (MARK, "")
    assert call("keys", format="json")[0] == '[\n    "A"\n]\n'


def test_source_may_be_a_dict_or_an_option(call, file_url):
    """settings.KMS_SECRETS is a dict or a URL; url= replaces it."""
    source = {
        "BACKEND": "django_kms_secrets.backends.file.FileStore",
        "OPTIONS": {"path": file_url.removeprefix("file://")},
        "NAMES": ["A"],
    }
    assert call("get", "B", source=source) == ("two words\n", "")
    assert call("get", "B", url=file_url) == ("two words\n", "")


def test_error_is_a_command_error(call):
    """A failure raises CommandError with the message and the hint; nothing is written."""
    with pytest.raises(CommandError) as caught:
        call("get", "NOPE")
    assert str(caught.value) == (
        "NOPE is not in CredStash table credential-store in ap-northeast-2\n"
        "hint: `secrets put NOPE` writes it, `secrets keys` lists what is there"
    )
    assert caught.value.returncode == 1


@pytest.mark.parametrize(
    "args",
    [("frobnicate",), ("get",), ("put", "A", "--bogus", MARK), ("get", "A", "-f", MARK)],
    ids=" ".join,
)
def test_wrong_usage_is_a_command_error(call, args):
    """Wrong usage raises CommandError too, and repeats no value."""
    with pytest.raises(CommandError) as caught:
        call(*args)
    assert str(caught.value).startswith("Error: ")
    assert MARK not in str(caught.value)


def test_failure_in_part_is_a_command_error(call, fill):
    """What would be exit code 1 with output is an exception as well, not an exit."""
    fill({"A": MARK})
    call("put", "B", "x", "env=other")
    out = io.StringIO()
    with pytest.raises(CommandError, match="getall failed in part"):
        call_command("secrets", "getall", "--keep-going", stdout=out, stderr=out, url=_url())
    assert MARK in out.getvalue()
    assert "error: B version" in out.getvalue()


def _url():
    return "credstash://?region_name=ap-northeast-2"


def test_reader_that_goes_away_is_the_callers_affair(call, fill):
    """A stream that breaks raises; this process's own stdout is left alone."""
    fill({"A": MARK})

    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    before = os.fstat(1)
    with pytest.raises(BrokenPipeError):
        call_command("secrets", "getall", stdout=Broken(), url=_url())
    assert os.fstat(1) == before


def test_no_configuration(call):
    """Without KMS_SECRETS and url= the error says what to set."""
    with pytest.raises(CommandError, match="no store to work on"):
        call("keys", source=None)
