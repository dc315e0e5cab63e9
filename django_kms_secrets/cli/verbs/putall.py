"""Write all secrets of a JSON, dotenv or YAML file; only those that changed make a new version.

The whole file is checked before anything is written. --dry-run shows what diff shows, with its exit
code. --prune deletes in the same write where all names are in one document or file, else after the
rest is written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import plan as plans
from ..arguments import (
    add_context,
    add_key_and_digest,
    add_report_format,
    add_source,
    add_yes,
    read_values,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console

ALIASES = ("push",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_context(parser)
    add_key_and_digest(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show the differences, write nothing"
    )
    parser.add_argument("--prune", action="store_true", help="delete what the file does not have")
    add_report_format(parser)
    add_yes(parser)


def failure_code(options: Mapping[str, Any]) -> int:
    """A dry run has the exit codes of diff."""
    return plans.TROUBLE if options["dry_run"] else 1


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    values = wanted(store, options, console)
    if options["dry_run"]:
        return _dry_run(store, values, options, console)
    with console.progress("comparing") as show, store.followed(show):
        plan = plans.compare(store, values)
        if options["prune"]:
            rest = plans.only_stored(store, plans.names_of(store), values)
            plan = replace(plan, only_stored=rest)
    _write(store, plan, options, console)
    return 0


def wanted(store: BaseStore, options: Mapping[str, Any], console: Console) -> dict[str, str]:
    """Read the file, and see that the store could hold it.

    Raises:
        SecretsError: it cannot be read, or a name or value in it is refused.
    """
    values = read_values(options["source"], options["input_format"], console)
    store.validate(values)
    plans.refuse_two_values(store, values)
    return values


def show(
    plan: plans.Plan,
    console: Console,
    format: str,  # noqa: A002
    *,
    rest: str = plans.ONLY_STORED,
) -> int:
    """Write the differences; gives the exit code."""
    for warning in plans.warnings_of(plan):
        console.say(warning)
    console.rows(plans.COLUMNS, plan.rows(rest), format)
    return plan.exit_code()


def _dry_run(
    store: BaseStore, values: Mapping[str, str], options: Mapping[str, Any], console: Console
) -> int:
    with console.progress("comparing") as progress, store.followed(progress):
        plan = plans.compare_all(store, values)
    rest = plans.REMOVED if options["prune"] else plans.ONLY_STORED
    code = show(plan, console, options["format"], rest=rest)
    console.say("nothing was written: --dry-run")
    return code


def _write(
    store: BaseStore, plan: plans.Plan, options: Mapping[str, Any], console: Console
) -> None:
    added = plan.names(plans.ADDED)
    # What cannot be compared is written anew.
    changed = plan.names(plans.CHANGED, plans.UNREADABLE)
    for warning in plans.warnings_of(plan):
        console.say(warning)
    for mark, names in (("+", added), ("~", changed), ("-", plan.only_stored)):
        for name in names:
            console.say(f"{mark} {name}")
    if plan.only_stored:
        question = f"delete {', '.join(plan.only_stored)} from {store.place}?"
        console.confirm(question, yes=options["yes"])
    with console.progress("writing") as progress, store.followed(progress):
        plans.write(store, plan, (*added, *changed))
    done = {
        "added": added,
        "changed": changed,
        "unchanged": plan.names(plans.SAME),
        "deleted": list(plan.only_stored),
    }
    counts = ", ".join(f"{len(names)} {state}" for state, names in done.items())
    console.say(f"{store.place}: {counts}")
    console.report({"store": store.place, **done}, options["format"])
