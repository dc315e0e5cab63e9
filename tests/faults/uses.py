"""What is done with a store and with the command: every read, every write, every verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_kms_secrets.types import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_kms_secrets.backends.base import BaseStore

    #: The current value of each name; what a write makes of them, None for a name that is gone.
    Values = dict[str, str]
    Effect = Callable[[Values], dict[str, str | None]]

#: Stands in every value; what shows it has shown a value.
PLANTED = "planted-value"
FIRST = {name: f"{PLANTED}-{name}" for name in "ABCD"}


def texts(secrets: Any) -> Any:
    return {name: (str(secret.value), secret.version) for name, secret in secrets.items()}


def read_only(store: BaseStore, names: list[str] | None) -> Any:
    """As settings read: without boto3, where that is possible."""
    store.close()
    try:
        with store.reading():
            return texts(store.get_many(names))
    finally:
        store.open()


READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda store: str(store.get("A").value),
    "get a version": lambda store: str(store.get("A", version="PREVIOUS").value),
    "get_many": lambda store: texts(store.get_many(["A", "B", "MISSING"])),
    "get_many of all": lambda store: texts(store.get_many(None)),
    "settings": lambda store: read_only(store, ["A", "B", "C"]),
    "settings, all": lambda store: read_only(store, None),
    "get_stages": lambda store: texts(store.get_stages("A")),
    "list_secrets": lambda store: store.list_secrets(),
    # Not when they were written: moto says now, every time.
    "history": lambda store: [entry._replace(created=None) for entry in store.history("A")],
    "ages": lambda store: {n: a.rotated for n, a in store.ages(store.list_secrets()).items()},
    "to_reencrypt": lambda store: store.to_reencrypt(),
}


@dataclass(frozen=True)
class Write:
    """A write.

    Attributes:
        do: writes; the argument is a value that was not there.
        effect: what the current values are then, where they change.
        before: what there must be before it: "pending", "nothing pending", "previous" or "".
        on: the method that a store needs to have for it.
    """

    do: Callable[[Any, str], object]
    effect: Callable[[Values, str], dict[str, str | None]] = lambda values, new: {}
    before: str = ""
    on: str = "put"


def _reencrypt(store: Any, _: str) -> None:
    store.reencrypt(store.to_reencrypt(), lambda *_: None)


WRITES = {
    "put": Write(lambda store, new: store.put("A", new), lambda _, new: {"A": new}),
    "put expecting": Write(
        lambda store, new: store.put("A", new, expected=store.get("A").version),
        lambda _, new: {"A": new},
    ),
    "put_many": Write(
        lambda store, new: store.put_many({"B": new, "C": new, "E": new}),
        lambda _, new: {"B": new, "C": new, "E": new},
    ),
    "put_version": Write(
        lambda store, new: store.put_version("A", new, comment="x"),
        lambda _, new: {"A": new},
        on="put_version",
    ),
    "rotate": Write(
        lambda store, new: store.rotate("A", new, expected=store.get("A").version),
        lambda _, new: {"A": new},
    ),
    "rollback": Write(
        lambda store, _: store.rollback("A", "PREVIOUS"),
        lambda values, _: {"A": values["A previous"]},
        before="previous",
    ),
    "stage": Write(
        lambda store, new: store.stage("A", new),
        lambda _, new: {"A pending": new},
        before="nothing pending",
    ),
    "unstage": Write(
        lambda store, _: store.unstage("A"), lambda *_: {"A pending": None}, before="pending"
    ),
    "promote": Write(
        lambda store, _: store.promote("A"),
        lambda values, _: {"A": values["A pending"], "A pending": None},
        before="pending",
    ),
    "retire": Write(
        lambda store, _: store.retire("A"), lambda *_: {"A previous": None}, before="previous"
    ),
    "reencrypt": Write(_reencrypt),
    "prune": Write(lambda store, _: store.prune(store.to_reencrypt(), lambda *_: None), on="prune"),
    "delete": Write(lambda store, _: store.delete("D"), lambda *_: {"D": None}, before="D"),
    "setup": Write(lambda store, _: store.setup()),
    "setup_key": Write(lambda store, _: store.setup_key(), on="setup_key"),
}

#: What the command only reads, or does not even read.
READING_VERBS = {
    "get": ["get", "A"],
    "get -f json": ["get", "A", "-f", "json"],
    "getall": ["getall"],
    "list": ["list"],
    "keys": ["keys"],
    "history": ["history", "A"],
    "policy": ["policy", "reader"],
    "doctor": ["doctor"],
    "audit": ["audit", "--skip", "unused"],
    "putall --dry-run": ["putall", '{"A": "planted-value-x"}', "--dry-run"],
    "rotate --status": ["rotate", "A", "--status"],
    "run": ["run", "--", "/nowhere/program"],
}

#: What it writes; ``NEW`` stands for a value that was not there.
WRITING_VERBS = {
    "setup": (["setup"], Write(lambda *_: None)),
    "put": (["put", "A", "NEW"], WRITES["put"]),
    "putall": (["putall", '{"B": "NEW", "C": "NEW", "E": "NEW"}'], WRITES["put_many"]),
    "rotate": (["rotate", "A", "--value", "NEW", "--yes"], WRITES["rotate"]),
    "rotate --stage": (["rotate", "A", "--stage", "--value", "NEW"], WRITES["stage"]),
    "rotate --abandon": (["rotate", "A", "--abandon", "--yes"], WRITES["unstage"]),
    "rotate --promote": (["rotate", "A", "--promote"], WRITES["promote"]),
    "rotate --retire": (["rotate", "A", "--retire", "--yes"], WRITES["retire"]),
    "rollback": (["rollback", "A", "PREVIOUS"], WRITES["rollback"]),
    "reencrypt": (["reencrypt", "--key-id", "alias/credstash", "--yes"], WRITES["reencrypt"]),
    "delete": (["delete", "D", "--yes"], WRITES["delete"]),
}


def prepare(store: Any, before: str, new: str) -> None:
    """Bring a store to where a write can be done."""
    if before == "D":
        if not store.get_many(["D"]):
            store.put("D", new)
        return
    if not before:
        return
    stages = store.get_stages("A")
    if before != "pending" and PENDING in stages:  # nothing is retired beside it
        store.unstage("A")
    if before == "pending" and PENDING not in stages:
        store.stage("A", new)
    elif before == "previous" and "PREVIOUS" not in stages:
        store.rotate("A", new, expected=stages["CURRENT"].version)


def state(store: Any) -> Values:
    """The current values, and those of A that are pending or previous."""
    values = {name: str(secret.value) for name, secret in store.get_many(None).items()}
    for stage, secret in store.get_stages("A").items():
        if stage != "CURRENT":
            values[f"A {stage.lower()}"] = str(secret.value)
    return values
