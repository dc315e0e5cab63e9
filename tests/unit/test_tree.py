"""JSON trees: which text is one, and how dotted names reach into it."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_kms_secrets.exceptions import SecretsError
from django_kms_secrets.formats import tree
from django_kms_secrets.types import masked

from . import strategies

MISSING = tree.MISSING


@given(strategies.values)
@settings(deadline=None)
def test_every_text_comes_back_as_it_was(text):
    assert tree.text_of(tree.from_text(text)) == text


@given(strategies.trees)
@settings(deadline=None)
def test_a_tree_is_its_canonical_text(value):
    value = {"tree": value}
    assert tree.from_text(tree.text_of(value)) == value


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", '["é", null, true, 1.5]', '{"a": {"b": []}}'])
def test_canonical_json_is_a_tree(text):
    assert tree.from_text(text) == json.loads(text)


NOT_TREES = [
    "",
    "plain",
    "7",
    "null",
    "true",
    '"quoted"',
    '{"a":1}',
    '{"a": 1} ',
    ' {"a": 1}',
    '{"a": 1, "a": 2}',
    '["\\u00e9"]',
    "[1e5]",
    "[1e999]",
    "[-0]",
    "[NaN]",
    "[Infinity]",
    "[" + "9" * 5000 + "]",
    '["\\ud83d"]',
    "{",
    "[" * 100_000,
    '{"a":' * 100_000,
    "[" * 500 + "]" * 500 + "x",
]


@pytest.mark.parametrize("text", NOT_TREES, ids=[text[:16] for text in NOT_TREES])
def test_any_other_text_stays_text(text):
    assert tree.from_text(text) is text


REFUSED = {
    "nested a hundred thousand deep": ("[" * 100_000, "nested too deeply"),
    "objects nested as deep": ('{"a":' * 100_000, "nested too deeply"),
    "an integer of 5,000 digits": ('{"A": ' + "9" * 5000 + "}", "a number too long to read"),
    "a number that is no float": ('{"A": 1e999}', "a number too long to read"),
    "NaN": ('{"A": NaN}', "NaN is not JSON"),
    "minus infinity": ('{"A": [-Infinity]}', "-Infinity is not JSON"),
    "a name twice": ('{"A": "planted", "B": "", "A": "planted"}', "more than once: A"),
    "two names twice": ('{"B": 1, "A": 1, "A": 2, "B": 2}', "more than once: A, B"),
    "a name twice inside": ('{"A": {"x": "planted", "x": 1}}', "more than once: x"),
    "half of a character": ('{"A": "\\ud83d planted"}', "half of a character"),
    "its halves the wrong way round": ('{"A": "\\udd11\\ud83d"}', "half of a character"),
    "a name with half of one": ('{"\\uD83D": "planted"}', "half of a character"),
    "no end": ('{"A": "planted"', "line 1, column 16: Expecting ',' delimiter"),
    "an unclosed string": ('{\n"A": "planted', "line 2, column 6: Unterminated string"),
    "an unknown escape": ('{"A": "planted\\x"}', "Invalid \\escape"),
    "a raw line break": ('{"A": "planted\n"}', "Invalid control character"),
    "two documents": ('{"A": "planted"} {"B": 1}', "column 18: Extra data"),
    "single quotes": ("{'A': 'planted'}", "line 1, column 2: Expecting property name"),
    "nothing": ("", "line 1, column 1: Expecting value"),
}


def nested(depth: int, value: str = "1") -> str:
    return '{"A": ' * depth + value + "}" * depth


def test_a_tree_is_nested_a_hundred_deep_and_no_deeper():
    """What reads, changes and masks it is recursive: at the limit all of it works."""
    text = nested(tree.DEEPEST - 1, '"planted"')
    document = tree.load(nested(tree.DEEPEST))
    assert tree.text_of(masked(document)) == nested(tree.DEEPEST)
    assert tree.reach({"A": tree.load(text)}, ".".join("A" * tree.DEEPEST)) == "planted"
    tree.place(document, ".".join("A" * tree.DEEPEST), "2")
    assert tree.text_of(document) == nested(tree.DEEPEST, "2")
    for deeper in (nested(tree.DEEPEST + 1), "[" * 101 + "]" * 101, nested(900)):
        with pytest.raises(SecretsError, match="nested too deeply"):
            tree.load(deeper)
        assert tree.parse_object(deeper) is None
        assert tree.from_text(deeper) == deeper


def test_brackets_that_do_not_nest_are_not_counted():
    for text in ("[" + "[], " * 5000 + "1]", '"' + "[" * 5000 + '"'):
        assert tree.text_of(tree.load(text)) in (text, text.strip('"'))


def test_names_that_stand_twice_are_found_in_one_pass():
    """Looking for each among all would take hours for a file of the largest size."""

    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    pairs = [(Counted(number // 2), number) for number in range(2000)]
    with pytest.raises(Exception, match="more than once: 0, 1, 10"):
        tree._unique(pairs)
    assert Counted.compared < 50_000


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED)
def test_load_is_strict_and_never_repeats_a_value(text, message):
    with pytest.raises(SecretsError) as caught:
        tree.load(text)
    assert message in str(caught.value)
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None, "the parser's error carries the whole text"


def test_load_takes_a_byte_order_mark_and_whole_characters_in_escapes():
    assert tree.load('\ufeff{"A": "\\ud83d\\udd11"}') == {"A": "🔑"}


@pytest.mark.parametrize("text", ["", "x", "[1]", "7", '"{}"', "{", '{"a": 1, "a": 1}'])
def test_parse_object_gives_none_for_anything_else(text):
    assert tree.parse_object(text) is None


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [float("inf")], object(), {"a": {1}}]
)
def test_text_of_refuses_what_json_does_not_have(value):
    with pytest.raises((ValueError, TypeError)):
        tree.text_of(value)


def test_texts_of_names_every_value_that_is_not_text_and_its_kind():
    values = {
        "A": 1,
        "B": None,
        "C": True,
        "D": 1.5,
        "E": {1},
        "F": [{2}],
        "G": "ok",
        "H": "\ud800",
    }
    with pytest.raises(SecretsError) as caught:
        tree.texts_of(values, "JSON")
    assert caught.value.names == ("A", "B", "C", "D", "E", "F", "H")
    assert caught.value.message == (
        "these values are not text: A is a number, B is null, C is true or false, D is a number, "
        "E is a set, F is a tree with something in it that JSON does not have, "
        "H is half of a character"
    )


@pytest.mark.parametrize("values", [[], "x", None, {1: "x"}, {"A": "x", None: "y"}])
def test_texts_of_takes_only_a_mapping_of_names(values):
    with pytest.raises(SecretsError, match="not a mapping of names to values"):
        tree.texts_of(values, "YAML")


DOCUMENT = {
    "plain": "p",
    "database": {"password": "d", "replica": {"password": "r"}},
    "text": '{"inner": {"key": "k"}, "list": [1]}',
    "dotted.name": "n",
    "dotted": {"name": "hidden by the name with the dot", "other": "o"},
    "a.b": {"c": "abc"},
    "a": "not a tree",
    "port": 5432,
    "flag": None,
}
REACHED = {
    "plain": "p",
    "database.password": "d",
    "database.replica.password": "r",
    "database.replica": {"password": "r"},
    "text.inner.key": "k",
    "text.list": [1],
    "dotted.name": "n",
    "dotted.other": "o",
    "a.b.c": "abc",
    "flag": None,
    "plain.more": MISSING,
    "database.nothing": MISSING,
    "database.password.more": MISSING,
    "port.more": MISSING,
    "nothing": MISSING,
    "nothing.more": MISSING,
    "": MISSING,
    ".": MISSING,
    "database.": MISSING,
    ".database": MISSING,
    "text.list.0": MISSING,
}


@pytest.mark.parametrize("path, value", REACHED.items(), ids=[repr(path) for path in REACHED])
def test_reach_follows_dots_and_takes_the_whole_name_first(path, value):
    assert tree.reach(DOCUMENT, path) == value


PLACED = {
    "a new name": ({}, "a", "x", {"a": "x"}),
    "a new dotted name": ({}, "a.b", "x", {"a.b": "x"}),
    "a new name that is a tree": ({}, "a", '{"b": 1}', {"a": {"b": 1}}),
    "a new name that looks like a number": ({}, "a", "7", {"a": "7"}),
    "a name in a tree": ({"a": {"b": "x"}}, "a.b", "y", {"a": {"b": "y"}}),
    "a new name in a tree": ({"a": {}}, "a.b.c", "y", {"a": {"b.c": "y"}}),
    "a name in a tree in text": ({"a": '{"b": 1}'}, "a.b", "2", {"a": '{"b": 2}'}),
    "a text stays text": ({"a": "x"}, "a", '{"b": 1}', {"a": '{"b": 1}'}),
    "a text of digits stays text": ({"a": "7"}, "a", "8", {"a": "8"}),
    "a number stays a number": ({"a": 7}, "a", "8", {"a": 8}),
    "a float stays a float": ({"a": 1.5}, "a", "2.5", {"a": 2.5}),
    "a number that is not written so": ({"a": 1.5}, "a", "2.50", {"a": "2.50"}),
    "a number with a space": ({"a": 7}, "a", " 8", {"a": " 8"}),
    "a number becomes text": ({"a": 7}, "a", "x", {"a": "x"}),
    "true stays true or false": ({"a": True}, "a", "false", {"a": False}),
    "true becomes text": ({"a": True}, "a", "1", {"a": "1"}),
    "null stays null": ({"a": None}, "a", "null", {"a": None}),
    "null becomes text": ({"a": None}, "a", "x", {"a": "x"}),
    "a tree stays a tree": ({"a": {"b": 1}}, "a", '{"c":2}', {"a": {"c": 2}}),
    "a tree becomes text": ({"a": {"b": 1}}, "a", "x", {"a": "x"}),
    "a list stays a list": ({"a": [1]}, "a", "[ 2 ]", {"a": [2]}),
}


@pytest.mark.parametrize("values, path, text, expected", PLACED.values(), ids=PLACED)
def test_place_keeps_the_type_of_what_is_there(values, path, text, expected):
    values = copy.deepcopy(values)
    tree.place(values, path, text)
    assert values == expected
    assert tree.text_of(values) == tree.text_of(expected), "1 is not true"


# Few names, so that they meet each other.
keys = st.sampled_from(["a", "b", "a.b", "b.c", "a.b.c"])
documents = st.dictionaries(
    keys,
    st.recursive(
        st.sampled_from(["x", '{"b": "y"}', '{"b": {"c": 1}}', "[1]", 1, None, True, 1.5]),
        lambda inner: st.dictionaries(keys, inner, max_size=2),
    ),
    max_size=3,
)
texts = st.sampled_from(["x", "1", "2.50", "true", "null", '{"b": 1}', '{"b":1}', "[]", " 1", ""])


@given(documents, keys, texts)
@settings(deadline=None)
def test_what_was_placed_is_reached_again(document, path, text):
    """As the same text; only what replaces a tree, and is one, may change its spaces."""
    old = tree.reach(document, path)
    tree.place(document, path, text)
    found = tree.reach(document, path)
    if isinstance(old, (dict, list)) and isinstance(found, (dict, list)):
        assert found == json.loads(text)
    else:
        assert tree.text_of(found) == text


@given(documents, keys)
@settings(deadline=None)
def test_remove_takes_out_what_reach_finds_and_nothing_else(document, path):
    before = tree.reach(document, path)
    others = {key: tree.reach(document, key) for key in document if not related(key, path)}
    assert tree.remove(document, path) is (before is not MISSING)
    assert {key: tree.reach(document, key) for key in others} == others


def related(one: str, other: str) -> bool:
    return one == other or other.startswith(f"{one}.") or one.startswith(f"{other}.")


@pytest.mark.parametrize("path", ["plain", "database.password", "text.inner.key", "dotted.other"])
def test_what_was_removed_is_gone(path):
    document = copy.deepcopy(DOCUMENT)
    assert tree.remove(document, path)
    assert tree.reach(document, path) is MISSING
    assert not tree.remove(document, path)
