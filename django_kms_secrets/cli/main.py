"""From arguments to a verb: the parser, and the run of one verb on one store."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from ..config import read_config
from .arguments import overrides_of
from .verbs import delete, get, getall, history, keys, list_, put, putall, setup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..backends.base import BaseStore
    from .console import Console


class Verb(Protocol):
    """What a module of ``verbs`` has; ``ALIASES`` and ``prepare`` may be added."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, store: BaseStore, options: Mapping[str, Any], console: Console) -> int: ...


#: In the order of the help.
VERBS: dict[str, Verb] = {
    "setup": setup,
    "put": put,
    "get": get,
    "putall": putall,
    "getall": getall,
    "list": list_,
    "keys": keys,
    "history": history,
    "delete": delete,
}


class _VerbParser(argparse.ArgumentParser):
    """A parser that takes options and positionals in any order, and repeats nothing it refuses.

    argparse by itself gives up positionals after an option (``put NAME -k KEY VALUE``), and its
    error would show the VALUE.
    """

    _mixing = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._mixing:
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            parsed, extras = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False
        if extras:
            self.error(
                f"{len(extras)} arguments too many or unknown; a value that begins with - goes "
                "after --"
            )
        return parsed, extras


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Give a parser the verbs."""
    # Django's parser class stays underneath: call_command() needs its errors.
    parser_class = type("VerbParser", (_VerbParser, type(parser)), {})
    choices: Any = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, parser_class=parser_class
    )
    for name, module in VERBS.items():
        # The docstring of the module is the help of the verb: first line short, all of it long.
        text = module.__doc__ or ""
        verb = choices.add_parser(
            name,
            aliases=getattr(module, "ALIASES", ()),
            help=text.splitlines()[0],
            description=text,
        )
        module.add_arguments(verb)
        verb.add_argument("--url", metavar="URL", help="the store, instead of the configured one")
        verb.set_defaults(verb=name)


def run(
    options: Mapping[str, Any], console: Console, source: Mapping[str, Any] | str | None
) -> int:
    """Run the verb that was parsed.

    Args:
        options: the parsed arguments.
        console: where to write and ask.
        source: the configuration that ``--url`` replaces.

    Returns:
        The exit code.

    Raises:
        SecretsError: the verb failed.
    """
    verb = VERBS[options["verb"]]
    options = getattr(verb, "prepare", dict)(options)
    config = read_config(options.get("url") or source).with_options(**overrides_of(options))
    with config.make_store() as store:
        return verb.run(store, options, console)


def close_quietly() -> None:
    """After a reader went away (``| head``): let nothing more be written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
