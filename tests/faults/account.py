"""What the embedded AWS has in memory: kept, put back and looked at, without a request."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from moto.backends import get_backend

if TYPE_CHECKING:
    from ..server.embedded import EmbeddedAWS

SERVICES = ("dynamodb", "kms", "secretsmanager")


class Kept:
    """What is there when it is made: tables, keys and secrets."""

    def __init__(self) -> None:
        self._backends = copy.deepcopy(
            {
                (service, account, region): backend
                for service in SERVICES
                for account, region, backend in get_backend(service).iter_backends()
            }
        )
        self._content = _content(self._backends)

    def put_back(self, aws: EmbeddedAWS) -> None:
        """Make the account what it was."""
        aws.transactions.clear()
        aws.deleted.clear()
        for (service, account, region), backend in copy.deepcopy(self._backends).items():
            get_backend(service)[account][region] = backend

    def is_there(self) -> bool:
        """Whether the account is what it was."""
        now = {
            (service, account, region): get_backend(service)[account][region]
            for service, account, region in self._backends
        }
        return bool(_content(now) == self._content)


def _content(found: Any) -> Any:
    """What can be compared: moto's own objects are only equal to themselves."""
    if isinstance(found, dict):
        return {key: _content(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_content(value) for value in found]
    return _content(vars(found)) if hasattr(found, "__dict__") else found
