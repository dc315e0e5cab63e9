"""Files of secrets: what is written is read back the same, and what is doubtful is refused."""

from __future__ import annotations

import builtins
import csv
import importlib
import io
import json
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from django_kms_secrets import formats
from django_kms_secrets.exceptions import SecretsError
from django_kms_secrets.files import decode

from . import strategies

PLANTED = "planted-value"


@given(strategies.secrets)
@settings(deadline=None)
def test_json_comes_back_the_same(values):
    assert formats.parse(formats.dump(values, "json"), "json") == values


@given(strategies.secrets)
@settings(deadline=None)
def test_yaml_comes_back_the_same(values):
    assert formats.parse(formats.dump(values, "yaml"), "yaml") == values


@given(strategies.secrets)
@settings(deadline=None)
def test_dotenv_comes_back_the_same(values):
    assert formats.parse(formats.dump(values, "dotenv"), "dotenv") == values


# Python 3.10's csv cannot read a NUL.
csv_values = st.dictionaries(
    strategies.names, strategies.values.map(lambda text: text.replace("\0", "")), max_size=4
)


@pytest.mark.parametrize("values", [{"A": "planted\0"}, {"A\0": "planted"}])
def test_csv_refuses_a_nul(values):
    with pytest.raises(SecretsError, match="csv cannot have the NUL of 'A") as caught:
        formats.dump(values, "csv")
    assert "planted" not in str(caught.value)


@given(csv_values)
@settings(deadline=None)
def test_csv_is_read_back_the_same_by_the_csv_module(values):
    text = formats.dump(values, "csv")
    assert dict(csv.reader(io.StringIO(text, newline=""))) == values


@given(strategies.secrets)
@settings(deadline=None)
def test_others_read_our_json_and_yaml_as_the_same_trees(values):
    written = formats.dump(values, "json")
    assert json.loads(written) == yaml.safe_load(formats.dump(values, "yaml"))


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_the_order_of_the_names_is_kept(kind):
    text = formats.dump({"B": "1", "A": "2", "C": "3"}, kind)
    assert [name for name in text if name in "ABC"] == ["B", "A", "C"]


def test_a_tree_is_written_as_a_tree_and_read_as_its_text():
    values = {"site": '{"key": "é", "list": [1, null]}', "plain": '{"key":"not canonical"}'}
    assert json.loads(formats.dump(values, "json")) == {
        "site": {"key": "é", "list": [1, None]},
        "plain": '{"key":"not canonical"}',
    }
    assert "site:\n  key: é\n  list:\n  - 1\n  - null\n" in formats.dump(values, "yaml")


def test_csv_quotes_everything():
    assert formats.dump({"A": 'say "x"', "B": "a,b\r\nc"}, "csv") == (
        '"A","say ""x"""\n"B","a,b\r\nc"\n'
    )


@pytest.mark.parametrize(
    "path, kind",
    [
        ("secrets.json", "json"),
        ("secrets.yaml", "yaml"),
        ("secrets.yml", "yaml"),
        ("production.env", "dotenv"),
        (".env", "dotenv"),
        (".env.local", "dotenv"),
        ("/srv/app/.env.d/secrets.json", "json"),
        (".env.json", "json"),
    ],
)
def test_the_name_of_a_file_tells_its_format(path, kind):
    assert formats.format_of(path) == kind


@pytest.mark.parametrize("path", ["secrets", "secrets.txt", "secrets.csv", "/srv/.env.d/secrets"])
def test_a_name_that_tells_no_format_is_refused(path):
    with pytest.raises(SecretsError, match="is not known by its name") as caught:
        formats.format_of(path)
    assert "-f" in caught.value.hint


def test_csv_is_not_read_back():
    with pytest.raises(SecretsError, match="csv cannot be read back"):
        formats.parse("A,b\n", "csv")


REFUSED_YAML = {
    "nested a hundred thousand deep": ("[" * 100_000, "nested too deeply"),
    "lists nested as deep": ("- " * 50_000, "nested too deeply"),
    "an integer of 5,000 digits": ("A: " + "9" * 5000, "a number, date or other type"),
    "a number of base 60 that is no float": (
        "A: 1" + ":1" * 300 + ".5",
        "a number, date or other type",
    ),
    "a date that is none": ("A: 2020-13-45", "a number, date or other type"),
    "a name twice": (f"A: {PLANTED}\nA: {PLANTED}", "line 1: a name stands more than once"),
    "a name twice inside": (f"B: x\nA:\n  x: {PLANTED}\n  x: 1", "a name stands more than once"),
    "an alias": (f"A: &a {PLANTED}\nB: *a", "line 2: aliases are not allowed"),
    "aliases that unfold": (
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]",
        "line 2: aliases are not allowed",
    ),
    "a merge of an alias": (f"A: &a {{x: {PLANTED}}}\nB: {{<<: *a}}", "aliases are not allowed"),
    "a Python object": (f"A: !!python/object/apply:os.system ['{PLANTED}']", "line 1)"),
    "an unknown tag": (f"A: !vault {PLANTED}", "line 1)"),
    "a boolean that is none": (f"A: !!bool {PLANTED}", "a number, date or other type"),
    "a time that is none": (f"A: !!timestamp {PLANTED}", "a number, date or other type"),
    "a float that is none": (f"A: !!float {PLANTED}", "a number, date or other type"),
    "an integer that is none": (f"A: !!int {PLANTED}", "a number, date or other type"),
    "an integer that is empty": ("A: !!int ''", "a number, date or other type"),
    "a mapping that is none": (f"A: !!map {PLANTED}", "a number, date or other type"),
    "an unclosed quote": (f"A: '{PLANTED}", "line 1)"),
    "an unknown escape": (f'A: "{PLANTED}\\q"', "line 1)"),
    "a bad indent": (f"A: {PLANTED}\n  B: {PLANTED}: x", "line 2)"),
    "a tab": (f"A:\n\tB: {PLANTED}", "line 2)"),
    "two documents": (f"A: {PLANTED}\n---\nB: {PLANTED}", "line 2)"),
    "a name that is a list": (f"? [{PLANTED}]\n: x", "line 1)"),
    "a control character": (f"A: {PLANTED}\x01", "a character that YAML does not allow"),
}


@pytest.mark.parametrize("text, message", REFUSED_YAML.values(), ids=REFUSED_YAML)
def test_yaml_is_strict_and_never_repeats_a_value(text, message):
    with pytest.raises(SecretsError) as caught:
        formats.parse(text, "yaml")
    assert message in str(caught.value)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None, "PyYAML's error quotes the text"


@pytest.mark.parametrize(
    ("number", "text"),
    [("1.5", "1.5"), ("+1.50", "1.5"), ("1_000.5", "1000.5"), ("1.0e+20", "1e+20")],
)
def test_a_number_of_yaml_that_means_the_same_is_kept(number, text):
    assert formats.parse(f"T: {{x: {number}}}", "yaml", exact=True) == {"T": f'{{"x": {text}}}'}


def test_a_number_of_yaml_that_would_be_another_one_is_refused():
    with pytest.raises(SecretsError, match="T is a tree with a number whose digits are not kept"):
        formats.parse("T: {x: 0.12345678901234567890123}", "yaml", exact=True)


def test_yaml_of_more_than_four_mebibytes_is_refused_before_it_is_read(monkeypatch):
    """PyYAML would take gigabytes for a file that may be read as JSON."""
    yaml = importlib.import_module("django_kms_secrets.formats.yaml")
    assert yaml.LONGEST == 4 * 1024 * 1024
    monkeypatch.setattr(yaml, "LONGEST", 10)
    assert formats.parse("A: 'four'\n", "yaml") == {"A": "four"}
    with pytest.raises(SecretsError, match="the YAML is longer than 10 characters") as caught:
        formats.parse("A: planted '", "yaml")
    assert caught.value.hint == "write it as JSON"


NOT_TEXT = {
    "A": ("7", "7", "a number"),
    "B": ("null", "~", "null"),
    "C": ("true", "on", "true or false"),
    "D": ("1.5", ".nan", "a number"),
}


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_every_value_that_is_not_text_is_named_at_once_with_its_kind(kind):
    """YAML's ``on`` and ``~`` are not text: whoever wrote them meant something else."""
    column = ("json", "yaml").index(kind)
    pairs = [f'"{name}": {row[column]}' for name, row in NOT_TEXT.items()]
    text = "{" + ", ".join([*pairs, f'"OK": "{PLANTED}"']) + "}"
    with pytest.raises(SecretsError) as caught:
        formats.parse(text, kind)
    assert caught.value.names == tuple(NOT_TEXT)
    for name, (*_, said) in NOT_TEXT.items():
        assert f"{name} is {said}" in caught.value.message
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize(
    "text, kind",
    [
        ("A: 2020-01-01", "a date"),
        ("A: 2020-01-01 10:00:00", "a datetime"),
        ("A: !!binary aGk=", "a bytes"),
        ("A: !!set {x}", "a set"),
        ("A: {x: 2020-01-01}", "a tree with something in it that JSON does not have"),
        ("A: {x: .inf}", "a tree with something in it that JSON does not have"),
        ("A: {2020-01-01: x}", "a tree with something in it that JSON does not have"),
        ('A: "\\ud83d"', "half of a character"),
        ('A: ["\\ud83d"]', "half of a character"),
    ],
)
def test_what_yaml_has_and_json_has_not_is_refused_by_name(text, kind):
    with pytest.raises(SecretsError) as caught:
        formats.parse(text, "yaml")
    assert caught.value.message == f"these values are not text: A is {kind}"
    assert caught.value.names == ("A",)


@pytest.mark.parametrize(
    "kind, text",
    [
        ("json", '["A"]'),
        ("json", '"A"'),
        ("json", "7"),
        ("json", "null"),
        ("yaml", "- A"),
        ("yaml", "A"),
        ("yaml", ""),
        ("yaml", "1: a"),
        ("yaml", "on: a"),
    ],
)
def test_a_file_is_a_mapping_of_names(kind, text):
    with pytest.raises(SecretsError, match="is not a mapping of names to values"):
        formats.parse(text, kind)


@pytest.mark.parametrize(
    "kind, text", [("json", '{"A": "x"}'), ("yaml", "A: x\n"), ("dotenv", "A=x\n")]
)
def test_a_byte_order_mark_is_passed_over(kind, text):
    assert formats.parse("\ufeff" + text, kind) == {"A": "x"}


@pytest.mark.parametrize(
    "kind, text", [("json", "{}"), ("yaml", "{}"), ("dotenv", ""), ("dotenv", "# none\n")]
)
def test_a_file_without_secrets_is_valid(kind, text):
    assert formats.parse(text, kind) == {}


@pytest.mark.parametrize("data", [b'{"A": "planted-value\xff"}', "{'é'}".encode("utf-16")])
def test_what_is_not_utf8_is_refused_with_the_place_and_without_the_value(data):
    with pytest.raises(SecretsError, match=r"x.json is not UTF-8 text \(byte \d+\)") as caught:
        decode(data, "x.json")
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None, "the codec's error carries the bytes"


def test_without_pyyaml_yaml_says_what_to_install(monkeypatch):
    def no_yaml(name, *args, **kwargs):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.delitem(sys.modules, "django_kms_secrets.formats.yaml", raising=False)
    monkeypatch.setattr(builtins, "__import__", no_yaml)
    with pytest.raises(SecretsError, match="YAML needs PyYAML") as caught:
        importlib.import_module("django_kms_secrets.formats.yaml")
    assert caught.value.hint == "pip install 'django-kms-secrets[yaml]'"
