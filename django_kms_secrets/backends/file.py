"""Secrets in a file, for development: dotenv, JSON or YAML by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import formats
from ..exceptions import SecretsError, StoreNotReady
from ..files import exposure, is_there, locked, make_directory, read_text, write_private
from ..formats import dotenv
from ..types import CURRENT, Secret, SecretStr, SecretVersion, masked
from .base import (
    ABSENT,
    BaseStore,
    checked,
    expect,
    expect_all,
    not_for_servers,
    not_found,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from django.core.checks import CheckMessage

#: The only version of every secret in a file.
VERSION = "1"


class FileStore(BaseStore):
    """One file of names and values, mode 0600, written atomically. It keeps no old versions.

    Options:
        path (str or Path): the file; ``.env`` (or ``.env.*``), ``.json``, ``.yaml`` or ``.yml``.

    A dotenv file keeps its comments and its order when a value changes; YAML loses comments.
    """

    scheme = "file"
    is_local = True

    def __init__(self, *, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._format = formats.format_of(str(path))

    @classmethod
    def options_from_url(cls, location: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """``file:///absolute/path.env``, or ``file://relative/path.env``."""
        return {"path": location, **query}

    @property
    def place(self) -> str:
        """The path."""
        return f"file {self.path}"

    def get(self, name: str, *, version: str = CURRENT) -> Secret:
        """Read the file."""
        values = self._read()
        if name not in values or version not in (CURRENT, VERSION):
            raise not_found(name, self, version=version)
        return Secret(name, values[name], VERSION)

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        """Read the file once."""
        values = self._read()
        wanted = values if names is None else [name for name in names if name in values]
        return {name: Secret(name, values[name], VERSION) for name in wanted}

    def list_secrets(self) -> Sequence[SecretVersion]:
        """The names in the file."""
        return [SecretVersion(name, VERSION, (CURRENT,)) for name in sorted(self._read())]

    def put(self, name: str, value: str, *, expected: str | None = None) -> SecretVersion:
        """Change or add one value."""
        value = masked(value)
        checked(name, value)
        with locked(self.path.parent):
            values = self._read()
            expect(expected, _at(values, name), name, self)
            self._write({name: value})
        return SecretVersion(name, VERSION, (CURRENT,))

    def put_many(
        self, values: Mapping[str, str], *, expected: Mapping[str, str] | None = None
    ) -> Sequence[SecretVersion]:
        """Change or add many values in one write.

        A file has no versions, so only a name that came or went meanwhile is a conflict.
        """
        values = masked(dict(values))
        self.apply(values, (), expected=expected)
        return [SecretVersion(name, VERSION, (CURRENT,)) for name in values]

    def apply(
        self,
        values: Mapping[str, str],
        removals: Iterable[str],
        *,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """As `put_many`, with the removals in the same write."""
        values = masked(dict(values))
        self.validate(values)
        with locked(self.path.parent):
            there = self._read()
            removed = [name for name in removals if name in there]
            expect_all(expected, {name: _at(there, name) for name in (*values, *removed)}, self)
            if values or removed:
                self._write(values, removed)

    def validate(self, values: Mapping[str, str]) -> None:
        """Dotenv has no way to write some names."""
        values = masked(dict(values))
        super().validate(values)
        if self._format == "dotenv":
            dotenv.dump(values)

    def delete(self, name: str) -> None:
        """Take the name out of the file."""
        with locked(self.path.parent):
            if name not in self._read():
                raise not_found(name, self)
            self._write({}, removals=[name])

    def setup(self) -> bool:
        """Create the file, empty, and its directory."""
        if is_there(self.path):
            return False
        make_directory(self.path.parent)
        write_private(self.path, "" if self._format == "dotenv" else "{}\n")
        return True

    def check(self) -> Iterable[CheckMessage]:
        """W006: others than its owner can read the file, or its owner is somebody else."""
        from django.core.checks import Warning  # noqa: A004

        found = exposure(self.path)
        if not found:
            return []
        return [
            Warning(
                f"{self.place} {found}",
                hint=f"`chmod 600 {self.path}`; the user who runs the site should own it",
                id="kms_secrets.W006",
            )
        ]

    def check_deployment(self) -> Iterable[CheckMessage]:
        """W005: it is for development."""
        return [not_for_servers(self)]

    def _text(self) -> str:
        if not is_there(self.path):
            raise StoreNotReady(
                f"there is no {self.place}",
                hint="copy the project's example file to it; `secrets setup` creates it empty",
            )
        return read_text(self.path)

    # An error that is raised while the file's text stands in a frame is replaced by a new one: a
    # traceback that shows the frames' variables would show every value.

    def _read(self, *, exact: bool = False) -> dict[str, SecretStr]:
        try:
            values = formats.parse(self._text(), self._format, exact=exact)
            return {name: SecretStr(value) for name, value in values.items()}
        except SecretsError as exc:
            error = self._replaced(exc)
        raise error

    def _write(self, changes: Mapping[str, str], removals: Collection[str] = ()) -> None:
        try:
            text = SecretStr(self._changed(changes, removals))
        except SecretsError as exc:
            error = self._replaced(exc)
        else:
            write_private(self.path, text)
            return
        raise error

    def _changed(self, changes: Mapping[str, str], removals: Collection[str]) -> str:
        if self._format == "dotenv":
            return dotenv.edit(self._text(), changes, removals)
        values = {**self._read(exact=True), **changes}
        kept = {name: value for name, value in values.items() if name not in removals}
        return formats.dump(kept, self._format)

    def _replaced(self, exc: SecretsError) -> SecretsError:
        if isinstance(exc, StoreNotReady):
            return StoreNotReady(exc.message, hint=exc.hint)
        return SecretsError(f"{self.place}: {exc.message}", hint=exc.hint, names=exc.names)


def _at(values: Mapping[str, str], name: str) -> str:
    """The version of a name in a file."""
    return VERSION if name in values else ABSENT
