"""Which names settings ask for in offline mode: what ``secrets audit`` compares with the store,
and ``secrets run`` fetches.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

#: What ``load()`` takes: a configuration, or None for the URL in the environment.
Source = Mapping[str, Any] | str | None


class Read(NamedTuple):
    """How a name was asked for, in one place or several.

    Attributes:
        required: it has no default, so it has to be there.
        from_env: only by ``env``, for which the process environment may have it as well.
    """

    required: bool
    from_env: bool


class Recording:
    """What was asked of one `Secrets`. It has no value of anything.

    Args:
        sources: what it was loaded with, a configuration for each layer. They are not read here.

    Attributes:
        sources: as given.
        reads: by name.
        staged: the names whose pending or previous values were asked for.
        whole: all names were asked for, as by ``dict(secrets)``.
    """

    def __init__(self, sources: tuple[Source, ...]) -> None:
        global environment
        environment = dict(os.environ) if environment is None else environment
        self.sources = sources
        self.reads: dict[str, Read] = {}
        self.staged: set[str] = set()
        self.whole = False
        recordings.append(self)

    def note(self, name: str, *, required: bool, from_env: bool = False) -> None:
        """Remember that a name was asked for."""
        known = self.reads.get(name, Read(required, from_env))
        self.reads[name] = Read(known.required or required, known.from_env and from_env)


#: All that were made in this process: settings may keep a value, and not the `Secrets` it is of.
recordings: list[Recording] = []

#: The process environment when the first was made, which `secrets run` fetches with. What settings
#: put there afterwards may be made of secrets, which were empty.
environment: dict[str, str] | None = None
