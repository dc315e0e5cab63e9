"""What is done with a store and with the command: every read, every write, every verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_kms_secrets.backends.base import BaseStore

    #: The current value of each name; what a write makes of them, None for a name that is gone.
    Values = dict[str, str]
    Effect = Callable[[Values, str], dict[str, str | None]]

#: Stands in every value; what shows it has shown a value.
PLANTED = "planted-value"
FIRST = {name: f"{PLANTED}-{name}" for name in "ABCD"}
#: What another store has, which is copied: of E an older and a pending value, too.
ORIGIN = {"E": f"{PLANTED}-E", "F": f"{PLANTED}-F"}


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
        pending: whether a value of A is pending before it.
        on: the method that a store needs to have for it.
    """

    do: Callable[[Any, str], object]
    effect: Effect = lambda values, new: {}
    pending: bool = False
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
    ),
    "stage": Write(lambda store, new: store.stage("A", new), lambda _, new: {"A pending": new}),
    "unstage": Write(
        lambda store, _: store.unstage("A"), lambda *_: {"A pending": None}, pending=True
    ),
    "promote": Write(
        lambda store, _: store.promote("A"),
        lambda values, _: {"A": values["A pending"], "A pending": None},
        pending=True,
    ),
    "retire": Write(lambda store, _: store.retire("A"), lambda *_: {"A previous": None}),
    "reencrypt": Write(_reencrypt),
    "prune": Write(lambda store, _: store.prune(store.to_reencrypt(), lambda *_: None), on="prune"),
    "delete": Write(lambda store, _: store.delete("D"), lambda *_: {"D": None}),
    "setup": Write(lambda store, _: store.setup()),
    "setup_key": Write(lambda store, _: store.setup_key(), on="setup_key"),
}

# In the words of verbs NEW stands for a value that was not there, THERE for the store behind the
# fault, ORIGIN and ELSEWHERE for two other ones of its kind, past it, and SOURCE and TARGET for
# files; the second one of each pair is empty.

#: What the command only reads from AWS, or does not even read; what it makes of that, it makes past
#: the fault.
READING_VERBS = {
    "get": "get A",
    "get -f json": "get A -f json",
    "get -v": "get A -v PREVIOUS",
    "getall": "getall",
    "getall -o": "getall -o TARGET",
    "getall --keep-going": "getall --keep-going",
    "list": "list",
    "keys": "keys",
    "history": "history A",
    "policy": "policy admin --ask-aws",
    "doctor": "doctor",
    "audit": "audit --max-age 30",
    "diff": "diff @SOURCE",
    "diff -f json": "diff @SOURCE -f json",
    "putall --dry-run": "putall @SOURCE --dry-run",
    "putall --prune --dry-run": "putall @SOURCE --prune --dry-run",
    "rotate --status": "rotate A --status",
    "rotate --dry-run": "rotate A --length 20 --dry-run",
    "rollback --dry-run": "rollback A previous --dry-run",
    "reencrypt --dry-run": "reencrypt --key-id alias/credstash --dry-run",
    "copy --dry-run": "copy --url file://SOURCE --to THERE --existing keep --dry-run",
    "copy to a file": "copy --to file://TARGET",
    "copy to another": "copy --to ELSEWHERE",
    "copy --versions to another": "copy --versions --to ELSEWHERE",
    "run": "run -- /nowhere/program",
    "run --env": "run --env -- /nowhere/program",
}


@dataclass(frozen=True)
class WritingVerb:
    """What the command writes.

    Attributes:
        args: its words.
        write: what that is; it is not called.
        resumes: where some of it may be there after an error, running it again completes it.
    """

    args: str
    write: Write
    resumes: bool = False


def _effect(effect: Effect) -> Write:
    return Write(lambda *_: None, effect)


WRITING_VERBS = {
    "setup": WritingVerb("setup", _effect(lambda *_: {})),
    "setup --create-key": WritingVerb("setup --create-key", WRITES["setup_key"]),
    "put": WritingVerb("put A NEW", WRITES["put"]),
    "putall": WritingVerb('putall {"B":"NEW","C":"NEW","E":"NEW"}', WRITES["put_many"]),
    "putall --prune": WritingVerb(
        'putall {"B":"NEW","E":"NEW"} --prune --yes',
        _effect(lambda values, new: {**dict.fromkeys(values), "B": new, "E": new}),
        resumes=True,
    ),
    "rotate": WritingVerb("rotate A --value NEW --yes", WRITES["rotate"]),
    "rotate --stage": WritingVerb("rotate A --stage --value NEW", WRITES["stage"]),
    "rotate --abandon": WritingVerb("rotate A --abandon --yes", WRITES["unstage"]),
    "rotate --promote": WritingVerb("rotate A --promote", WRITES["promote"]),
    "rotate --retire": WritingVerb("rotate A --retire --yes", WRITES["retire"]),
    "rollback": WritingVerb("rollback A PREVIOUS", WRITES["rollback"]),
    "reencrypt": WritingVerb("reencrypt --key-id alias/credstash --yes", WRITES["reencrypt"]),
    "reencrypt --prune": WritingVerb(
        "reencrypt --key-id alias/credstash --prune --yes", WRITES["prune"]
    ),
    "delete": WritingVerb("delete D --yes", WRITES["delete"]),
    "copy": WritingVerb("copy --url ORIGIN --to THERE", _effect(lambda *_: {**ORIGIN})),
    "copy --existing overwrite": WritingVerb(
        "copy --url file://SOURCE --to THERE --existing overwrite",
        _effect(lambda *_: {**GIVEN}),
    ),
    "copy --versions": WritingVerb(
        "copy --versions --url ORIGIN --to THERE", _effect(lambda *_: {**ORIGIN}), resumes=True
    ),
}

#: What SOURCE has: A is the same as in the store, B is another one, E is new.
GIVEN = {"A": FIRST["A"], "B": f"{PLANTED}-given", "E": f"{PLANTED}-given"}


def state(store: Any) -> Values:
    """The current values, and those of A that are pending or previous."""
    values = {name: str(secret.value) for name, secret in store.get_many(None).items()}
    if "A" in values:
        for stage, secret in store.get_stages("A").items():
            if stage != "CURRENT":
                values[f"A {stage.lower()}"] = str(secret.value)
    return values
