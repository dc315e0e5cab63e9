"""The faults: what AWS, the network or the account can do to any request."""

from __future__ import annotations

import json
import re
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from .between import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from .between import Exchange

    Act = Callable[[Exchange], bool]

#: What uses a KMS key, and in which operations AWS tells that of one.
KEYED = ("Decrypt", "GenerateDataKey")
VALUES = ("GetSecretValue", "BatchGetSecretValue", "PutSecretValue", "CreateSecret")
#: What reads a secret by its name.
NAMED = ("Query", "GetSecretValue", "BatchGetSecretValue", "DescribeSecret")
#: What gives its answer in pages, and the member that asks for a short one.
PAGED = {
    "Query": "Limit",
    "Scan": "Limit",
    "ListSecrets": "MaxResults",
    "ListSecretVersionIds": "MaxResults",
}


# What is answered in AWS's place


def refuse(code: str, status: int = 400, *headers: str) -> Act:
    body = {"__type": code, "message": "refused by the test"}
    return lambda exchange: exchange.answer(status, body, *headers)


def page_of_html(status: int) -> Act:
    """What a load balancer sends."""
    return lambda exchange: exchange.answer(status, b"<html><body>fault</body></html>")


def redirect(status: int) -> Act:
    """To where the answer is: a client that follows has it."""

    def act(exchange: Exchange) -> bool:
        return exchange.answer(status, b"", f"Location: {exchange.aws.endpoint}/")

    return act


# What is done to AWS's answer, which AWS has given


def reset_in_the_middle(exchange: Exchange) -> bool:
    return exchange.cut(exchange.ask()[1], rudely=True)


def half_a_reply(exchange: Exchange) -> bool:
    return exchange.cut(exchange.ask()[1], rudely=False)


def lost(exchange: Exchange) -> bool:
    """It is carried out, and the answer is another's."""
    exchange.ask()
    return exchange.answer(500, {"__type": "InternalFailure"})


def later_than_the_next(exchange: Exchange) -> bool:
    """Of requests under way together every other one is answered late."""
    answer = exchange.ask()
    exchange.memory["late"] = is_late = not exchange.memory.get("late", False)
    time.sleep(0.01 * is_late)
    return exchange.answer(*answer)


def of_another(exchange: Exchange) -> bool:
    """What was asked for A is answered for B, and the other way round."""
    text = json.dumps(exchange.body)
    for name, marked in (("A", "\0"), ("B", "A"), ("\0", "B")):
        text = re.sub(rf'("|/){name}"', rf'\1{marked}"', text)
    return exchange.answer(*exchange.ask(**json.loads(text)))


def short_pages(exchange: Exchange) -> bool:
    """One entry a page."""
    return exchange.answer(*exchange.ask(**{PAGED[exchange.operation]: 1}))


def _next(exchange: Exchange) -> tuple[str, str]:
    """The members that say where a page ends, and where the next one begins."""
    if exchange.operation in ("Query", "Scan"):
        return "LastEvaluatedKey", "ExclusiveStartKey"
    return "NextToken", "NextToken"


def same_page_twice(exchange: Exchange) -> bool:
    """A page says that there is another one, which is the same."""
    end, begin = _next(exchange)
    is_second = begin in exchange.body
    status, page = exchange.ask(**{begin: None})
    if not is_second and status == 200:
        page[end] = {"name": {"S": "A"}, "version": {"S": "1"}} if end != begin else "next"
    return exchange.answer(status, page)


def same_page_for_ever(exchange: Exchange) -> bool:
    """Every page says that there is another one."""
    end, begin = _next(exchange)
    status, page = exchange.ask(**{begin: None})
    page[end] = {"name": {"S": "A"}, "version": {"S": "1"}} if end != begin else "next"
    return exchange.answer(status, page)


def one_of_a_batch(code: str) -> Act:
    """The last secret of a batch could not be read."""

    def act(exchange: Exchange) -> bool:
        status, batch = exchange.ask()
        if not batch.get("SecretValues"):
            return exchange.answer(status, batch)
        failed = batch["SecretValues"].pop()
        batch.setdefault("Errors", []).append(
            {"SecretId": failed["Name"], "ErrorCode": code, "Message": "refused by the test"}
        )
        return exchange.answer(status, batch)

    return act


def _hours_away(hours: float) -> str:
    return f"Date: {formatdate(time.time() + hours * 3600, usegmt=True)}"


def _for_ever_and_at_first() -> dict[str, Fault]:
    """What passes: it may, or not."""
    passing: dict[str, Act] = {
        "reset in the middle": reset_in_the_middle,
        "half a reply": half_a_reply,
        "answer lost": lost,
        "500": refuse("InternalServerError", 500),
        "503 of html": page_of_html(503),
        "ThrottlingException": refuse("ThrottlingException"),
        "ProvisionedThroughputExceeded": refuse("ProvisionedThroughputExceededException"),
        "RequestLimitExceeded": refuse("RequestLimitExceeded"),
    }
    faults = {}
    for name, act in passing.items():
        faults[f"{name}, for ever"] = Fault(act)
        # boto3 takes what was cut off for whole, and finds then what is missing.
        ends = "either" if act is half_a_reply else "right"
        faults[f"{name}, for the first calls"] = Fault(act, times=2, ends=ends)
    for name in ("reset in the middle", "503 of html", "ThrottlingException"):
        for after in (1, 4):
            faults[f"{name}, after {after}"] = Fault(passing[name], after=after)
    return faults


FAULTS: dict[str, Fault] = {
    **_for_ever_and_at_first(),
    "silent": Fault(lambda exchange: exchange.wait(), options={"read_timeout": 0.02}),
    "ExpiredToken": Fault(refuse("ExpiredTokenException")),
    "ExpiredToken, after 1": Fault(refuse("ExpiredTokenException"), after=1),
    "clock skew: InvalidSignature": Fault(refuse("InvalidSignatureException", 403, _hours_away(3))),
    "clock skew: RequestExpired": Fault(refuse("RequestExpired", 400, _hours_away(-3))),
    "clock skew: RequestTimeTooSkewed": Fault(refuse("RequestTimeTooSkewed", 403, _hours_away(3))),
    "AccessDenied, after 1": Fault(refuse("AccessDeniedException"), after=1, of_values=True),
    "KMSInvalidState": Fault(refuse("KMSInvalidStateException"), KEYED, of_values=True),
    "KMS key disabled": Fault(refuse("DisabledException"), KEYED, of_values=True),
    "KMS key of a value cannot be used": Fault(refuse("DecryptionFailure"), VALUES, of_values=True),
    "redirect": Fault(redirect(302)),
    "permanent redirect": Fault(redirect(308)),
    "truncated pages": Fault(short_pages, tuple(PAGED), ends="right"),
    "duplicate pages": Fault(same_page_twice, tuple(PAGED), ends="either"),
    "duplicate pages without end": Fault(same_page_for_ever, tuple(PAGED), ends="either"),
    "replies in the wrong order": Fault(later_than_the_next, ends="right"),
    "the reply for another name": Fault(of_another, NAMED, ends="either"),
    **{
        f"a batch in part: {code}": Fault(
            one_of_a_batch(code), ("BatchGetSecretValue",), of_values=code == "DecryptionFailure"
        )
        for code in ("DecryptionFailure", "InternalServiceError", "Unheard")
    },
    # Those are asked for again, each by itself.
    "a batch in part: ThrottlingException": Fault(
        one_of_a_batch("ThrottlingException"), ("BatchGetSecretValue",), ends="right"
    ),
}

#: The kinds of stores; and of what is done to some operations only, those that use one of them.
KINDS = ("credstash", "credstash document", "document", "names")
_USED_BY = {
    KEYED: KINDS[:2],
    VALUES: KINDS[2:],
    ("BatchGetSecretValue",): ("names",),
}

#: Each store under each fault that can hit it.
CELLS = [
    (kind, name) for name, fault in FAULTS.items() for kind in _USED_BY.get(fault.operations, KINDS)
]

# A verb only calls its store, and what it calls is under every fault by itself. So verbs are under
# each fault on one kind of store, in turn, and on every kind under these: what a client sees of the
# others is the same. All of them on all would take twice the time.
_ON_EVERY_KIND = [
    "reset in the middle, after 4",
    "half a reply, for ever",
    "answer lost, for the first calls",
    "503 of html, for ever",
    "503 of html, after 1",
    "ThrottlingException, after 4",
    "ExpiredToken, after 1",
    "clock skew: RequestExpired",
    "KMS key disabled",
    "KMS key of a value cannot be used",
    "truncated pages",
]


def _of_verbs() -> list[tuple[str, str]]:
    cells = []
    for number, name in enumerate(FAULTS):
        kinds = [kind for kind, fault in CELLS if fault == name]
        if name not in _ON_EVERY_KIND:
            kinds = [kinds[number % len(kinds)]]
        cells += [(kind, name) for kind in kinds]
    return cells


VERB_CELLS = _of_verbs()
