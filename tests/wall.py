"""A wall around the tests: no connection leaves the machine, nobody's home directory is read.

It is an audit hook of the interpreter (PEP 578), so it sees every library, and it cannot be taken
down again. A test that runs into it fails.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = Path("~").expanduser().resolve()
# Interpreters, environments, this project and temporary files may live below the home directory.
_ALLOWED = [
    Path(path).resolve()
    for path in (
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        tempfile.gettempdir(),
        Path(__file__).parents[1],
    )
]


class OutsideTheWall(BaseException):
    """Not an Exception, so that no ``except Exception`` of the code under test swallows it."""


def build() -> None:
    """Put the wall up, for the rest of this process."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise OutsideTheWall(f"a connection to {address[0]}")
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        if host and not _is_loopback(host.decode() if isinstance(host, bytes) else str(host)):
            raise OutsideTheWall(f"a look-up of {host}")
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.fsdecode(arguments[0])
        if path.startswith(str(HOME)) and _is_private(Path(path)):
            raise OutsideTheWall(f"the file {path}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_private(path: Path) -> bool:
    return not any(path.is_relative_to(allowed) for allowed in _ALLOWED)
