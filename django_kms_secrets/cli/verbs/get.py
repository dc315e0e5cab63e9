"""Print the value of one secret.

A dotted name reaches into a JSON tree. A name with *, ? or [ is a glob: all secrets that match are
written in the format of -f.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from ... import formats
from ...exceptions import SecretNotFound, SecretsError
from ...formats import tree
from ...types import CURRENT
from ..arguments import add_context, add_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    add_context(parser)
    parser.add_argument(
        "-v",
        "--version",
        dest="secret_version",
        default=CURRENT,
        metavar="VERSION",
        help="a version id, PREVIOUS or PENDING; left out, the current one",
    )
    parser.add_argument("-n", "--noline", action="store_true", help="no line break at the end")
    add_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    name = options["name"]
    version = options["secret_version"] or CURRENT
    matches = _matches(store, name) if any(char in name for char in "*?[") else [name]
    if matches != [name]:
        if version != CURRENT or options["noline"]:
            raise SecretsError("-v and -n go with one name, not with a glob", hint="leave them out")
        console.data(formats.dump(_values(store, matches), options["format"]))
        return 0
    value = _value(store, name, version)
    console.data(value if options["noline"] else f"{value}\n")
    return 0


def _value(store: BaseStore, name: str, version: str) -> str:
    try:
        return store.get(name, version=version).value
    except SecretNotFound as exc:
        missing = exc
    for root in (name[:end] for end, char in enumerate(name) if char == "."):
        try:
            inner = tree.reach({root: store.get(root, version=version).value}, name)
        except SecretNotFound:
            continue
        if inner is not tree.MISSING:
            return tree.text_of(inner)
    raise missing


def _matches(store: BaseStore, glob: str) -> list[str]:
    known = sorted({entry.name for entry in store.list_secrets()})
    if glob in known:  # a name of its own comes first
        return [glob]
    names = [name for name in known if fnmatch.fnmatchcase(name, glob)]
    if not names:
        raise SecretNotFound(
            f"no name in {store.place} matches {glob}", hint="`secrets keys` lists them"
        )
    return names


def _values(store: BaseStore, names: list[str]) -> dict[str, str]:
    return {name: secret.value for name, secret in store.get_many(names).items()}
