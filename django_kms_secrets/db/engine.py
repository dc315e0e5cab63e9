"""What both engines add to Django's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .entry import Credentials
from .secret import KEY, DatabaseSecret

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as _Base
else:
    _Base = object


class RotatingWrapper(_Base):
    """Opens a connection with credentials that work, if its settings have a `DatabaseSecret`.

    User and password are all that it ever replaces: the database is another one under test, and the
    host of a replica is not that of the secret.
    """

    def is_refusal(self, error: Exception) -> bool:
        """Whether an error of the driver says that the database refuses the credentials."""
        raise NotImplementedError

    @property
    def secret(self) -> DatabaseSecret | None:
        """The secret; None where the entry, or the user or password in it, was written by hand."""
        found = self.settings_dict.get(KEY)
        if isinstance(found, DatabaseSecret) and found.gave(self.settings_dict):
            return found
        return None

    def get_connection_params(self) -> dict[str, Any]:
        """The driver's arguments, with the credentials that work."""
        params = super().get_connection_params()
        secret = self.secret
        working = secret.working if secret else None
        if working:
            # Threads share the settings, so between two of its keys another thread may come.
            self._follow(working)
            params.update(working._asdict())
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open a connection; if the credentials are refused, with others of the secret."""
        connect = super().get_new_connection
        secret = self.secret
        if secret is None:
            return connect(conn_params)
        first = Credentials(conn_params.get("user", ""), conn_params.get("password", ""))

        def open_with(credentials: Credentials) -> Any:
            if credentials == first:
                return connect(conn_params)
            connection = connect({**conn_params, **credentials._asdict()})
            self._follow(credentials)
            return connection

        return secret.connect(open_with, first, self.is_refusal)

    def _follow(self, credentials: Credentials) -> None:
        """What reads the settings itself, as dbshell does, finds what works."""
        self.settings_dict["USER"], self.settings_dict["PASSWORD"] = credentials
