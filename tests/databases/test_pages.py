"""The SQL of the documentation does on a server what the pages say."""

from __future__ import annotations

import re

import pytest

from ..docs.pages import all_pages
from .conftest import ask, connections_of
from .servers import DATABASE, MariaDB, PostgreSQL, Server

OLD = "the-old-one"
#: A line, after which a comment may say whose it is; if none does, it is PostgreSQL's.
STATEMENTS = [
    pytest.param(text.strip(), "mariadb" if "MariaDB" in comment else "postgresql", id=text.strip())
    for page in all_pages()
    for block in page.blocks
    if block.language == "sql"
    for text, _, comment in (line.partition("--") for line in block.text.splitlines())
]


@pytest.mark.parametrize("statement, kind", STATEMENTS)
def test_the_sql_of_a_page_changes_a_password(
    statement: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """Its server takes it, and then the role with the new password."""
    server: PostgreSQL | MariaDB = request.getfixturevalue(kind)
    role, password = re.findall(r"(?:ROLE|USER) (\w+) .*'(\w+)'", statement)[0]
    server.make_role(role, OLD)
    server.execute(statement)
    assert logged_in(server, role, password) == role


def logged_in(server: Server, role: str, password: str) -> str:
    """Log in; gives the role."""
    entry = {
        "ENGINE": server.djangos,
        "NAME": DATABASE,
        "HOST": server.host,
        "PORT": server.port,
        "USER": role,
        "PASSWORD": password,
    }
    with connections_of(default=entry) as handler:
        return str(ask(handler["default"]))
