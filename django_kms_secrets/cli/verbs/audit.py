"""Compare the names that the settings read with those in the store.

It finds what is missing, unused, never rotated or older than --max-age. The settings are imported
in offline mode, which notes what they ask for; no value is read or shown. What is asked for later,
at run time, is not seen. The exit code is 1 if there is a finding; a note is none.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ... import recording
from ...audit import FINDINGS, NOTES, Audit
from ...config import read_config
from ...exceptions import SecretsError
from ..arguments import add_listing_format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...config import Config
    from ..console import Console

_COLUMNS = ("finding", "name", "found", "mend")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-age",
        type=_days,
        metavar="DAYS",
        help="find values that were written longer ago (Secrets Manager); what is known to be "
        "younger need not have been rotated",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out names that match; once for each",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        choices=(*FINDINGS, *NOTES),
        metavar="FINDING",
        help=f"do not look for it: {', '.join((*FINDINGS, *NOTES))}; once for each",
    )
    add_listing_format(parser)


def start(read: Callable[[], Config], options: Mapping[str, Any], console: Console) -> int:
    if not recording.recordings:
        raise SecretsError(
            "no settings were imported in offline mode, so it is not known what they read",
            hint="run `python manage.py secrets audit` in a project whose settings call load()",
        )
    audit = Audit(None if options.get("url") else _configured(read))
    for found in recording.recordings:
        configs = [read()] if options.get("url") else map(read_config, found.sources)
        audit.compare(found.reads, list(configs), whole=found.whole)
    rows = [row for row in audit.rows(options["max_age"]) if _wanted(row, options)]
    console.rows(_COLUMNS, rows, options["format"])
    console.say(
        f"the settings read {len(audit.names)} names of {', '.join(audit.places)}; "
        "what is read at run time is not seen"
    )
    return int(any(row["finding"] in FINDINGS for row in rows))


def _configured(read: Callable[[], Config]) -> Config | None:
    """What the other verbs act on without --url; None for nothing."""
    try:
        return read()
    except SecretsError:
        return None


def _days(text: str) -> timedelta:
    if not text.isdecimal() or int(text) > timedelta.max.days:
        raise argparse.ArgumentTypeError("not a number of days")
    return timedelta(days=int(text))


def _wanted(row: Mapping[str, str], options: Mapping[str, Any]) -> bool:
    ignored = any(fnmatchcase(row["name"], pattern) for pattern in options["ignore"])
    return not ignored and row["finding"] not in options["skip"]
