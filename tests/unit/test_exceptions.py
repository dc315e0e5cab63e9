"""One family of errors."""

from __future__ import annotations

import copy
import pickle

import pytest
from django.core.exceptions import ImproperlyConfigured

import django_kms_secrets as package
from django_kms_secrets import SecretNotFound, SecretsError

FAMILY = [
    value
    for name in package.__all__
    if isinstance(value := getattr(package, name), type) and issubclass(value, Exception)
]


def test_the_family_is_whole():
    assert len(FAMILY) == 8
    assert all(issubclass(error, SecretsError) for error in FAMILY)


@pytest.mark.parametrize("kind", FAMILY)
def test_django_shows_its_text_where_settings_fail(kind):
    """Django turns only ImproperlyConfigured and ImportError from settings into a message."""
    error = kind("what is wrong", hint="what to do", names=["b", "a"])
    assert isinstance(error, ImproperlyConfigured)
    assert str(error) == "what is wrong\nhint: what to do"
    assert error.names == ("a", "b")


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_an_error_can_be_copied_and_sent_to_another_process(kind, duplicate):
    error = duplicate(kind("message", hint="hint", names=["a"]))
    assert type(error) is kind
    assert (error.message, error.hint, error.names) == ("message", "hint", ("a",))


def test_without_a_hint_there_is_no_hint_line():
    assert str(SecretsError("message")) == "message"


def test_not_found_is_a_key_error_with_a_readable_text():
    """A Mapping's protocol needs KeyError, whose own text would be a repr."""
    with pytest.raises(KeyError) as caught:
        raise SecretNotFound("SECRET_KEY is missing")
    assert str(caught.value) == "SECRET_KEY is missing"
