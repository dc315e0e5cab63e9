"""List the names, one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments import add_listing_format
from ..console import printable
from ..plan import names_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_listing_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    names = sorted(names_of(store))
    if options["format"] == "json":
        console.json(names)
    else:
        console.data("".join(f"{printable(name)}\n" for name in names))
    return 0
