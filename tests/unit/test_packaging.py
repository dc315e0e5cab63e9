"""What the wheel says of itself, and what is in it."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import django_kms_secrets

DISTRIBUTION = metadata.distribution("django-kms-secrets")


def test_the_version_is_stated_once():
    assert DISTRIBUTION.version == django_kms_secrets.__version__


def test_type_checkers_are_told_that_it_is_typed():
    assert (Path(django_kms_secrets.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "migrations/0001_initial.py",
        "static/kms_secrets_admin/stored_secrets.css",
        "templates/kms_secrets_admin/stored_secrets.html",
    ],
)
def test_the_page_in_the_admin_is_whole(name):
    """Its template, its stylesheet and its migration are installed with it."""
    assert (Path(django_kms_secrets.__file__).parent / "contrib" / "admin" / name).is_file()


def test_the_runtime_needs_no_more_than_it_imports():
    needed = {
        requirement.partition(">")[0]
        for requirement in DISTRIBUTION.requires or ()
        if "extra ==" not in requirement
    }
    assert needed == {"Django", "boto3", "botocore", "cryptography", "django-environ", "rich"}
    assert set(DISTRIBUTION.metadata.get_all("Provides-Extra") or ()) == {"credstash", "yaml"}


def test_pytest_finds_the_plugin():
    [found] = DISTRIBUTION.entry_points.select(group="pytest11")
    assert (found.name, found.value) == ("kms_secrets", "django_kms_secrets.pytest_plugin")


def test_public_names_are_listed_before_they_are_used():
    """For shells that complete names, and for Python's own suggestions."""
    code = "import django_kms_secrets as d; print({*d.__all__} <= {*dir(d)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="'django_kms_secrets' has no attribute 'nothing'"):
        django_kms_secrets.nothing  # noqa: B018 - the look-up is what is tested


def test_public_names_are_there_and_documented():
    for name in django_kms_secrets.__all__:
        value = getattr(django_kms_secrets, name)
        assert name == "__version__" or value.__doc__, name
