"""The site's own settings, read through the loader in a process of their own, without AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "example_project"
SECRETS = {
    "SECRET_KEY": "hidden-key-" * 5,
    "DATABASE_URL": "sqlite:///{project}/db.sqlite3",
    "EMAIL_HOST_PASSWORD": "hidden-mail-password",
    "site": {
        "banner": "hidden-banner",
        "sentry": {"dsn": "https://hidden-dsn@sentry.example/1"},
        "api": {"weather": {"key": "hidden-weather-key"}},
    },
}
# Every value above has this in it, and nothing else has.
HIDDEN = "hidden-"


class Site:
    """A copy of the example project, and a way to run programs in it."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(project),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "error",
            "STATIC_ROOT": str(project / "gathered"),
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
        }

    def store_secrets(self) -> None:
        """Put the secrets into a file, and name it as the store."""
        path = self.project / "store.json"
        path.write_text(json.dumps(SECRETS).replace("{project}", str(self.project)))
        path.chmod(0o600)
        self.env["KMS_SECRETS_URL"] = f"file://{path}"

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *args],
            cwd=self.project,
            env=self.env,
            text=True,
            capture_output=True,
            timeout=60,
        )

    def manage(self, *args: str) -> str:
        """Run a management command that has to succeed; return what it printed."""
        done = self.run("manage.py", *args)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def settings(self, *names: str) -> dict[str, object]:
        """Import the settings and return some of them."""
        code = (
            "import django, json, sys; django.setup(); from django.conf import settings\n"
            "print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}))"
        )
        done = self.run("-c", code, *names)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "secrets.local.env", "*.sqlite3", "staticfiles")
    return Site(Path(shutil.copytree(EXAMPLE, tmp_path / "site", ignore=ignored)))


@pytest.fixture
def production(site):
    site.store_secrets()
    return site


class TestProduction:
    def test_secrets_arrive(self, production):
        """Each secret is where Django, or the site, looks for it."""
        found = production.settings(
            "SECRET_KEY",
            "SECRET_KEY_FALLBACKS",
            "DATABASES",
            "SITE_BANNER",
            "SENTRY_DSN",
            "WEATHER_API_KEY",
        )
        database = found.pop("DATABASES")["default"]
        assert database["ENGINE"] == "django.db.backends.sqlite3"
        assert database["NAME"] == str(production.project / "db.sqlite3")
        assert found == {
            "SECRET_KEY": SECRETS["SECRET_KEY"],
            "SECRET_KEY_FALLBACKS": [],
            "SITE_BANNER": "hidden-banner",
            "SENTRY_DSN": "https://hidden-dsn@sentry.example/1",
            "WEATHER_API_KEY": "hidden-weather-key",
        }

    def test_mail_password(self, production):
        """The mail password reaches Django by whichever settings this version has for it."""
        production.env["EMAIL_HOST"] = "mail.example"
        code = (
            "import django; django.setup(); from django.core import mail\n"
            "new = django.VERSION >= (6, 1)\n"
            "smtp = mail.mailers['default'] if new else mail.get_connection()\n"
            "print(smtp.host, str(smtp.password), smtp.use_tls)"
        )
        assert production.run("-c", code).stdout == "mail.example hidden-mail-password True\n"

    def test_the_rest_is_the_environment(self, production):
        """What is no secret is set by the process environment, and has a safe default."""
        names = ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SECURE_SSL_REDIRECT", "DEBUG")
        assert list(production.settings(*names).values()) == [
            ["localhost", "127.0.0.1"],
            [],
            True,
            False,
        ]
        production.env |= {
            "ALLOWED_HOSTS": "notes.example,10.0.0.7",
            "CSRF_TRUSTED_ORIGINS": "https://notes.example",
            "HTTPS": "off",
        }
        assert list(production.settings(*names).values()) == [
            ["notes.example", "10.0.0.7"],
            ["https://notes.example"],
            False,
            False,
        ]

    def test_without_https(self, production):
        """HTTPS=off lets a demonstration run over http: no redirect, no HSTS, cookies go over."""
        production.env["HTTPS"] = "off"
        found = production.settings(
            "SECURE_SSL_REDIRECT",
            "SESSION_COOKIE_SECURE",
            "CSRF_COOKIE_SECURE",
            "SECURE_HSTS_SECONDS",
            "SECURE_PROXY_SSL_HEADER",
        )
        assert list(found.values()) == [False, False, False, 0, None]

    def test_deployment_checks(self, production):
        """Django's deployment checks find nothing, not even a warning."""
        production.manage("check", "--deploy", "--fail-level", "WARNING")

    def test_nothing_is_shown(self, production):
        """A dump of all settings holds no secret."""
        shown = production.manage("diffsettings", "--all")
        assert "SECRET_KEY = " in shown
        assert HIDDEN not in shown

    def test_missing_secrets(self, production):
        """A store that lacks a secret stops the site at once, by the secret's name."""
        store = production.project / "store.json"
        store.write_text(json.dumps({name: SECRETS[name] for name in ("SECRET_KEY", "site")}))
        done = production.run("manage.py", "migrate")
        assert done.returncode != 0
        assert "DATABASE_URL" in done.stderr
        assert HIDDEN not in done.stderr


class TestOffline:
    """With KMS_SECRETS_OFFLINE=1 an image is built where no store can be reached."""

    @pytest.fixture(autouse=True)
    def offline(self, site):
        site.env["KMS_SECRETS_OFFLINE"] = "1"

    def test_secrets_are_empty(self, site):
        """The settings import, with empty secrets and the usual defaults."""
        found = site.settings("SITE_BANNER", "SENTRY_DSN", "WEATHER_API_KEY", "ALLOWED_HOSTS")
        assert list(found.values()) == ["", "", "", ["localhost", "127.0.0.1"]]

    def test_check(self, site):
        """The plain system checks run and find nothing."""
        assert "no issues" in site.manage("check")

    def test_collectstatic(self, site):
        """Static files are gathered under names of their content."""
        site.manage("collectstatic", "--noinput")
        assert list((site.project / "gathered").glob("site.*.css.gz"))

    def test_database_is_refused(self, site):
        """There is no database to touch by mistake."""
        assert site.run("manage.py", "migrate").returncode != 0

    def test_deployment_checks_object(self, site):
        """A server that would start in this mode is stopped by its deployment checks."""
        done = site.run("manage.py", "check", "--deploy")
        assert done.returncode != 0
        assert "offline" in done.stderr.lower()


class TestLocal:
    @pytest.fixture(autouse=True)
    def local(self, site):
        del site.env["DJANGO_SETTINGS_MODULE"]

    def test_example_is_complete(self, site):
        """A copy of the example file is all a developer needs; manage.py takes these settings."""
        shutil.copy(site.project / "secrets.example.env", site.project / "secrets.local.env")
        site.manage("migrate", "--verbosity", "0")
        assert (site.project / "db.sqlite3").exists()

    def test_example_has_production_s_names(self, site):
        """The example names every secret that the production settings read."""
        site.env["DJANGO_SETTINGS_MODULE"] = "config.settings.production"
        site.env["KMS_SECRETS_URL"] = f"file://{site.project / 'secrets.example.env'}"
        assert site.settings("SITE_BANNER") == {"SITE_BANNER": "example only"}

    def test_without_the_file(self, site):
        """Before the copy is made, the error names the file and says what to do."""
        done = site.run("manage.py", "migrate")
        assert done.returncode != 0
        assert "secrets.local.env" in done.stderr
        assert "hint:" in done.stderr


class TestServer:
    """gunicorn with the project's own configuration."""

    @contextmanager
    def serve(self, site: Site):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        log = site.project / "server.log"
        command = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
        command += ["-c", "config/gunicorn_cfg.py", "--bind", f"127.0.0.1:{port}"]
        with log.open("w") as out:
            server = subprocess.Popen(
                command, cwd=site.project, env=site.env, stdout=out, stderr=subprocess.STDOUT
            )
            try:
                self.wait_for(port, server)
                yield f"http://127.0.0.1:{port}", log
            finally:
                server.terminate()
                server.wait(timeout=40)

    @staticmethod
    def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
        """Return once the server listens; fail when it ends, or takes too long."""
        for _ in range(200):
            assert server.poll() is None
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError("the server never listened")

    @staticmethod
    def get(url: str) -> tuple[str, dict[str, str]]:
        with urllib.request.urlopen(url, timeout=20) as response:
            return response.read().decode(), dict(response.headers)

    def test_serves(self, production):
        """Health, pages and static files are served; the log has neither queries nor secrets."""
        pytest.importorskip("gunicorn")
        production.env |= {"HTTPS": "off", "WEB_CONCURRENCY": "1"}
        production.env.pop("PYTHONWARNINGS")  # the server's own affair
        production.manage("migrate", "--verbosity", "0")
        production.manage("collectstatic", "--noinput")
        with self.serve(production) as (url, log):
            assert self.get(f"{url}/healthz")[0] == "ok"
            page, _ = self.get(f"{url}/?q=what-i-looked-for")
            stylesheet = re.search(r"/static/site\.\w+\.css", page)
            assert stylesheet
            css, headers = self.get(url + stylesheet[0])
            assert "--paper" in css
            assert "immutable" in headers["Cache-Control"]
        logged = log.read_text()
        assert '"GET /healthz" 200' in logged
        assert "what-i-looked-for" not in logged
        assert HIDDEN not in page + logged
