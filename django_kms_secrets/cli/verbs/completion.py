"""Print a script with which a shell completes verbs, options and their choices.

It completes a command that is called `secrets`: give yourself one, as a function of the shell. The
script is text, made of this version's options: to complete, no program is started and nothing is
asked of a store. Names are not completed, as that would take a request.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ...config import Config
    from ..console import Console

    Parsers = Mapping[str, argparse.ArgumentParser]

_BASH = """\
_secrets() {{
    local words=
    case "$COMP_CWORD|${{COMP_WORDS[1]}}|$3|$2" in
        '1|'*) words='{verbs}' ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$2"))
}}
complete -o default -F _secrets secrets
"""
#: zsh has a module that takes what is written for bash.
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shells = ", ".join(_SCRIPTS)
    parser.add_argument("shell", choices=_SCRIPTS, metavar="SHELL", help=f"one of {shells}")


def start(
    read: Callable[[], Config],  # noqa: ARG001 - nothing is configured for it
    options: Mapping[str, Any],
    console: Console,
) -> int:
    # Here, as that module has this one among its verbs.
    from ..main import add_verbs

    parser = argparse.ArgumentParser()
    add_verbs(parser)
    verbs = next(action for action in parser._actions if action.dest == "verb")
    console.data(_SCRIPTS[options["shell"]](verbs.choices))  # type: ignore[arg-type]
    return 0


def _bash(parsers: Parsers) -> str:
    cases = [
        f"        {'|'.join(patterns)}) words='{' '.join(words)}' ;;"
        for verb, parser in parsers.items()
        for patterns, words in _cases(verb, parser)
    ]
    return _BASH.format(verbs=" ".join(parsers), cases="\n".join(cases))


def _cases(verb: str, parser: argparse.ArgumentParser) -> Iterable[tuple[list[str], list[str]]]:
    """Patterns of what is typed, and the words that may follow; the first that fits counts."""
    chosen = [action for action in parser._actions if action.choices]
    for action in chosen:
        if action.option_strings:
            patterns = [f"*'|{verb}|{option}|'*" for option in action.option_strings]
            yield patterns, [*map(str, action.choices or ())]
    options = [option for action in parser._actions for option in action.option_strings]
    yield [f"*'|{verb}|'*'|-'*"], options
    for action in chosen:
        if not action.option_strings:
            yield [f"*'|{verb}|'*"], [*map(str, action.choices or ())]


def _zsh(parsers: Parsers) -> str:
    return _ZSH + _bash(parsers)


def _fish(parsers: Parsers) -> str:
    lines = [
        f"complete -c secrets -f -n __fish_use_subcommand -a {verb} -d {_quoted(parser)}"
        for verb, parser in parsers.items()
    ]
    for verb, parser in parsers.items():
        start = f"complete -c secrets -n '__fish_seen_subcommand_from {verb}'"
        for action in parser._actions:
            choices = f" -x -a '{' '.join(map(str, action.choices))}'" if action.choices else ""
            takes = choices or ("" if action.nargs == 0 else " -r")
            names = [
                f" -l {option[2:]}" if option.startswith("--") else f" -s {option[1:]}"
                for option in action.option_strings
            ]
            if names or choices:
                lines.append(f"{start}{''.join(names)}{takes}")
    return "\n".join(lines) + "\n"


def _quoted(parser: argparse.ArgumentParser) -> str:
    text = (parser.description or "").splitlines()[0]
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS: dict[str, Callable[[Parsers], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
