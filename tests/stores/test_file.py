"""The file store: private, whole, and careful with what somebody else wrote in it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from django_kms_secrets.backends.file import FileStore
from django_kms_secrets.exceptions import SecretNotFound, SecretsError, StoreNotReady

NAMES = [".env", "x.json", "x.yaml", "x.yml", "x.env", ".env.local"]


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "new" / "deep" / request.param


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_setup_makes_an_empty_file_and_its_directories_for_the_owner_only(path):
    before = os.umask(0)
    try:
        store = FileStore(path=path)
        assert store.setup() is True
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert store.get_many(None) == {}
    path.write_text(path.read_text() + "\n")
    assert store.setup() is False


def test_every_write_leaves_the_file_private(path):
    store = FileStore(path=str(path))
    store.setup()
    path.chmod(0o644)
    store.put("A", "x")
    assert mode(path) == 0o600
    path.chmod(0o644)
    store.delete("A")
    assert mode(path) == 0o600
    assert [*path.parent.iterdir()] == [path]


def test_a_file_that_is_not_there_is_an_error_that_says_how_to_make_it(path):
    store = FileStore(path=path)
    path.parent.mkdir(parents=True)
    for use in (
        lambda: store.get("A"),
        lambda: store.get_many(None),
        lambda: store.list_secrets(),
        lambda: store.put("A", "x"),
        lambda: store.put_many({"A": "x"}),
        lambda: store.delete("A"),
    ):
        with pytest.raises(StoreNotReady) as caught:
            use()
        assert caught.value.message == f"there is no file {path}"
        assert "`secrets setup`" in caught.value.hint
    assert not path.exists()


def test_a_directory_that_is_not_there_is_an_error_in_writing(tmp_path):
    store = FileStore(path=tmp_path / "none" / ".env")
    with pytest.raises(SecretsError) as caught:
        store.put("A", "x")
    assert "`secrets setup` creates it" in caught.value.hint


def test_a_dotenv_file_keeps_its_comments_its_order_and_its_spelling(tmp_path):
    path = tmp_path / ".env"
    path.write_text("# first\nexport B = two # why\n\n# second\nA=one\nC='three'\n")
    store = FileStore(path=path)
    store.put("A", "1")
    store.put("NEW", "it's")
    store.delete("C")
    assert path.read_text() == ("# first\nexport B = two # why\n\n# second\nA='1'\nNEW=\"it's\"\n")


@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_trees_are_trees_in_the_file_and_text_in_the_store(tmp_path, name):
    store = FileStore(path=tmp_path / name)
    store.setup()
    store.put("database", '{"password": "é", "ports": [1]}')
    store.put("loose", '{"password":"x"}')
    assert store.get("database").value == '{"password": "é", "ports": [1]}'
    assert store.get("loose").value == '{"password":"x"}'
    if name == "x.json":
        assert json.loads((tmp_path / name).read_text()) == {
            "database": {"password": "é", "ports": [1]},
            "loose": '{"password":"x"}',
        }
    else:
        assert "database:\n  password: é\n" in (tmp_path / name).read_text()


BROKEN = {
    ".env": ("A=x\nplanted-value\n", "line 2 is no NAME=value"),
    "x.json": ('{"A": "planted-value"', "not valid JSON (line 1"),
    "x.yaml": ("A: 'planted-value", "not valid YAML (line 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_an_error_that_names_it_and_is_left_alone(tmp_path, name):
    text, message = BROKEN[name]
    path = tmp_path / name
    path.write_text(text)
    store = FileStore(path=path)
    for use in (
        lambda: store.get("A"),
        lambda: store.get_many(None),
        lambda: store.put("A", "y"),
        lambda: store.put_many({"A": "y"}),
        lambda: store.delete("A"),
        lambda: store.list_secrets(),
    ):
        with pytest.raises(SecretsError) as caught:
            use()
        assert caught.value.message.startswith(f"file {path}: ")
        assert message in caught.value.message
        assert caught.value.hint
        assert "planted" not in str(caught.value)
    assert path.read_text() == text


def test_a_value_that_is_no_text_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"A": 1, "B": "planted-value", "C": null}')
    with pytest.raises(SecretsError) as caught:
        FileStore(path=path).get("B")
    assert caught.value.names == ("A", "C")
    assert "A is a number, C is null" in caught.value.message
    assert "planted" not in str(caught.value)


def test_a_name_that_dotenv_cannot_write_is_refused_and_the_file_is_left_alone(tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=x\n")
    store = FileStore(path=path)
    with pytest.raises(SecretsError, match="dotenv has no way to write the name 'B C'") as caught:
        store.put_many({"A": "planted-value", "B C": "planted-value"})
    assert caught.value.names == ("B C",)
    assert path.read_text() == "A=x\n"


def test_a_symbolic_link_is_read_and_not_written(tmp_path):
    target = tmp_path / "target.env"
    target.write_text("A=x\n")
    link = tmp_path / "link.env"
    link.symlink_to(target)
    store = FileStore(path=link)
    assert store.get("A").value == "x"
    with pytest.raises(SecretsError, match="is a symbolic link or not a regular file"):
        store.put("A", "y")
    assert target.read_text() == "A=x\n"


def test_a_format_that_is_not_known_by_the_name_is_refused_at_once(tmp_path):
    with pytest.raises(SecretsError, match="is not known by its name"):
        FileStore(path=tmp_path / "secrets")


def test_a_file_has_one_version(tmp_path):
    store = FileStore(path=tmp_path / ".env")
    store.setup()
    assert store.put("A", "x").version == store.put("A", "y").version == "1"
    assert store.get("A", version="1").value == "y"
    for version in ("2", "PREVIOUS", "PENDING"):
        with pytest.raises(SecretNotFound):
            store.get("A", version=version)


def test_a_put_rereads_what_somebody_else_wrote_meanwhile(tmp_path):
    one, two = (FileStore(path=tmp_path / "x.json") for _ in range(2))
    one.setup()
    one.put("A", "1")
    two.put("B", "2")
    one.put("A", "3")
    assert {name: secret.value for name, secret in two.get_many(None).items()} == {
        "A": "3",
        "B": "2",
    }
