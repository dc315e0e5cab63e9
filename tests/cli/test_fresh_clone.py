"""A fresh clone and an empty account: the settings need secrets that do not exist yet."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from django_kms_secrets import formats
from tests.server.embedded import REGION

from .conftest import MARK
from .doors import Done, environment, inside, outside

pytest.importorskip("whitenoise")

EXAMPLE = Path(__file__).parents[2] / "example_project"
NAMES = ["DATABASE_URL", "EMAIL_HOST_PASSWORD", "SECRET_KEY", "site"]
TABLE = f"CredStash table credential-store in {REGION}"


class Clone:
    """A copy of the example project, with production settings as they are in it."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.env = environment(
            DJANGO_SETTINGS_MODULE="config.settings.production",
            PYTHONWARNINGS="error",
            STATIC_ROOT=str(project / "gathered"),
        )
        self.secrets = {
            "SECRET_KEY": MARK * 5,
            "DATABASE_URL": f"sqlite:///{project}/db.sqlite3",
            "EMAIL_HOST_PASSWORD": f"{MARK}-mail",
            "site": {
                "banner": MARK,
                "sentry": {"dsn": f"https://{MARK}@sentry.example/1"},
                "api": {"weather": {"key": MARK}},
            },
        }

    def manage(self, *args: str, stdin: str = "", **env: str) -> Done:
        return outside(
            [sys.executable, "manage.py", *args],
            cwd=self.project,
            stdin=stdin,
            env={**self.env, **env},
        )

    def without_aws(self) -> None:
        """No credentials, and an endpoint where nobody answers."""
        for name in list(self.env):
            if name.startswith("AWS_"):
                del self.env[name]


@pytest.fixture
def clone(tmp_path, aws):
    ignored = shutil.ignore_patterns("__pycache__", "secrets.local.env", "*.sqlite3", "staticfiles")
    return Clone(Path(shutil.copytree(EXAMPLE, tmp_path / "clone", ignore=ignored)))


@pytest.fixture
def ready(clone, fill):
    """The same with a table, and all secrets in it."""
    texts = formats.parse(json.dumps(clone.secrets), "json")
    fill(texts)
    return clone


def only_error(done: Done) -> tuple[str, str]:
    """The error of the settings and its hint, which the project's manage.py has on one line."""
    assert done.code != 0
    assert MARK not in done.words
    assert done.err.count("hint: ") == done.err.count("\n") == 1, done.err
    error, _, hint = done.err.strip().removeprefix("manage.py: ").partition(" | ")
    return error, hint


class TestFromNothing:
    def test_to_a_site_that_checks(self, clone):
        """check says what is missing; setup and putall run all the same; then check is content."""
        error, hint = only_error(clone.manage("check"))
        assert error == f"there is no {TABLE}"
        assert "`secrets setup` creates it" in hint

        done = clone.manage("secrets", "setup", "--create-key").ok()
        assert f"KMS key: created\n{TABLE}: created\n" in done.err

        error, hint = only_error(clone.manage("check"))
        assert error == f"{TABLE} lacks {', '.join(NAMES)}"
        assert "`manage.py secrets putall FILE`" in hint

        done = clone.manage("secrets", "putall", "-", stdin=json.dumps(clone.secrets)).ok()
        assert "4 added" in done.err
        assert "no issues" in clone.manage("check").ok().words
        assert MARK not in done.words

    def test_two_missing(self, ready, url):
        """Those that are missing are all named, and those that are there are not."""
        for name in ("SECRET_KEY", "site"):
            inside("module", url, ["delete", name, "--yes"]).ok()
        error, _ = only_error(ready.manage("migrate"))
        assert error == f"{TABLE} lacks SECRET_KEY, site"

    def test_help(self, clone, aws):
        """The help needs no secrets either."""
        for args in (["help", "secrets"], ["secrets", "--help"], ["secrets", "put", "--help"]):
            assert clone.manage(*args).ok().out.startswith("usage: manage.py secrets")
        assert aws.requests == []

    def test_settings_option(self, clone, url):
        """--settings may stand before the verb or after it, as people write it."""
        del clone.env["DJANGO_SETTINGS_MODULE"]
        assert "secrets.local.env" in clone.manage("secrets", "keys").failed()
        chosen = "config.settings.production"
        for args in (
            ["--settings", chosen, "keys"],
            ["keys", "--settings", chosen, "--no-color", "--traceback"],
            ["keys", f"--settings={chosen}", "--pythonpath=."],
        ):
            assert clone.manage("secrets", *args).ok().out == ""

    def test_django_admin(self, clone):
        """``python -m django secrets`` is offline too."""
        argv = [sys.executable, "-m", "django", "secrets", "setup", "--pythonpath", "."]
        done = outside(argv, cwd=clone.project, env=clone.env).ok()
        assert f"{TABLE}: created" in done.err


class TestOffline:
    """An image build has no credentials and reaches no AWS."""

    @pytest.fixture(autouse=True)
    def _offline(self, clone):
        clone.without_aws()
        clone.env["KMS_SECRETS_OFFLINE"] = "1"

    def test_build(self, clone, aws):
        """collectstatic and check run; no request is sent."""
        assert "static files copied" in clone.manage("collectstatic", "--noinput").ok().words
        assert list((clone.project / "gathered").glob("site.*.css"))
        assert "no issues" in clone.manage("check").ok().words
        assert aws.requests == []

    def test_no_request_even_if_aws_is_there(self, clone, aws):
        """Offline is a decision, not a lack of credentials."""
        clone.env |= environment()
        clone.manage("check").ok()
        clone.manage("collectstatic", "--noinput").ok()
        assert aws.requests == []

    def test_deployment_check(self, clone):
        """check --deploy reports kms_secrets.E002, so that no server starts in this mode."""
        done = clone.manage("check", "--deploy")
        assert done.code == 1
        assert "?: (kms_secrets.E002) the settings were imported in offline mode" in done.err
        assert "HINT: unset KMS_SECRETS_OFFLINE" in done.err

    def test_wrong_value(self, clone):
        """A value that is neither on nor off is an error, for the command as well."""
        for args in (["check"], ["secrets", "keys"]):
            error, hint = only_error(clone.manage(*args, KMS_SECRETS_OFFLINE="maybe"))
            assert error == "KMS_SECRETS_OFFLINE is neither on nor off"
            assert hint == "hint: set KMS_SECRETS_OFFLINE=1, or unset it"

    def test_without_it(self, clone):
        """Without the variable there is one error, about credentials and not about a secret."""
        error, hint = only_error(clone.manage("check", KMS_SECRETS_OFFLINE=""))
        assert error.startswith("no AWS credentials for ")
        assert "give the process a role" in hint

    def test_configuration_is_checked(self, clone):
        """A configuration that is not valid is kms_secrets.E001, offline too."""
        clone.env["KMS_SECRETS_URL"] = "credstash://t?regoin_name=x"
        done = clone.manage("check")
        assert done.code == 1
        assert "(kms_secrets.E001) 'regoin_name' is not an option of CredStashStore" in done.err
        assert "did you mean region_name?" in done.err


class TestOnline:
    def test_deployment_check(self, ready):
        """With its secrets the site passes check --deploy; nothing it prints is a secret."""
        done = ready.manage("check", "--deploy", "--fail-level", "WARNING").ok()
        assert "E002" not in done.words
        assert MARK not in ready.manage("diffsettings", "--all").ok().words

    def test_one_fetch(self, ready, aws):
        """The settings ask once: a Query and a Decrypt for each name; two Queries and a Decrypt of
        the only version for the fallbacks."""
        with aws.counted() as sent:
            ready.manage("check").ok()
        assert sent == {"dynamodb.Query": 4 + 2, "trentservice.Decrypt": 4 + 1}


class TestAudit:
    """`secrets audit` in a process of its own, on the site's real settings."""

    def test_what_the_settings_read(self, ready, aws):
        """The settings read what the store has: nothing was ever rotated, and that is all."""
        with aws.counted() as sent:
            done = ready.manage("secrets", "audit")
        assert done.code == 1
        assert [line.split("\t")[:2] for line in done.out.splitlines()] == [
            ["never-rotated", name] for name in NAMES
        ]
        assert MARK not in done.words
        assert sent == {"dynamodb.Scan": 1}
        ready.manage("secrets", "audit", "--skip", "never-rotated").ok()

    def test_what_is_missing_and_what_is_left_over(self, ready, url, fill):
        """A name that only the store has, and one that only the settings have."""
        fill({"OLD": MARK})
        inside("module", url, ["delete", "site", "--yes"]).ok()
        done = ready.manage("secrets", "audit", "--skip", "never-rotated", "-f", "json")
        rows = json.loads(done.out)
        assert [(row["finding"], row["name"]) for row in rows] == [
            ("missing", "site"),
            ("unused", "OLD"),
        ]
        assert done.code == 1
