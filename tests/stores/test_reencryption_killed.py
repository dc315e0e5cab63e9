"""Re-encryption that is killed: all or nothing of each secret, and a rerun finishes."""

from __future__ import annotations

import base64
import itertools
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.deadline import POOL_SIZE
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..server.embedded import EmbeddedAWS
    from .conftest import Account

#: Seconds.
PATIENCE = 300
CONTEXT = {"env": "production"}
COMMAND = [
    *(sys.executable, "-m", "django_kms_secrets", "reencrypt"),
    *("--key-id", "alias/new", "--context", "env=production", "--bind", "--prune", "--yes"),
    *("--url", "credstash://?timeout=60"),
]


@pytest.fixture
def store(credstash_store: CredStashStore) -> Iterator[CredStashStore]:
    """The table with the transitional configuration, which every host has meanwhile."""
    with CredStashStore(
        key_id="alias/new", context=CONTEXT, bind_to_name=True, former_context={}
    ) as store:
        store.setup_key()
        yield store


def fill(names: list[str]) -> None:
    """Secrets as they were before: in the middle of a rotation, with an older version each."""
    with CredStashStore(timeout=PATIENCE) as old:
        for stage in ("oldest", "previous", "current"):
            old.put_many({name: f"{stage} {name}" for name in names})
        for name in names:
            old.stage(name, f"pending {name}")


def expected(name: str) -> dict[str, str]:
    return {stage: f"{stage.lower()} {name}" for stage in (PENDING, CURRENT, PREVIOUS)}


def run(aws: EmbeddedAWS, kill_at: int | None = None) -> bool:
    """Run the command, and kill it at a request, which AWS still carries out.

    Returns:
        Whether it came to its end before that.
    """
    program = subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    count = itertools.count(1)

    def fault(*_: object) -> None:
        if next(count) == kill_at:
            program.send_signal(signal.SIGKILL)
            program.wait(PATIENCE)  # so that nothing of it is sent after this request

    aws.faults.append(fault)
    words = program.communicate(timeout=PATIENCE)[0].decode()
    aws.faults.remove(fault)
    aws.settle(PATIENCE)
    assert program.returncode in (0, -signal.SIGKILL), words
    return program.returncode == 0


def check(store: CredStashStore, account: Account, names: list[str]) -> int:
    """Every value is there, each secret is all old or all new; gives how many are new."""
    new = account.kms.describe_key(KeyId="alias/new")["KeyMetadata"]["KeyId"].encode()
    under: dict[str, list[tuple[str, bool]]] = {}
    items = account.items()
    for item in items:
        blob = base64.b64decode(item["key"]["S"])
        under.setdefault(item["name"]["S"], []).append((item["version"]["S"], blob.startswith(new)))
    assert [*under] == names
    done = 0
    for name, versions in under.items():
        found = {stage: secret.value for stage, secret in store.get_stages(name).items()}
        assert found == expected(name)
        pending, *others = (is_new for _, is_new in versions)
        assert {pending, *others[-2:]} in ({True}, {False}), versions
        assert others.count(True) in (0, 2), versions
        done += pending
    keys = [item["key"]["S"] for item in items]
    assert len(keys) == len(set(keys))
    return done


def finished(account: Account, names: list[str]) -> bool:
    return len(account.items()) == 3 * len(names)


def test_killed_at_every_request_of_one_secret(store, account, aws):
    """Whatever the last request was, and although nobody saw its answer."""
    name = "SECRET_KEY"
    seen = set()
    for at in itertools.count(1):
        fill([name])
        ended = run(aws, kill_at=at)
        done = check(store, account, [name])
        seen.add((done, len(account.items())))
        if ended:
            break
        done_by_rerun: dict[str, bool] = {}
        store.reencrypt([name], done_by_rerun.__setitem__)
        assert done_by_rerun == {name: not done}
        store.prune([name], lambda *_: None)
        assert check(store, account, [name]) == 1
        assert finished(account, [name])
        store.delete(name)
    assert finished(account, [name])
    # Nothing yet; re-encrypted; and after each of three deletions.
    assert seen == {(0, 4), (1, 6), (1, 5), (1, 4), (1, 3)}


def test_killed_again_and_again_with_many_secrets_it_gets_there(store, account, aws):
    """More threads than one are killed in the middle of theirs, later each time."""
    # More than there are threads, whose requests AWS carries out when they are killed.
    names = [f"NAME_{index:02}" for index in range(POOL_SIZE + 18)]
    fill(names)
    progress = [0]
    for at in itertools.count(25, 100):
        ended = run(aws, kill_at=at)
        progress.append(check(store, account, names))
        if ended:
            break
    assert progress == sorted(progress), "what is done is never undone"
    assert len(progress) > 4
    assert any(0 < done < len(names) for done in progress)
    assert progress[-1] == len(names)
    assert finished(account, names)
    assert run(aws), "once more there is nothing to do"
    assert check(store, account, names) == len(names)
    assert finished(account, names)
