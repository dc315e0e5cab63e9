"""Django's MySQL engine, with a password that is read anew when it was rotated."""

from __future__ import annotations

from django.db.backends.mysql import base

from ..engine import RotatingWrapper

# ER_ACCESS_DENIED_ERROR and ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
# ER_ACCOUNT_HAS_BEEN_LOCKED, of MySQL and of MariaDB: how one of two alternating users is retired.
# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
_REFUSALS = {1045, 1698, 3118, 4151}


class DatabaseWrapper(RotatingWrapper, base.DatabaseWrapper):
    """Django's, but for the opening of a connection."""

    def is_refusal(self, error: Exception) -> bool:
        """Whether the error has a code that says so."""
        return (
            isinstance(error, self.Database.OperationalError)
            and bool(error.args)
            and error.args[0] in _REFUSALS
        )
