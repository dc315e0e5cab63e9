"""Django's PostgreSQL engine, with a password that is read anew when it was rotated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import base

from ..engine import RotatingWrapper
from ..entry import Credentials

if TYPE_CHECKING:
    from ..secret import DatabaseSecret

_REFUSALS = {"28P01", "28000"}

# The server sends one of these codes, but libpq keeps it to itself when a connection fails, and so
# the drivers have only the text: https://github.com/psycopg/psycopg/issues/1188
# These are PostgreSQL's own (src/backend/libpq/auth.c, src/backend/utils/init/miscinit.c), which
# PgBouncer repeats, PgBouncer's, and that of RDS Proxy.
_ENGLISH = re.compile(
    r"authentication failed"
    r"|role .* is not permitted to log in"
    r"|role .* does not exist"
    r"|no such user"
    r"|password that was provided for the role .* is wrong"
    r"|proxy has no credentials for the role"
)

# A server may be told to speak another language. Then a text counts that came from the server (a
# severity and two spaces; libpq writes those itself) after a password was sent. What such a server
# refuses for another reason is taken for a refusal too, which costs a read of the secret; so the
# English texts that can come at this point are left out.
_FROM_SERVER = re.compile(r"\S:  \S")
_OTHER_ENGLISH = re.compile(r"database|too many|slots|permission denied|terminating")


def is_refusal(error: Exception) -> bool:
    """Whether an error of psycopg says that the server refuses user or password."""
    if not isinstance(error, DatabaseWrapper.Database.OperationalError):
        return False
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if code:
        return code in _REFUSALS
    text = str(error)
    if _ENGLISH.search(text):
        return True
    sent = getattr(getattr(error, "pgconn", None), "used_password", False)
    said = _FROM_SERVER.search(text)  # before it is libpq's, with the name of the host
    return bool(sent and said and not _OTHER_ENGLISH.search(text, said.start()))


class DatabaseWrapper(RotatingWrapper, base.DatabaseWrapper):
    """Django's, but for the opening of a connection."""

    def is_refusal(self, error: Exception) -> bool:
        """Whether the error says so."""
        return is_refusal(error)

    @property
    def pool(self) -> Any:
        """Django's pool of psycopg 3, which opens its connections in threads of its own."""
        pool = super().pool
        secret = self.secret
        if pool is not None and secret and not hasattr(pool.connection_class, "secret"):
            # Not open yet: Django opens it after it has asked for it here.
            pool.connection_class = _rotating(pool.connection_class, secret)
        return pool


def _rotating(kind: Any, database_secret: DatabaseSecret) -> Any:
    """A class of connections like this one, whose ``connect`` knows the secret."""

    class RotatingConnection(kind):  # type: ignore[misc]  # the class is known at run time only
        secret = database_secret

        @classmethod
        def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
            connect = super().connect
            # The arguments are those of when the pool was made.
            first = cls.secret.working or Credentials(
                kwargs.get("user", ""), kwargs.get("password", "")
            )

            def open_with(credentials: Credentials) -> Any:
                return connect(conninfo, **{**kwargs, **credentials._asdict()})

            return cls.secret.connect(open_with, first, is_refusal)

    return RotatingConnection
