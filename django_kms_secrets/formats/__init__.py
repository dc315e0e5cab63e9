"""Secrets as text: JSON, dotenv, YAML and CSV, in and out.

Every error names the place and the secret, never a value.
"""

from __future__ import annotations

import io
import json
from pathlib import PurePath
from typing import TYPE_CHECKING

from ..exceptions import SecretsError
from . import tree

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What can be written; all but csv can be read.
FORMATS = ("json", "dotenv", "yaml", "csv")

_SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".env": "dotenv"}


def format_of(path: str) -> str:
    """The format of a file by its name: ``.json``, ``.yaml``, ``.yml``, ``.env`` or ``.env.*``.

    Raises:
        SecretsError: the name says none of these.
    """
    name = PurePath(path).name
    suffix = PurePath(name).suffix
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if name.startswith(".env"):
        return "dotenv"
    raise SecretsError(
        f"the format of {path or 'a file without a name'} is not known by its name",
        hint="call it .env, .json or .yaml, or say which: with -f where it is written, with "
        "--input-format where it is read",
    )


def parse(text: str, format: str, *, exact: bool = False) -> dict[str, str]:  # noqa: A002
    """Read names and values; trees become their canonical JSON text.

    Args:
        text: the content of a file.
        format: ``json``, ``dotenv`` or ``yaml``.
        exact: refuse numbers in trees that would be written with other digits.

    Raises:
        SecretsError: the text is not of that format, a name stands twice, or a value is neither
            text nor a tree.
    """
    if format == "dotenv":
        from . import dotenv

        return dotenv.parse(text)
    if format == "yaml":
        from .yaml import load

        return tree.texts_of(load(text), "YAML", exact=exact)
    if format == "json":
        return tree.texts_of(tree.load(text), "JSON", exact=exact)
    raise SecretsError(f"{format} cannot be read back", hint="use json, dotenv or yaml")


def dump(values: Mapping[str, str], format: str, *, target: str = "") -> str:  # noqa: A002
    """Write names and values, in their order; values that are canonical JSON become trees.

    Args:
        values: names and values.
        format: one of `FORMATS`.
        target: for dotenv, the reader that has to understand it: one of ``dotenv.TARGETS``.

    Raises:
        SecretsError: the format, or the target, cannot hold one of the names or values.
    """
    if format == "dotenv":
        from . import dotenv

        return dotenv.dump(values, target=target)
    if format == "csv":
        return _dump_csv(values)
    nested = {name: tree.from_text(str(value)) for name, value in values.items()}
    if format == "yaml":
        from .yaml import dump as dump_yaml

        return dump_yaml(nested)
    return json.dumps(nested, indent=4, ensure_ascii=False) + "\n"


def _dump_csv(values: Mapping[str, str]) -> str:
    import csv

    broken = [name for name, value in values.items() if "\0" in name + value]
    if broken:  # nor can many readers
        raise SecretsError(
            f"csv cannot have the NUL of {', '.join(map(repr, broken))}",
            hint="write another format",
            names=broken,
        )
    # Everything is quoted: QUOTE_MINIMAL leaves a bare carriage return unquoted.
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(values.items())
    return out.getvalue()
