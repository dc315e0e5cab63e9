"""Put secrets under another KMS key or encryption context, or bind them to their names.

Values, stages and comments stay as they are. Each secret is re-encrypted whole or not at all, and
what is done already is left alone: after an interruption, run it again. Without NAME it works on
all secrets.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ...backends.capabilities import PrunedStore, ReencryptedStore
from ...exceptions import SecretNotFound, SecretsError, did_you_mean
from ..arguments import add_report_format, add_yes, context_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...backends.base import BaseStore
    from ...config import Config
    from ..console import Console

_WANTED = ("key_id", "context", "bind_to_name")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--key-id", metavar="KEY", help="the KMS key: an alias, an id or an ARN")
    contexts = parser.add_mutually_exclusive_group()
    contexts.add_argument(
        "--context",
        action="append",
        metavar="KEY=VALUE",
        help="an entry of the encryption context; once for each (CredStash)",
    )
    contexts.add_argument(
        "--no-context",
        action="store_const",
        const=[],
        dest="context",
        help="an empty encryption context (CredStash)",
    )
    parser.add_argument(
        "--bind",
        action=argparse.BooleanOptionalAction,
        dest="bind_to_name",
        help="bind each record to its name and version, or not any more (CredStash)",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="then delete the versions that are neither current, previous nor pending (CredStash)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be worked on")
    add_report_format(parser)
    add_yes(parser)


def prepare(options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the context, and see that there is something to do.

    Raises:
        SecretsError: there is not, or the context cannot be read.
    """
    if all(options[option] is None for option in _WANTED):
        raise SecretsError(
            "re-encrypt under what?",
            hint="give --key-id, --context, --no-context, --bind or --no-bind; what OPTIONS say "
            "already may be given too",
        )
    if options["key_id"] == "":
        raise SecretsError("--key-id is empty", hint="give an alias, an id or an ARN")
    pairs = options["context"]
    return {**options, "context": None if pairs is None else _context(pairs)}


def configure(config: Config, options: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """The configuration that the secrets shall be under, which also reads them as they are.

    Raises:
        SecretsError: the store cannot do this.
    """
    store = config.make_store()
    name = type(store).__name__
    if not isinstance(store, ReencryptedStore):
        raise SecretsError(
            f"{name} encrypts nothing", hint="this is for CredStash and Secrets Manager"
        )
    if options["prune"] and not isinstance(store, PrunedStore):
        raise SecretsError(
            f"{name} has no old versions that could be deleted", hint="leave --prune out"
        )
    changes = store.options_to_reencrypt(**{option: options[option] for option in _WANTED})
    return config.with_options(**changes), {**options, "changes": changes}


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    names = _names(store, options["names"])
    done = {"store": store.place, "dry_run": options["dry_run"], "names": names}
    if options["dry_run"]:
        for name in names:
            console.say(f"~ {name}")
        console.say(f"{store.place}: {_counted(names)} would be worked on")
        console.say("nothing was written: --dry-run")
        console.report({**done, "reencrypted": [], "pruned": []}, options["format"])
        return 0
    if question := _question(options):
        console.confirm(f"{_counted(names)} of {store.place}: {question}", yes=options["yes"])
    reencrypted = _reencrypt(store, names, console)
    pruned = _prune(store, names, console) if options["prune"] else []
    _say_next(options, console)
    console.report({**done, "reencrypted": reencrypted, "pruned": pruned}, options["format"])
    return 0


def _names(store: BaseStore, wanted: Sequence[str]) -> list[str]:
    """What to work on.

    Raises:
        SecretNotFound: a name is not there.
    """
    assert isinstance(store, ReencryptedStore)  # noqa: S101 - see `configure`
    known = list(store.to_reencrypt())
    missing = [name for name in dict.fromkeys(wanted) if name not in known]
    if missing:
        raise SecretNotFound(
            f"{store.place} has nothing to re-encrypt that is called {', '.join(missing)}",
            # From what is known: with `names` the store would be listed once more for that.
            hint=did_you_mean(missing, known)
            + "without NAME, --dry-run lists what there is; a document is re-encrypted whole",
        )
    return [name for name in known if name in wanted] if wanted else known


def _question(options: Mapping[str, Any]) -> str:
    """What has to be asked before the first write; "" for nothing."""
    questions = []
    if "former_context" in options["changes"]:
        questions.append(
            "a host whose OPTIONS have no former_context cannot read what is re-encrypted; go on?"
        )
    if options["prune"]:
        questions.append("delete the versions that are neither current, previous nor pending?")
    return " And ".join(questions)


def _reencrypt(store: BaseStore, names: Sequence[str], console: Console) -> list[str]:
    """Re-encrypt; gives the names that were not yet."""
    assert isinstance(store, ReencryptedStore)  # noqa: S101 - see `configure`
    outcomes: dict[str, bool] = {}
    try:
        _follow("re-encrypting", store.reencrypt, names, outcomes, console)
    finally:
        # In any case: what is re-encrypted stays so, whatever became of the others.
        count, rest = sum(outcomes.values()), len(names) - len(outcomes)
        console.say(
            f"{store.place}: {count} re-encrypted, {len(outcomes) - count} were already"
            + (f", {rest} not known to be done" if rest else "")
        )
    return [name for name, changed in outcomes.items() if changed]


def _prune(store: BaseStore, names: Sequence[str], console: Console) -> list[str]:
    """Delete old versions; gives the names that had some."""
    assert isinstance(store, PrunedStore)  # noqa: S101 - see `configure`
    outcomes: dict[str, bool] = {}
    try:
        _follow("deleting old versions", store.prune, names, outcomes, console)
    finally:
        console.say(f"{store.place}: {sum(outcomes.values())} had old versions, which are deleted")
    return [name for name, pruned in outcomes.items() if pruned]


def _follow(
    words: str,
    work: Callable[[Sequence[str], Callable[[str, bool], None]], None],
    names: Sequence[str],
    outcomes: dict[str, bool],
    console: Console,
) -> None:
    """Do something for each name, show how far it is, and note what became of each."""
    with console.progress(words) as show:

        def done(name: str, changed: bool) -> None:
            outcomes[name] = changed
            show(len(outcomes), len(names))

        work(names, done)


def _say_next(options: Mapping[str, Any], console: Console) -> None:
    if changes := options["changes"]:
        console.say(
            f"next: give OPTIONS the same {', '.join(changes)}, deploy every host, and run this "
            "again, for what was written meanwhile"
        )
    elif options["context"] is not None or options["bind_to_name"] is not None:
        console.say("next: once this finds all done already, take former_context out of OPTIONS")
    if options["key_id"]:
        kept = "" if options["prune"] else "; without --prune, old versions stay under it"
        console.say(f"disable the old KMS key only when nothing reads with it any more{kept}")


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} secret{'' if len(names) == 1 else 's'}"


def _context(pairs: Sequence[str]) -> dict[str, str]:
    if not all(all(pair.partition("=")) for pair in pairs):
        raise SecretsError(
            "a --context is not of the form KEY=VALUE", hint="such as --context env=production"
        )
    return context_of(pairs)
