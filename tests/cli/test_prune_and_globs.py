"""What a prune may not take, and what a glob may not hide."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from django_kms_secrets.__main__ import main
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore


def secrets(*arguments: str, url: str, monkeypatch, stdin: str = "") -> str:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    call_command("secrets", *arguments, "--url", url, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_a_prune_spares_the_tree_that_a_dotted_name_reaches_into(aws, monkeypatch):
    url = "secretsmanager:///doc"
    with SecretsManagerStore(secret_id="doc") as store:
        store.setup()
        store.put_many({"K": "k", "OLD": "x", "database": '{"user": "u", "password": "p"}'})
        values = json.dumps({"K": "k", "database.password": "new"})
        secrets("putall", "-", "--prune", "-y", url=url, monkeypatch=monkeypatch, stdin=values)
        assert set(store.get_many(None)) == {"K", "database"}
        assert store.get("database").value == '{"user": "u", "password": "new"}'


def test_a_prune_of_single_secrets_is_done_at_once(tmp_path):
    """There a dotted name reaches into nothing: diff finds all the same after it."""
    store, given = tmp_path / "s.json", tmp_path / "given.json"
    store.write_text('{"T": {"x": "old"}}')
    given.write_text('{"T.x": "new"}')
    url = f"file://{store}"
    assert main(["putall", str(given), "--prune", "-y", "--url", url]) == 0
    assert json.loads(store.read_text()) == {"T.x": "new"}
    assert main(["diff", str(given), "--url", url]) == 0


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("number", ["0.12345678901234567890123", "9007199254740993.0"])
def test_a_number_with_more_digits_than_are_kept_is_refused(tmp_path, capsys, suffix, number):
    """Neither the file that is read nor the other values of a file that is written are rounded."""
    exact, store = tmp_path / f"exact.{suffix}", tmp_path / "s.json"
    exact.write_text(f'{{"A": "a", "T": {{"x": {number}}}}}')
    store.write_text("{}")
    before = exact.read_text()
    assert main(["putall", str(exact), "--url", f"file://{store}"]) == 1
    assert main(["delete", "A", "--yes", "--url", f"file://{exact}"]) == 1
    assert capsys.readouterr().err.count("T is a tree with a number whose digits are not kept") == 2
    assert (store.read_text(), exact.read_text()) == ("{}", before)
    assert main(["get", "A", "--url", f"file://{exact}"]) == 0


def test_putall_writes_anew_what_a_batch_cannot_decrypt(aws, monkeypatch):
    url = "secretsmanager://?prefix=n/"
    with SecretsManagerStore(prefix="n/") as store:
        store.put_many({"A": "a", "B": "b"})
        reply = {
            "SecretValues": [],
            "Errors": [{"SecretId": "n/A", "ErrorCode": "DecryptionFailure", "Message": "no"}],
        }
        aws.faults.append(
            lambda operation, body: (
                (200, reply)
                if operation == "BatchGetSecretValue" and "n/A" in body["SecretIdList"]
                else None
            )
        )
        with aws.counted() as requests:
            values = json.dumps({"A": "new", "B": "b"})
            secrets("putall", "-", url=url, monkeypatch=monkeypatch, stdin=values)
        assert requests.total() < 10
        assert store.get("A").value == "new"
        out = io.StringIO()
        with pytest.raises(CommandError):
            call_command(
                "secrets", "getall", "--keep-going", url=url, stdout=out, stderr=io.StringIO()
            )
        assert json.loads(out.getvalue()) == {"B": "b"}


def test_a_version_does_not_go_with_a_glob(aws, monkeypatch):
    with CredStashStore() as store:
        store.setup_key()
        store.setup()
        store.put("A", "old")
        store.put("A", "new")
    for option in (["-v", "PREVIOUS"], ["-n"]):
        with pytest.raises(CommandError, match="not with a glob"):
            secrets("get", "A*", *option, url="credstash://", monkeypatch=monkeypatch)


def test_a_name_in_the_place_of_name_and_value_is_not_repeated(aws, monkeypatch):
    with pytest.raises(CommandError, match="no VALUE") as caught:
        secrets("put", "K=hidden-marker", url="locmem://", monkeypatch=monkeypatch)
    assert "hidden-marker" not in str(caught.value)


def test_a_name_is_one_line_of_what_is_said(tmp_path, capsys):
    """A line break in a name that is stored does not begin a line of its own on stderr."""
    store, given = tmp_path / "s.json", tmp_path / "given.json"
    store.write_text(json.dumps({"A\nerror: all was deleted": "x"}))
    given.write_text('{"B": "x"}')
    assert main(["putall", str(given), "--prune", "-y", "--url", f"file://{store}"]) == 0
    assert "- A error: all was deleted\n" in capsys.readouterr().err
