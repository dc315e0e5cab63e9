"""Which processes are offline by themselves: those of the command, and no other."""

from __future__ import annotations

import sys
import types

import pytest

from django_kms_secrets import SecretsError
from django_kms_secrets.offline import is_offline

COMMANDS = [
    "manage.py secrets",
    "manage.py secrets putall file.json",
    "manage.py secrets --settings=config.settings.production keys",
    "./manage.py secrets setup",
    "/srv/app/manage.py secrets list",
    "manage secrets list",
    "django-admin secrets list",
    "/venv/bin/django-admin secrets list",
    "django-admin.exe secrets list",
    "/venv/lib/python3.12/site-packages/django/__main__.py secrets keys",
    "manage.py help secrets",
]
OTHERS = [
    "",
    "manage.py",
    "manage.py migrate",
    "manage.py check",
    "manage.py migrate secrets",
    "manage.py --settings=secrets migrate",
    "manage.py runserver",
    "manage.py test secrets",
    "manage.py secretsx",
    "manage.py help",
    "manage.py help migrate",
    "django-admin migrate",
    "/site-packages/django/__main__.py migrate",
    "/site-packages/gunicorn/__main__.py secrets",
    "/venv/bin/gunicorn config.wsgi:application",
    "/venv/bin/gunicorn secrets",
    "/venv/bin/pytest secrets",
    "/site-packages/pytest/__main__.py tests",
    "/venv/bin/celery -A config worker",
    "uwsgi",
    "secrets",
    "-c secrets",
    "/srv/app/secrets/wsgi.py",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_is_offline(monkeypatch, line):
    """``manage.py secrets …`` runs while the secrets do not exist yet, however it is started."""
    monkeypatch.setattr("sys.argv", line.split(" "))
    assert is_offline()


@pytest.mark.parametrize("line", OTHERS)
def test_all_else_is_not(monkeypatch, line):
    """A server, a migration or a test run is never offline by itself: it would run without keys."""
    monkeypatch.setattr("sys.argv", line.split(" "))
    assert not is_offline()


def test_no_argv_at_all(monkeypatch):
    """An embedded interpreter may have no argv."""
    monkeypatch.setattr("sys.argv", [])
    assert not is_offline()


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_switched_on(monkeypatch, value):
    """The variable switches it on in any process."""
    monkeypatch.setattr("sys.argv", ["gunicorn"])
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", value)
    assert is_offline()


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_switched_off(monkeypatch, value):
    """Off is off; the command stays offline."""
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", value)
    monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
    assert not is_offline()
    monkeypatch.setattr("sys.argv", ["manage.py", "secrets"])
    assert is_offline()


def test_a_type_checker_is_offline(monkeypatch):
    """mypy with the plugin of django-stubs, which imports settings (tests/typing/plugin.py)."""
    monkeypatch.setattr("sys.argv", ["mypy", "."])
    assert not is_offline()
    monkeypatch.setitem(sys.modules, "mypy_django_plugin", types.ModuleType("mypy_django_plugin"))
    assert is_offline()


@pytest.mark.parametrize("value", ["maybe", "2", "offline"])
def test_neither(monkeypatch, value):
    """A value that is neither is an error, not a guess."""
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", value)
    with pytest.raises(SecretsError, match="neither on nor off") as caught:
        is_offline()
    assert caught.value.hint == "set KMS_SECRETS_OFFLINE=1, or unset it"
