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

    #: By verb; "" is what stands before one.
    Parsers = Mapping[str, argparse.ArgumentParser]

_BASH = """\
_secrets() {{
    local word verb= words= before="$3"
    # bash breaks --option=VALUE and the URLs into words of their own.
    if [ "$before" = "=" ]; then before="${{COMP_WORDS[COMP_CWORD-2]}}"; fi
    for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD-1))}}"; do
        case "$verb|$word" in
            *'|--') return ;;
            {verbs}) verb="$word" ;;
        esac
    done
    case "$verb|$before|$2" in
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
    verbs: Any = next(action for action in parser._actions if action.dest == "verb")
    console.data(_SCRIPTS[options["shell"]]({"": parser, **verbs.choices}))
    return 0


def _bash(parsers: Parsers) -> str:
    cases = [
        f"        {'|'.join(patterns)}) words='{' '.join(words)}' ;;"
        for verb, parser in parsers.items()
        for patterns, words in _cases(verb, parser)
    ]
    verbs = "|".join(f"'|{verb}'" for verb in parsers if verb)
    return _BASH.format(verbs=verbs, cases="\n".join(cases))


def _cases(verb: str, parser: argparse.ArgumentParser) -> Iterable[tuple[list[str], list[str]]]:
    """Patterns of what is typed, and the words that may follow; the first that fits counts."""
    words = {action: [*map(str, action.choices or ())] for action in parser._actions}
    for action, choices in words.items():
        if action.option_strings and action.nargs != 0:
            yield [f"'{verb}|{option}|'*" for option in action.option_strings], choices
            # zsh has --option=VALUE in one word.
            for option in action.option_strings:
                if choices and option.startswith("--"):
                    joined = [f"{option}={choice}" for choice in choices]
                    yield [f"'{verb}|'*'|{option}='*"], joined
    options = [option for action in words for option in action.option_strings]
    yield [f"'{verb}|'*'|-'*"], options
    for action, choices in words.items():
        if choices and not action.option_strings:
            yield [f"'{verb}|'*"], choices


def _zsh(parsers: Parsers) -> str:
    return _ZSH + _bash(parsers)


def _fish(parsers: Parsers) -> str:
    verbs = [verb for verb in parsers if verb]
    before = 'complete -c secrets -n "not __fish_seen_subcommand_from $verbs"'
    lines = [f"set -l verbs {' '.join(verbs)}"]
    lines += [f"{before} -f -a {verb} -d {_quoted(parsers[verb])}" for verb in verbs]
    for verb, parser in parsers.items():
        start = f"complete -c secrets -n '__fish_seen_subcommand_from {verb}'" if verb else before
        for action in parser._actions:
            choices = f" -x -a '{' '.join(map(str, action.choices))}'" if action.choices else ""
            takes = choices or ("" if action.nargs == 0 else " -r")
            names = [
                f" -l {option[2:]}" if option.startswith("--") else f" -s {option[1:]}"
                for option in action.option_strings
            ]
            if names or (choices and verb):
                lines.append(f"{start}{''.join(names)}{takes}")
    return "\n".join(lines) + "\n"


def _quoted(parser: argparse.ArgumentParser) -> str:
    text = (parser.description or "").splitlines()[0]
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS: dict[str, Callable[[Parsers], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
