"""Give a secret a new value: at once, or in steps that no host notices.

At once, the new value is in force from the next deployment of each host on. In steps it is first
accepted everywhere: --stage, deploy, --promote, deploy, --retire, deploy. Each step says what comes
next; --status says where a rotation stands. A value is never shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import generators
from ...backends.base import already_pending, not_found
from ...backends.capabilities import RotatingStore, StagedStore
from ...exceptions import (
    AccessDenied,
    DecryptionError,
    SecretIntegrityError,
    SecretsError,
    StoreUnavailable,
    VersionConflict,
    is_of_values,
)
from ...stages import Stages, stages_of
from ...types import PENDING, PREVIOUS, SecretStr
from ..arguments import add_report_format, add_yes, read_value

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ...backends.base import BaseStore
    from ..console import Console

#: How long the service may take to rotate, and how often it is asked (seconds).
WAIT_SECONDS = 300
POLL_SECONDS = 2.0

_MODES = ("stage", "promote", "retire", "abandon", "status", "lambda")
_NEW_VALUE = ("length", "alphabet", "generator", "value")
#: When a step is due.
_ADVICE = {
    "stage": "{}, for another value",
    "promote": "{}, once every host was deployed and accepts the pending value",
    "abandon": "{}, to drop it",
    "retire": "{}, once nothing made with the previous value need be accepted any more",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    modes = parser.add_mutually_exclusive_group()
    for option, text in (
        ("--stage", "make the new value pending: accepted, and not used yet"),
        ("--promote", "make the pending value current, and the current one previous"),
        ("--retire", "drop the previous value: nothing accepts it any more"),
        ("--abandon", "drop the pending value: the way back before --promote"),
        ("--status", "say where the rotation stands, and what comes next"),
        ("--lambda", "let AWS rotate it, with the function of the secret (Secrets Manager)"),
    ):
        modes.add_argument(option, action="store_true", help=text)
    parser.add_argument(
        "--length",
        type=int,
        metavar="N",
        help=f"a new value of N random characters; {generators.LENGTH}",
    )
    parser.add_argument(
        "--alphabet", metavar="CHARS", help="what they are taken from; letters and digits"
    )
    parser.add_argument(
        "--generator", metavar="PATH", help="package.module.callable that makes the new value"
    )
    # SecretStr: from here on, what shows the arguments does not show it.
    parser.add_argument(
        "--value",
        type=SecretStr,
        metavar="VALUE",
        help="the new value: - for stdin, @FILE for a file",
    )
    parser.add_argument(
        "--wait",
        type=int,
        metavar="SECONDS",
        help=f"how long --lambda waits until it is done; {WAIT_SECONDS}",
    )
    parser.add_argument("--dry-run", action="store_true", help="check, and say what would be done")
    add_report_format(parser)
    add_yes(parser)


def prepare(options: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse options that do not go together, before a store is asked.

    Raises:
        SecretsError: they contradict each other, or one would do nothing.
    """
    modes = [mode for mode in _MODES if options[mode]]
    if len(modes) > 1:  # from Python code; the parser sees to the command line
        raise SecretsError(
            "a rotation does one step at a time", hint=f"leave out all but one of {_typed(modes)}"
        )
    mode = modes[0] if modes else ""
    given = [option for option in _NEW_VALUE if options[option] is not None]
    if given and mode not in {"", "stage"}:
        raise SecretsError(
            f"--{mode} makes no new value of its own", hint=f"leave {_typed(given)} out"
        )
    # --length and --alphabet are one way to make a value, --generator and --value two others.
    if len(given) > 1 and set(given) != {"length", "alphabet"}:
        raise SecretsError(
            "a new value comes from one place",
            hint=f"give one of {_typed(given)} (only --length and --alphabet go together)",
        )
    if options["wait"] is not None and (mode != "lambda" or options["wait"] < 0):
        raise SecretsError(
            "--wait is how many seconds --lambda waits", hint=f"leave it out for {WAIT_SECONDS}"
        )
    return {**options, "mode": mode}


def run(store: BaseStore, options: Mapping[str, Any], console: Console) -> int:
    rotation = _Rotation(store, options, console, options["name"])
    step = {
        "": rotation.replace,
        "stage": rotation.stage,
        "promote": rotation.promote,
        "retire": rotation.retire,
        "abandon": rotation.abandon,
        "status": rotation.status,
        "lambda": rotation.let_aws,
    }[options["mode"]]
    step()
    return 0


@dataclass(frozen=True)
class _Rotation:
    """The steps of a rotation of one secret."""

    store: BaseStore
    options: Mapping[str, Any]
    console: Console
    name: str

    # At once

    def replace(self) -> None:
        """A new version, in force from now on, unless somebody else writes meanwhile."""
        source = self._source()
        stages = stages_of(self.store, self.name)
        if stages.pending:
            raise already_pending(self.name, self.store.place)
        kept = isinstance(self.store, StagedStore) or len(stages.history) > 1
        current = stages.current
        if self._is_dry(f"store {self._described(source)} as the current value"):
            return
        if not kept:
            question = f"replace {self.name} in {self.store.place}? Its old value is gone then"
            self.console.confirm(question, yes=self.options["yes"])
        entry = self.store.rotate(self.name, self._new_value(source), expected=current)
        self._say(f"{self.name} version {entry.version} stored in {self.store.place}")
        if kept:
            # By its id: another write to a document of Secrets Manager makes another one previous.
            self._say(
                f"version {current} is the previous one: "
                f"`secrets rollback {self.name} {current}` brings it back"
            )
        else:
            self._say("the old value is gone: this store keeps no versions")
        if generators.is_secret_key(self.name):
            self._say(
                "note: a host that was not deployed yet does not accept what the new key signs; "
                "with more than one host, begin with --stage"
            )
        self._next("deploy every host")
        self._report(entry.version)

    # In steps

    def stage(self) -> None:
        """A new value, accepted and not used yet."""
        store, source = self._staged(), self._source()
        stages = stages_of(self.store, self.name)
        if stages.pending:
            raise already_pending(self.name, self.store.place)
        if self._is_dry(f"store {self._described(source)} as the pending value"):
            return
        entry = store.stage(self.name, self._new_value(source))
        self._say(
            f"{self.name} version {entry.version} is pending in {self.store.place}; "
            "the current value stays in force"
        )
        self._next(
            f"deploy every host, so that all accept the new value; then {self._step('promote')}"
        )
        self._report(entry.version)

    def promote(self) -> None:
        """The pending value comes into force."""
        store = self._staged()
        self._stages_with(PENDING)
        if self._is_dry("make the pending value the current one"):
            return
        entry = store.promote(self.name)
        self._say(
            f"{self.name} version {entry.version} is current in {self.store.place}; "
            "the value before it is the previous one"
        )
        self._next(
            "deploy every host, so that all use the new value; once nothing made with the old one "
            f"(sessions, tokens) need be accepted any more, {self._step('retire')}"
        )
        self._report(entry.version)

    def abandon(self) -> None:
        """The pending value never comes into force."""
        store = self._staged()
        self._stages_with(PENDING)
        if self._is_dry("drop the pending value"):
            return
        store.unstage(self.name)
        self._say(f"{self.name} in {self.store.place}: the pending value is dropped")
        self._next("deploy every host that was deployed since --stage, so that none accepts it")
        self._report()

    def retire(self) -> None:
        """The previous value is not accepted any more."""
        store, stages = self._staged(), self._stages_with(PREVIOUS)
        if self._is_dry("drop the previous value and what is older"):
            return
        if not self.options["yes"]:
            question = (
                f"drop the previous value of {self.name} and what is older from "
                f"{self.store.place}? There is no rollback to it then"
            )
            self.console.confirm(question, yes=False)
            # The question may have stood there for an hour.
            self._still(stages)
        store.retire(self.name)
        self._say(f"{self.name} in {self.store.place} has no previous value any more")
        self._next("deploy every host once more, so that none accepts the old value")
        self._report()

    def status(self) -> None:
        """Where it stands: data on stdout, what comes next on stderr."""
        self._staged()
        stages = stages_of(self.store, self.name)
        steps = stages.next_steps
        rows = [
            {"stage": stage, "version": version, "created": stages.created(stage)}
            for stage, version in stages.ids.items()
        ]
        if self.options["format"] == "json":
            self.console.json(
                {"store": self.store.place, "name": self.name, "stages": rows, "next": steps}
            )
            return
        self.console.rows(("stage", "version", "created"), rows, "text")
        self._next("; or ".join(_ADVICE[step].format(self._step(step)) for step in steps))

    # By AWS

    def let_aws(self) -> None:
        """The service rotates, by the function that the secret has there."""
        if not isinstance(self.store, RotatingStore):
            raise SecretsError(
                f"{type(self.store).__name__} has no service that rotates a secret by itself",
                hint="leave --lambda out",
            )
        if stages_of(self.store, self.name).pending:
            raise already_pending(self.name, self.store.place)
        if self._is_dry("let AWS rotate it, with the function of the secret"):
            return
        version = self.store.start_rotation(self.name)
        seconds = WAIT_SECONDS if self.options["wait"] is None else self.options["wait"]
        words = (
            f"{self.name} in {self.store.place}: waiting up to {seconds} s for version {version}"
        )
        with self.console.waiting(words):
            done = self._wait(self.store, version, time.monotonic() + seconds)
        if not done:
            raise SecretsError(
                f"{self.name} in {self.store.place} is not rotated after {seconds} s; "
                "the rotation goes on without us",
                hint=f"{self._step('status')} says where it stands, the function's log says why",
                names=[self.name],
            )
        self._say(f"{self.name} version {version} is current in {self.store.place}")
        self._next("deploy every host")
        self._report(version)

    def _wait(self, store: RotatingStore, version: str, end: float) -> bool:
        """Ask until it is done, or the time is up; gives whether it is done."""
        while not self._has_rotated(store, version):
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_SECONDS, left))
        return True

    def _has_rotated(self, store: RotatingStore, version: str) -> bool:
        try:
            return store.has_rotated(self.name, version)
        except StoreUnavailable:  # that one question failed; the rotation goes on
            return False

    # Shared

    def _staged(self) -> StagedStore:
        if not isinstance(self.store, StagedStore):
            raise SecretsError(
                f"{type(self.store).__name__} keeps one value of a secret, so there are no steps",
                hint=f"`secrets rotate {self.name}` replaces it at once",
                names=[self.name],
            )
        return self.store

    def _stages_with(self, needed: str) -> Stages:
        """Where it stands, if the version that a step needs is there.

        Raises:
            SecretNotFound: it is not.
            VersionConflict: a value is pending, and the step is for after its promotion.
        """
        stages = stages_of(self.store, self.name)
        if stages.pending and needed == PREVIOUS:
            raise already_pending(self.name, self.store.place)
        if needed not in stages.ids:
            raise not_found(self.name, self.store, version=needed)
        return stages

    def _still(self, stages: Stages) -> None:
        if stages_of(self.store, self.name).ids != stages.ids:
            raise VersionConflict(
                f"{self.name} in {self.store.place} has changed since it was asked about; "
                "nothing was done",
                hint=f"{self._step('status')} says where it stands now",
                names=[self.name],
            )

    def _source(self) -> generators.Generator | None:
        """What makes the new value; None for --value, which is read when it is needed."""
        if self.options["value"] is not None:
            return None
        source = generators.choose(
            self.name,
            length=self.options["length"],
            alphabet=self.options["alphabet"],
            path=self.options["generator"],
        )
        if source.warning:
            self._say(f"warning: {source.warning}")
        return source

    def _new_value(self, source: generators.Generator | None) -> SecretStr:
        if source is None:
            argument = self.options["value"]
            value = read_value(argument, self.console, instead="use - or @FILE")
        else:
            value = source.make()
        if not value:
            raise SecretsError(
                f"the new value of {self.name} is empty",
                hint=f"nothing was written; `secrets put {self.name} -` can store an empty value",
                names=[self.name],
            )
        # Random characters are never the same again: nobody needs the permission to read them.
        if (source is None or self.options["generator"]) and self._is_current(value):
            raise SecretsError(
                f"the new value of {self.name} in {self.store.place} is the one it has",
                hint="nothing was written; make another one",
                names=[self.name],
            )
        return value

    def _is_current(self, value: SecretStr) -> bool:
        try:
            return self.store.get(self.name).value == value
        except (AccessDenied, DecryptionError, SecretIntegrityError) as exc:
            if not is_of_values(exc):
                raise
            self._say(
                f"warning: no telling whether this changes {self.name}, as its current value "
                "cannot be read"
            )
            return False

    def _described(self, source: generators.Generator | None) -> str:
        return f"what {source.words} makes" if source else "what --value gives"

    def _is_dry(self, words: str) -> bool:
        """Say what would be done, if that is all that is asked for."""
        if self.options["dry_run"]:
            self._say(f"{self.name} in {self.store.place}: would {words}")
            self._say("nothing was written: --dry-run")
            self._report()
        return bool(self.options["dry_run"])

    def _step(self, mode: str) -> str:
        return f"`secrets rotate {self.name} --{mode}`"

    def _next(self, words: str) -> None:
        self._say(f"next: {words}")

    def _report(self, version: str | None = None) -> None:
        """Write what was done; the version is the one that was made or came into force."""
        done = {
            "store": self.store.place,
            "name": self.name,
            "step": self.options["mode"] or "replace",
            "dry_run": self.options["dry_run"],
            "version": version,
        }
        self.console.report(done, self.options["format"])

    def _say(self, text: str) -> None:
        self.console.say(text)


def _typed(options: list[str]) -> str:
    return ", ".join(f"--{option}" for option in options)
