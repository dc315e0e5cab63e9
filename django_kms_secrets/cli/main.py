"""From arguments to a verb: the parser, and the run of one verb on one store."""

from __future__ import annotations

import argparse
import os
import re
import sys
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from ..config import URL_VARIABLE, read_config
from ..exceptions import SecretNotFound, SecretsError, did_you_mean
from . import plan
from .arguments import overrides_of, refuse_empty, store_of
from .verbs import (
    audit,
    completion,
    copy,
    delete,
    diff,
    doctor,
    get,
    getall,
    history,
    keys,
    list_,
    policy,
    put,
    putall,
    reencrypt,
    rollback,
    rotate,
    run_,
    setup,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ..backends.base import BaseStore
    from ..config import Config
    from .console import Console


@runtime_checkable
class Verb(Protocol):
    """What a module of ``verbs`` has.

    ``ALIASES``, ``prepare``, ``configure`` and ``failure_code`` may be added.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, store: BaseStore, options: Mapping[str, Any], console: Console) -> int: ...


class Starter(Protocol):
    """A verb that reads the configuration itself, because it needs no store or a broken one."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def start(
        self, read: Callable[[], Config], options: Mapping[str, Any], console: Console
    ) -> int: ...


#: In the order of the help.
VERBS: dict[str, Verb | Starter] = {
    "setup": setup,
    "put": put,
    "get": get,
    "putall": putall,
    "diff": diff,
    "getall": getall,
    "copy": copy,
    "list": list_,
    "keys": keys,
    "history": history,
    "rotate": rotate,
    "rollback": rollback,
    "reencrypt": reencrypt,
    "policy": policy,
    "doctor": doctor,
    "audit": audit,
    "run": run_,
    "delete": delete,
    "completion": completion,
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
        namespace = namespace or argparse.Namespace()
        if self._mixing:
            return super().parse_known_args(args, namespace)
        args, literal = _set_aside(list(sys.argv[1:] if args is None else args))
        self._mixing = True
        try:
            parsed, extras = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False
        for dest, value in vars(parsed).items():
            setattr(parsed, dest, _put_back(value, literal))
        if extras:
            typed = (extra.partition("=")[0] for extra in extras if extra.startswith("-"))
            options = (option for action in self._actions for option in action.option_strings)
            self.error(
                f"{len(extras)} argument{'s' if len(extras) > 1 else ''} too many or unknown; "
                f"{did_you_mean(typed, options)}a value that begins with - goes after --"
            )
        return parsed, extras


def _set_aside(args: list[str]) -> tuple[list[str], dict[str, str]]:
    """Replace what stands after ``--`` by stand-ins, which cannot be taken for options.

    Of positionals in two places (``put -k KEY -- NAME -VALUE``) argparse forgets which stood there.
    """
    if "--" not in args:
        return args, {}
    end = args.index("--")
    # No argument of a process has a NUL in it.
    literal = {f"\0{index}": arg for index, arg in enumerate(args[end + 1 :])}
    return [*args[: end + 1], *literal], literal


def _put_back(value: Any, literal: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_put_back(inner, literal) for inner in value]
    if isinstance(value, str) and value in literal:
        return type(value)(literal[value])  # a SecretStr stays one
    return value


# What argparse says of an argument that it refuses, and then repeats.
_REPEATED = re.compile(
    r"(ambiguous option|ignored explicit argument|unrecognized arguments|invalid \w+ value).*",
    re.DOTALL,
)
_CHOICE = re.compile(r"(invalid choice): (.*)( \(choose from )(.*)\)", re.DOTALL)


def _hush(parser: argparse.ArgumentParser) -> None:
    """Keep what a parser refuses out of its errors: it may be a value in the wrong place."""
    refuse = parser.error

    def error(message: str) -> NoReturn:
        if choice := _CHOICE.search(message):
            refuse(f"{message[: choice.start()]}{_choice_of(*choice.groups())}")
        refuse(_REPEATED.sub(r"\1", message))

    parser.error = error  # type: ignore[method-assign]


def _suggest_options(parser: argparse.ArgumentParser, verbs: Collection[str]) -> None:
    """Let a parser's errors name the option that is meant by a mistyped one before the verb.

    argparse goes on behind that, and by itself would complain of its value, which is no verb.
    """
    refuse, parse = parser.error, parser.parse_known_args
    before: list[str] = []

    def parse_known_args(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        args = sys.argv[1:] if args is None else args
        before[:] = takewhile(lambda arg: arg not in verbs, args)
        return parse(args, namespace)

    def error(message: str) -> NoReturn:
        typed = (arg.partition("=")[0] for arg in before if arg.startswith("--"))
        close = did_you_mean(typed, parser._option_string_actions)
        refuse(f"unknown option before the verb; {close.strip()}" if close else message)

    parser.error = error  # type: ignore[method-assign]
    parser.parse_known_args = parse_known_args  # type: ignore[assignment]


def _choice_of(words: str, typed: str, between: str, known: str) -> str:
    # Quoted or not, as the Python is.
    close = did_you_mean([typed.strip("'")], re.findall(r"[\w-]+", known))
    return f"{words}{between}{known})" + (f"; {close.strip()}" if close else "")


def add_verbs(
    parser: argparse.ArgumentParser, shared: Sequence[argparse.ArgumentParser] = ()
) -> None:
    """Give a parser the verbs.

    Args:
        parser: which one.
        shared: parsers whose options every verb takes too, so that they may stand after it.
    """
    _hush(parser)
    _add_url(parser, default=None)
    # Django's parser class stays underneath: call_command() needs its errors.
    parser_class = type("VerbParser", (_VerbParser, type(parser)), {})
    choices: Any = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, parser_class=parser_class
    )
    _suggest_options(parser, choices.choices)
    for name, module in VERBS.items():
        # The docstring of the module is the help of the verb: first line short, all of it long.
        text = module.__doc__ or ""
        verb = choices.add_parser(
            name,
            aliases=getattr(module, "ALIASES", ()),
            help=text.splitlines()[0],
            description=text,
            parents=shared,
            # An abbreviation could be meant for a value that begins with - as well.
            allow_abbrev=False,
        )
        _hush(verb)
        module.add_arguments(verb)
        _add_url(verb, default=argparse.SUPPRESS)  # None would undo one that stands before the verb
        verb.set_defaults(verb=name)


def _add_url(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--url", metavar="URL", default=default, help="the store, instead of the configured one"
    )


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
    refuse_empty(options)
    verb = VERBS[options["verb"]]
    options = getattr(verb, "prepare", dict)(options)
    read = partial(_read, options.get("url") or source)
    if not isinstance(verb, Verb):
        return verb.start(read, options, console)
    config, options = getattr(verb, "configure", _configure)(read(), options)
    with store_of(config) as store:
        try:
            return verb.run(store, options, console)
        except SecretNotFound as exc:
            exc.hint = _nearest(exc.names, store) + exc.hint
            raise


def _nearest(missing: Iterable[str], store: BaseStore) -> str:
    """Ask whether a name is meant that the store has: only now, and if it may be asked."""
    if not missing:
        return ""
    try:
        return did_you_mean(missing, plan.names_of(store))
    except SecretsError:  # of no use to who has an error already
        return ""


def _read(source: Mapping[str, Any] | str | None) -> Config:
    source = source or os.environ.get(URL_VARIABLE)
    if not source:
        raise SecretsError(
            "there is no store to work on",
            hint=f"give --url URL, or set KMS_SECRETS in the settings, or {URL_VARIABLE}",
        )
    return read_config(source)


def _configure(config: Config, options: Mapping[str, Any]) -> tuple[Config, Mapping[str, Any]]:
    return config.with_options(**overrides_of(options)), options


def run_as_program(
    options: Mapping[str, Any], console: Console, source: Mapping[str, Any] | str | None
) -> int:
    """Run the verb that was parsed as the work of this process: errors become words.

    Args:
        options, console, source: as of `run`.

    Returns:
        The exit code: 0, 1 for a failure (see `failure_code`), 130 for Ctrl-C.
    """
    try:
        return run(options, console, source)
    except SecretsError as exc:
        console.fail(exc)
    except BrokenPipeError:  # the reader went away (``| head``)
        _close_stdout()
    except OSError as exc:  # of the stores' and files' own, none gets here
        _close_stdout()
        reason = f"cannot write to stdout: {exc.strerror}"
        console.fail(SecretsError(reason, hint="check the disk, or what reads it"))
    except KeyboardInterrupt:
        console.say("")
        return 130
    return failure_code(options)


def failure_code(options: Mapping[str, Any]) -> int:
    """The exit code of a verb that fails: 1, if it does not say otherwise."""
    code: int = getattr(VERBS[options["verb"]], "failure_code", lambda _: 1)(options)
    return code


def _close_stdout() -> None:
    """Let nothing more be written at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
