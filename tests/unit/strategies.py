"""What hypothesis draws values and names from."""

from __future__ import annotations

import json

from hypothesis import strategies as st

# Characters that one of the formats, or one of their readers, treats in its own way.
NASTY = (
    "aZ 0'\"\\$`{}[]#=!&;:,-|>%@*é中🔑"
    "\t\n\r\x0b\x0c\x1c\x7f\x85\u2028\u2029\xa0\ufeff\ufffe\U0010ffff"
)

any_text = st.text(st.characters(exclude_categories=["Cs"]))
nasty_text = st.text(st.sampled_from(NASTY), max_size=12)

trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text
    | nasty_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
json_text = (
    trees.map(lambda tree: json.dumps(tree, ensure_ascii=False))
    | trees.map(json.dumps)
    | trees.map(lambda tree: json.dumps(tree, indent=1))
)

#: Every value a store takes: every str but lone surrogates.
values = any_text | nasty_text | json_text
#: Names that a store takes and a dotenv file can hold.
names = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="=#'\""),
    min_size=1,
    max_size=12,
)
secrets = st.dictionaries(names, values, max_size=4)
