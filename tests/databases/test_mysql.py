"""Which errors of MariaDB are refusals."""

from __future__ import annotations

from typing import Any

import MySQLdb
import pytest

from .conftest import connections_of
from .servers import DATABASE, MariaDB

PASSWORD = "the-only-one"


@pytest.mark.parametrize(
    "arguments, code, refused",
    [
        ({"password": "a-wrong-one"}, 1045, True),
        ({"user": "nobody"}, 1045, True),
        ({"user": "passwordless"}, 1698, True),
        ({"user": "locked"}, 4151, True),
        ({"user": "poor"}, 1044, False),
        ({"database": "missing"}, 1049, False),
        ({"port": 1}, 2002, False),
    ],
    ids=repr,
)
def test_refusals_have_codes(
    mariadb: MariaDB, arguments: dict[str, Any], code: int, refused: bool
) -> None:
    """Of the user or the password, not of the database, and not where nobody answers."""
    for role in ("notes", "locked"):
        mariadb.make_role(role, PASSWORD)
    mariadb.lock("locked")
    mariadb.execute(
        "CREATE OR REPLACE USER passwordless@'%' IDENTIFIED VIA unix_socket",
        f"CREATE OR REPLACE USER poor@'%' IDENTIFIED BY '{PASSWORD}'",
    )
    usual = {"host": mariadb.host, "port": mariadb.port, "database": DATABASE}
    with pytest.raises(MySQLdb.OperationalError) as caught:
        MySQLdb.connect(**{**usual, "user": "notes", "password": PASSWORD, **arguments})
    assert caught.value.args[0] == code
    with connections_of(default={"ENGINE": mariadb.ours}) as handler:
        assert handler["default"].is_refusal(caught.value) is refused
