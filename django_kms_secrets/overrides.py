"""What tests put over the stores; `testing.override_secrets` is the way to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .formats import tree
from .redaction import Loaded
from .types import CURRENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .types import SecretStr

    #: The values of a name by stage; none for a name that is to be missing.
    Stages = Mapping[str, SecretStr]

_lock = threading.Lock()

#: Those in force, the newest last. It is replaced as a whole: any thread may read it at any time.
_active: tuple[Override, ...] = ()


class Override:
    """Values in the place of what stores have; in force between `begin` and `end`.

    Args:
        values: by name, the values by stage.
        secrets: the one `Secrets` that it is for; None for all.
    """

    def __init__(self, values: Mapping[str, Stages], secrets: object = None) -> None:
        self.values = values
        self._secrets = secrets
        # They are hidden from logs and reports as fetched ones are, as long as this object lives.
        self._loaded = Loaded()
        self._loaded.add(value for stages in values.values() for value in stages.values())

    def begin(self) -> None:
        """Put it over those that are in force."""
        global _active
        with _lock:
            _active = (*_active, self)

    def end(self) -> None:
        """Take it away, whichever is the newest."""
        global _active
        with _lock:
            _active = tuple(other for other in _active if other is not self)

    def is_for(self, secrets: object) -> bool:
        """Whether it is for these."""
        return self._secrets is None or self._secrets is secrets


def find(secrets: object, name: str) -> dict[str, Any] | None:
    """What tests say that a name is, or a dotted name in a tree.

    Args:
        secrets: the `Secrets` that are asked.
        name: the name.

    Returns:
        By stage, texts or other leaves of a tree; none where it is to be missing. None where the
        store decides.
    """
    for override in reversed(_active):
        for root in tree.roots(name) if override.is_for(secrets) else ():
            if root in override.values:
                found = {
                    stage: tree.reach({root: value}, name)
                    for stage, value in override.values[root].items()
                }
                return {stage: value for stage, value in found.items() if value is not tree.MISSING}
    return None


def over(secrets: object, names: Collection[str]) -> Collection[str]:
    """The names that there are.

    Args:
        secrets: the `Secrets` that are asked.
        names: those that the store has.
    """
    for override in _active:
        if override.is_for(secrets):
            here = [name for name, stages in override.values.items() if CURRENT in stages]
            kept = (name for name in names if name not in override.values)
            names = [*kept, *here]
    return names
