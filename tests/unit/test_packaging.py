"""What the wheel says of itself, and what is in it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import django_kms_secrets

DISTRIBUTION = metadata.distribution("django-kms-secrets")


def test_the_version_is_stated_once():
    assert DISTRIBUTION.version == django_kms_secrets.__version__


def test_type_checkers_are_told_that_it_is_typed():
    assert (Path(django_kms_secrets.__file__).parent / "py.typed").is_file()


def test_the_runtime_needs_no_more_than_it_imports():
    needed = {
        requirement.partition(">")[0]
        for requirement in DISTRIBUTION.requires or ()
        if "extra ==" not in requirement
    }
    assert needed == {"Django", "boto3", "botocore", "cryptography", "django-environ", "rich"}
    assert set(DISTRIBUTION.metadata.get_all("Provides-Extra") or ()) == {"credstash", "yaml"}


def test_public_names_are_there_and_documented():
    for name in django_kms_secrets.__all__:
        value = getattr(django_kms_secrets, name)
        assert name == "__version__" or value.__doc__, name
