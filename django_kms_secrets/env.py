"""django-environ over secrets: its casts, without its ways of showing or expanding a value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import ParseResult, urlparse

import environ

from .exceptions import SecretNotFound, SecretsError
from .offline import EmptyTree
from .types import SecretStr, masked

Text = str  # inside the classes below, ``str`` is a method
Bytes = bytes

_NOTSET: Any = environ.Env.NOTSET

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Never, TypeVar

    from .loader import Secrets

    Bool: TypeAlias = bool
    Int: TypeAlias = int
    Float: TypeAlias = float
    AnyList: TypeAlias = list[Any]
    AnyTuple: TypeAlias = tuple[Any, ...]
    AnyDict: TypeAlias = dict[Any, Any]
    T = TypeVar("T", default=Never)

    class _Env:
        """What is used of django-environ, which has no types.

        A default of another type, such as None, is a part of the result's.
        """

        prefix: Text
        ENVIRON: Mapping[Text, Text]
        scheme: Any
        smart_cast: Any
        parse_value: Any
        db_url_config: Any
        cache_url_config: Any
        email_url_config: Any
        search_url_config: Any
        channels_url_config: Any

        def __init__(self, **scheme: Any) -> None: ...
        def __call__(
            self, var: Text, cast: Any = ..., default: Any = ..., parse_default: Any = ...
        ) -> Any: ...
        def get_value(
            self, var: Text, cast: Any = ..., default: Any = ..., parse_default: Any = ...
        ) -> Any: ...
        def bool(self, var: Text, default: Bool | T = ...) -> Bool | T: ...
        def int(self, var: Text, default: Int | T = ...) -> Int | T: ...
        def float(self, var: Text, default: Float | T = ...) -> Float | T: ...
        def list(self, var: Text, cast: Any = ..., default: AnyList | T = ...) -> AnyList | T: ...
        def tuple(
            self, var: Text, cast: Any = ..., default: AnyTuple | T = ...
        ) -> AnyTuple | T: ...
        def dict(self, var: Text, cast: Any = ..., default: AnyDict | T = ...) -> AnyDict | T: ...
        def path(self, var: Text, default: Any = ..., **kwargs: Any) -> Any: ...
else:
    _Env = environ.Env

# What may be read in the dicts that db(), cache() and the like make; all else in them is masked.
_PUBLIC = {
    "BACKEND",
    "EMAIL_BACKEND",
    "EMAIL_HOST",
    "EMAIL_HOST_USER",
    "EMAIL_PORT",
    "ENGINE",
    "HOST",
    "INDEX_NAME",
    "KEY_PREFIX",
    "NAME",
    "PORT",
    "USER",
}

_DUMMY_CACHE = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}


class SecretsEnv(_Env):
    """An ``environ.Env`` that looks in the store first and in the process environment second.

    It differs from ``environ.Env`` where secrets need it to: a secret is never expanded (``$…`` is
    part of the value), what a cast makes of a secret stays masked, and no error carries a value.

    Args:
        secrets: the secrets to look in.
        scheme: as of ``environ.Env``: names with a cast, or a cast and a default.
    """

    def __init__(self, secrets: Secrets, **scheme: Any) -> None:
        super().__init__(**scheme)
        self._secrets = secrets
        self.ENVIRON: Mapping[Text, Text] = _Environment(secrets)

    def get_value(
        self, var: str, cast: Any = None, default: Any = _NOTSET, parse_default: bool = False
    ) -> Any:
        """The value of a name, cast; what `environ.Env` calls every other method with.

        Raises:
            SecretNotFound: it is nowhere, and there is no default.
            SecretsError: it cannot be cast.
        """
        name = f"{self.prefix}{var}"
        cast, default = self._declared(name, cast, default)
        if _has(self._secrets, name):
            return self._cast_secret(name, cast, default)
        if name in os.environ or default is not _NOTSET:
            parse = super().get_value
            return _guarded(name, lambda: parse(var, cast, default, parse_default), cast)
        if recording := self._secrets._recording_of(name):
            recording.note(name, required=True, from_env=True)
            return _empty(cast)
        return self._raise_missing(name)

    def _declared(self, name: str, cast: Any, default: Any) -> tuple[Any, Any]:
        """Cast and default, with those that the scheme declares for the name."""
        declared = self.scheme.get(name)
        if isinstance(declared, (tuple, list)) and len(declared) == 2:
            cast = cast or declared[0]
            default = declared[1] if default is _NOTSET else default
        else:
            cast = cast or declared
        if cast is None and self.smart_cast and default is not None and default is not _NOTSET:
            cast = type(default)
        return cast, default

    def _cast_secret(self, name: str, cast: Any, default: Any) -> Any:
        value = self._secrets[name]
        if default is None and value == "":
            return None
        if cast is None or cast is str:
            return value
        made = _guarded(name, lambda: masked(self.parse_value(value, cast)), cast)
        # What is secret in these two is known already, and not all that is in them is.
        if cast not in (json.loads, urlparse):
            self._secrets._loaded.add(_texts(made))
        return made

    def _raise_missing(self, name: str) -> Any:
        try:
            return self._secrets[name]
        except SecretNotFound as exc:
            missing = exc
        raise SecretNotFound(
            f"{missing.message}; {name} is not in the process environment either",
            hint=f"{missing.hint}; if {name} is no secret, set it in the environment",
            names=missing.names,
        )

    # The methods below are those of environ.Env that do more than get_value.

    @overload
    def str(
        self, var: Text, default: Text = ..., multiline: Bool = ..., choices: Any = ...
    ) -> Text: ...
    @overload
    def str(self, var: Text, default: T, multiline: Bool = ..., choices: Any = ...) -> Text | T: ...
    def str(
        self, var: Text, default: Any = _NOTSET, multiline: Bool = False, choices: Any = _NOTSET
    ) -> Any:
        """A string; ``multiline`` turns a written backslash n into a line break."""
        name = f"{self.prefix}{var}"
        value = self.get_value(var, cast=str, default=default)
        if (
            choices is not _NOTSET
            and value not in choices
            and not self._secrets._recording_of(name)
        ):
            raise SecretsError(
                f"{name} is none of {', '.join(map(repr, choices))}",
                hint="write one of them",
                names=[name],
            )
        if multiline and value is not None:
            lines = type(value)(re.sub(r"(\\r)?\\n", "\n", value))
            if isinstance(lines, SecretStr):
                self._secrets._loaded.add([lines])
            return lines
        return value

    @overload
    def bytes(self, var: Text, default: Text | Bytes = ..., encoding: Text = ...) -> Bytes: ...
    @overload
    def bytes(self, var: Text, default: T, encoding: Text = ...) -> Bytes | T: ...
    def bytes(self, var: Text, default: Any = _NOTSET, encoding: Text = "utf8") -> Any:
        """The string, encoded."""
        value = self.get_value(var, cast=str, default=default)
        return masked(value.encode(encoding)) if hasattr(value, "encode") else value

    def json(self, var: Text, default: Any = _NOTSET) -> Any:
        """What the JSON says; strings in it are masked if it is a secret."""
        return self.get_value(var, cast=json.loads, default=default)

    def url(self, var: Text, default: Any = _NOTSET) -> Any:
        """A ``ParseResult``."""
        return self.get_value(var, cast=urlparse, default=default, parse_default=True)

    def path(self, var: Text, default: Any = _NOTSET, **kwargs: Any) -> Any:
        """An ``environ.Path``."""
        make = super().path
        return _guarded(var, lambda: make(var, default, **kwargs), "a path")

    def db_url(self, var: Text = "DATABASE_URL", default: Any = _NOTSET, engine: Any = None) -> Any:
        """An entry of DATABASES; offline an empty one, which Django takes for the dummy engine."""

        def make() -> Any:
            return self.db_url_config(_database_url(self.get_value(var, default=default)), engine)

        return self._config(var, default, make)

    def cache_url(
        self, var: Text = "CACHE_URL", default: Any = _NOTSET, backend: Any = None
    ) -> Any:
        """An entry of CACHES; offline the dummy cache."""
        return self._config(
            var,
            default,
            lambda: self.cache_url_config(self.url(var, default), backend),
            offline=_DUMMY_CACHE,
        )

    def email_url(
        self, var: Text = "EMAIL_URL", default: Any = _NOTSET, backend: Any = None
    ) -> Any:
        """The EMAIL settings; offline none."""
        return self._config(
            var, default, lambda: self.email_url_config(self.url(var, default), backend)
        )

    def search_url(
        self, var: Text = "SEARCH_URL", default: Any = _NOTSET, engine: Any = None
    ) -> Any:
        """A Haystack connection; offline an empty one."""
        return self._config(
            var, default, lambda: self.search_url_config(self.url(var, default), engine)
        )

    def channels_url(
        self, var: Text = "CHANNELS_URL", default: Any = _NOTSET, backend: Any = None
    ) -> Any:
        """A channel layer; offline an empty one."""
        return self._config(
            var, default, lambda: self.channels_url_config(self.url(var, default), backend)
        )

    db = db_url
    cache = cache_url
    email = email_url
    channels = channels_url

    def _config(
        self,
        var: Text,
        default: Any,
        make: Callable[[], Any],
        offline: Mapping[Text, Any] | None = None,
    ) -> Any:
        name = f"{self.prefix}{var}"
        recording = self._secrets._recording_of(name)
        if recording and name not in os.environ and default is _NOTSET:
            recording.note(name, required=True, from_env=True)
            return dict(offline or {})
        config = _published(_guarded(name, make, "this kind of URL"))
        if _has(self._secrets, name):
            self._secrets._loaded.add(_passwords(config))
        return config


class _Environment(Mapping[str, str]):
    """The store first, the process environment second."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __getitem__(self, name: str) -> str:
        return self._secrets[name] if _has(self._secrets, name) else os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter({*self._secrets, *os.environ})

    def __len__(self) -> int:
        return len({*self._secrets, *os.environ})


def _has(secrets: Secrets, name: str) -> bool:
    """Whether a secret is there; offline none is, and it is known who asked."""
    if recording := secrets._recording_of(name):
        recording.note(name, required=False, from_env=True)
        return False
    return name in secrets


def _guarded(name: str, make: Callable[[], Any], cast: Any) -> Any:
    """Run a cast; its own errors would repeat the value, so they are replaced."""
    try:
        return make()
    except SecretsError:
        raise
    except Exception:  # noqa: S110 - replaced below, outside of its context
        pass
    kind = cast if isinstance(cast, str) else getattr(cast, "__name__", type(cast).__name__)
    raise SecretsError(
        f"{name} cannot be read as {kind}", hint=f"correct the value of {name}", names=[name]
    )


def _database_url(value: Any) -> Any:
    # db_url_config warns about such values, and its warning repeats them.
    if isinstance(value, str) and value != "sqlite://:memory:":
        url = urlparse(value)
        if not url.scheme or (url.scheme == "sqlite" and url.netloc):
            raise ValueError
        # A password with an unquoted / in it: a part of it would pass for the database's name.
        if "@" in url.path and "@" not in url.netloc and url.netloc:
            raise ValueError
    return str(value) if isinstance(value, SecretStr) else value


def _published(config: Any) -> Any:
    """Mask what is in a config, but for what has to be readable and is no secret."""
    if not isinstance(config, dict):
        return masked(config)
    return {
        key: str(value) if key in _PUBLIC and isinstance(value, str) else masked(value)
        for key, value in config.items()
    }


def _texts(made: Any) -> Iterator[str]:
    """The strings in what a cast made."""
    if isinstance(made, str):
        yield made
    elif isinstance(made, (list, tuple, set, frozenset, dict)):
        for inner in made.values() if isinstance(made, dict) else made:
            yield from _texts(inner)
    elif isinstance(made, (int, float)):
        yield repr(made)


def _passwords(config: Any) -> Iterator[str]:
    """What is secret in a config; its options, such as sslmode=require, are ordinary words."""
    for key, value in config.items() if isinstance(config, dict) else ():
        if "PASSWORD" in str(key).upper() and isinstance(value, str):
            yield value
        else:
            yield from _passwords(value)


def _empty(cast: Any) -> Any:
    """The empty value of a cast's type, for offline mode."""
    if cast is json.loads:
        return EmptyTree()
    if cast is urlparse:
        return ParseResult("", "", "", "", "", "")
    if isinstance(cast, (list, tuple, dict)):
        return type(cast)()
    if cast in (bool, int, float, list, tuple, dict):
        return cast()
    return SecretStr()
