"""The light client: its attempts, its pauses, its end, and what it signs."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from django_kms_secrets import StoreUnavailable, deadline
from django_kms_secrets.aws import LightService
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.transport import client
from django_kms_secrets.transport.client import Answer, Client
from django_kms_secrets.transport.credentials import Credentials
from django_kms_secrets.types import SecretStr

from ..server.scripted import ScriptedServer, reply

REPLY = reply(b'{"Plaintext": "cGxhbnRlZA==", "KeyId": "key"}')


def kms(endpoint: str, token: str = "") -> Client:
    return Client(
        "kms",
        "us-east-1",
        endpoint,
        Credentials("AKIAEXAMPLE", SecretStr("planted"), SecretStr(token)),
        connect_timeout=60,
        read_timeout=60,
        context=None,
    )


def answered(status: int, code: str) -> Answer:
    return Answer({"ResponseMetadata": {"HTTPStatusCode": status}}, code=code)


@pytest.mark.parametrize(
    ("answer", "attempt", "longest"),
    [
        (Answer(failure="ConnectionClosedError"), 0, 0.05),
        (Answer(failure="ConnectionClosedError"), 2, 0.2),
        (answered(500, "InternalFailure"), 1, 0.1),
        (answered(400, "ThrottlingException"), 0, 3.0),
        (answered(429, "unknown"), 0, 3.0),
        (answered(400, "ThrottlingException"), 1, 4.0),
        (answered(400, "ThrottlingException"), 30, 4.0),
    ],
)
def test_a_pause_is_any_time_up_to_a_limit_that_doubles(answer, attempt, longest, monkeypatch):
    """After throttling it is longer. All of the time is jitter, so hosts do not come together."""
    monkeypatch.setattr("random.uniform", lambda *limits: limits)
    assert client._pause(answer, attempt) == (0, longest)


@pytest.mark.parametrize("token", ["", "session-token"])
def test_what_is_sent_is_signed_as_botocore_would_sign_it(token):
    with ScriptedServer(lambda connection: connection.sendall(REPLY) or True) as server:
        sender = kms(server.endpoint, token)
        sender.send("Decrypt", {"CiphertextBlob": b"\x00\xff", "EncryptionContext": {"ü": "ö"}})
        sender.close()
    ((head, body),) = server.requests
    lines = [line.partition(": ") for line in head.splitlines()[1:]]
    sent = {name.lower(): value for name, _, value in lines}
    assert body == b'{"CiphertextBlob": "AP8=", "EncryptionContext": {"\\u00fc": "\\u00f6"}}'
    assert head.startswith("POST / HTTP/1.1\r\n")
    assert sent["x-amz-target"] == "TrentService.Decrypt"
    assert sent["content-type"] == "application/x-amz-json-1.1"
    assert sent.get("x-amz-security-token", "") == token
    signed = sent["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    again = AWSRequest("POST", server.endpoint, {name: sent[name] for name in signed}, body)
    signer = SigV4Auth(BotoCredentials("AKIAEXAMPLE", "planted", token or None), "kms", "us-east-1")
    again.context["timestamp"] = sent["x-amz-date"]
    text = signer.string_to_sign(again, signer.canonical_request(again))
    assert sent["authorization"].endswith(f"Signature={signer.signature(text, again)}")


def test_another_operation_than_a_read_is_not_sent():
    with ScriptedServer(lambda _: None) as server:
        assert kms(server.endpoint).send("GenerateDataKey", {}) is None
    assert server.connections == 0


def test_a_client_that_is_closed_makes_no_other_attempt():
    asked, closing = threading.Event(), threading.Event()

    def fail(connection: object) -> None:
        asked.set()
        closing.wait(60)

    with ScriptedServer(fail) as server:
        sender = kms(server.endpoint)
        thread = threading.Thread(target=sender.send, args=("Decrypt", {}))
        thread.start()
        assert asked.wait(60)
        sender.close()
        closing.set()
        thread.join(60)
        assert not thread.is_alive()
    assert len(server.requests) == 1


def test_a_connection_that_was_closed_meanwhile_costs_no_attempt(monkeypatch):
    """…and so no pause either."""
    pauses: list[Answer] = []
    monkeypatch.setattr(client, "_pause", lambda answer, _: pauses.append(answer) or 0)
    with ScriptedServer(lambda connection: connection.sendall(REPLY)) as server:
        sender = kms(server.endpoint)
        for _ in range(5):
            assert sender.send("Decrypt", {}).reply["Plaintext"] == b"planted"
        sender.close()
    assert server.connections == 5
    assert pauses == []


def test_what_is_done_at_the_deadline_stays_undone(aws, monkeypatch):
    """The caller is back and the store is closed: a thread that is left behind ends by itself.

    The deadline is there when the request is.
    """
    asked, ended = threading.Event(), threading.Event()
    clock = SimpleNamespace(monotonic=lambda: 60.0 * asked.is_set())
    monkeypatch.setattr(deadline, "time", clock)
    try:
        with ScriptedServer(lambda _: asked.set() or not ended.wait(60)) as server:
            store = SecretsManagerStore(
                secret_id="notes", endpoint_url=server.endpoint, timeout=60, read_timeout=60
            )
            with store.reading(), pytest.raises(StoreUnavailable) as caught:
                store.get_many(None)
            ended.set()
            for thread in threading.enumerate():
                if thread.name == "kms-secrets":
                    thread.join(60)
                    assert not thread.is_alive()
        assert len(server.requests) == 1
    finally:
        ended.set()
    assert caught.value.message == (
        "no answer within 60 s: GetSecretValue at Secrets Manager at " + server.endpoint
    )


def test_a_reply_that_came_before_its_request_is_none(monkeypatch):
    """A server that sends two replies to one request would be a request behind for ever."""
    read, sent, left = threading.Event(), threading.Event(), [reply(b"{}", 500)]

    def pause(*_):
        read.set()
        return float(not sent.wait(60))

    monkeypatch.setattr(client, "_pause", pause)

    def script(connection):
        if not left:
            return connection.sendall(REPLY) or True
        connection.sendall(left.pop())
        assert read.wait(60)  # as far as it goes, and no further
        connection.sendall(reply(b'{"Plaintext": "b3RoZXI=", "KeyId": "key"}'))
        sent.set()
        return True

    with ScriptedServer(script) as server:
        sender = kms(server.endpoint)
        answer = sender.send("Decrypt", {"CiphertextBlob": b"x"})
        sender.close()
    assert answer.reply["Plaintext"] == b"planted"
    assert server.connections == 2


@pytest.mark.parametrize("size", [b"-5", b"x"])
def test_a_chunk_whose_size_is_none_is_no_answer(size, monkeypatch):
    """What came before it stays in no traceback."""
    monkeypatch.setattr(client, "_pause", lambda *_: 0.0)
    head = reply(b"", 200, "Transfer-Encoding: chunked", length=-1)
    whole = head + b"5\r\nplain\r\n" + size + b"\r\n"
    with ScriptedServer(lambda connection: connection.sendall(whole)) as server:
        sender = kms(server.endpoint)
        answer = sender.send("Decrypt", {"CiphertextBlob": b"x"})
        sender.close()
    assert answer == Answer(failure="ConnectionClosedError")


def test_whatever_it_raises_is_an_error_without_a_traceback_behind_it():
    """Its frames have replies and keys in them."""
    service = LightService(kms("http://localhost:1"), "KMS")
    service.client.send = lambda *_: [][0]
    with pytest.raises(StoreUnavailable, match=r"cannot be read \(IndexError\)") as caught:
        service.call("Decrypt")
    assert caught.value.__context__ is None


def test_closing_ends_what_waits():
    """A server that says nothing holds no thread and no socket after that."""
    arrived, ended = threading.Event(), threading.Event()

    def script(connection):
        arrived.set()
        ended.wait(60)

    with ScriptedServer(script) as server:
        sender = kms(server.endpoint)
        answers: list[Answer | None] = []
        thread = threading.Thread(
            target=lambda: answers.append(sender.send("Decrypt", {"CiphertextBlob": b"x"}))
        )
        thread.start()
        assert arrived.wait(60)
        sender.close()
        thread.join(50)  # it would read for 60 seconds
        assert not thread.is_alive()
        ended.set()
    assert [answer.failure for answer in answers] == ["ConnectionClosedError"]
