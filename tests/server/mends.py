"""What moto 5.2 does and AWS does not, mended in moto itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.secretsmanager.exceptions import (
    InvalidParameterException,
    SecretsManagerClientError,
)
from moto.secretsmanager.models import SecretsManagerBackend

if TYPE_CHECKING:
    from collections.abc import Callable


def mend() -> None:
    """Mend this process's moto; a second time it does nothing."""
    backend: Any = SecretsManagerBackend
    if not hasattr(backend, "mended"):
        backend.mended = True
        backend.update_secret_version_stage = _moved(backend.update_secret_version_stage)
        backend.batch_get_secret_value = _batch(backend.batch_get_secret_value)


def _moved(update: Callable[..., Any]) -> Callable[..., Any]:
    """The version that AWSCURRENT was moved to is the current one for PutSecretValue too.

    moto remembers another one, and after the next PutSecretValue two versions are AWSCURRENT. It
    also moves a label that another version has without being told from which.
    """

    def mended(self: Any, **parameters: Any) -> Any:
        target = parameters["move_to_version_id"]
        if target and not parameters["remove_from_version_id"]:
            for version, known in self.secrets[parameters["secret_id"]].versions.items():
                if version != target and parameters["version_stage"] in known["version_stages"]:
                    raise InvalidParameterException(f"The label is attached to version {version}")
        reply = update(self, **parameters)
        if parameters["version_stage"] == "AWSCURRENT" and parameters["move_to_version_id"]:
            secret = self.secrets[parameters["secret_id"]]
            secret.set_default_version_id(parameters["move_to_version_id"])
        return reply

    return mended


def _batch(get: Callable[..., Any]) -> Callable[..., Any]:
    """A secret without a value is one failure in a batch's reply, and does not fail the batch."""

    def mended(self: Any, secret_id_list: list[str], filters: Any, **parameters: Any) -> Any:
        if not secret_id_list or filters:
            return get(self, secret_id_list, filters, **parameters)
        found, failures = [], []
        for secret_id in secret_id_list:
            try:
                found.append(self.get_secret_value(secret_id, None, "AWSCURRENT"))
            except SecretsManagerClientError as exc:
                failures.append(
                    {"SecretId": secret_id, "ErrorCode": exc.error_type, "Message": exc.message}
                )
        return found, failures, None

    return mended
