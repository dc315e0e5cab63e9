"""Make the value of an old version the current one again.

VERSION is previous, or a version id as history lists it. Nothing is lost: the value that was
current becomes the previous one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...backends.base import already_current, not_found
from ...exceptions import SecretsError
from ...stages import Stages, stages_of
from ...types import CURRENT, PENDING, STAGES
from ..arguments import add_report_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "old_version", metavar="VERSION", help="previous, or a version id as history lists it"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    add_report_format(parser)


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    name, wanted = options["name"], options["old_version"]
    stages = stages_of(store, name)
    version = _resolve(store, name, stages, wanted)
    way = f"from version {stages.current} to {_shown(stages, version)}"
    done: dict[str, Any] = {
        "store": store.place,
        "name": name,
        "dry_run": options["dry_run"],
        "from": stages.current,
        "to": stages.ids.get(version, version),
        "version": None,
    }
    if options["dry_run"]:
        # It is read, so that an old value that cannot be opened is known now.
        store.get(name, version=version)
        console.say(f"{name} in {store.place}: would be rolled back {way}")
        console.say("nothing was written: --dry-run")
        console.report(done, options["format"])
        return 0
    entry = store.rollback(name, version)
    made = "" if entry.version == stages.ids.get(version, version) else f", as {entry.version}"
    console.say(f"{name} in {store.place} rolled back {way}{made}")
    console.say("next: deploy every host, so that all of them use it")
    console.report({**done, "version": entry.version}, options["format"])
    return 0


def _resolve(store: BaseStore, name: str, stages: Stages, wanted: str) -> str:
    """The version that is meant: PREVIOUS, or a version id.

    Raises:
        SecretNotFound: there is no such version.
        VersionConflict: it is the current one.
        SecretsError: it is the pending one, which was never in force.
    """
    stage = wanted.upper()
    version = stage if stage in STAGES else _id_of(stages, wanted)
    # Whether there is a PREVIOUS the store says: it knows one that cannot be opened from none.
    if not version or (version == PENDING and not stages.pending):
        raise not_found(name, store, version=version or wanted)
    if version in (CURRENT, stages.current):
        raise already_current(name, stages.current, store.place)
    if version in (PENDING, stages.ids.get(PENDING)):
        raise SecretsError(
            f"the pending value of {name} in {store.place} was never current",
            hint=f"`secrets rotate {name} --promote` makes it current",
            names=[name],
        )
    return version


def _id_of(stages: Stages, wanted: str) -> str:
    """The version id that was typed: exactly, or without the zeros that CredStash pads it with."""
    ids = [entry.version for entry in stages.history]
    if wanted in ids:
        return wanted
    return next((known for known in ids if known.lstrip("0") == wanted.lstrip("0")), "")


def _shown(stages: Stages, version: str) -> str:
    shown = stages.ids.get(version, version)
    # A document of Secrets Manager keeps the previous value of a name in its current version.
    return "its previous value" if shown == stages.current else f"version {shown}"
