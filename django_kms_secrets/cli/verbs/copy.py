"""Copy secrets to another store, and read them back there.

It copies the NAMES of the configuration, or all. What the other store has already is left alone:
after an interruption, run it again. A name that has another value there is an error, and nothing is
written, unless --existing says what to do.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...backends.base import checked, log_what_was_done, put_runs, stored_before
from ...backends.capabilities import AWSStore, DocumentStore, StagedStore
from ...config import read_config
from ...exceptions import SecretIntegrityError, SecretNotFound, SecretsError, VersionConflict
from ...formats import tree
from ...types import CURRENT, PENDING, PREVIOUS
from .. import plan as plans
from ..arguments import add_report_format, store_of
from ..past import Past, read_past, write_past
from .putall import show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from ...backends.base import BaseStore
    from ...config import Config
    from ...types import SecretStr, SecretVersion
    from ..console import Console

OVERWRITE, KEEP = "overwrite", "keep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", metavar="URL", required=True, help="the store to copy to, written as in --url"
    )
    parser.add_argument(
        "--existing",
        choices=(OVERWRITE, KEEP),
        help="what to do with a name that has another value there: overwrite or keep it",
    )
    parser.add_argument(
        "--versions",
        action="store_true",
        help="copy older values and the pending one too, where both stores can have them",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the differences, write nothing"
    )
    add_report_format(parser)


def configure(config: Config, options: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """Note the NAMES: they are what is copied."""
    return config, {**options, "names": config.names}


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    target = _target(store, options)
    with target:
        return _run(store, target, options, console)


def _run(store: BaseStore, target: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    _refuse_overlap(store, target, options["names"])
    with console.progress("reading") as progress, store.followed(progress):
        values = _values(store, options["names"])
    for name in values:
        checked(name)
    plans.refuse_two_values(target, values)
    with console.progress("comparing") as progress, target.followed(progress):
        plan = plans.compare(target, values)
    copy = (_Versions if options["versions"] else _Copy)(store, target, plan, console)
    if options["dry_run"]:
        show(plan, console, options["format"])
    differing = copy.differing()
    if differing and not options["existing"]:
        raise _refusal(target, differing, plan)
    kept = differing if options["existing"] == KEEP else []
    wanted = [name for name in values if name not in kept]
    copy.validate(wanted)
    left_out = copy.left_out(wanted)
    for reason in left_out:
        console.say(f"warning: left out: {reason}")
    code = 1 if left_out else 0
    if options["dry_run"]:
        if intended := copy.intended(wanted):
            console.say(f"would be copied: {', '.join(intended)}")
        console.say("nothing was written: --dry-run")
        return code
    copied = copy.write(wanted)
    if kept:
        console.say(f"kept as they are: {', '.join(kept)}")
    done = {
        "store": target.place,
        "copied": copied,
        "unchanged": [name for name in wanted if name not in {*copied}],
        "kept": kept,
    }
    console.report(done, options["format"])
    return code


def _target(store: BaseStore, options: Mapping[str, Any]) -> BaseStore:
    """The other store, not opened.

    Raises:
        SecretsError: there is no such store, or it cannot have versions.
    """
    config = read_config(options["to"])
    if config.names is not None:
        raise SecretsError(
            "the URL of --to has names", hint="what is copied are the NAMES of the store it is from"
        )
    target = store_of(config)
    without = [each for each in (store, target) if not isinstance(each, StagedStore)]
    if options["versions"] and without:
        raise SecretsError(
            f"{without[0].place} has one value of each name", hint="leave --versions out"
        )
    return target


def _refuse_overlap(store: BaseStore, target: BaseStore, names: Sequence[str] | None) -> None:
    """Refuse to copy a store to itself, or all there is into a part of it.

    What had been copied into a part of it would be copied by the next run, to `c/c/NAME`.

    Args:
        store, target: from where to where, both open: their regions are known.
        names: what is copied; None for all.

    Raises:
        SecretsError: they are the same, or the target is a part of the source.
    """
    if _whereabouts(store) != _whereabouts(target):
        return
    if store.place == target.place:
        raise SecretsError(
            f"--to is the store that is copied from: {store.place}", hint="name another one"
        )
    prefix = None if plans.is_document(store) else getattr(store, "prefix", None)
    if names is None and prefix is not None and _begin(target).startswith(prefix):
        raise SecretsError(
            f"{target.place} is a part of what is copied: {store.place}; nothing was written",
            hint="name another store, or in NAMES what to copy",
        )


def _whereabouts(store: BaseStore) -> tuple[object, ...]:
    """What has to be the same for two stores to share names."""
    if not isinstance(store, AWSStore):
        return type(store), store.place
    options = ("table", "region_name", "profile_name", "endpoint_url")
    return (type(store), *(getattr(store, option, None) for option in options))


def _begin(store: BaseStore) -> str:
    """What the names of a store begin with where they are stored; a document is one of them."""
    # An ARN has the name at its end.
    name: str = getattr(store, "secret_id", "").rpartition(":")[2]
    return name or getattr(store, "document", "") or getattr(store, "prefix", "")


def _values(store: BaseStore, names: Sequence[str] | None) -> dict[str, SecretStr]:
    """What is copied. Of a dotted name that reaches into a tree it is the tree.

    Raises:
        SecretNotFound: names are missing.
        SecretsError: there is nothing.
    """
    reached = {name: tree.roots(name) for name in names or ()}
    # A document would give a leaf for its name.
    all_of_it = names is None or plans.is_document(store)
    found = store.get_many(
        None if all_of_it else {root for each in reached.values() for root in each}
    )
    if names is not None:
        missing = [name for name, roots in reached.items() if not found.keys() & set(roots)]
        if missing:
            raise SecretNotFound(
                f"not in {store.place}: {', '.join(missing)}; nothing was written",
                hint="they are in NAMES: write them, or take them out",
                names=missing,
            )
        kept = {next(root for root in roots if root in found) for roots in reached.values()}
        found = {name: secret for name, secret in found.items() if name in kept}
    if not found:
        raise SecretsError(f"there are no secrets in {store.place}", hint="nothing was written")
    return {name: secret.value for name, secret in sorted(found.items())}


def _refusal(target: BaseStore, differing: Sequence[str], plan: plans.Plan) -> SecretsError:
    return VersionConflict(
        f"{target.place} has another value, or one that cannot be read, of {', '.join(differing)}; "
        f"nothing was written{_because(plan)}",
        hint="--existing overwrite writes them, --existing keep leaves them as they are",
        names=differing,
    )


def _because(plan: plans.Plan) -> str:
    """Why values cannot be read; "" if all can."""
    return "".join(f"\n  {reason}" for reason in plan.reasons)


class _Copy:
    """The current values.

    Args:
        source, target: from where to where, both open.
        plan: the values against those of the target.
        console: where to say what was done.
    """

    def __init__(
        self, source: BaseStore, target: BaseStore, plan: plans.Plan, console: Console
    ) -> None:
        self.source = source
        self.target = target
        self.plan = plan
        self.console = console

    def differing(self) -> list[str]:
        """The names of which the target has something else."""
        return self.plan.names(plans.CHANGED, plans.UNREADABLE)

    def validate(self, names: Sequence[str]) -> None:
        """See that the target could hold what `write` would write.

        Raises:
            SecretsError: it could not.
        """
        self.target.validate({name: self.plan.values[name] for name in names})

    def left_out(self, names: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Why values of the source are not copied: none, as all could be read."""
        return []

    def intended(self, names: Sequence[str]) -> list[str]:  # noqa: ARG002
        """What `write` would write, as far as the plan does not show it: nothing."""
        return []

    def write(self, names: Sequence[str]) -> list[str]:
        """Write those of the names that the target does not have as they are, and check them.

        Returns:
            What was written.
        """
        different = {*names} - {*self.plan.names(plans.SAME)}
        written = [name for name in names if name in different]
        with self.console.progress("writing") as progress, self.target.followed(progress):
            plans.write(self.target, self.plan, written)
        again = names if plans.is_document(self.target) else written
        with (
            _telling(written),
            self.console.progress("reading back") as progress,
            self.target.followed(progress),
        ):
            found = plans.compare(self.target, {name: self.plan.values[name] for name in again})
        if found.unreadable:
            raise SecretIntegrityError(
                f"{self.target.place}: copied, and cannot be read back: "
                f"{', '.join(found.names(plans.UNREADABLE))}{_because(found)}",
                hint="make sure that they can be read there; compare, and run it again",
                names=found.unreadable,
            )
        self.refuse([name for name in again if name not in found.names(plans.SAME)])
        self.console.say(
            f"{self.target.place}: {len(written)} copied and read back, "
            f"{len(names) - len(written)} were there already"
        )
        if isinstance(self.source, StagedStore):
            self.console.say("these are current values; older and pending ones stay behind")
        return written

    def refuse(self, wrong: Sequence[str]) -> None:
        """Fail for what was read back as something else.

        Raises:
            SecretIntegrityError: there is some.
        """
        if wrong:
            raise SecretIntegrityError(
                f"{self.target.place}: copied, and not the same when read back: {', '.join(wrong)}",
                hint="somebody may have written them meanwhile; compare, and run it again",
                names=wrong,
            )


class _Versions(_Copy):
    """The older values and the pending one, too."""

    def __init__(
        self, source: BaseStore, target: BaseStore, plan: plans.Plan, console: Console
    ) -> None:
        super().__init__(source, target, plan, console)
        self.in_use = plans.is_document(source) or plans.is_document(target)
        self.pasts: dict[str, tuple[Past, Past]] = {}
        if self.in_use:
            console.say("a document keeps the previous, current and pending value of a name: those")

    def differing(self) -> list[str]:
        """Not what an interrupted run has begun; and another pending value is different as well."""
        found = []
        with self.console.progress("comparing") as progress:
            for done, name in enumerate(self.plan.values, 1):
                if name in self.plan.unreadable or self._went_another_way(name):
                    found.append(name)
                progress(done, len(self.plan.values))
        return found

    def validate(self, names: Sequence[str]) -> None:
        """The older values and the pending ones, too: all of them before the first is written."""
        for name in names:
            values, pending = self._to_write(name)
            for value in (*values, *([] if pending is None else [pending])):
                self.target.validate({name: value})
        self._put_stages(names, dry_run=True)

    def left_out(self, names: Sequence[str]) -> list[str]:
        """Older values that do not open."""
        reasons = [reason for name in names for reason in self._read(name)[0].left_out]
        alone = [name for name in names if len(self._read(name)[0].values) == 1]
        if alone and (source := _document(self.source)) and (reason := source.unreadable_before()):
            reasons.append(f"what the document before had of {', '.join(alone)}: {reason}")
        return reasons

    def intended(self, names: Sequence[str]) -> list[str]:
        """How many values of which name: the plan shows only whether the current ones differ."""
        counts = {name: self._count(name) for name in names}
        return [
            f"{name} ({count} value{'s' if count > 1 else ''})"
            for name, count in counts.items()
            if count
        ]

    def write(self, names: Sequence[str]) -> list[str]:
        """Oldest value first; what is read back is what the target has in the end."""
        missing = [name for name in names if self._count(name)]
        with self.console.progress("writing") as progress:
            if _document(self.target):
                # Not a version for each value: a service counts them, and keeps them for a while.
                self._put_stages(names)
            else:
                put_runs(missing, self._write, len(missing), progress)
        wrong = []
        with _telling(missing), self.console.progress("reading back") as progress:
            for done, name in enumerate(missing, 1):
                found = read_past(self.target, name, in_use=self.in_use)
                if not found.ends_like(self._read(name)[0], self._to_write(name)[0]):
                    wrong.append(name)
                progress(done, len(missing))
        self.refuse(wrong)
        count = sum(map(self._count, missing))
        self.console.say(
            f"{self.target.place}: {len(missing)} copied and read back, with {count} values, "
            f"{len(names) - len(missing)} were there already"
        )
        return missing

    def _read(self, name: str) -> tuple[Past, Past]:
        """What the source has, and the target; once, so that what is written later goes by it."""
        if name not in self.pasts:
            wanted = read_past(self.source, name, in_use=self.in_use)
            self.pasts[name] = wanted, read_past(self.target, name, in_use=self.in_use)
        return self.pasts[name]

    def _went_another_way(self, name: str) -> bool:
        wanted, found = self._read(name)
        other = found.pending is not None and wanted.pending not in (None, found.pending)
        return other or found.missing(wanted) is None

    def _to_write(self, name: str) -> tuple[list[SecretStr], SecretStr | None]:
        """The values that are missing, oldest first, and the pending one, if that is."""
        wanted, found = self._read(name)
        values = found.missing(wanted)
        pending = None if wanted.pending == found.pending else wanted.pending
        return wanted.values if values is None else values, pending

    def _write(self, name: str) -> list[SecretVersion]:
        return [write_past(self.target, name, *self._to_write(name), self._read(name)[1])]

    def _count(self, name: str) -> int:
        """How many values of a name are missing."""
        values, pending = self._to_write(name)
        return len(values) + (pending is not None)

    def _put_stages(self, names: Sequence[str], *, dry_run: bool = False) -> None:
        """Write all that is missing into a document, if the target is one and something is.

        What is there already, or is kept as it is, goes along: a tree that is replaced would take
        it with it, and any write makes the document the previous one as a whole.
        """
        target = _document(self.target)
        if target and any(map(self._count, names)):
            stages = {name: self._stages(name, wanted=name in names) for name in self.plan.values}
            versions = {name: self._read(name)[1].version for name in stages}
            target.put_stages(stages, expected=versions, dry_run=dry_run)

    def _stages(self, name: str, *, wanted: bool) -> dict[str, SecretStr]:
        """What a document is to have of a name at its stages."""
        values, pending = self._to_write(name) if wanted else ([], None)
        in_use = [*self._read(name)[1].values, *values][-2:]
        stages: dict[str, SecretStr] = dict(
            zip((CURRENT, PREVIOUS), reversed(in_use), strict=False)
        )
        return stages if pending is None else {**stages, PENDING: pending}


def _document(store: BaseStore) -> DocumentStore | None:
    """A store whose names are all in one document; None for another."""
    return store if isinstance(store, DocumentStore) and plans.is_document(store) else None


@contextmanager
def _telling(stored: Sequence[str]) -> Iterator[None]:
    """Where reading back fails or is interrupted, say what is stored nevertheless."""
    try:
        yield
        return
    except SecretsError as exc:
        error = stored_before(exc, stored)
    except BaseException:
        log_what_was_done(stored)
        raise
    raise error
