"""Django's commands over the engines: test databases, parallel tests, dbshell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import NAME, ask, connections_of

if TYPE_CHECKING:
    from .conftest import Store
    from .servers import Server

SITE = Path(__file__).with_name("site")
OLD, NEW = "the-old-one", "the-new-one"


@pytest.fixture(autouse=True)
def role(server: Server, store: Store) -> None:
    """A role, and a secret with its password."""
    server.make_role("notes", OLD)
    store.put(server.url("notes", OLD))


def run(server: Server, store: Store, *arguments: str, **environment: str) -> str:
    """Run a program of the site; gives what it printed."""
    change = {
        "postgresql": f"ALTER ROLE notes PASSWORD '{NEW}'",
        "mysql": f"SET PASSWORD = PASSWORD('{NEW}')",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=SITE,
        env={
            **os.environ,
            "KMS_SECRETS_URL": store.url,
            "SITE_ENGINE": server.ours,
            "SITE_NEW_URL": server.url("notes", NEW),
            "SITE_CHANGE_PASSWORD": change[server.kind],
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert OLD not in done.stdout + done.stderr
    assert NEW not in done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_parallel_tests_in_a_test_database(server: Server, store: Store, method: str) -> None:
    """``manage.py test --parallel``: made, cloned, used, rotated meanwhile, destroyed."""
    arguments = ["manage.py", "test", "--noinput", "--parallel", "2", "-v", "2"]
    output = run(server, store, *arguments, SITE_START_METHOD=method)
    assert "Ran 3 tests" in output
    assert "rotated" in output
    assert "Destroying test database for alias 'default' ('test_notes')" in output


def test_dbshell(server: Server, store: Store, tmp_path: Path) -> None:
    """It gets in with the current password, which is not among its arguments."""
    program = {"postgresql": "psql", "mysql": "mysql"}[server.kind]
    flag = {"postgresql": "-c", "mysql": "-e"}[server.kind]
    real = shutil.which(program)
    assert real, f"there is no {program}: apt-get install -y {server.packages}"
    spy, seen = tmp_path / program, tmp_path / "arguments"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{seen}"\nexec "{real}" "$@"\n')
    spy.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    output = run(server, store, "manage.py", "dbshell", "--", flag, "SELECT 6 * 7", PATH=path)
    assert "42" in output
    assert OLD not in seen.read_text()


def test_dbshell_after_a_rotation(server: Server, store: Store) -> None:
    """In a process that has found other credentials, the client gets those."""
    with connections_of(default=store.load().database(NAME)) as handler:
        connection = handler["default"]
        server.set_password("notes", NEW)
        store.put(server.url("notes", NEW))
        ask(connection)
        arguments, variables = connection.client.settings_to_cmd_args_env(
            connection.settings_dict, []
        )
    assert NEW in variables.values()
    assert NEW not in "".join(arguments)


def test_a_program_that_rotates(server: Server, store: Store) -> None:
    """A script with settings, from beginning to end."""
    output = run(server, store, "rotate_twice.py").split()
    assert output == ["notes", "notes", {"postgresql": "psycopg", "mysql": "MySQLdb"}[server.kind]]


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_psycopg2(server: Server, store: Store) -> None:
    """The older driver of PostgreSQL, which Django takes where the newer one is missing."""
    output = run(server, store, "rotate_twice.py", SITE_DRIVER="psycopg2").split()
    assert output == ["notes", "notes", "psycopg2"]
