"""Secrets Manager's operations, with errors that say what they mean for whole secrets."""

from __future__ import annotations

import contextlib
import re
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from ...exceptions import (
    SecretIntegrityError,
    SecretNotFound,
    SecretsError,
    StoreNotReady,
    StoreUnavailable,
    VersionConflict,
)
from ...types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from ...aws import Refusals, Service

#: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
BATCH_IDS = 20
#: Bytes of one value.
#: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
VALUE_BYTES = 65_536
#: Of the name of a secret.
#: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
NAME_CHARACTERS = 512

_LABELS = {CURRENT: "AWSCURRENT", PREVIOUS: "AWSPREVIOUS", PENDING: "AWSPENDING"}
_STAGES = {label: stage for stage, label in _LABELS.items()}
_REFUSALS = {"AccessDeniedException", "DecryptionFailure"}
#: The label of a version that is written and not at a stage yet.
_DRAFT = "django-kms-secrets"


# "marked for deletion", "scheduled for deletion"; moto: "marked deleted".
_FOR_DELETION = r"(marked|scheduled) (for )?delet"


class WaitsForDeletion(SecretNotFound):
    """The secret was deleted and is in its recovery window: it is not there, its name is taken."""

    #: Whether the request that was refused had been sent before.
    is_repeated = False


class Api:
    """The operations of one region, on secrets by their full name or ARN.

    Args:
        service: the service.
        place: the store, as errors name it.
        prefix: what errors leave out at the beginning of a name.
        run: runs tasks side by side within the deadline of the store's operation.
        lengthen: takes how many records there are, as soon as that is known, for the deadline.
        show: as of `BaseStore.followed`.

    Attributes:
        place, run: as given.
    """

    def __init__(
        self,
        service: Service,
        place: str,
        prefix: str,
        run: Callable[..., list[Any]],
        lengthen: Callable[[int], object],
        show: Callable[[int, int], object] | None,
    ) -> None:
        self._service = service
        self._lengthen = lengthen
        self._show = show
        self._prefix = prefix
        self.run = run
        self.place = place

    def value(self, secret_id: str, version: str = CURRENT) -> dict[str, Any]:
        """GetSecretValue of a stage or a version id. What is current is not pending any more.

        Raises:
            SecretNotFound: no such secret or version, or it waits for its deletion.
        """
        selector: dict[str, Any]
        if version in _LABELS:
            selector = {"VersionStage": _LABELS[version]}
        elif _is_version_id(version):
            selector = {"VersionId": version}
        else:
            raise self._missing(secret_id)
        reply = self._call("GetSecretValue", secret_id, **selector)
        asked = selector.get("VersionId", reply["VersionId"])
        if not _is_of(reply, secret_id) or reply["VersionId"] != asked:
            raise self._service.mixed_up("GetSecretValue")
        if version == PENDING and PENDING not in stages(reply.get("VersionStages", ())):
            raise self._missing(secret_id)
        return self._text(reply)

    def values(self, secret_ids: Sequence[str]) -> list[dict[str, Any]]:
        """BatchGetSecretValue, 20 ids a request, side by side. Missing ones are left out."""
        batches = [
            partial(self._batch, secret_ids[start : start + BATCH_IDS])
            for start in range(0, len(secret_ids), BATCH_IDS)
        ]
        total = len(secret_ids)
        self._lengthen(total)
        show = self._show

        def records(done: int, _: int) -> None:
            if show:
                show(min(done * BATCH_IDS, total), total)

        return [entry for batch in self.run(batches, records) for entry in batch]

    def entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        """ListSecrets, 100 a request: the secrets whose names begin with the prefix."""
        request: dict[str, Any] = {"MaxResults": 100}
        if prefix:
            request["Filters"] = [{"Key": "name", "Values": [prefix]}]
        found, first = 0, ""
        while True:
            # Each page as a task: its deadline is that of the moment, which grows with the listing.
            (reply,) = self.run([partial(self._service.call, "ListSecrets", **request)])
            entries = reply["SecretList"]
            if entries and entries[0]["Name"] == first:
                raise self._service.mixed_up("ListSecrets")
            first = entries[0]["Name"] if entries else first
            found += len(entries)
            self._lengthen(found)
            for entry in entries:
                # What is pruned later depends on this, so the filter is not taken on trust.
                mine = entry["Name"].startswith(prefix) and entry["Name"] != prefix
                if mine and not entry.get("DeletedDate"):
                    yield entry
            if not reply.get("NextToken"):
                return
            request["NextToken"] = reply["NextToken"]

    def versions(self, secret_id: str) -> list[dict[str, Any]]:
        """ListSecretVersionIds: versions with a label, and recent ones without; oldest first."""
        if self.describe(secret_id).get("DeletedDate"):
            raise self._missing(secret_id)
        versions: list[dict[str, Any]] = []
        request: dict[str, Any] = {"IncludeDeprecated": True}
        while True:
            reply = self._call("ListSecretVersionIds", secret_id, **request)
            if reply["Versions"] and reply["Versions"][0] in versions:
                raise self._service.mixed_up("ListSecretVersionIds")
            versions += reply["Versions"]
            if not reply.get("NextToken"):
                return sorted(
                    versions,
                    key=lambda entry: (entry["CreatedDate"], rank(entry.get("VersionStages", ()))),
                )
            request["NextToken"] = reply["NextToken"]

    def describe(self, secret_id: str) -> dict[str, Any]:
        """DescribeSecret.

        Raises:
            SecretNotFound: there is no such secret.
        """
        reply = self._call("DescribeSecret", secret_id)
        if not _is_of(reply, secret_id):
            raise self._service.mixed_up("DescribeSecret")
        return reply

    def create(self, secret_id: str, value: str, key_id: str | None) -> str:
        """CreateSecret; gives the version id.

        Raises:
            VersionConflict: it exists.
            WaitsForDeletion: it existed, and its name is not free yet.
        """
        name = self._shown(secret_id)
        check_name(secret_id)
        check_size(name, value)
        reply = self._service.call(
            "CreateSecret",
            {
                "ResourceExistsException": lambda _: VersionConflict(
                    f"{name} exists already in {self.place}",
                    hint="somebody else created it; read it and decide",
                    names=[name],
                ),
                "InvalidRequestException": partial(self._invalid, "CreateSecret", secret_id),
            },
            Name=secret_id,
            SecretString=value,
            ClientRequestToken=_token(),
            **({"KmsKeyId": key_id} if key_id else {}),
        )
        return str(reply["VersionId"])

    def put(self, secret_id: str, value: str) -> str:
        """PutSecretValue, which makes the value current; gives the version id."""
        check_size(self._shown(secret_id), value)
        reply = self._call(
            "PutSecretValue", secret_id, SecretString=value, ClientRequestToken=_token()
        )
        return str(reply["VersionId"])

    def swap(
        self,
        secret_id: str,
        value: str,
        expected: str,
        names: Sequence[str],
        stage: str = CURRENT,
    ) -> str:
        """Make a value current only if the expected version still is; gives the new version id.

        PutSecretValue alone would overwrite what another writer put a moment before. So the value
        is written beside the current one, and `move`, the service's compare-and-set, gives it the
        stage. Until then the new version has a label of ours, because a stray AWSPENDING would
        block RotateSecret. It is the same one for all: PutSecretValue takes it from what was left
        by a writer that was killed, where a label each would in time be more than the 20 that a
        secret may have. A writer whose version loses it to another's loses nothing by that.
        https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html

        Args:
            secret_id: the secret.
            value: its new value.
            expected: the version id that must still be at that stage; "" for none (pending only).
            names: what the value changes, for errors.
            stage: CURRENT or PENDING.

        Raises:
            VersionConflict: another version is at that stage.
            SecretNotFound: there is no such secret.
        """
        check_size(self._shown(secret_id), value)
        if not _is_version_id(expected) and (expected or stage == CURRENT):
            raise self.conflict(names)
        token = _token()
        self._call(
            "PutSecretValue",
            secret_id,
            SecretString=value,
            ClientRequestToken=token,
            VersionStages=[_DRAFT],
        )
        try:
            self.move(secret_id, stage, token, expected, names)
        finally:
            # Without a label a version is deprecated, and the service removes it in time. Whether
            # the value has its stage was decided above; a label that stays does no harm.
            with contextlib.suppress(SecretsError):
                self._unlabel(secret_id, _DRAFT, token)
        return token

    def move(
        self, secret_id: str, stage: str, version: str, expected: str, names: Sequence[str]
    ) -> None:
        """Give a stage to a version, if the expected version still has it.

        UpdateSecretVersionStage with RemoveFromVersionId is the service's compare-and-set; without
        it the label must be free. AWSPREVIOUS goes by itself to what AWSCURRENT is taken from.
        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html

        Args:
            secret_id: the secret.
            stage: CURRENT or PENDING.
            version: the version id that gets it.
            expected: the version id that must still have it; "" for none.
            names: what that changes, for errors.

        Raises:
            VersionConflict: another version has the stage.
            SecretNotFound: there is no such secret.
        """
        removal = {"RemoveFromVersionId": expected} if expected else {}
        try:
            self._call(
                "UpdateSecretVersionStage",
                secret_id,
                {"InvalidParameterException": lambda _: self.conflict(names)},
                VersionStage=_LABELS[stage],
                MoveToVersionId=version,
                **removal,
            )
        except VersionConflict:
            # It is also refused when botocore repeats a move whose answer was lost.
            if not self._is_at(secret_id, stage, version):
                raise

    def drop(self, secret_id: str, stage: str, version: str) -> None:
        """Take a stage off the version that has it."""
        self._unlabel(secret_id, _LABELS[stage], version)

    def rotate(self, secret_id: str) -> str:
        """DescribeSecret and RotateSecret; gives the version id that the rotation makes current.

        Raises:
            StoreNotReady: no rotation is configured.
            VersionConflict: one is under way, or a value was staged by hand.
        """
        known = self.describe(secret_id)
        name = self._shown(secret_id)
        if not (known.get("RotationEnabled") or known.get("RotationLambdaARN")):
            raise StoreNotReady(
                f"no rotation is configured for {name} in {self.place}",
                hint="`aws secretsmanager rotate-secret --rotation-lambda-arn ARN` configures it",
            )
        if version_of(known, PENDING):
            raise VersionConflict(
                f"a value of {name} is pending in {self.place}, so no rotation can begin",
                hint=f"wait for the rotation that is under way, or `secrets rotate {name} "
                "--abandon` drops the value",
                names=[name],
            )
        return str(self._call("RotateSecret", secret_id)["VersionId"])

    def reencrypt(self, secret_id: str, key_id: str) -> bool:
        """UpdateSecret, which puts the versions that have a stage under another KMS key.

        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecret.html

        Returns:
            False if they are under that key. What an alias named when it was used is not known, so
            with an alias it is always done.
        """
        known = self.describe(secret_id).get("KmsKeyId", "")
        # An ARN ends in the id.
        if known.rpartition("/")[2] == key_id.rpartition("/")[2] and "alias/" not in known:
            return False
        self._call("UpdateSecret", secret_id, KmsKeyId=key_id)
        return True

    def delete(self, secret_id: str, days: int) -> None:
        """DeleteSecret; it can be restored for that many days."""
        try:
            self._call("DeleteSecret", secret_id, RecoveryWindowInDays=days)
        except WaitsForDeletion as exc:
            # Sent again after an answer that was lost, it finds what it did itself.
            if not exc.is_repeated:
                raise

    def restore(self, secret_id: str) -> None:
        """RestoreSecret."""
        self._call("RestoreSecret", secret_id)

    def _batch(self, secret_ids: Sequence[str]) -> list[dict[str, Any]]:
        reply = self._service.call("BatchGetSecretValue", SecretIdList=list(secret_ids))
        # Failures come in a reply with HTTP 200. A secret that is missing, or that waits for its
        # deletion, is not there; anything else must not look as if it were not there.
        # A refusal before a fault: what was revoked must not look like an outage.
        failures = sorted(
            reply.get("Errors", ()), key=lambda failure: failure["ErrorCode"] not in _REFUSALS
        )
        again = [failure["SecretId"] for failure in failures if self._is_throttled(failure)]
        if len(reply["SecretValues"]) + len(failures) != len(secret_ids):
            raise StoreUnavailable(
                f"BatchGetSecretValue of {self._service.place} did not answer for every secret",
                hint="try again",
                is_outage=False,
            )
        if not {entry["Name"] for entry in reply["SecretValues"]} <= set(secret_ids):
            raise self._service.mixed_up("BatchGetSecretValue")
        found = [self._current(entry) for entry in reply["SecretValues"]]
        for secret_id in again:  # each as a request of its own, which bears throttling
            with contextlib.suppress(SecretNotFound):
                found.append(self.value(secret_id))
        return found

    def _is_throttled(self, failure: Mapping[str, Any]) -> bool:
        """Whether one secret of a batch may be asked for again; False if it is not there.

        Raises:
            SecretsError: it failed otherwise.
        """
        code, message = failure["ErrorCode"], failure.get("Message", "")
        if _is_missing(code, message):
            return False
        # The batch was allowed, or there would be no such reply.
        error = self._service.refused(
            "GetSecretValue",
            code,
            {"Error": {"Message": message or "no reason given"}},
            subject=self._shown(failure["SecretId"]),
        )
        if isinstance(error, StoreUnavailable) and error.is_momentary:
            return True
        raise error

    def _current(self, entry: dict[str, Any]) -> dict[str, Any]:
        # AWS answers with the current version. moto 5.2 answers with the one written last, which
        # is another one after a stage was moved: such an answer is never taken for the current.
        if "AWSCURRENT" in entry.get("VersionStages", ()):
            return self._text(entry)
        return self.value(entry["ARN"])

    def _text(self, entry: dict[str, Any]) -> dict[str, Any]:
        if "SecretString" not in entry:
            name = self._shown(entry["Name"])
            if "SecretBinary" not in entry:  # a version that a rotation function has yet to fill
                raise SecretNotFound(f"{name} in {self.place} has no value", names=[name])
            raise SecretIntegrityError(
                f"{name} in {self.place} is binary, not text",
                hint="store it as base64 text, and decode it where it is used",
                names=[name],
            )
        return entry

    def _unlabel(self, secret_id: str, label: str, version: str) -> None:
        # Refused if the version does not have the label: when a removal whose answer was lost is
        # repeated, or somebody else has removed it.
        with contextlib.suppress(VersionConflict):
            self._call(
                "UpdateSecretVersionStage",
                secret_id,
                {"InvalidParameterException": lambda _: self.conflict([])},
                VersionStage=label,
                RemoveFromVersionId=version,
            )

    def _call(
        self,
        operation: str,
        secret_id: str,
        refusals: Refusals | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        def missing(_: object) -> SecretsError:
            return self._missing(secret_id)

        return self._service.call(
            operation,
            {
                "ResourceNotFoundException": missing,
                "InvalidRequestException": partial(self._invalid, operation, secret_id),
                **(refusals or {}),
            },
            SecretId=secret_id,
            **parameters,
        )

    def _invalid(self, operation: str, secret_id: str, reply: Mapping[str, Any]) -> SecretsError:
        if not _is_missing("InvalidRequestException", reply.get("Error", {}).get("Message", "")):
            return self._service.refused(
                operation, "InvalidRequestException", reply, subject=secret_id
            )
        name = self._shown(secret_id)
        waits = WaitsForDeletion(
            f"{name} in {self.place} was deleted and can still be restored",
            hint=f"`aws secretsmanager restore-secret --secret-id {secret_id}`",
            names=[name],
        )
        waits.is_repeated = bool(reply.get("ResponseMetadata", {}).get("RetryAttempts"))
        return waits

    def _is_at(self, secret_id: str, stage: str, version: str) -> bool:
        """Whether a version is known to have a stage: not so, if the service does not say."""
        try:
            return version_of(self.describe(secret_id), stage) == version
        except SecretsError:
            return False

    def _missing(self, secret_id: str) -> SecretNotFound:
        name = self._shown(secret_id)
        return SecretNotFound(f"{name} is not in {self.place}", names=[name])

    def conflict(self, names: Sequence[str]) -> VersionConflict:
        """The error for a write that somebody else's has overtaken."""
        return VersionConflict(
            f"somebody else wrote to {self.place} at the same time: {', '.join(names)}; "
            "nothing was stored",
            hint="read it again and decide",
            names=names,
        )

    def _shown(self, secret_id: str) -> str:
        return secret_id.removeprefix(self._prefix)


def check_name(secret_id: str) -> None:
    """See that the service takes a name, the prefix included.

    Raises:
        SecretsError: it has other characters, or too many.
    """
    # "!" is in names that AWS gives itself, as rds!db-1; whether in ours too is for it to say.
    others = "".join(dict.fromkeys(re.sub(r"[\w/+=.@!-]+", "", secret_id, flags=re.ASCII)))
    if others:
        reason = f"it has {others!r}"
    elif len(secret_id) > NAME_CHARACTERS:
        reason = f"it has {len(secret_id)} characters"
    else:
        return
    raise SecretsError(
        f"{secret_id} cannot be the name of a secret in Secrets Manager: {reason}",
        hint=f"it takes at most {NAME_CHARACTERS} letters and digits of ASCII and /_+=.@-",
        names=[secret_id],
    )


def check_size(name: str, value: str) -> None:
    """See that the service takes a value.

    Raises:
        SecretsError: it is empty or too large.
    """
    if not value:
        raise SecretsError(
            f"{name} would be empty, and Secrets Manager takes no empty value",
            hint="delete the secret, and give its default where it is read",
            names=[name],
        )
    if (size := len(value.encode("utf-8"))) > VALUE_BYTES:
        raise SecretsError(
            f"{name} is {size:,} bytes; Secrets Manager takes {VALUE_BYTES:,}",
            hint="keep large values elsewhere (S3) and only their key here",
            names=[name],
        )


def _token() -> str:
    """What makes a write the same one when it is sent again, after a lost answer or throttling.

    botocore's own would be another one each time that `Service.call` sends it. It becomes the
    version id, which CloudTrail and whoever may list versions can see. So it is random: one made
    of the value would let them try out what the value is.
    """
    return str(uuid.uuid4())


def _is_missing(code: str, message: str) -> bool:
    """Whether a failure means that there is no such secret, or that it waits for its deletion."""
    # InvalidRequestException stands for several things; only its text tells them apart.
    return code == "ResourceNotFoundException" or (
        code == "InvalidRequestException" and re.search(_FOR_DELETION, message) is not None
    )


def _is_version_id(version: str) -> bool:
    # What the service itself refuses as no version id cannot be one that is there.
    return 32 <= len(version) <= 64


def _is_of(reply: Mapping[str, Any], secret_id: str) -> bool:
    """Whether a reply is about a secret, which may have been asked for by its ARN, or a part."""
    return secret_id == reply["Name"] or str(reply["ARN"]).startswith(secret_id)


def stages(labels: Collection[str]) -> tuple[str, ...]:
    """Our names of a version's labels; labels of others are left out.

    The service's own rotation leaves AWSPENDING on the version that became current: it is over,
    also when that version is the previous one.
    """
    found = tuple(stage for label, stage in _STAGES.items() if label in labels)
    return tuple(stage for stage in found if stage != PENDING or len(found) == 1)


def rank(labels: Collection[str]) -> int:
    """Where a version stands among others by its labels: previous before current before pending."""
    order = ("AWSPREVIOUS", "AWSCURRENT", "AWSPENDING")
    return max((order.index(label) for label in labels if label in order), default=-1)


def version_of(entry: Mapping[str, Any], stage: str = CURRENT) -> str:
    """The id of the version at a stage, in an entry of ListSecrets or a reply of DescribeSecret.

    "" if there is none. A version that is both pending and current, as rotation functions leave
    it, is current.
    """
    return next((v for v, labels in _labels(entry).items() if stage in stages(labels)), "")


def labelled(entry: Mapping[str, Any], label: str) -> str:
    """The id of the version that has a label, whatever it means; "" if there is none."""
    return next((v for v, labels in _labels(entry).items() if label in labels), "")


def _labels(entry: Mapping[str, Any]) -> Mapping[str, Collection[str]]:
    return entry.get("SecretVersionsToStages") or entry.get("VersionIdsToStages") or {}
