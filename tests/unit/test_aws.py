"""Requests side by side, within a deadline; and replies that hide their secrets."""

from __future__ import annotations

import threading
import time
import traceback
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from django_kms_secrets.aws import BULK, POOL_SIZE, Deadline, Service, Timeouts, run_all
from django_kms_secrets.exceptions import AccessDenied, SecretsError, StoreUnavailable
from django_kms_secrets.types import SecretBytes, SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60.0


def run(tasks: list[Callable[[], Any]], seconds: float = PATIENCE, *services: Service) -> list[Any]:
    return run_all(tasks, deadline=Deadline(seconds), services=services)


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


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kms-secrets"]


# run_all


@pytest.mark.parametrize("count", [0, 1, POOL_SIZE, POOL_SIZE + 1, 100])
def test_results_stand_in_the_order_of_the_tasks(count):
    """Whichever comes first: the early ones wait for the late ones here."""
    done = [threading.Event() for _ in range(count)]

    def task(number: int) -> int:
        last_of_its_run = min(count - 1, number // POOL_SIZE * POOL_SIZE + POOL_SIZE - 1)
        if number < last_of_its_run:
            done[number + 1].wait(PATIENCE)
        done[number].set()
        return number

    tasks = [lambda number=number: task(number) for number in range(count)]
    assert run(tasks) == list(range(count))
    assert ours() == []


def test_no_more_tasks_run_at_once_than_sockets_are_kept():
    running, most, lock, all_in = 0, 0, threading.Lock(), threading.Barrier(POOL_SIZE)

    def task() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_in.wait(PATIENCE)
        with lock:
            running -= 1

    run([task] * (POOL_SIZE * 3))
    assert most == POOL_SIZE


def test_the_first_error_ends_the_whole_and_what_was_not_begun_is_not_begun():
    begun = []
    release = threading.Event()

    def fails() -> None:
        raise SecretsError("the first")

    def waits() -> None:
        begun.append(1)
        release.wait(PATIENCE)

    try:
        with pytest.raises(SecretsError, match="the first"):
            run([fails, *[waits] * 100])
    finally:
        release.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert len(begun) <= POOL_SIZE


def test_after_an_error_what_is_under_way_sends_nothing_more():
    """Also not in tasks that a task runs: a write that nobody waits for would be one unseen."""
    asked, failed = threading.Event(), threading.Event()
    sent = []

    class Noting(Service):
        def _send(self, operation: str, *_: object) -> dict[str, object]:
            sent.append(operation)
            return {}

    noting = Noting(None, "KMS")
    noting.client = type("Client", (), {"meta": type("Meta", (), {"endpoint_url": "here"})})

    def inner() -> None:
        noting.call("First")
        asked.set()
        assert failed.wait(PATIENCE)
        noting.call("Second")

    def fails() -> None:
        assert asked.wait(PATIENCE)
        raise SecretsError("the first")

    try:
        with pytest.raises(SecretsError, match="the first"):
            run([fails, lambda: run([inner])])
    finally:
        failed.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert sent == ["First"]


def test_tasks_that_write_may_be_waited_for_after_an_error():
    """What they did is known then; none begins."""
    under_way, failed = threading.Event(), threading.Event()
    ended = []

    def fails() -> None:
        assert under_way.wait(PATIENCE)
        failed.set()
        raise SecretsError("the first")

    def writes() -> None:
        under_way.set()
        assert failed.wait(PATIENCE)
        ended.append(1)

    with pytest.raises(SecretsError, match="the first"):
        run_all(
            [fails, *[writes] * (POOL_SIZE - 1), *[lambda: ended.append(2)] * 100],
            deadline=Deadline(PATIENCE),
            services=[],
            settle=True,
        )
    assert ended.count(1) == POOL_SIZE - 1


def test_as_many_threads_as_there_may_be(monkeypatch):
    """A limit of processes makes it slower; only none at all is an error."""
    start, left = threading.Thread.start, [1, 1]

    def limited(thread: threading.Thread) -> None:
        if thread.name == "kms-secrets":
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert run([lambda number=number: number for number in range(9)]) == list(range(9))
    with pytest.raises(SecretsError, match="no thread") as caught:
        run([lambda: 1])
    assert "pids" in caught.value.hint


def test_a_task_may_lengthen_the_deadline_for_the_whole():
    """Who waits for it began to wait before that."""
    deadline = Deadline(0.5)

    def task() -> str:
        time.sleep(0.2)
        deadline.lengthen(PATIENCE)
        time.sleep(0.5)
        return "done"

    assert run_all([task], deadline=deadline, services=[]) == ["done"]


def test_an_interruption_in_a_task_reaches_the_caller():
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([interrupt])


def test_the_caller_is_back_at_the_deadline_whatever_the_tasks_do():
    release = threading.Event()
    start = time.monotonic()
    stuck = service(name="DynamoDB")
    stuck.waiting_for["Scan"] += 1
    try:
        with pytest.raises(StoreUnavailable) as caught:
            run([lambda: release.wait(PATIENCE)], 0.1, stuck, service())
        assert time.monotonic() - start < 5
        assert all(thread.daemon for thread in ours())
    finally:
        release.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert caught.value.message == (
        "no answer within 0.1 s: Scan at DynamoDB at http://kms.example"
    )
    assert caught.value.__context__ is None


def test_a_deadline_that_has_passed_before_is_missed_at_once():
    release = threading.Event()
    try:
        with pytest.raises(StoreUnavailable):
            run([lambda: release.wait(PATIENCE)], 0.0, service())
    finally:
        release.set()
    for thread in ours():
        thread.join(PATIENCE)


def test_a_deadline_counts_down_to_zero_and_not_below():
    assert 9.0 < Deadline(10.0).remaining() <= 10.0
    assert Deadline(0.0).remaining() == 0.0


def test_nothing_to_do_needs_no_time_and_no_thread():
    assert run([], 0.0) == []


# Replies


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


def test_a_thread_that_nobody_waits_for_sends_nothing_more():
    """Pages that never end would fill the memory."""
    kms, sent, late = service({}), [], threading.Event()

    def pages() -> None:
        while len(sent) < 1000:
            kms.call("Decrypt")
            sent.append("Decrypt")
            late.wait(0.01 if not late.is_set() else 0)

    with pytest.raises(StoreUnavailable):
        run([pages], 0.1, kms)
    late.set()
    for thread in ours():
        thread.join(PATIENCE)
    assert 0 < len(sent) < 1000


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


def test_a_deadline_is_lengthened_and_never_shortened():
    deadline = Deadline(3)
    deadline.lengthen(2)
    assert (deadline.seconds, 2 < deadline.remaining() <= 3) == (3, True)
    deadline.lengthen(600)
    assert (deadline.seconds, 500 < deadline.remaining() <= 600) == (600, True)


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 3), (1, 3), (BULK, 3), (BULK + 1, 6), (BULK * 5, 15)]
)
def test_bulk_reads_get_more_time_for_each_thousand(count, seconds):
    assert Timeouts(overall=3).for_bulk(count) == seconds


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


def test_timeouts_are_numbers_or_their_text():
    assert Timeouts.from_options("1", 2, 3.5) == Timeouts(1.0, 2.0, 3.5)


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 3), (1, 3), (POOL_SIZE, 3), (POOL_SIZE + 1, 6), (POOL_SIZE * 5, 15)]
)
def test_many_operations_have_the_time_of_one_in_each_thread(count, seconds):
    """None at all have the time of one, so that nothing is late before it began."""
    assert Timeouts(overall=3).for_many(count) == seconds
