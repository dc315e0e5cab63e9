"""The values that cross the store boundary: strings that hide themselves, and versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

MASK = "**********"

#: The version that is in force: what ``SECRET_KEY`` should be.
CURRENT = "CURRENT"
#: The version that was in force before it.
PREVIOUS = "PREVIOUS"
#: A version that is staged and not yet in force.
PENDING = "PENDING"

#: In the order in which a value goes through them.
STAGES = (PENDING, CURRENT, PREVIOUS)


class SecretStr(str):
    """A ``str`` whose ``repr`` is masked, so tracebacks, debug pages and ``diffsettings`` hide it.

    It is a real string: drivers and libraries take it as it is. Only ``repr`` is masked;
    ``str(secret)``, an f-string and every string method give the plain value; an index
    or a slice stays masked.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretStr({MASK if self else ''!r})"

    def __getitem__(self, key: Any) -> Any:
        # A part is as secret as the whole: rich shows long values as the repr of their beginning.
        return type(self)(super().__getitem__(key))


class SecretBytes(bytes):
    """``bytes`` whose ``repr`` is masked: data keys, as they stand in frames of a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretBytes({MASK!r})"

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return part if isinstance(part, int) else type(self)(part)


class Secret(NamedTuple):
    """One value as read from a store.

    Attributes:
        name: the name as the caller knows it, without the store's prefix.
        value: the value; its ``repr`` is masked.
        version: the store's own identifier of the version that was read.
    """

    name: str
    value: SecretStr
    version: str


class SecretVersion(NamedTuple):
    """One stored version of a secret, without its value.

    Attributes:
        name: the name as the caller knows it, without the store's prefix.
        version: the store's own identifier of the version.
        stages: which of CURRENT, PREVIOUS and PENDING this version is; often none.
        created: when it was written, where the service records that.
        comment: the writer's note, where the service has one.
    """

    name: str
    version: str
    stages: tuple[str, ...] = ()
    created: datetime | None = None
    comment: str = ""


def masked(value: Any) -> Any:
    """Mask every string in a value: in lists, tuples, sets and the values of dicts."""
    if isinstance(value, str):
        return value if isinstance(value, SecretStr) else SecretStr(value)
    if isinstance(value, bytes):
        return SecretBytes(value)
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(masked, value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(map(masked, value))
    return value
