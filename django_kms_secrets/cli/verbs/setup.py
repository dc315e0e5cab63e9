"""Create what the store needs: its table, document or file.

It may be run again: what is there stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...backends.capabilities import KeyedStore
from ...exceptions import SecretsError
from ..arguments import add_report_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--create-key",
        action="store_true",
        help="create the KMS key and its alias too, if they are missing (CredStash)",
    )
    add_report_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    key_created = None
    if options["create_key"]:
        if not isinstance(store, KeyedStore):
            raise SecretsError(
                f"{type(store).__name__} needs no key of its own", hint="leave --create-key out"
            )
        key_created = store.setup_key()
        console.say(f"KMS key: {'created' if key_created else 'there already'}")
    created = store.setup()
    console.say(f"{store.place}: {'created' if created else 'nothing to create'}")
    done = {"store": store.place, "created": created, "key_created": key_created}
    console.report(done, options["format"])
    return 0
