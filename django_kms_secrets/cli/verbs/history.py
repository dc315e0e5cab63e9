"""List the versions of one secret, oldest first, without values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments import add_listing_format
from .list_ import show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    add_listing_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    show(store.history(options["name"]), options["format"], console)
    return 0
