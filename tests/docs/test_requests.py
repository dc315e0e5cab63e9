"""The pages' figures and permissions are what an embedded AWS is asked."""

from __future__ import annotations

import argparse
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings

from django_kms_secrets import load, loader
from django_kms_secrets.cli.console import Console
from django_kms_secrets.cli.main import add_verbs, run
from django_kms_secrets.config import read_config
from django_kms_secrets.contrib.admin.report import Cache

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.server.embedded import EmbeddedAWS

#: The columns of the tables.
URLS = (
    "credstash://",
    "credstash://?document=document",
    "secretsmanager:///document",
    "secretsmanager://?prefix=names/",
)
NAMES = [f"NAME_{number:02}" for number in range(20)]

SERVICES = {"dynamodb": "dynamodb", "trentservice": "kms", "secretsmanager": "secretsmanager"}
#: What a part of a transaction needs.
PARTS = {
    "Put": "dynamodb:PutItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
#: What a request needs beside, or instead of, the permission of its own name.
NEEDS = {
    "dynamodb:TransactWriteItems": set(),  # its parts do
    "secretsmanager:BatchGetSecretValue": {
        "secretsmanager:BatchGetSecretValue",
        "secretsmanager:GetSecretValue",
    },
}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return False


def _command(url: str, *words: str) -> None:
    parser = argparse.ArgumentParser()
    add_verbs(parser)
    options = vars(parser.parse_args(["--url", url, *words]))
    # What `run` would start, there is not: else it would take the place of the tests.
    expected = {"run": 127, "diff": 1}.get(words[0], 0)
    assert run(options, Console(_Terminal(), _Terminal()), None) == expected


def _filled(url: str, names: Iterable[str] = NAMES) -> None:
    with read_config(url).make_store() as store:
        if url.startswith("credstash:"):
            store.setup_key()  # type: ignore[attr-defined]
        store.setup()
        store.put_many(dict.fromkeys(names, "old"))
        store.put_many({name: f"value of {name}" for name in names})


def _permissions(requests: Iterable[str]) -> set[str]:
    needed: set[str] = set()
    for request in requests:
        service, _, operation = request.partition(".")
        action = f"{SERVICES[service]}:{operation}"
        needed |= NEEDS.get(action, {action})
    return needed


def _parts(aws: EmbeddedAWS) -> set[str]:
    """What the parts of transactions need; filled in as they are sent."""
    needed: set[str] = set()

    def note(_: str, body: dict[str, Any]) -> None:
        for part in body.get("TransactItems", ()):
            needed.update(PARTS[kind] for kind in part)

    aws.faults.append(note)
    return needed


def _cells(table: list[list[str]], column: int) -> dict[str, str]:
    return {row[0]: row[1 + column] for row in table}


def _listed(cell: str) -> set[str]:
    return {action.strip("`") for action in cell.split()}


def _read(url: str, how: str) -> None:
    if "NAMES" in how:
        separator = "&" if "?" in url else "?"
        assert len(load(f"{url}{separator}names={','.join(NAMES)}")) == 20
    else:
        assert len(load(url)) == 20


LISTING = "a listing, as on the [page in the admin](../howto/admin.md)"
READS = ("a fetch with `NAMES`", "a fetch of everything")


@pytest.mark.parametrize("column", range(len(URLS)))
def test_requests_of_a_fetch(column: int, aws: EmbeddedAWS) -> None:
    """A fetch of 20 secrets sends as many requests as the page says."""
    url = URLS[column]
    _filled(url)
    counts = _cells(page("docs/explanation/fetch.md").table("Requests"), column)
    for how in READS:
        with aws.counted() as counted:
            _read(url, how)
        assert counted.total() == int(counts.pop(how)), how
    secrets = load(url)
    assert secrets[NAMES[0]]
    with aws.counted() as counted:
        assert secrets.fallbacks(NAMES[0]) == ["old"]
    assert counted.total() == int(counts.pop("`fallbacks()` of one name"))
    assert not counts


@pytest.mark.parametrize("column", range(len(URLS)))
def test_permissions_of_a_fetch(column: int, aws: EmbeddedAWS) -> None:
    """A fetch needs the permissions that the page lists, and no others."""
    url = URLS[column]
    _filled(url)
    listed = _cells(page("docs/reference/permissions.md").table("Settings"), column)
    for how in READS:
        with aws.counted() as counted:
            _read(url, how)
        assert _permissions(counted) == _listed(listed.pop(how)), how
    secrets = load(url)
    assert secrets[NAMES[0]]
    with aws.counted() as counted:
        secrets.fallbacks(NAMES[0])
    assert _permissions(counted) == _listed(listed.pop("`fallbacks()`, `previous()`"))
    assert list(listed) == [LISTING]


@pytest.mark.parametrize("column", range(len(URLS)))
def test_permissions_of_the_admin(
    column: int, aws: EmbeddedAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page in the admin needs the permissions that the page lists, and no others."""
    monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())
    if not settings.configured:
        settings.configure()
    _filled(URLS[column])
    secrets = load(URLS[column])
    listed = _cells(page("docs/reference/permissions.md").table("Settings"), column)
    with aws.counted() as counted:
        report = Cache().report()
    assert len(report.rows) == len(NAMES)
    assert _permissions(counted) == _listed(listed[LISTING])
    assert secrets


def _argv(verb: str, folder: Path, version: str, url: str) -> list[list[str]]:
    """What to run for a row of the table, so that the verb has something to do."""
    file = folder / "secrets.json"
    file.write_text(json.dumps({NAMES[0]: "changed", f"NEW_{len(verb)}": "value"}))
    (folder / "value").write_text("value")
    value = f"@{folder / 'value'}"
    return {
        "setup": [["setup"]],
        "setup --create-key": [["setup", "--create-key"]],
        "put": [["put", NAMES[2], value], ["put", "NEW", value]],
        "put of a deleted name": [["put", NAMES[1], value]],
        "get": [["get", NAMES[2]]],
        "get -v ID": [["get", NAMES[2], "-v", version]],
        "get 'GLOB*'": [["get", "NAME_*"]],
        "putall": [["putall", str(file)]],
        "putall --prune": [["putall", str(file), "--prune", "--yes"]],
        "diff": [["diff", str(file)]],
        "copy, from here": [["copy", "--to", f"locmem://{folder}"]],
        "copy, to here": [
            ["copy", "--url", f"file://{file}", "--to", url, "--existing", "overwrite"]
        ],
        "getall": [["getall"]],
        "list": [["list"]],
        "keys": [["keys"]],
        "history": [["history", NAMES[0]]],
        "rotate": [["rotate", NAMES[2], "--length", "40"]],
        "rotate in steps": [
            ["rotate", NAMES[2], "--stage", "--length", "40"],
            ["rotate", NAMES[2], "--promote"],
            ["rotate", NAMES[2], "--stage", "--value", value],
            ["rotate", NAMES[2], "--abandon"],
            ["rotate", NAMES[2], "--retire", "--yes"],
        ],
        "rotate --status": [["rotate", NAMES[2], "--status"]],
        "rollback": [["rollback", NAMES[2], "previous"]],
        "reencrypt": [["reencrypt", "--key-id", "alias/other"]],
        "reencrypt --prune": [["reencrypt", "--key-id", "alias/other", "--prune", "--yes"]],
        "policy": [["policy", "admin", "--account", "123456789012"]],
        "completion": [["completion", "bash"]],
        "doctor": [["doctor"]],
        "audit": [["audit", "--max-age", "1"]],
        "run": [["run", "no-such-program"]],
        "delete": [["delete", NAMES[0], "--yes"]],
    }[verb.replace("`", "")]


def _read_offline(url: str, names: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read names as settings do while `manage.py secrets` imports them."""
    with monkeypatch.context() as patch:
        patch.setenv("KMS_SECRETS_OFFLINE", "1")
        secrets = load(url)
        assert [secrets[name] for name in names] == ["", ""]


VERBS = [row[0] for row in page("docs/reference/permissions.md").table("Verbs")]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("column", range(len(URLS)))
def test_permissions_of_a_verb(
    verb: str, column: int, aws: EmbeddedAWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb needs the permissions that the page lists, and no others."""
    # What other tests have loaded in this process is not what this one has.
    monkeypatch.setattr("django_kms_secrets.recording.recordings", [])
    monkeypatch.setattr("django_kms_secrets.recording.environment", None)
    url = URLS[column]
    cell = _cells(page("docs/reference/permissions.md").table("Verbs"), column)[verb]
    version = ""
    if not verb.startswith("`setup"):
        _filled(url, NAMES[:3])
        with read_config(url).make_store() as store:
            version = store.get(NAMES[2]).version
            store.delete(NAMES[1])
            store.put(NAMES[2], "newest")
    if not cell and ("--create-key" in verb or "--prune" in verb):
        return  # nothing that this store could do
    if "reencrypt" in verb:
        with read_config("credstash://?key_id=alias/other").make_store() as store:
            store.setup_key()  # type: ignore[attr-defined]
    if verb == "`setup`" and "credstash" in url:
        with read_config(url).make_store() as store:
            store.setup_key()  # type: ignore[attr-defined]
    if "audit" in verb:
        _read_offline(url, (NAMES[0], NAMES[2]), monkeypatch)
    parts = _parts(aws)
    with aws.counted() as counted:
        for words in _argv(verb, tmp_path, version, url):
            _command(url, *words)
    assert _permissions(counted) | parts == _listed(cell)


def test_the_policy_is_the_reader_of_the_table() -> None:
    """The example policy allows what a fetch with NAMES needs, and no more."""
    permissions = page("docs/reference/permissions.md")
    (block,) = (block for block in permissions.blocks if block.file == "policy.json")
    allowed = {statement["Action"] for statement in json.loads(block.text)["Statement"]}
    assert allowed == _listed(_cells(permissions.table("Settings"), 0)[READS[0]])


def test_putall_writes_anew_without_the_permission_to_decrypt(
    aws: EmbeddedAWS, tmp_path: Path, capsys: Any
) -> None:
    """Who may not decrypt may still write all of a file."""
    _filled(URLS[0], NAMES[:1])
    aws.faults.append(
        lambda operation, _: (400, "AccessDeniedException") if operation == "Decrypt" else None
    )
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({NAMES[0]: "changed"}))
    _command(URLS[0], "putall", str(file))
    aws.faults.clear()
    assert load(URLS[0])[NAMES[0]] == "changed"
