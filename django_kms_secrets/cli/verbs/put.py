"""Write one secret, as a new version.

The value is asked for on the terminal; - reads it from stdin, @FILE from a file. What follows it
is the encryption context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...backends.capabilities import NumberedStore
from ...exceptions import SecretsError
from ...types import SecretStr
from ..arguments import add_context, add_key_and_digest, add_report_format, read_value

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ...types import SecretVersion
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    # SecretStr: from here on, what shows the arguments does not show it.
    parser.add_argument(
        "value", type=SecretStr, metavar="VALUE", nargs="?", help="- for stdin, @FILE for a file"
    )
    add_context(parser)
    add_key_and_digest(parser)
    parser.add_argument("-P", "--prompt", action="store_true", help="ask for the value")
    parser.add_argument(
        "-c", "--comment", default="", help="a note, stored unencrypted (CredStash)"
    )
    parser.add_argument(
        "-v",
        "--version",
        dest="secret_version",
        default="",
        metavar="NUMBER",
        help="a number above the current one; left out, the next (CredStash)",
    )
    add_report_format(parser)


def prepare(options: Mapping[str, Any]) -> dict[str, Any]:
    """With -P there is no VALUE, so what stands in its place is context.

    Raises:
        SecretsError: the version is not a number. It is not repeated: it may be the rest of a
            value that begins with -v.
    """
    version = options["secret_version"]
    if version and not (version.isascii() and version.isdigit()):
        raise SecretsError("the version is not a number", hint="leave -v out for the next")
    if options["prompt"] and options["value"] is not None:
        return {**options, "value": None, "context": [str(options["value"]), *options["context"]]}
    return dict(options)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    name, argument = options["name"], options["value"]
    if "=" in name and (argument is None or "=" in argument):
        # NAME=VALUE, and context after it. Not repeated, nor stored as a name that all may see.
        raise SecretsError("the NAME has a = in it, and there is no VALUE", hint="put NAME VALUE")
    value = console.prompt(name) if argument is None else read_value(argument, console)
    entry = _put(store, name, value, options["secret_version"], options["comment"])
    console.say(f"{name} version {entry.version} stored in {store.place}")
    done = {"store": store.place, "name": name, "version": entry.version}
    console.report(done, options["format"])
    return 0


def _put(store: BaseStore, name: str, value: str, version: str, comment: str) -> SecretVersion:
    if not version and not comment:
        return store.put(name, value)
    if not isinstance(store, NumberedStore):
        raise SecretsError(
            f"{type(store).__name__} numbers its versions itself and has no comments",
            hint="leave -v and -c out",
        )
    return store.put_version(name, value, version=version, comment=comment)
