"""List every version of every secret, without values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments import add_listing_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ...backends.base import BaseStore
    from ...types import SecretVersion
    from ..console import Console

_COLUMNS = ("name", "version", "stages", "created", "comment")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_listing_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    show(store.list_secrets(), options["format"], console)
    return 0


def show(entries: Sequence[SecretVersion], format: str, console: Console) -> None:  # noqa: A002
    """Write versions as a table."""
    rows = [
        {
            "name": entry.name,
            "version": entry.version,
            "stages": list(entry.stages),
            "created": entry.created,
            "comment": entry.comment,
        }
        for entry in entries
    ]
    console.rows(_COLUMNS, rows, format)
