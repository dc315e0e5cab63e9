"""The generated part of ``reference/command.md``: every verb, from the parser itself.

``python docs/tools/command_reference.py`` writes it; a test compares it.

The parser's own ``--help`` is laid out differently by each Python, so its parts are read instead:
the verbs, their descriptions, and the help text of every argument.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from django_kms_secrets.cli.main import VERBS, add_verbs

PAGE = Path(__file__).parents[1] / "reference" / "command.md"
BEGIN = "<!-- generated from the parser by docs/tools/command_reference.py -->\n"
END = "<!-- end of the generated part -->\n"


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every verb and alias with its parser."""
    parser = argparse.ArgumentParser()
    add_verbs(parser)
    (choices,) = (
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(choices)


def generate() -> str:
    """The sections of all verbs, as Markdown."""
    found = parsers()
    return "\n".join(_section(name, found) for name in VERBS)


def update(page: str) -> str:
    """A page with its generated part made anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{generate()}\n{END}{tail}"


def _section(name: str, found: dict[str, argparse.ArgumentParser]) -> str:
    parser = found[name]
    aliases = [alias for alias in found if found[alias] is parser and alias != name]
    actions = [action for action in parser._actions if action.dest != "help"]
    positionals = [action for action in actions if not action.option_strings]
    words = ["secrets", name, "[OPTIONS]", *map(_positional, positionals)]
    lines = [f"### {name}", "", _code(parser.description or "").strip(), ""]
    if aliases:
        lines += [f"Also `{'`, `'.join(aliases)}`.", ""]
    lines += ["```text", " ".join(words), "```", "", "| argument | meaning |", "|---|---|"]
    lines += [f"| {_spelling(action)} | {_meaning(action)} |" for action in actions]
    return "\n".join(lines) + "\n"


def _positional(action: argparse.Action) -> str:
    word = str(action.metavar or action.dest)
    return {"?": f"[{word}]", "*": f"[{word} …]", "+": f"{word} …"}.get(str(action.nargs), word)


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_positional(action)}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    parts = [_code(action.help or "")]
    if action.choices and not all(choice in parts[0] for choice in action.choices):
        parts.append("one of " + ", ".join(f"`{choice}`" for choice in action.choices))
        if action.default:
            parts.append(f"`{action.default}` by default")
    return "; ".join(filter(None, parts))


def _code(text: str) -> str:
    """Make code of the words that are typed: options, FILES and the like."""
    escaped = text.replace("|", "\\|").replace("*", "\\*")
    words = r"(?<![\w`-])(@?[A-Z]{4,}|-{1,2}[a-z][a-z-]*)(?![\w`-])"
    return re.sub(words, lambda match: _unless_prose(match[1]), escaped)


def _unless_prose(word: str) -> str:
    return word if word in {"JSON", "YAML", "UTF-8", "HMAC"} else f"`{word}`"


if __name__ == "__main__":
    PAGE.write_text(update(PAGE.read_text("utf-8")), "utf-8")
