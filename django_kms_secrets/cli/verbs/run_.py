"""Fetch once, and start a program whose processes all take their secrets from that.

Under `manage.py` it fetches what the settings load; else, or with --url, what that store has. It is
handed on through a sealed file in memory: not through the environment, the command line or a disk.
The program takes the place of this process, so its exit code, signals and terminal are its own.
Processes that start when --max-age is over fetch by themselves.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import offline, recording, snapshot
from ...config import URL_VARIABLE, read_config
from ...exceptions import SecretsError
from ...formats import tree
from ...lastgood import LastKnownGood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ...backends.base import BaseStore
    from ...config import Config
    from ...types import SecretStr
    from ..console import Console

logger: logging.Logger = logging.getLogger("django_kms_secrets")

#: As of env(1) and of every shell.
NOT_FOUND, NOT_EXECUTABLE = 127, 126
#: Seconds: how long what was fetched may be used, and the longest that may be asked for.
MAX_AGE, LONGEST = 300, 86_400

_HINT = "check that it may be executed, and that a script begins with #!"
_HINTS: dict[int | None, str] = {
    errno.ENOENT: "check its name and PATH",
    errno.ENOTDIR: "check its name and PATH",
    errno.E2BIG: "its arguments and variables are more than the system takes (one: 128 KB): list "
    "fewer NAMES, or do without --env",
}

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "command",
        nargs="+",
        metavar="COMMAND",
        help="the program and its arguments, after --",
    )
    parser.add_argument(
        "--max-age",
        type=_seconds,
        default=MAX_AGE,
        metavar="SECONDS",
        help=f"how long processes may use what was fetched, 0 to {LONGEST}; {MAX_AGE}",
    )
    parser.add_argument(
        "--env",
        action="store_true",
        help="instead, put every secret into a variable of the environment, for a program that "
        "reads nothing else; there all its children have it, and `ps e` and error pages show it",
    )


def start(read: Callable[[], Config], options: Mapping[str, Any], console: Console) -> int:
    if not (options["env"] or snapshot.is_possible()):
        raise SecretsError(
            "this platform has no sealed files in memory (memfd), which Linux has",
            hint="start the command without `run`: its processes fetch by themselves; or add "
            "--env, for a program that reads variables",
        )
    if offline.is_asked_for():
        raise SecretsError(
            "offline mode is on: there is nothing to fetch, and the program would use nothing",
            hint=f"unset {offline.VARIABLE}, or start the command without `run`",
        )
    with _as_at_load():
        environment: dict[str, str | bytes] = dict(_environment(options))
        began = snapshot.now() if snapshot.is_possible() else 0.0
        layers = _fetched(read, options)
        for layer in layers:
            if layer.is_stale:
                console.say(
                    f"warning: {layer.store.place} is out, and its secrets are the last known good "
                    f"ones{'' if options['env'] else ', which are not handed on'}"
                )
        if options["env"]:
            environment.update(_variables(layers))
            console.say(
                "warning: the secrets are in the environment of the command, where its children, "
                "`ps e` and error pages show them"
            )
        else:
            environment[snapshot.VARIABLE] = _write(layers, began, options["max_age"], console)
    snapshot.close_outer()
    return _execute(options["command"], environment, console)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST:
        raise argparse.ArgumentTypeError(f"not a number of seconds from 0 to {LONGEST}")
    return int(text)


@contextmanager
def _as_at_load() -> Iterator[None]:
    """Have the environment that the settings called load() in, as their processes will have it.

    What they put there once they had secrets is made of empty ones here: credentials, for one.
    """
    now = dict(os.environ)
    try:
        _set_environment(now if recording.environment is None else recording.environment)
        yield
    finally:
        _set_environment(now)


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


@dataclass
class _Layer:
    """One store, and what was fetched from it."""

    config: Config
    store: BaseStore
    last_good: LastKnownGood | None
    values: dict[str, SecretStr] = field(default_factory=dict)
    stages: dict[str, dict[str, SecretStr]] = field(default_factory=dict)

    def fetch(self) -> None:
        """The current values, or the last known good ones."""
        ask = partial(self.store.read_values, self.config.names)
        with self._logged():
            self.values = self.last_good.values(ask, serve=True) if self.last_good else ask()

    def fetch_stages(self, name: str) -> None:
        """The values of a name in use; likewise."""
        ask = partial(self.store.read_stages, name)
        with self._logged():
            self.stages[name] = self.last_good.stages(name, ask) if self.last_good else ask()

    @contextmanager
    def _logged(self) -> Iterator[None]:
        try:
            yield
        finally:
            for text in self.last_good.news() if self.last_good else ():
                logger.warning("%s", text)

    @property
    def is_stale(self) -> bool:
        """Whether the store is out, and some of these are the last known good ones."""
        return self.last_good is not None and self.last_good.served is not None


def _fetched(read: Callable[[], Config], options: Mapping[str, Any]) -> list[_Layer]:
    """Everything that the settings load, each configuration once and in their order."""
    layers: list[_Layer] = []
    for configs, staged in _wanted(read, options):
        asked = [_layer(config, layers) for config in configs]
        for name in sorted(staged):
            _fetch_stages(name, asked)
    return layers


def _wanted(
    read: Callable[[], Config], options: Mapping[str, Any]
) -> list[tuple[list[Config], set[str]]]:
    """Configurations in layers, and the names whose pending and previous values are asked for."""
    recordings = recording.recordings
    if options.get("url") or not recordings:
        return [([read()], {name for found in recordings for name in found.staged})]
    return [([*map(read_config, found.sources)], found.staged) for found in recordings]


def _layer(config: Config, layers: list[_Layer]) -> _Layer:
    for layer in layers:
        if layer.config.source == config.source:
            return layer
    store = config.make_store()
    last_good = LastKnownGood(config, store) if config.last_known_good else None
    layers.append(_Layer(config, store, last_good))
    layers[-1].fetch()
    return layers[-1]


def _fetch_stages(name: str, layers: Sequence[_Layer]) -> None:
    """The values of a name in use, from the layer that wins."""
    for root in tree.roots(name):
        for layer in reversed(layers):
            if root in layer.values:
                if not layer.store.is_local and root not in layer.stages:
                    layer.fetch_stages(root)
                return


def _write(layers: Iterable[_Layer], began: float, max_age: int, console: Console) -> str:
    handed: dict[str, snapshot.Handed | None] = {}
    for layer in layers:
        key = snapshot.key_of(layer.config.source)
        if layer.store.is_local or layer.is_stale:
            if key is not None:
                handed[key] = None
            continue
        if key is None:
            console.say(
                f"note: {layer.store.place} is not handed on: its OPTIONS have more than text, "
                "numbers, lists and dicts"
            )
            continue
        handed[key] = snapshot.Handed(
            layer.store.place,
            layer.config.names,
            layer.values,
            layer.stages,
            began + max_age,
            began,
        )
    return snapshot.write(handed, began=began, max_age=max_age)


def _variables(layers: Iterable[_Layer]) -> dict[str, bytes]:
    """The secrets by name; of a name in several layers the last, as in the settings."""
    values = {name: value for layer in layers for name, value in layer.values.items()}
    wrong = sorted(name for name in values if not _VARIABLE.fullmatch(name))
    if wrong:
        raise SecretsError(
            f"no variable can have the name {', '.join(wrong)}",
            hint="a variable's name is letters, digits and _: list the others in NAMES",
            names=wrong,
        )
    wrong = sorted(name for name, value in values.items() if "\0" in value)
    if wrong:
        raise SecretsError(
            f"no variable can have the value of {', '.join(wrong)}: there is a NUL in it",
            hint="store it as base64, or list the others in NAMES",
            names=wrong,
        )
    # Encoded here: the codec's error would carry the value.
    return {name: value.encode() for name, value in values.items()}


def _environment(options: Mapping[str, Any]) -> dict[str, str]:
    """What this process was started with, and what its own options say to the program."""
    environment = _started_with()
    environment.pop(snapshot.VARIABLE, None)
    if options.get("url"):
        environment[URL_VARIABLE] = options["url"]
    if options.get("settings"):
        environment["DJANGO_SETTINGS_MODULE"] = options["settings"]
    if options.get("pythonpath"):
        paths = (options["pythonpath"], environment.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def _started_with() -> dict[str, str]:
    """The environment as it was before this program and the settings put anything there.

    A settings module often reads a `.env` file into it, which is nothing for other programs.
    """
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:  # a system other than Linux, or no /proc
        return dict(os.environ)
    variables = (entry.partition(b"=") for entry in content.split(b"\0"))
    return {
        os.fsdecode(name): os.fsdecode(value)
        for name, equals, value in variables
        if name and equals
    }


def _execute(
    command: Sequence[str], environment: Mapping[str, str | bytes], console: Console
) -> int:
    """Become the program; if that fails, the exit code."""
    _flush()
    # Python ignores these two, and what is ignored stays so in the next program.
    numbers = (signal.SIGPIPE, signal.SIGXFSZ)
    former = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        os.execvpe(command[0], [*command], environment)  # noqa: S606 - no shell is wanted
    except ValueError:  # the name is empty
        error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    except OSError as exc:
        error = exc
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)
    reason = f"{command[0]} cannot be started: {error.strerror}"
    console.fail(SecretsError(reason, hint=_HINTS.get(error.errno, _HINT)))
    return NOT_FOUND if error.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE


def _flush() -> None:
    """Write what the settings and their log have left in buffers, which end with this program."""
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
    for one in (*handlers, sys.stdout, sys.stderr):
        # Who reads them may have gone, and what was closed is None or says so.
        with suppress(OSError, ValueError, AttributeError):
            one.flush()
