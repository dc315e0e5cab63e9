"""Look for what is wrong between the settings and their store, and say how to mend it.

One line a check: ok, skipped, warning or error. It only reads, it tries what the settings need for
real, and it shows no value. The exit code is 1 if there is an error.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from ... import account
from ...backends.base import BaseStore
from ...backends.capabilities import AWSStore, DiagnosedStore
from ...backends.diagnosis import (
    ERROR,
    OK,
    SKIPPED,
    WARNING,
    Check,
    Seen,
    key_state,
    names_there,
    readable,
)
from ...exceptions import AccessDenied, SecretsError, StoreNotReady
from ...lastgood import LastKnownGood, words
from ...transport import LIGHT
from ..arguments import add_listing_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from ...config import Config
    from ..console import Console

_COLUMNS = ("state", "check", "found", "mend")
#: AWS refuses a request whose time is further off than this (seconds); and what is too near to it.
CLOCK_ERROR, CLOCK_WARNING = 300, 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_listing_format(parser)


def start(read: Callable[[], Config], options: Mapping[str, Any], console: Console) -> int:
    examination = _Examination()
    examination.look(Check("configuration", partial(_configuration, examination, read)))
    if examination.store is not None:
        try:
            _examine(examination, examination.store, examination.names)
            if examination.last_good:
                examination.look(Check("last known good", examination.last_good))
        finally:
            examination.store.close()
    console.rows(_COLUMNS, examination.rows, options["format"])
    return int(any(row["state"] == ERROR for row in examination.rows))


class _Examination:
    """The checks that were made, and what they found.

    Attributes:
        rows: a row for each.
        store, names: what is examined, once the configuration is read.
        last_good: looks at the last known good copy, where one is configured.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.store: BaseStore | None = None
        self.names: Sequence[str] | None = None
        self.last_good: Callable[[], Seen] | None = None
        self._failed: set[str] = set()

    def failed(self, check: Check) -> bool:
        """Whether a check found an error, or could not be made for one."""
        return check.name in self._failed

    def look(self, check: Check) -> None:
        """Make a check, if nothing that it needs has failed."""
        failed = [name for name in check.needs if name in self._failed]
        if failed:
            self._failed.add(check.name)
            self._add(check.name, Seen(f"not looked at: {', '.join(failed)} failed", SKIPPED))
            return
        try:
            seen = check.look()
        except SecretsError as exc:
            self._failed.add(check.name)
            seen = Seen(exc.message, ERROR, exc.hint)
        self._add(check.name, seen)

    def _add(self, name: str, seen: Seen) -> None:
        row = {"state": seen.state, "check": name, "found": seen.text, "mend": seen.hint}
        self.rows.append(row)


def _configuration(examination: _Examination, read: Callable[[], Config]) -> Seen:
    config = read()
    examination.store = config.make_store()
    examination.names = config.names
    if config.last_known_good:
        examination.last_good = partial(_last_good, config, examination.store)
    count = "everything in it" if config.names is None else f"{len(config.names)} NAMES"
    return Seen(f"{examination.store.place}, {count}")


def _last_good(config: Config, store: BaseStore) -> Seen:
    last_good = LastKnownGood(config, store)
    try:
        return Seen(f"there is a copy of {words(last_good.age())} ago, for when the store is out")
    except SecretsError as exc:
        return Seen(exc.message, WARNING, exc.hint)


def _examine(examination: _Examination, store: BaseStore, names: Sequence[str] | None) -> None:
    for message in store.check():
        text, hint = str(message.msg), str(message.hint or "")
        examination.look(Check("options", partial(Seen, text, WARNING, hint)))
    if not isinstance(store, AWSStore):
        _look_inside(examination, store, names, Check("store", partial(_open, store)))
        return
    surroundings = _Surroundings(store)
    for check in surroundings.checks():
        examination.look(check)
    opening = Check("endpoint", partial(_open, store), ["region", "credentials"])
    _look_inside(examination, store, names, opening)
    examination.look(Check("clock", surroundings.clock))


def _look_inside(
    examination: _Examination, store: BaseStore, names: Sequence[str] | None, opening: Check
) -> None:
    examination.look(opening)
    if not examination.failed(opening):
        for check in _checks(store, names):
            examination.look(check)


def _open(store: BaseStore) -> Seen:
    store.open()
    return Seen(_endpoints(store) if isinstance(store, AWSStore) else store.place)


def _endpoints(store: AWSStore) -> str:
    places = []
    for service in store.services:
        override = account.override_of(store, service)
        places.append(f"{service.place}{f' (not AWS itself: {override})' if override else ''}")
    return "; ".join(places)


def _checks(store: BaseStore, names: Sequence[str] | None) -> Sequence[Check]:
    """The store's own checks; of one that knows none, that it can be read."""
    if isinstance(store, DiagnosedStore):
        return [*_key_checks(store), *store.checks(names)]
    found: dict[str, Any] = {}

    def fetch() -> Seen:
        found.update(store.get_many(names))
        return readable(len(found))

    there = Check("names", lambda: names_there(names, found, store.place), ["fetch"])
    return [Check("fetch", fetch), there]


def _key_checks(store: AWSStore) -> list[Check]:
    """The state of the KMS key, where OPTIONS name one that the store does not look after."""
    key_id = getattr(store, "key_id", None)
    if not key_id or any(service.name == "KMS" for service in store.services):
        return []
    describe = partial(account.describe_key, store, key_id, None)
    return [Check("key", partial(key_state, key_id, describe))]


class _Surroundings:
    """What is around a store in AWS."""

    def __init__(self, store: AWSStore) -> None:
        self._store = store
        self._clock: float | None = None

    def checks(self) -> list[Check]:
        """What comes before the store."""
        return [
            Check("region", self._region),
            Check("credentials", self._credentials),
            Check("identity", self._identity, ["region", "credentials"]),
            Check("transport", self._transport),
        ]

    def _region(self) -> Seen:
        if self._store.region_name:
            return Seen(f"{self._store.region_name}, by OPTIONS")
        region = account.default_region(self._store.profile_name)
        return Seen(f"{region}, by the environment or the AWS configuration file")

    def _credentials(self) -> Seen:
        found = account.credentials(self._store)
        if found.expires is None:
            return Seen(f"from {found.source}; they do not expire")
        left = int((found.expires - datetime.now(timezone.utc)).total_seconds() // 60)
        return Seen(f"from {found.source}; they expire in {left} min, {found.expires:%H:%M %Z}")

    def _transport(self) -> Seen:
        # boto3 is right as well, so this is never a warning; it takes longer to start.
        found = account.transport_of(self._store)
        if found == LIGHT:
            return Seen("settings are read without boto3")
        return Seen(f"settings are read by boto3: {found}")

    def _identity(self) -> Seen:
        try:
            found, self._clock = account.caller(self._store)
        except AccessDenied as exc:
            if not exc.permission:
                raise
            return Seen("STS does not say who we are, and need not", SKIPPED)
        except SecretsError as exc:
            return Seen(f"{exc.message}; nothing else needs STS", SKIPPED)
        return Seen(f"{found['Arn']} in account {found['Account']}")

    def clock(self) -> Seen:
        """How far our clock is from AWS's."""
        clocks = [service.clock for service in self._store.services if service.clock is not None]
        known = [*clocks, *([self._clock] if self._clock is not None else [])]
        if not known:
            return Seen("no reply that says what time it is", SKIPPED)
        off = max(known, key=abs)
        if abs(off) < CLOCK_WARNING:
            return Seen(f"within {CLOCK_WARNING} s of AWS's", OK)
        text = f"{abs(off):.0f} s {'behind' if off > 0 else 'ahead of'} AWS's"
        hint = "set it by NTP (chrony, systemd-timesyncd)"
        if abs(off) >= CLOCK_ERROR:
            raise StoreNotReady(f"{text}, which refuses what is {CLOCK_ERROR} s off", hint=hint)
        return Seen(text, WARNING, hint)
