"""List the names, one a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..arguments import add_listing_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_listing_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    names = sorted({entry.name for entry in store.list_secrets()})
    if options["format"] == "json":
        console.data(json.dumps(names, indent=4, ensure_ascii=False) + "\n")
    else:
        console.data("".join(f"{name}\n" for name in names))
    return 0
