"""What a database's secret says: an entry of DATABASES, and the user and password in it.

A secret is a database URL, or a JSON tree as Amazon RDS writes it:
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ..exceptions import SecretsError
from ..formats import tree
from ..types import SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..loader import Secrets

POSTGRESQL = "django_kms_secrets.db.postgresql"
MYSQL = "django_kms_secrets.db.mysql"

# By the scheme of a URL, as django-environ knows them, and by the "engine" of a tree, as RDS
# writes it.
_ENGINES = {
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "psql": POSTGRESQL,
    "pgsql": POSTGRESQL,
    "aurora-postgresql": POSTGRESQL,
    "mysql": MYSQL,
    "mysql2": MYSQL,
    "mariadb": MYSQL,
    "aurora": MYSQL,
    "aurora-mysql": MYSQL,
}

# Not more than that: what comes before a :// in text that is no URL may be a password.
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")

# RDS writes more (dbInstanceIdentifier, masterarn); nothing else is for DATABASES.
_KEYS = {
    "engine": "ENGINE",
    "dbname": "NAME",
    "username": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
}

#: Those that a rotation changes.
ROTATED = ("username", "password")


class Credentials(NamedTuple):
    """A user and its password, under the names that the drivers have for them."""

    user: str
    password: str


def entry_of(secrets: Secrets, name: str) -> dict[str, Any]:
    """Read an entry of DATABASES: what the secret says of it, the password masked.

    Args:
        secrets: where the secret is.
        name: its name; "" where all of the store is the tree.

    Raises:
        SecretNotFound: the name is missing.
        SecretsError: it is neither a URL nor a tree, or there is no engine for it.
    """
    if name:
        return _of_text(secrets[name], _Label(secrets, name))
    values = {key: secrets[key] for key in _KEYS if key in secrets}
    return _of_tree(values, _Label(secrets, name))


def credentials_of(secrets: Secrets, name: str) -> Iterator[Credentials]:
    """Give all credentials of a secret that may work: current, pending, previous.

    Args:
        secrets: where the secret is, just refreshed.
        name: its name; "" where all of the store is the tree.

    Raises:
        SecretsError: a version could not be fetched, or is not what `entry_of` reads.
    """
    if name:
        label = _Label(secrets, name)
        yield _credentials(_of_text(secrets[name], label))
        for value in secrets.fallbacks(name):
            yield _credentials(_of_text(value, label))
        return
    # Two names, each with its stages. Between the reads of the two a stage may move, so what
    # belongs together cannot be told: those of one stage most often come first.
    yield Credentials(*(_text(secrets[key]) for key in ROTATED))
    users, passwords = ([secrets[key], *secrets.fallbacks(key)] for key in ROTATED)
    pairs = itertools.product(enumerate(users), enumerate(passwords))
    for (_, user), (_, password) in sorted(pairs, key=lambda pair: pair[0][0] != pair[1][0]):
        yield Credentials(str(user), password)


class _Label:
    """A secret as errors name it."""

    def __init__(self, secrets: Secrets, name: str) -> None:
        self._names = [name] if name else []
        self._text = f"{name} in {secrets.place}" if name else secrets.place

    def error(self, problem: str, hint: str) -> SecretsError:
        return SecretsError(f"{self._text} {problem}", hint=hint, names=self._names)


def _credentials(entry: Mapping[str, Any]) -> Credentials:
    return Credentials(entry.get("USER", ""), entry.get("PASSWORD", SecretStr()))


def _of_text(text: SecretStr, label: _Label) -> dict[str, Any]:
    values = masked(tree.parse_object(text))
    if values is not None:
        return _of_tree(values, label)
    scheme = _SCHEME.match(text)
    if not scheme:
        raise label.error(
            "is neither a database URL nor a JSON tree",
            'write postgres://user:password@host:port/name, or {"username": …, "password": …}',
        )
    engine = _engine(scheme[1], label)
    entry = _of_url(text, engine)
    if entry is None:
        raise label.error(
            "cannot be read as a database URL",
            "percent-encode special characters of the user and the password",
        )
    return entry


def _of_url(text: SecretStr, engine: str) -> dict[str, Any] | None:
    import environ

    try:
        parts = urlsplit(text)
        # A password with an unquoted / in it: a part of it would pass for the database's name.
        if "@" in parts.path and "@" not in parts.netloc:
            return None
        found = environ.Env.db_url_config(str(text), engine)
    except Exception:  # its own errors would repeat the value
        return None
    entry = {key: value for key, value in found.items() if value not in ("", None)}
    if "HOST" in entry:
        entry["HOST"] = unquote(entry["HOST"])  # %2Frun%2Fpostgresql, a directory with a socket
    for key in ("PASSWORD", "OPTIONS"):
        if key in entry:
            entry[key] = masked(entry[key])
    return entry


def _of_tree(values: Mapping[str, Any], label: _Label) -> dict[str, Any]:
    entry: dict[str, Any] = {
        key: _text(values[name]) if key == "PASSWORD" else str(_text(values[name]))
        for name, key in _KEYS.items()
        if values.get(name)
    }
    if "ENGINE" in entry:
        entry["ENGINE"] = _engine(entry["ENGINE"], label)
    return entry


def _text(value: Any) -> SecretStr:
    return SecretStr(tree.text_of(value))


def _engine(kind: str, label: _Label) -> str:
    engine = _ENGINES.get(kind.lower())
    if engine is None:
        raise label.error(
            "is for a kind of database without an engine here",
            "there is one for PostgreSQL, and one for MySQL and MariaDB; "
            "for others use secrets.env.db()",
        )
    return engine
