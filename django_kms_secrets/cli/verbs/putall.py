"""Write all secrets of a JSON, dotenv or YAML file; only those that changed make a new version.

The whole file is checked before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import formats
from ...backends.base import ABSENT, checked
from ...exceptions import AccessDenied, DecryptionError, SecretIntegrityError, SecretsError
from ...formats import tree
from ...types import SecretStr, masked
from ..arguments import (
    add_context,
    add_key_and_digest,
    add_yes,
    path_of,
    read_file,
    read_stdin,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ...types import Secret
    from ..console import Console

ALIASES = ("push",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # SecretStr: it may be a tree of values itself.
    parser.add_argument("source", type=SecretStr, metavar="FILE", help="FILE or @FILE; - for stdin")
    add_context(parser)
    add_key_and_digest(parser)
    parser.add_argument(
        "-f",
        "--format",
        choices=("json", "dotenv", "yaml"),
        help="left out: by the file's name; of stdin, JSON or dotenv by its first character",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--prune", action="store_true", help="delete what the file does not have")
    add_yes(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    values: dict[str, str] = masked(_read(options["source"], options["format"], console))
    if not values:
        # An upstream command that failed sends nothing; --prune would then empty the store.
        raise SecretsError("there are no secrets in what was read", hint="nothing was written")
    for name, value in values.items():
        checked(name, value)
    if getattr(store, "document", "") or getattr(store, "secret_id", ""):
        _refuse_two_values(values)
    with console.progress("comparing") as show, store.followed(show):
        plan = _plan(store, values, prune=options["prune"])
    if plan.unreadable:
        console.say(
            "warning: no telling whether these changed, as their current value cannot be read: "
            + ", ".join(plan.unreadable)
        )
    for line in plan.lines():
        console.say(line)
    if options["dry_run"]:
        console.say("nothing was written: --dry-run")
        return 0
    if plan.deleted:
        console.confirm(f"delete {', '.join(plan.deleted)} from {store.place}?", yes=options["yes"])
    with console.progress("writing") as show, store.followed(show):
        store.put_many(
            {name: values[name] for name in (*plan.added, *plan.changed)}, expected=plan.expected
        )
    for name in plan.deleted:
        store.delete(name)
    console.say(
        f"{store.place}: {len(plan.added)} added, {len(plan.changed)} changed, "
        f"{len(plan.same)} unchanged, {len(plan.deleted)} deleted"
    )
    return 0


@dataclass(frozen=True)
class _Plan:
    added: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]
    deleted: tuple[str, ...]
    unreadable: tuple[str, ...]
    #: The versions that were compared with; nobody else's later one is overwritten.
    expected: Mapping[str, str]

    def lines(self) -> list[str]:
        marks = (("+", self.added), ("~", self.changed), ("-", self.deleted))
        return [f"{mark} {name}" for mark, names in marks for name in names]


def _read(source: SecretStr, format: str | None, console: Console) -> dict[str, str]:  # noqa: A002
    if source == "-":
        text = read_stdin()
    elif source.lstrip().startswith("{"):
        console.say(
            "warning: the values were on the command line, where `ps` and the shell's history "
            "show them; use a file or -"
        )
        text = source
    else:
        text = read_file(source)
        format = format or formats.format_of(str(path_of(source)))  # noqa: A001
    return formats.parse(text, format or ("json" if text.lstrip()[:1] == "{" else "dotenv"))


def _refuse_two_values(values: Mapping[str, str]) -> None:
    """In a document a dotted name is the leaf of a tree: there is room for one of two values."""
    pairs = [
        (root, name)
        for name, value in values.items()
        for root in tree.roots(name)[1:]
        if _inside(values.get(root, ""), root, name) not in (None, value)
    ]
    if pairs:
        raise SecretsError(
            "given twice, with different values: "
            + ", ".join(f"{name} and the tree {root}" for root, name in pairs)
            + "; nothing was written",
            hint="in a document a dotted name is in its tree: keep one of the two in the file",
            names={name for pair in pairs for name in pair},
        )


def _inside(text: str, root: str, name: str) -> Any:
    """What a tree has where a dotted name reaches into it; None: it is no tree."""
    if tree.parse_object(text) is None:
        return None
    found = tree.reach({root: text}, name)
    return found if found is tree.MISSING else tree.text_of(found)


def _plan(store: BaseStore, values: Mapping[str, str], *, prune: bool) -> _Plan:
    found, unreadable = _current(store, list(values))
    current = {name: secret.value for name, secret in found.items()}
    versions = {name: secret.version for name, secret in found.items()}
    stored = {entry.name for entry in store.list_secrets()} if prune else set()
    return _Plan(
        added=tuple(name for name in values if name not in current and name not in unreadable),
        changed=tuple(
            name
            for name, value in values.items()
            if name in unreadable or current.get(name, value) != value
        ),
        same=tuple(name for name, value in values.items() if current.get(name) == value),
        # A tree that a dotted name of the file reaches into is not what the file leaves out.
        deleted=tuple(
            name
            for name in sorted(stored - set(values))
            if not any(other.startswith(f"{name}.") for other in values)
        ),
        unreadable=tuple(name for name in values if name in unreadable),
        expected={name: versions.get(name, ABSENT) for name in values if name not in unreadable},
    )


def _current(store: BaseStore, names: list[str]) -> tuple[dict[str, Secret], set[str]]:
    """The current values, and the names whose value cannot be read: those are written anew.

    Who may only write has no current values to compare with.
    """
    try:
        found = store.get_many(names)
    except (AccessDenied, DecryptionError, SecretIntegrityError) as exc:
        unreadable = set(exc.names).intersection(names) or set(names)
    else:
        return found, set()
    readable = [name for name in names if name not in unreadable]
    current, more = _current(store, readable) if readable else ({}, set())
    return current, unreadable | more
