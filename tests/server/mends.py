"""What moto 5.2 does and AWS does not, mended in moto itself."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import TYPE_CHECKING, Any

from moto.secretsmanager.exceptions import (
    InvalidParameterException,
    InvalidRequestException,
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
        backend.rotate_secret = _rotated


#: What stands for AWS Lambda: by the ARN, what is called with each event of a rotation.
rotation_functions: dict[str, Callable[[dict[str, str]], None]] = {}


class RotationFailed(Exception):
    """What a rotation function raises to fail; no further step is called then."""


def _rotated(
    self: Any,
    secret_id: str,
    client_request_token: str | None = None,
    rotation_lambda_arn: str | None = None,
    rotation_rules: dict[str, Any] | None = None,
    rotate_immediately: bool = True,
) -> str:
    """RotateSecret as AWS does it: it answers at once, and the function is called after that.

    moto calls it within the request, makes the new version current whatever the function does,
    forgets the function if it is not named again, and refuses what AWS allows.
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
    """
    secret = self.secrets[secret_id]
    if rotation_lambda_arn:
        secret.rotation_requested = secret.rotation_enabled = True
        secret.rotation_lambda_arn = rotation_lambda_arn
    if not secret.rotation_lambda_arn:
        raise InvalidRequestException("No Lambda rotation function ARN is associated with it.")
    if not rotate_immediately:
        return str(secret.to_short_dict())
    for known in secret.versions.values():
        labels = known["version_stages"]
        if "AWSPENDING" in labels and "AWSCURRENT" not in labels:
            raise InvalidRequestException("A previous rotation isn't complete.")
    token = client_request_token or str(uuid.uuid4())
    call = rotation_functions[secret.rotation_lambda_arn]

    def work() -> None:
        with contextlib.suppress(RotationFailed):
            for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
                call({"SecretId": secret_id, "ClientRequestToken": token, "Step": step})

    threading.Thread(target=work, daemon=True).start()
    return str(secret.to_short_dict(version_id=token))


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
