"""What `getall` writes, `putall` reads back to the same values, in every format."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_kms_secrets.config import read_config

from .doors import inside

# Any text that UTF-8 has; a name in dotenv has no spaces, quotes, = or #.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="=#'\""),
    min_size=1,
    max_size=12,
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
VALUES = TEXTS | st.lists(TREES, max_size=3) | st.dictionaries(TEXTS, TREES, max_size=3)
DICTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6)


def texts(values: dict[str, object]) -> dict[str, str]:
    """The values as a store keeps them."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def read(url: str) -> dict[str, str]:
    with read_config(url).make_store() as store:
        return {name: secret.value for name, secret in store.get_many(None).items()}


@pytest.mark.parametrize("form", ["json", "yaml", "dotenv"])
@given(values=DICTS)
@example(values={"export": "a\r\nb", "é": "'\"\\$`", "no": "# x", "1": "[1]", "_": " \t"})
@settings(max_examples=40)
def test_files(form, values):
    """A dict goes in as JSON, out in a format, into another store, and out as JSON: unchanged."""
    with tempfile.TemporaryDirectory() as directory:
        first, second = (f"file://{directory}/{name}.json" for name in ("first", "second"))
        for url in (first, second):
            inside("module", url, ["setup"]).ok()
        inside("module", first, ["putall", "-"], json.dumps(values)).ok()
        assert read(first) == texts(values)
        written = inside("module", first, ["getall", "-f", form]).ok().out
        inside("module", second, ["putall", "-", "--input-format", form], written).ok()
        assert read(second) == texts(values)
        again = inside("module", second, ["getall", "-f", form]).ok().out
        assert again == written
        path = Path(directory) / "out.json"
        inside("module", second, ["getall", "-o", str(path)]).ok()
        inside("module", second, ["putall", str(path)]).ok()
        assert read(second) == texts(values)


@given(values=DICTS)
@example(values={"[": ""})
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_credstash(url, values):
    """The same through a CredStash table; the second time nothing is left to write."""
    inside("module", url, ["putall", "-", "--prune", "--yes"], json.dumps(values)).ok()
    assert read(url) == texts(values)
    written = inside("module", url, ["getall", "-f", "dotenv"]).ok().out
    done = inside("module", url, ["putall", "-", "--input-format", "dotenv"], written).ok()
    assert f"0 added, 0 changed, {len(values)} unchanged" in done.err
    name = min(values)
    assert inside("module", url, ["get", "-n", "--", name]).ok().out == texts(values)[name]
