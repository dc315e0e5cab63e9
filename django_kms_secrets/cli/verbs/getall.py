"""Write all secrets, to stdout or to a file that only its owner can read.

The only other verb that prints a value is get.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import files, formats
from ...exceptions import AccessDenied, DecryptionError, SecretIntegrityError, SecretsError
from ...formats import dotenv
from ...types import SecretStr
from ..arguments import add_context, add_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console

ALIASES = ("pull",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_context(parser)
    add_format(parser, default=None)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="mode 0600, written whole or not at all"
    )
    parser.add_argument(
        "--for",
        dest="target",
        choices=[name for name in dotenv.TARGETS if name],
        default="",
        help="of dotenv: who has to read it; what that reader would misread is refused by name",
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="leave out the secrets that cannot be opened; they are named, and the exit code is 1",
    )


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    format = _format(options)  # noqa: A001
    quiet = options["format"] == "json"
    with console.progress("reading", quiet=quiet) as show, store.followed(show):
        values, failures = _read(store, keep_going=options["keep_going"])
    text = SecretStr(formats.dump(dict(sorted(values.items())), format, target=options["target"]))
    if options["output"]:
        files.write_private(options["output"], text)
        many = "secret" if len(values) == 1 else "secrets"
        console.say(f"{len(values)} {many} written to {options['output']}")
    else:
        console.data(text)
    for failure in failures:
        console.fail(failure)
    return 1 if failures else 0


def _format(options: Mapping[str, Any]) -> str:
    given = options["format"]
    if given is None and options["output"]:
        given = formats.format_of(options["output"])
    if options["target"] and given not in (None, "dotenv"):
        raise SecretsError(f"--for goes with dotenv, not with {given}", hint="leave -f out")
    return given or ("dotenv" if options["target"] else "json")


def _read(store: BaseStore, *, keep_going: bool) -> tuple[dict[str, str], list[SecretsError]]:
    """All values; with `keep_going` those that can be opened, and the errors of the others."""
    failures: list[SecretsError] = []
    names: set[str] | None = None
    while True:
        try:
            found = store.get_many(None if names is None else sorted(names))
            return {name: secret.value for name, secret in found.items()}, failures
        except (AccessDenied, DecryptionError, SecretIntegrityError) as exc:
            known = names or {entry.name for entry in store.list_secrets() if keep_going}
            names = known - set(exc.names)
            if not keep_going or names == known:
                raise
            failures.append(exc)
