"""What `secrets policy` prints is what a role needs, and not more.

Every request of every verb is held against the policy: its action, its resource, and what is known
of it. moto's own enforcement, which looks at actions only, has to agree.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from django_kms_secrets import load
from django_kms_secrets.config import read_config

from ..cli.doors import inside
from ..server import mends
from .enforcement import enforced, widened
from .iam import ACCOUNT, Keys, allows, asks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..server.embedded import EmbeddedAWS

pytestmark = pytest.mark.usefixtures("one_loader")

NAMES = ("A", "B", "GONE", "NEW", "SERVICE")
FUNCTION = "arn:aws:lambda:ap-northeast-2:123456789012:function:rotate"

#: The stores, each as a URL to which options can be added.
STORES = {
    "table": "credstash://?prefix=notes/",
    "bound table": "credstash://?prefix=notes/&bind_to_name=true&context.env=live",
    "document table": "credstash://?document=notes&bind_to_name=true",
    "document": "secretsmanager:///notes?timeout=9",
    "names": "secretsmanager://?prefix=notes/",
}
BY_NAME = f"&names={','.join(NAMES)}"
ROLES = ("reader", "writer", "rotator", "admin")
#: A store that needs no permissions, to copy from.
ELSEWHERE = "locmem://elsewhere"


@dataclass(frozen=True)
class Deed:
    """One thing that a role does: a verb with its arguments, or, without any, a fetch.

    Attributes:
        words: the arguments. With HERE among them, which stands for the store, it works on another.
        stdin: its input.
        code: how it ends.
    """

    words: Sequence[str] = ()
    stdin: str = ""
    code: int = 0

    def fails(self, url: str) -> str:
        """Do it; gives why it did not work, or nothing."""
        if not self.words:
            return _fetch(url)
        words = [url.replace(BY_NAME, "") if word == "HERE" else word for word in self.words]
        done = inside("module", ELSEWHERE if "HERE" in self.words else url, words, self.stdin)
        whole = done.code == self.code and "warning" not in done.err
        return "" if whole and "refused" not in done.err else done.err


def _fetch(url: str) -> str:
    try:
        secrets = load(url)
        found = [secrets["A"], secrets["B"], *secrets.fallbacks("A"), secrets.previous("A")]
    except Exception as exc:
        return str(exc)
    return "" if found == ["two", "two", "one", "one"] else "not all was found"


FILE = json.dumps({"A": "changed", "B": "two"})
FETCH = Deed()
READ = [FETCH, Deed(["get", "A"])]
PUTALL = Deed(["putall", "-"], FILE)
COPY = Deed(["copy", "--to", "HERE", "--existing", "overwrite"])
WRITE = [
    Deed(["put", "A", "-"], "three"),
    Deed(["put", "GONE", "-"], "back"),
    Deed(["put", "NEW", "-"], "new"),
    PUTALL,
    PUTALL,  # twice: it is done without what it reads, so each time shows one permission
    COPY,
]
ROTATE = [
    Deed(["rotate", "A", "--length", "40"]),
    Deed(["rotate", "A", "--stage", "--length", "40"]),
    Deed(["rotate", "A", "--status"]),
    Deed(["rotate", "A", "--promote"]),
    Deed(["rotate", "A", "--stage", "--value", "-"], "x" * 40),
    Deed(["rotate", "A", "--abandon"]),
    Deed(["rotate", "A", "--retire", "--yes"]),
    Deed(["rotate", "B", "--length", "40"]),
    Deed(["rollback", "B", "previous"]),
    Deed(["reencrypt", "--key-id", "alias/other"]),
]
LAMBDA = Deed(["rotate", "SERVICE", "--lambda", "--wait", "0"], code=1)
SETUP_KEY = Deed(["setup", "--create-key"])
PRUNE = Deed(["reencrypt", "--key-id", "alias/other", "--prune", "--yes"])
MANAGE = [
    Deed(["get", "B*"]),
    Deed(["getall"]),
    Deed(["keys"]),
    Deed(["list"]),
    Deed(["history", "A"]),
    Deed(["diff", "-"], FILE, code=1),
    Deed(["copy", "--to", "locmem://copy", "--existing", "overwrite"]),
    Deed(["delete", "B", "--yes"]),
    Deed(["putall", "-", "--prune", "--yes"], FILE),
]


def deeds(role: str, store: str) -> list[Deed]:
    """What a role does, in an order in which all of it works."""
    by_service = [PRUNE] if "table" in store else [LAMBDA]
    return {
        "reader": READ,
        "writer": WRITE,
        "rotator": [*ROTATE, *by_service],
        "admin": [
            SETUP_KEY if "table" in store else Deed(["setup"]),
            FETCH,
            *WRITE,
            *ROTATE,
            *by_service,
            *MANAGE,
        ],
    }[role]


@pytest.fixture(autouse=True)
def lambda_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mends.rotation_functions, FUNCTION, lambda event: None)


def filled(url: str) -> None:
    """Two versions of two names, a deleted one, and one that the service can rotate."""
    with read_config(ELSEWHERE).make_store() as elsewhere:
        elsewhere.put_many({"A": "copied", "B": "two"})
    for key in ("alias/credstash", "alias/other"):
        with read_config(f"credstash://?key_id={key}").make_store() as store:
            store.setup_key()  # type: ignore[attr-defined]
    with read_config(url).make_store() as store:
        store.setup()
        store.put_many({"GONE": "gone", "SERVICE": "service"})
        store.delete("GONE")
        for value in ("one", "two"):
            store.put_many({"A": value, "B": value})
    secrets = boto3.client("secretsmanager")
    for known in secrets.list_secrets()["SecretList"]:
        if known["Name"] in {"notes", "notes/SERVICE"}:
            secrets.rotate_secret(
                SecretId=known["Name"], RotationLambdaARN=FUNCTION, RotateImmediately=False
            )


def printed(url: str, role: str) -> dict[str, Any]:
    """The policy that the command prints; of a table, for both keys."""
    words = ["policy", role, "--account", ACCOUNT]
    if url.startswith("credstash:"):
        for alias in ("alias/credstash", "alias/other"):
            words += ["--key-arn", Keys().arn({"KeyId": alias})]
    policy: dict[str, Any] = json.loads(inside("module", url, words).ok().out)
    return policy


@dataclass
class Gate:
    """Lets through what a policy allows.

    Attributes:
        policy: the policy.
        asked: the actions that were asked for.
        denied: those of them that it denied.
    """

    policy: dict[str, Any]
    asked: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)

    def __call__(self, operation: str, body: dict[str, Any]) -> tuple[int, str] | None:
        found = list(asks(operation, body, Keys()))
        wrong = [ask.action for ask in found if not allows(self.policy, ask)]
        self.asked += [ask.action for ask in found]
        self.denied += wrong
        return (400, "AccessDeniedException") if wrong else None


@contextmanager
def gate(aws: EmbeddedAWS, policy: dict[str, Any]) -> Iterator[Gate]:
    found = Gate(policy)
    aws.faults.append(found)
    yield found
    # A refused run ends at once. In this process its threads go on: not under the next gate.
    for thread in threading.enumerate():
        if thread.name == "kms-secrets":
            thread.join(60)
    aws.faults.remove(found)


PUT = Deed(["put", "A", "-"], "three")
REENCRYPT = Deed(["reencrypt", "--key-id", "alias/other"])
RETIRE = Deed(["rotate", "A", "--retire", "--yes"])
DELETE = Deed(["delete", "B", "--yes"])
HISTORY = Deed(["history", "A"])
KEYS = Deed(["keys"])
OUTSIDE = {
    ("reader", "table"): [PUT, COPY, REENCRYPT, RETIRE, DELETE, KEYS, Deed(["setup"])],
    ("reader", "bound table"): [PUT, COPY, REENCRYPT, RETIRE, DELETE, KEYS, Deed(["setup"])],
    ("reader", "document table"): [PUT, COPY, REENCRYPT, RETIRE, DELETE, Deed(["setup"])],
    ("reader", "document"): [PUT, COPY, REENCRYPT, RETIRE, DELETE, HISTORY, Deed(["setup"])],
    ("reader", "names"): [PUT, COPY, REENCRYPT, RETIRE, DELETE, HISTORY, KEYS],
    ("writer", "table"): [REENCRYPT, RETIRE, DELETE, KEYS, Deed(["setup"])],
    ("writer", "bound table"): [REENCRYPT, RETIRE, DELETE, KEYS, Deed(["setup"])],
    ("writer", "document table"): [PRUNE, Deed(["setup"])],
    ("writer", "document"): [REENCRYPT, RETIRE, HISTORY, Deed(["setup"])],
    ("writer", "names"): [REENCRYPT, RETIRE, DELETE, HISTORY, KEYS],
    ("rotator", "table"): [Deed(["setup"])],
    ("rotator", "bound table"): [Deed(["setup"])],
    ("rotator", "document table"): [Deed(["setup"])],
    ("rotator", "names"): [DELETE, Deed(["put", "NEW", "-"], "new")],
}


def _member(policy: dict[str, Any]) -> dict[str, str]:
    """A user of IAM with a policy on every resource; gives the variables of their processes."""
    iam = boto3.client("iam")
    iam.create_user(UserName="member")
    policy = {
        **policy,
        "Statement": [
            {key: part for key, part in statement.items() if key != "Condition"}
            for statement in policy["Statement"]
        ],
    }
    # AWS asks for the parts of a transaction. moto asks for a permission that does not exist.
    writes = any("dynamodb:PutItem" in statement["Action"] for statement in policy["Statement"])
    if writes:
        extra = {"Effect": "Allow", "Action": ["dynamodb:TransactWriteItems"]}
        policy["Statement"].append(extra)
    iam.put_user_policy(UserName="member", PolicyName="role", PolicyDocument=widened(policy))
    key = iam.create_access_key(UserName="member")["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


CASES = [
    pytest.param(role, store, names, id=f"{role} of {store}{' by name' if names else ''}")
    for store in STORES
    for role in ROLES
    for names in ("", BY_NAME)
    if not (names and role == "admin")
]


@pytest.mark.parametrize(("role", "store", "names"), CASES)
def test_a_role_gets_what_it_needs_and_no_more(
    role: str, store: str, names: str, aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its policy, every verb of a role works, and asks for nothing that is not allowed.

    moto's own enforcement agrees, and denies the verbs of others. And each action of each statement
    is one without which some verb of the role does not work.
    """
    url = STORES[store] + names
    filled(url)
    policy = printed(url, role)
    with monkeypatch.context() as patched:
        for name, value in _member(policy).items():
            patched.setenv(name, value)
        with enforced(aws):
            asked = [_done(deed, url, aws, policy) for deed in deeds(role, store)]
            for deed in OUTSIDE.get((role, store), ()) if names else ():
                error = deed.fails(url)
                assert "AccessDenied" in error or "denies" in error, (deed.words, error)
    # A bound table has the actions of another, and without NAMES only a reader has others.
    if store == "bound table" or (role != "reader" and bool(names) == (role == "admin")):
        return
    aws.reset()
    filled(url)
    policy = printed(url, role)
    unproven = {
        (statement["Sid"], action)
        for statement in policy["Statement"]
        for action in statement["Action"]
        if action not in SETUP.get(store, ())  # `test_setup_from_nothing`
    }
    for deed, actions in zip(deeds(role, store), asked, strict=True):
        needs = sorted(need for need in unproven if need[1] in actions)
        proven, is_done = _needed(deed, url, aws, policy, needs)
        unproven -= proven
        if not is_done:
            _done(deed, url, aws, policy)
    assert not unproven


def _done(deed: Deed, url: str, aws: EmbeddedAWS, policy: dict[str, Any]) -> set[str]:
    """Do it; gives the actions that it asked for."""
    with gate(aws, policy) as found:
        assert not deed.fails(url), deed.words
    assert not found.denied, deed.words
    return {*found.asked}


def _needed(
    deed: Deed, url: str, aws: EmbeddedAWS, policy: dict[str, Any], needs: Sequence[tuple[str, str]]
) -> tuple[set[tuple[str, str]], bool]:
    """Those of some actions without which it does not work, and whether it is done in the end.

    What is not done for want of one is tried again without the next.
    """
    proven = set()
    for sid, action in needs:
        with gate(aws, without(policy, sid, action)) as found:
            error = deed.fails(url)
        if not error:
            return proven, True
        assert {*found.denied} == {action}, deed.words
        proven.add((sid, action))
        if error.startswith("warning: "):  # not as well, but done
            return proven, True
    return proven, False


def without(policy: dict[str, Any], sid: str, action: str) -> dict[str, Any]:
    return {
        **policy,
        "Statement": [
            {**statement, "Action": [one for one in statement["Action"] if one != action]}
            if statement["Sid"] == sid
            else statement
            for statement in policy["Statement"]
        ],
    }


#: What only an empty account needs.
CREATE = {"dynamodb:CreateTable", "kms:CreateKey", "kms:CreateAlias"}
SETUP = {
    "table": CREATE,
    "bound table": CREATE,
    "document table": CREATE,
    "document": {"secretsmanager:CreateSecret", "secretsmanager:RestoreSecret"},
}


@pytest.mark.parametrize("names", ["", BY_NAME])
@pytest.mark.parametrize("store", STORES)
def test_doctor_is_content_with_a_reader(store: str, names: str, aws: EmbeddedAWS) -> None:
    """What a reader has is all that doctor asks for; what else it tries, it does without."""
    url = STORES[store] + names
    filled(url)
    with read_config(url).make_store() as opened:
        opened.put_many(dict.fromkeys(("GONE", "NEW"), "x"))
    with gate(aws, printed(url, "reader")) as found:
        assert not Deed(["doctor"]).fails(url)
    assert {*found.denied} <= {
        "dynamodb:DescribeTable",
        "kms:DescribeKey",
        "secretsmanager:DescribeSecret",
    }


@pytest.mark.parametrize("store", ["table", "document"])
@pytest.mark.parametrize("role", ["reader", "admin"])
def test_a_copy_that_kms_seals(role: str, store: str, aws: EmbeddedAWS, tmp_path: Path) -> None:
    """It is written and opened with what the policy of its key's alias allows, and with no less."""
    copy = f"last_known_good.path={tmp_path}/copy&last_known_good.max_age=60"
    url = f"{STORES[store]}&{copy}&last_known_good.key_id=alias/other{BY_NAME}"
    filled(url)
    words = ["policy", role, "--account", ACCOUNT]
    for alias in ("alias/credstash", "alias/other"):
        words += ["--key-arn", Keys().arn({"KeyId": alias})]
    policy = json.loads(inside("module", url, words).ok().out)
    closed = without(policy, "LastKnownGood", "kms:GenerateDataKey")
    with gate(aws, closed) as found:
        assert not _fetch(url)
    assert {*found.denied} == {"kms:GenerateDataKey"}
    assert not (tmp_path / "copy").exists()
    with gate(aws, policy) as found:
        assert not _fetch(url)
        aws.faults.insert(0, _out)
        assert not _fetch(url)
    assert not found.denied
    with gate(aws, without(policy, "LastKnownGood", "kms:Decrypt")) as found:
        assert _fetch(url)
    assert {*found.denied} == {"kms:Decrypt"}


def _out(operation: str, _: dict[str, Any]) -> tuple[int, str] | None:
    """The store is out, and KMS is not."""
    is_kms = operation in {"Decrypt", "GenerateDataKey"}
    return None if is_kms else (503, "ServiceUnavailable")


@pytest.mark.parametrize("store", ["table", "bound table", "document table", "document"])
def test_setup_from_nothing(store: str, aws: EmbeddedAWS) -> None:
    """An admin sets an empty account up, and needs every permission for that."""
    url = STORES[store]
    words = ["setup", *(["--create-key"] if "table" in store else [])]
    # No key is named: the statements hold for what the alias will name.
    policy = json.loads(inside("module", url, ["policy", "admin", "--account", ACCOUNT]).ok().out)
    if "table" in store:
        with read_config(f"{url}&key_id=alias/other").make_store() as other:
            other.setup_key()  # type: ignore[attr-defined]
    with gate(aws, policy) as found:
        for deed in (Deed(words), Deed(words), Deed(["put", "A", "-"], "x"), Deed(["get", "A"])):
            assert not deed.fails(url), deed.words
        assert not found.denied
        if "table" in store:
            assert Deed(["put", "A", "-", "-k", "alias/other"], "x").fails(url)
            assert found.denied == ["kms:GenerateDataKey"]
    asked = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert asked >= SETUP[store]
    for action in SETUP[store]:
        aws.reset()
        if action == "secretsmanager:RestoreSecret":
            filled(url)
            boto3.client("secretsmanager").delete_secret(SecretId="notes")
        changed = policy
        for statement in policy["Statement"]:
            changed = without(changed, statement["Sid"], action)
        with gate(aws, changed) as found:
            assert Deed(words).fails(url), action
        assert set(found.denied) == {action}


#: Stores beside ours in the same account, and what they are next to.
NEIGHBOURS = {
    "table": [
        "credstash://other-table?prefix=notes/",
        "credstash://?prefix=notes-2/",
        "credstash://?prefix=",
        "credstash://?prefix=notes/&key_id=alias/other",
        "credstash://?prefix=notes/&context.env=test",
        "credstash://?prefix=notes/&bind_to_name=true",
    ],
    "bound table": [
        "credstash://other-table?prefix=notes/&bind_to_name=true&context.env=live",
        "credstash://?prefix=notes-2/&bind_to_name=true&context.env=live",
        "credstash://?prefix=notes/&bind_to_name=true&context.env=test",
        "credstash://?prefix=notes/&bind_to_name=true",
        "credstash://?prefix=notes/&context.env=live",
        "credstash://?prefix=notes/",
    ],
    "document table": [
        "credstash://other-table?document=notes&bind_to_name=true",
        "credstash://?document=notes-2&bind_to_name=true",
        "credstash://?document=note&bind_to_name=true",
        "credstash://?document=notes&key_id=alias/other&bind_to_name=true",
        "credstash://?document=notes",
        "credstash://?bind_to_name=true",
    ],
    "document": [
        "secretsmanager:///notes-2",
        "secretsmanager:///note",
        "secretsmanager:///notes/A",
        "secretsmanager://?prefix=notes/",
    ],
    "names": [
        "secretsmanager://?prefix=notes-2/",
        "secretsmanager://?prefix=",
        "secretsmanager:///notes",
    ],
}


@pytest.mark.parametrize(
    ("store", "neighbour"),
    [pytest.param(store, url, id=url) for store, urls in NEIGHBOURS.items() for url in urls],
)
def test_a_neighbour_is_refused(store: str, neighbour: str, aws: EmbeddedAWS) -> None:
    """Nobody reads or writes another table, prefix, document, key or encryption context."""
    url = STORES[store] + BY_NAME
    filled(neighbour)
    words = ["--account", ACCOUNT]
    if url.startswith("credstash:"):
        words += ["--key-arn", Keys().arn({"KeyId": "alias/credstash"})]
    for role in ROLES:
        policy = json.loads(inside("module", url, ["policy", role, *words]).ok().out)
        with gate(aws, policy) as found:
            _refused(neighbour, found, Deed(["get", "A"]), PUT)


@pytest.mark.parametrize("store", ["table", "bound table", "names"])
def test_another_name_is_refused(store: str, aws: EmbeddedAWS) -> None:
    """With NAMES, a name beside them is refused; A is not Ab, and not A-b."""
    url = STORES[store]
    filled(url)
    others = ("B", "Ab", "A-abcdef")
    with read_config(url).make_store() as opened:
        opened.put_many(dict.fromkeys(others, "x"))
    for role in ("reader", "writer", "rotator"):
        with gate(aws, printed(f"{url}&names=A", role)) as found:
            assert not Deed(["get", "A"]).fails(url)
            assert not found.denied
            for name in others:
                _refused(url, found, Deed(["get", name]), Deed(["put", name, "-"], "x"))


def _refused(url: str, found: Gate, *deeds: Deed) -> None:
    """See that the gate, and nothing else, keeps each of them from being done."""
    for deed in deeds:
        found.denied.clear()
        assert deed.fails(url), deed.words
        assert found.denied, deed.words


def test_records_of_a_former_context_are_read_and_not_written(aws: EmbeddedAWS) -> None:
    """During a change of the context, all records open, and new ones get the new context."""
    old, new = "credstash://?context.env=old", "credstash://?context.env=new"
    change = f"{new}&former_context.env=old"
    filled(old)
    with gate(aws, printed(change, "writer")) as found:
        assert not Deed(["get", "A"]).fails(change)
        assert not Deed(["putall", "-"], FILE).fails(change)
        assert not Deed(["get", "A"]).fails(new)
        assert Deed(["put", "A", "-"], "x").fails(old)
    assert found.denied == ["kms:GenerateDataKey"]


@pytest.mark.parametrize("name", ["ST*R", "WH?T", "${aws:username}", "a$b", "*", "?"])
def test_wildcards_in_a_name_are_none(name: str, aws: EmbeddedAWS) -> None:
    """A name may have what IAM takes for a wildcard or a variable; it stands for itself."""
    quoted = name.replace("?", "%3F").replace("$", "%24")
    url = f"credstash://?bind_to_name=true&prefix={quoted}/"
    filled(url)
    policies = [printed(f"{url}&names={quoted}", "writer"), printed(url, "writer")]
    for policy in policies:
        with gate(aws, policy) as found:
            assert not Deed(["put", name, "-"], "x").fails(url)
            with read_config(url).make_store() as store:
                assert store.get(name).value == "x"
            other = "credstash://?bind_to_name=true&prefix=STAR/"
            assert Deed(["put", "STAR", "-"], "x").fails(other)
        assert found.denied
