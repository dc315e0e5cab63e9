"""Delete a secret with all its versions.

Secrets Manager keeps a secret of its own for its recovery window; the other stores keep nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments import add_report_format, add_yes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    add_report_format(parser)
    add_yes(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    name = options["name"]
    console.confirm(f"delete {name} from {store.place}?", yes=options["yes"])
    store.delete(name)
    console.say(f"{name} deleted from {store.place}")
    console.report({"store": store.place, "name": name}, options["format"])
    return 0
