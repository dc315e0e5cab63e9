"""Replies that hide their secrets, refusals in words, and what is under way."""

from __future__ import annotations

import threading
import time
import traceback
from functools import cache
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from django_kms_secrets import deadline
from django_kms_secrets.aws import Service
from django_kms_secrets.deadline import Deadline, run_all
from django_kms_secrets.exceptions import AccessDenied, SecretsError, StoreUnavailable
from django_kms_secrets.types import SecretBytes, SecretStr

PATIENCE = 60.0


@cache
def models() -> list[Any]:
    session = botocore.session.get_session()
    return [session.get_service_model(name) for name in ("kms", "secretsmanager")]


class Model:
    """botocore's descriptions of KMS and Secrets Manager, as one."""

    def operation_model(self, operation: str) -> Any:
        (model,) = [model for model in models() if operation in model.operation_names]
        return model.operation_model(operation)


def service(reply: dict[str, Any] | None = None, name: str = "KMS") -> Service:
    """A service whose client gives one reply to everything."""
    client = SimpleNamespace(
        meta=SimpleNamespace(endpoint_url="http://kms.example", service_model=Model()),
        decrypt=lambda **_: reply,
        describe_key=lambda **_: reply,
        get_secret_value=lambda **_: reply,
        batch_get_secret_value=lambda **_: reply,
    )
    return Service(client, name)


def test_plaintexts_in_replies_are_masked():
    reply = service({"Plaintext": b"planted", "KeyId": "key"}).call("Decrypt")
    assert type(reply["Plaintext"]) is SecretBytes
    reply = service({"SecretString": "planted", "Name": "A"}).call("GetSecretValue")
    assert type(reply["SecretString"]) is SecretStr
    entries = [{"SecretString": "planted", "Name": "A"}, {"SecretBinary": b"planted", "Name": "B"}]
    reply = service({"SecretValues": entries}).call("BatchGetSecretValue")
    assert type(reply["SecretValues"][0]["SecretString"]) is SecretStr
    assert type(reply["SecretValues"][1]["SecretBinary"]) is SecretBytes
    assert "planted" not in repr(reply)


def test_a_member_that_is_missing_in_a_reply_is_an_error_of_the_service():
    reply = service({}).call("Decrypt")
    assert reply.get("Plaintext") is None
    with pytest.raises(StoreUnavailable) as caught:
        reply["Plaintext"]
    assert caught.value.message == (
        "Decrypt of KMS at http://kms.example was answered without Plaintext"
    )
    assert "endpoint_url" in caught.value.hint


def test_a_member_that_is_missing_further_in_is_the_same_error():
    reply = service({"KeyMetadata": {"KeyId": "key"}, "Errors": []}).call("DescribeKey")
    with pytest.raises(StoreUnavailable, match=r"DescribeKey of KMS .* without KeyState"):
        reply["KeyMetadata"]["KeyState"]
    assert "Errors" not in reply  # what AWS does not know is not passed on


@pytest.mark.parametrize(
    ("operation", "reply"),
    [
        ("Decrypt", {"Plaintext": "planted"}),
        ("Decrypt", {"Plaintext": b"planted", "KeyId": 7}),
        ("GetSecretValue", {"SecretString": b"planted"}),
        ("GetSecretValue", {"SecretString": "planted", "CreatedDate": "yesterday"}),
        ("GetSecretValue", {"SecretString": "planted", "VersionStages": "AWSCURRENT"}),
        ("GetSecretValue", {"SecretString": "planted", "VersionStages": [None]}),
        ("GetSecretValue", {"SecretString": "planted\ud800"}),
        ("BatchGetSecretValue", {"SecretValues": [{"SecretString": "planted"}, ["planted"]]}),
        ("DescribeKey", {"KeyMetadata": {"Enabled": "planted"}}),
        ("GetSecretValue", ["planted"]),
    ],
    ids=repr,
)
def test_a_member_of_another_type_is_an_error_of_the_service(operation, reply):
    """…and neither the error nor the frames of its traceback have what was answered."""
    with pytest.raises(StoreUnavailable, match=f"the answer to {operation} of KMS") as caught:
        service(reply).call(operation)
    assert "endpoint_url" in caught.value.hint
    assert caught.value.__context__ is None
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in shown.stack if "test_aws" not in frame.filename]
    assert frames
    assert not any("planted" in text for frame in frames for text in (frame.locals or {}).values())


@pytest.mark.parametrize(
    "error",
    [
        OverflowError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        lambda: UnicodeDecodeError("utf-8", b"planted", 0, 1, "planted"),
    ],
)
def test_what_botocores_parsers_raise_of_their_own_is_an_error_of_the_service(error):
    kms = service()

    def fail(**_: object) -> dict[str, Any]:
        raise error()

    kms.client.decrypt = fail
    with pytest.raises(StoreUnavailable, match="the answer to Decrypt of KMS") as caught:
        kms.call("Decrypt")
    assert caught.value.__context__ is None
    assert "planted" not in str(caught.value)


def refused(response: dict[str, Any], **parameters: Any) -> SecretsError:
    kms = service()

    def refuse(**_: object) -> dict[str, Any]:
        raise ClientError(response, "Decrypt")

    kms.client.decrypt = refuse
    with pytest.raises(SecretsError) as caught:
        kms.call("Decrypt", **parameters)
    assert caught.value.__context__ is None
    return caught.value


def denied(**error: Any) -> str:
    return refused({"Error": error}).message


@pytest.mark.parametrize("year", ["99999999999999999999", "0", "2026", "soon"])
def test_a_refusal_with_any_date_is_a_refusal(year):
    headers = {"date": f"Mon, 01 Jan {year} 00:00:00 GMT"}
    error = {"Code": "AccessDeniedException", "Message": "no"}
    response = {"Error": error, "ResponseMetadata": {"HTTPHeaders": headers}}
    assert isinstance(refused(response), AccessDenied)


@pytest.mark.parametrize(
    "error",
    [
        {"Code": "AccessDeniedException", "Message": "denied for hunter2hunter2!"},
        {"Code": "hunter2hunter2", "Message": ""},
        {"Code": "of.hunter2hunter2", "Message": "hunter2hunter2"},
    ],
)
def test_what_repeats_a_value_of_the_request_is_not_repeated(error):
    """What answers in the place of AWS may send anything back."""
    exc = refused({"Error": error}, Plaintext=SecretStr("hunter2hunter2"))
    assert "hunter2" not in exc.message + exc.hint


def test_a_value_that_is_a_part_of_a_known_code_does_not_hide_it():
    error = {"Code": "AccessDeniedException", "Message": "because"}
    exc = refused({"Error": error}, Plaintext=SecretStr("Denied"))
    assert isinstance(exc, AccessDenied)
    assert "(AccessDeniedException): because" in exc.message


def test_a_redirection_is_no_answer_of_aws():
    response = {"Error": {"Code": "307"}, "ResponseMetadata": {"HTTPStatusCode": 307}}
    exc = refused(response)
    assert isinstance(exc, StoreUnavailable)
    assert "HTTP status 307" in exc.message


def test_a_transaction_is_allowed_by_what_it_does():
    """IAM knows no action of its name."""
    exc = service(name="DynamoDB").refused("TransactWriteItems", "AccessDeniedException")
    assert "allow dynamodb:PutItem, DeleteItem and ConditionCheckItem to" in exc.hint


def test_a_body_that_botocore_takes_for_a_message_is_not_repeated():
    """Of a body that is no JSON it makes the message, and of the HTTP status the code."""
    assert denied(Code="403", Message='{"Plaintext": "planted').endswith("no reason given")


def test_a_reason_is_shown_in_one_line_and_not_without_end():
    message = denied(Code="AccessDenied", Message="not\n\x1b[2Jyou" + "!" * 5000)
    assert "not  [2Jyou!!!" in message
    assert len(message) < 1200


@pytest.mark.parametrize("code", [7, None, ["A"], "planted value", "A" * 101, ""])
def test_a_code_that_looks_like_none_is_not_repeated(code):
    assert denied(Code=code, Message={"planted": 1}).endswith("(unknown)")


def test_a_thread_that_nobody_waits_for_sends_nothing_more(monkeypatch):
    """Pages that never end would fill the memory. Each of them takes a second here."""
    kms, sent = service({}), []
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: len(sent)))

    def pages() -> None:
        while len(sent) < 1000:
            kms.call("Decrypt")
            sent.append("Decrypt")

    with pytest.raises(StoreUnavailable):
        run_all([pages], deadline=Deadline(3), services=[kms])
    for thread in threading.enumerate():
        if thread.name == "kms-secrets":
            thread.join(PATIENCE)
    assert len(sent) == 3


def test_of_two_requests_alike_one_is_waited_for_when_the_other_is_answered():
    kms = service()
    both, first = threading.Barrier(2), threading.Event()

    def answer(**_: object) -> dict[str, Any]:
        if both.wait(PATIENCE):
            first.wait(PATIENCE)
        return {}

    kms.client.decrypt = answer
    threads = [threading.Thread(target=kms.call, args=["Decrypt"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    while all(thread.is_alive() for thread in threads):
        time.sleep(0.001)
    assert kms.waiting_for == {"Decrypt": 1}
    first.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not kms.waiting_for


def test_a_request_is_waited_for_until_it_is_answered_or_failed():
    waiting: list[set[str]] = []
    kms = service()

    def answer(**_: object) -> dict[str, Any]:
        waiting.append(set(kms.waiting_for))
        return {}

    def fail(**_: object) -> dict[str, Any]:
        waiting.append(set(kms.waiting_for))
        raise KeyboardInterrupt

    kms.client.decrypt = answer
    kms.call("Decrypt")
    assert not kms.waiting_for
    kms.client.decrypt = fail
    with pytest.raises(KeyboardInterrupt):
        kms.call("Decrypt")
    assert not kms.waiting_for
    assert waiting == [{"Decrypt"}, {"Decrypt"}]
