"""Nothing leaks: a real site with a secret in every place, run with our filters and without."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from django_kms_secrets.config import read_config

from .plants import DERIVED, HANDLED, KEPT, NAMED, NAMES, Plants

SITE = Path(__file__).with_name("site")
# By boto3, whose logs are the ones that show plaintext.
TABLE = "credstash://credential-store?transport=boto3"
DOCUMENT = "secretsmanager:///leaks?transport=boto3"

#: Read from the table, the others from the document: both ways to AWS are in the logs.
IN_TABLE = [*KEPT[:4], *DERIVED[:4], *HANDLED[:4]]


@dataclass
class Run:
    """What a run of the site left behind: every file by its name, and what it printed."""

    plants: Plants
    left: dict[str, bytes]

    @property
    def leaks(self) -> dict[str, set[str]]:
        """The names that were found, by the place where they were."""
        found = {place: self.plants.found_in(data) for place, data in self.left.items()}
        return {place: names for place, names in found.items() if names}

    def leaked(self, *begins: str) -> set[str]:
        """The names that were found in the files whose names begin like this."""
        found = [names for place, names in self.leaks.items() if place.startswith(begins)]
        return set().union(*found)


@pytest.fixture(scope="module")
def stored(aws_server) -> Plants:
    """The plants, in the stores."""
    plants = Plants()
    aws_server.reset()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(aws_server.endpoint).items():
            patch.setenv(name, value)
        for url, inside in ((TABLE, True), (DOCUMENT, False)):
            with read_config(url).make_store() as store:
                if inside:
                    store.setup_key()
                store.setup()
                values = plants.values
                store.put_many({n: v for n, v in values.items() if (n in IN_TABLE) == inside})
    return plants


def _environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "ap-northeast-2",
        "AWS_ACCESS_KEY_ID": "AKIAEMBEDDED",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="module")
def run(aws_server, stored, tmp_path_factory):
    """A function that runs the site, each way once."""
    done: dict[tuple[str, bool, bool], Run] = {}

    def made(what: str, *, filtered: bool, debug: bool = False) -> Run:
        key = (what, filtered, debug)
        if key not in done:
            done[key] = _run(what, filtered, debug, tmp_path_factory.mktemp("out"))
        return done[key]

    def _run(what: str, filtered: bool, debug: bool, out: Path) -> Run:
        (out / "temporary").mkdir()
        settings = "site_derived" if what == "views" else "site_settings"
        inherited = {k: os.environ[k] for k in ("PATH", "PYTHONPATH") if k in os.environ}
        process = subprocess.run(
            [sys.executable, "-X", "utf8", str(SITE / "site_run.py"), what],
            cwd=out,
            env={
                **inherited,
                **_environment(aws_server.endpoint),
                "DJANGO_SETTINGS_MODULE": settings,
                "HOME": str(out),
                "PYTHONDONTWRITEBYTECODE": "1",
                "SITE_DEBUG": str(int(debug)),
                "SITE_DOCUMENT": DOCUMENT,
                "SITE_FILTERED": str(int(filtered)),
                "SITE_OUT": str(out),
                "SITE_TABLE": TABLE,
                "TMPDIR": str(out / "temporary"),
            },
            capture_output=True,
            timeout=120,
        )
        assert process.returncode == 0, process.stderr[-3000:].decode()
        left = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        return Run(stored, {**left, "stdout": process.stdout, "stderr": process.stderr})

    return made


def test_every_plant_has_its_own_core():
    """There are plants enough, and a test that looks for one does not find another."""
    plants = Plants()
    assert len(NAMES) == len(set(NAMES)) >= 40
    for name, value in plants.values.items():
        assert plants.found_in(value.encode()) == {name}


@pytest.mark.parametrize("debug", [True, False], ids=["debug pages", "mails"])
def test_nothing_leaks(run, debug):
    """With the filters no secret is anywhere: no page, mail, log, event or file has one."""
    assert run("views", filtered=True, debug=debug).leaks == {}


def test_everything_is_reported(run):
    """The reports that are clean are whole: the errors, their frames and the settings are there."""
    clean = run("views", filtered=True, debug=True).left
    for kind in ("html", "plain"):
        assert b"Failed" in clean[f"page-argument-{kind}"]
        assert b"site_urls.py" in clean[f"page-argument-{kind}"]
        assert b"GREETING" in clean[f"page-argument-{kind}"]
        assert b"hello **********" in clean[f"page-argument-{kind}"]
    mails = run("views", filtered=True, debug=False).left
    told = b"".join(data for name, data in mails.items() if name.startswith("mail-"))
    for error in (b"JSONDecodeError", b"UnicodeDecodeError", b"TemplateDoesNotExist", b"KeyError"):
        assert error in told
    for log in ("site.log", "site.json", "stderr"):
        assert b"logged **********" in clean[log]
        assert b"wrong %d" in clean[log]
        assert b"botocore" in clean["site.json"]


def test_without_the_filters_nearly_everything_leaks(run):
    """The same site without them shows what it should: the search above can find something."""
    bare = run("views", filtered=False, debug=True)
    mails = run("views", filtered=False, debug=False)
    only_logged = {"ATTRIBUTE", "EXTRA", "LOGGED", "STACK", "WARNED", "WRONG_LOG"}
    for shown in (bare.leaked("page-"), mails.leaked("mail-")):
        assert shown == {*DERIVED, *HANDLED} - only_logged
    assert len(shown) >= 40
    assert not shown & {*NAMED}, "Django hides these by their names"
    # botocore's replies are in the logs. Of a table they have the keys, and not the values.
    for log in ("site.log", "site.json", "stderr"):
        assert bare.leaked(log) == {*NAMES} - {*KEPT[:4]}


def test_no_reply_of_aws_is_logged(run):
    """At DEBUG botocore logs every reply, also of the first fetch, when no value is known yet: the
    data keys of a table and the values of a document are hidden, and the rest is not.
    """
    clean, bare = (run("views", filtered=it, debug=True).left["site.log"] for it in (True, False))
    for member in (b"Plaintext", b"SecretString"):
        assert member in bare
        assert member not in clean
    assert clean.count(b"a message with plaintext of AWS in it is hidden") > len(IN_TABLE)
    assert b"Event request-created.dynamodb.Query" in clean
    assert b"CiphertextBlob" in clean


def test_sentry(run):
    """Sentry's own SDK, with all that it can collect, is sent no secret; without us it is."""
    pytest.importorskip("sentry_sdk")
    clean = run("views", filtered=True, debug=False)
    assert clean.left["sentry"].count(b"site_urls.py") > 10
    assert clean.leaked("sentry") == set()
    assert len(run("views", filtered=False, debug=False).leaked("sentry")) >= 15


@pytest.mark.parametrize("filtered", [True, False])
def test_what_stays_as_it_was_given_is_hidden_everywhere(run, filtered):
    """A site that makes no strings of its secrets shows none in a dump of all settings, in its
    objects and errors, nor in what others see of its processes; with the filters or without.
    """
    kept = run("settings", filtered=filtered)
    for place in ("diffsettings", "objects", "proc-cmdline", "proc-environ", "stdout"):
        assert place in kept.left
        assert kept.leaked(place) == set(), place
    assert b"SecretStr('**********')" in kept.left["diffsettings"]


def test_no_value_is_in_a_temporary_file(run):
    """The package writes no file at all: what there is after a run is what the site wrote."""
    names = run("settings", filtered=True).left
    assert {name for name in names if name.startswith("temporary/")} == set()
