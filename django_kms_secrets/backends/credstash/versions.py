"""How a CredStash table numbers versions, and which of them is at which stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...exceptions import VersionConflict
from ...types import CURRENT, PENDING, PREVIOUS, SecretVersion
from ..capabilities import Age

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .table import Item

#: credstash pads a version with zeros to this many characters, so that text sorts as numbers do.
WIDTH = 19
#: DynamoDB's limit for it (bytes).
LONGEST = 1024


def padded(version: str) -> str:
    """A version as it is stored."""
    return version.rjust(WIDTH, "0")


def is_number(version: str) -> bool:
    """Whether a version can be counted on from."""
    return version.isascii() and version.isdigit() and len(version) <= LONGEST


#: Where a pending value is kept: as version -1 of its name. It sorts before version 0, so every
#: reader of the format goes on taking the greatest version for the current one, and credstash
#: shows the pending one if it is asked for: ``credstash get NAME -v -1``.
PENDING_VERSION = padded("-1")


def next_version(name: str, latest: str, wanted: str, place: str) -> str:
    """The version a new record of a name gets.

    Args:
        name: the secret.
        latest: its newest version; "" for none.
        wanted: a number of the writer's choice; "" for the next.
        place: the store, as errors name it.

    Raises:
        VersionConflict: it would not be the newest.
    """
    again = f"`secrets delete {name}`, then put it again"
    if not wanted and latest and not is_number(latest):
        raise VersionConflict(
            f"the newest version of {name} in {place} is {latest!r}, which is no number",
            hint=again,
            names=[name],
        )
    version = padded(wanted or str(int(latest or 0) + 1))
    if version <= latest:
        raise VersionConflict(
            f"{name} version {version} would not be the newest in {place}: {latest} sorts after it",
            hint="leave the version out for the next number" if wanted else again,
            names=[name],
        )
    return version


def newest_of(items: Iterable[Item]) -> list[Item]:
    """Of each name the newest version; nothing of the others is held."""
    newest: dict[str, Item] = {}
    for item in items:
        known = newest.get(item["name"])
        if item["version"] == PENDING_VERSION:
            continue
        if known is None or item["version"] > known["version"]:
            newest[item["name"]] = item
    return list(newest.values())


def entries(items: Sequence[Item]) -> list[SecretVersion]:
    """The versions of one name, oldest first, the pending one last.

    The two newest know their stage.
    """
    ordered = sorted(items, key=lambda item: str(item["version"]))
    pending = [item for item in ordered if item["version"] == PENDING_VERSION]
    others = ordered[len(pending) :]
    stages = {len(others) - 1: (CURRENT,), len(others) - 2: (PREVIOUS,)}
    return [
        *(entry(item, stages.get(rank, ())) for rank, item in enumerate(others)),
        *(entry(item, (PENDING,)) for item in pending),
    ]


def entry(item: Item, stages: tuple[str, ...] = (CURRENT,)) -> SecretVersion:
    """One version, without its value."""
    comment = item.get("comment")
    comment = comment if isinstance(comment, str) else ""
    return SecretVersion(item["name"], item["version"], stages, comment=comment)


def age(versions: Sequence[SecretVersion]) -> Age:
    """How old a name's current value is: the format has no dates.

    A number above 1 was counted up to it, also where the versions before it were retired.
    """
    counted = any(is_number(found.version) and int(found.version) > 1 for found in versions)
    return Age(rotated=counted or sum(PENDING not in found.stages for found in versions) > 1)
