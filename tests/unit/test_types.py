"""Values that hide themselves."""

from __future__ import annotations

import copy
import pickle
import pprint
from urllib.parse import urlparse

import pytest

from django_kms_secrets.types import MASK, SecretBytes, SecretStr, masked

VALUE = "hunter2-marker"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        ascii,
        pprint.pformat,
        "{!r}".format,
        "{!a}".format,
        lambda value: "%r" % value,  # noqa: UP031
        lambda value: repr([value]),
        lambda value: repr({"password": (value,)}),
        lambda value: repr(copy.deepcopy({"a": [value]})),
        lambda value: repr(copy.copy(value)),
        lambda value: repr((value[:80], value[0:5], value[-5:])),
        lambda value: repr(pickle.loads(pickle.dumps(value))),
    ],
)
def test_every_way_to_a_repr_is_masked(show):
    assert VALUE not in show(SecretStr(VALUE))
    assert MASK in show(SecretStr(VALUE))
    assert VALUE not in show(SecretBytes(VALUE.encode()))


def test_it_is_the_string_it_holds():
    """Drivers and libraries take it as it is: equality, hash, methods and formatting are plain."""
    secret = SecretStr(VALUE)
    assert isinstance(secret, str)
    assert secret == VALUE
    assert hash(secret) == hash(VALUE)
    assert {VALUE: 1}[secret] == 1
    assert f"{secret}" == str(secret) == VALUE
    assert type(str(secret)) is str
    assert secret.encode() == VALUE.encode()


def test_an_empty_secret_shows_that_it_is_empty():
    """Emptiness is no secret, and it is what offline mode looks like."""
    assert repr(SecretStr("")) == "SecretStr('')"


def test_masked_reaches_into_containers_and_keeps_their_types():
    plain = {"a": ["x", ("y", 1)], "b": {"c": {"z"}}, "d": b"w", "e": None, "f": True}
    hidden = masked(plain)
    assert hidden == plain
    for value in "xyzw":
        assert f"'{value}'" not in repr(hidden)
    assert type(hidden["a"][1]) is tuple
    assert type(hidden["b"]["c"]) is set
    assert hidden["f"] is True


def test_masked_hides_the_parts_of_a_parsed_url():
    parsed = masked(urlparse(f"postgres://user:{VALUE}@host:5432/name"))
    assert VALUE not in repr(parsed)
    assert parsed.password == VALUE
    assert parsed.port == 5432
