"""Compare a JSON, dotenv or YAML file with what is stored, without a value.

A line for each name: added (the file has it, the store has not), changed, same, only-stored, or
unreadable; and a fingerprint for each value, stored and given: it tells within one run what is
equal, and nothing else. The exit code is 0 if all is the same, 1 if not, and 2 if that could not
be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import plan as plans
from ..arguments import add_context, add_listing_format, add_source
from .putall import show, wanted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_context(parser)
    add_listing_format(parser)


def failure_code(_: Mapping[str, Any]) -> int:
    """As of diff(1): 1 would say that there are differences."""
    return plans.TROUBLE


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    values = wanted(store, options, console)
    quiet = options["format"] == "json"
    with console.progress("comparing", quiet=quiet) as progress, store.followed(progress):
        plan = plans.compare_all(store, values)
    return show(plan, console, options["format"])
