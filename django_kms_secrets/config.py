"""From what a user writes, a dict or a URL, to a store."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from django.utils.module_loading import import_string

from .backends.base import BaseStore
from .exceptions import SecretsError, did_you_mean

#: The variable that configures a process whose settings say ``load()``.
URL_VARIABLE = "KMS_SECRETS_URL"

_SCHEMES = {
    "credstash": "django_kms_secrets.backends.credstash.CredStashStore",
    "secretsmanager": "django_kms_secrets.backends.secretsmanager.SecretsManagerStore",
    "file": "django_kms_secrets.backends.file.FileStore",
    "locmem": "django_kms_secrets.backends.locmem.LocMemStore",
}
_KEYS = ("BACKEND", "OPTIONS", "NAMES", "LAST_KNOWN_GOOD")
#: What that key is called in a URL.
_LAST_KNOWN_GOOD = "last_known_good"


class CopyOptions(NamedTuple):
    """Where the last known good values are kept; see `lastgood`.

    Attributes:
        path: the file.
        max_age: how long it may be used (seconds).
        key_id: the KMS key that seals it; "" for a file in memory.
    """

    path: str
    max_age: float
    key_id: str = ""


class Config(NamedTuple):
    """What to read, and from where.

    Attributes:
        store_class: the store's class.
        options: its OPTIONS.
        names: what to fetch; None for everything in the store.
        source: what it was read from: a dict, or a URL.
        last_known_good: the copy for when the store is out; None for none.
    """

    store_class: type[BaseStore]
    options: Mapping[str, Any]
    names: tuple[str, ...] | None = None
    source: Mapping[str, Any] | str = ""
    last_known_good: CopyOptions | None = None

    def with_options(self, **options: Any) -> Config:
        """The same with some OPTIONS replaced."""
        return self._replace(options={**self.options, **options})

    def make_store(self) -> BaseStore:
        """Make the store; nothing is opened or sent.

        Raises:
            SecretsError: an option is unknown, missing or not valid.
        """
        name = self.store_class.__name__
        parameters = inspect.signature(self.store_class).parameters
        of_url = ("names", _LAST_KNOWN_GOOD) if isinstance(self.source, str) else ()
        _refuse_unknown(self.options, [*parameters, *of_url], f"option of {name}")
        missing = [
            option
            for option, parameter in parameters.items()
            if parameter.default is parameter.empty and option not in self.options
        ]
        if missing:
            raise SecretsError(
                f"{name} needs the option {', '.join(missing)}", hint='set it in "OPTIONS"'
            )
        return self.store_class(**self.options)


def read_config(source: Mapping[str, Any] | str | None) -> Config:
    """Read a configuration.

    Args:
        source: a dict with BACKEND, OPTIONS and NAMES, a URL, or None for the URL in the
            environment variable `URL_VARIABLE`.

    Raises:
        SecretsError: it is none of these, or a key, a scheme or the backend is unknown.
    """
    if source is None:
        source = os.environ.get(URL_VARIABLE, "")
        if not source:
            raise SecretsError(
                "there is no store to read: no configuration was given",
                hint=f"give load() a dict or a URL, or set {URL_VARIABLE}",
            )
    if source == "":
        raise SecretsError(
            "the configuration is empty", hint=f"give a dict or a URL; None is ${URL_VARIABLE}"
        )
    if isinstance(source, str):
        return _from_url(source)._replace(source=source)
    if isinstance(source, Mapping):
        return _from_dict(source)._replace(source=source)
    raise SecretsError(
        f"a {type(source).__name__} is no configuration", hint="give a dict or a URL"
    )


def _from_dict(source: Mapping[str, Any]) -> Config:
    _refuse_unknown(source, _KEYS, "key of the configuration")
    if "BACKEND" not in source:
        raise SecretsError(
            "the configuration has no BACKEND", hint=f'such as "{_SCHEMES["credstash"]}"'
        )
    options = source.get("OPTIONS", {})
    if not isinstance(options, Mapping):
        raise SecretsError("OPTIONS is not a dict", hint='write "OPTIONS": {"name": "value"}')
    store_class = _store_class(source["BACKEND"])
    return Config(
        store_class,
        dict(options),
        _names(source.get("NAMES")),
        last_known_good=_copy_options(source.get("LAST_KNOWN_GOOD"), store_class),
    )


def _from_url(url: str) -> Config:
    # Nothing of it is repeated: somebody may have pasted a DATABASE_URL, or a password.
    scheme, separator, _ = url.partition("://")
    if scheme not in _SCHEMES or not separator:
        where = f"${URL_VARIABLE}" if url == os.environ.get(URL_VARIABLE) else "this"
        raise SecretsError(
            f"{where} is not the URL of a store",
            hint=did_you_mean([scheme] if separator else [], _SCHEMES)
            + "a store's URL begins with "
            + ", ".join(f"{name}://" for name in _SCHEMES),
        )
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None:
        raise SecretsError(f"the {scheme}:// URL is not valid", hint="quote [ and ] as %5B and %5D")
    if "#" in url:  # a store of a shorter name would be meant
        raise SecretsError(f"the {scheme}:// URL ends at a #", hint="quote it as %23")
    store_class = _store_class(_SCHEMES[scheme])
    query = _query(parts.query)
    names, kept = query.pop("names", None), query.pop(_LAST_KNOWN_GOOD, None)
    options = store_class.options_from_url(unquote(parts.netloc + parts.path), query)
    for name, value in {**options, "names": names}.items():
        if isinstance(value, dict) and name not in store_class.dict_options:
            raise SecretsError(
                f"{name} in the {scheme}:// URL is one text, and has no {name}.… of its own",
                hint=f"write {name}=value",
            )
    return Config(
        store_class,
        options,
        _names(names.split(",") if isinstance(names, str) else names),
        last_known_good=_copy_options(kept, store_class),
    )


def _query(text: str) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        outer, dot, inner = key.partition(".")
        holder, name = (query.setdefault(outer, {}), inner) if dot else (query, key)
        if not isinstance(holder, dict) or name in holder:
            raise SecretsError(f"{key} stands twice in the URL", hint="keep one of them")
        holder[name] = value
    return query


def _store_class(path: object) -> type[BaseStore]:
    try:
        found = import_string(str(path))
    except (ImportError, TypeError, ValueError) as exc:  # the last two of ".x" and "..x"
        reason = str(exc)
    else:
        if isinstance(found, type) and issubclass(found, BaseStore):
            return found
        reason = "it is not a BaseStore"
    raise SecretsError(
        f"BACKEND {path!r} cannot be used: {reason}",
        hint=did_you_mean([str(path)], _SCHEMES.values())
        + "the stores of this package are "
        + ", ".join(_SCHEMES.values()),
    )


def _names(names: Iterable[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    many = isinstance(names, Iterable) and not isinstance(names, str)
    listed = list(names) if many else []
    if not listed or not all(isinstance(name, str) and name for name in listed):
        raise SecretsError("NAMES is not a list of names", hint='write "NAMES": ["SECRET_KEY"]')
    return tuple(dict.fromkeys(listed))


def _copy_options(given: object, store_class: type[BaseStore]) -> CopyOptions | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise SecretsError(
            "LAST_KNOWN_GOOD is not a dict",
            hint='write "LAST_KNOWN_GOOD": {"path": "/run/site/secrets", "max_age": 3600}, in a '
            f"URL {_LAST_KNOWN_GOOD}.path=…&{_LAST_KNOWN_GOOD}.max_age=…",
        )
    _refuse_unknown(given, CopyOptions._fields, "key of LAST_KNOWN_GOOD")
    if store_class.is_local:
        raise SecretsError(
            f"LAST_KNOWN_GOOD is not for a {store_class.__name__}, which asks nobody",
            hint="leave it out",
        )
    path, key_id = given.get("path", ""), given.get("key_id", "")
    if not (isinstance(path, str) and os.path.isabs(path)):  # noqa: PTH117 - pathlib costs more
        raise SecretsError(
            "LAST_KNOWN_GOOD has no absolute path", hint='such as "path": "/run/site/secrets"'
        )
    if "key_id" in given and not (isinstance(key_id, str) and key_id):
        raise SecretsError(
            "the key_id of LAST_KNOWN_GOOD is no KMS key",
            hint="give an alias, an id or an ARN; or leave it out, for a path in memory",
        )
    max_age = seconds(
        given.get("max_age"),
        "the max_age of LAST_KNOWN_GOOD",
        'how long a value that was revoked may still be used, such as "max_age": 3600',
    )
    return CopyOptions(path, max_age, key_id)


def seconds(given: object, what: str, hint: str) -> float:
    """A number of seconds that somebody has given.

    Args:
        given: a number, or the text of one.
        what: how the error calls it.
        hint: the mend.

    Raises:
        SecretsError: it is none, or not above 0.
    """
    try:
        number = float(given)  # type: ignore[arg-type] # of whatever: that is what is tried
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise SecretsError(f"{what} is not a number of seconds above 0", hint=hint)
    return number


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    known = list(known)
    for name in given:
        if name not in known:
            raise SecretsError(
                f"{name!r} is not an {what}" if what[0] in "aeiou" else f"{name!r} is not a {what}",
                hint=f"{did_you_mean([str(name)], known)}known: {', '.join(known)}",
            )
