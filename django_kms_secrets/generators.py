"""New values for a rotation: what makes them, and how hard they are to guess."""

from __future__ import annotations

import importlib
import math
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .exceptions import SecretsError, did_you_mean
from .types import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable

#: Characters of a random value, and what they are taken from.
LENGTH = 50
ALPHABET = string.ascii_letters + string.digits
#: More than this is no key.
MAX_LENGTH = 4096
#: A random value of fewer bits than this can be guessed by trying.
LEAST_BITS = 64
#: A random value of fewer bits than this is warned about.
GOOD_BITS = 128

_DJANGO = "django.core.management.utils.get_random_secret_key"


@dataclass(frozen=True)
class Generator:
    """Makes new values.

    Attributes:
        words: what it makes, for people.
        call: makes a value; what it gives is not trusted.
        warning: what is to be said before it is used.
    """

    words: str
    call: Callable[[], Any]
    warning: str = ""

    def make(self) -> SecretStr:
        """Make a value.

        Raises:
            SecretsError: it failed, or gave something else than text. What it raised is not
                shown, and not in the error's context either: it may have the value in it.
        """
        try:
            made = self.call()
            text = SecretStr(made) if isinstance(made, str) else None
            reason = "gave an empty str" if text == "" else f"gave a {type(made).__name__}, no str"
            del made
            if text:
                return text
        except (Exception, SystemExit) as exc:  # code of somebody else: anything may come
            reason = f"raised {type(exc).__name__}"
        raise SecretsError(
            f"the generator failed: {self.words} {reason}",
            hint="run it by itself to see why; nothing was written",
        )


def choose(
    name: str, *, length: int | None = None, alphabet: str | None = None, path: str | None = None
) -> Generator:
    """The generator for a secret.

    Args:
        name: the secret; a SECRET_KEY needs no option.
        length, alphabet: for random text.
        path: ``package.module.callable``.

    Raises:
        SecretsError: the options make no generator, or a weak one, or none was given and the
            name does not say what kind of value it is.
    """
    if path is not None:
        return Generator(path, _imported(path))
    if length is not None or alphabet is not None:
        return _random(
            LENGTH if length is None else length, ALPHABET if alphabet is None else alphabet
        )
    if is_secret_key(name):
        return Generator(_DJANGO, _imported(_DJANGO))
    raise SecretsError(
        f"no telling what a new value of {name} looks like",
        hint="--length N for random characters, --generator package.module.callable, or "
        "--value - (stdin) or --value @FILE",
        names=[name],
    )


def is_secret_key(name: str) -> bool:
    """Whether a name is that of a SECRET_KEY: alone, or below others (``notes/SECRET_KEY``)."""
    return re.split(r"[/.]", name)[-1] == "SECRET_KEY"


def _random(length: int, alphabet: str) -> Generator:
    # A character that stands twice would come twice as often.
    characters = "".join(dict.fromkeys(alphabet))
    if len(characters) < 2 or not characters.isprintable():
        raise SecretsError(
            "the alphabet has fewer than two different characters, or one that is not printable",
            hint="leave --alphabet out for letters and digits",
        )
    if not 1 <= length <= MAX_LENGTH:
        raise SecretsError(
            f"a length of {length} is not 1 to {MAX_LENGTH}",
            hint=f"leave --length out for {LENGTH}",
        )
    return Generator(
        f"{length} random characters",
        lambda: _random_text(length, characters),
        _weakness(length, len(characters)),
    )


def _weakness(length: int, size: int) -> str:
    """What is to be said of a length and the size of an alphabet: nothing, or a warning.

    Raises:
        SecretsError: a value like that can be guessed.
    """
    bits = length * math.log2(size)
    words = f"{length} characters out of {size} are {int(bits)} bits"
    enough = f"{GOOD_BITS} bits take --length {math.ceil(GOOD_BITS / math.log2(size))}"
    if bits < LEAST_BITS:
        raise SecretsError(f"{words}, which can be guessed by trying", hint=enough)
    return f"{words}; {enough}" if bits < GOOD_BITS else ""


def _random_text(length: int, characters: str) -> SecretStr:
    # Imported when it is used: a project may have a secrets.py of its own beside manage.py, and
    # only who asks for random text should meet it.
    import secrets

    return SecretStr("".join(secrets.choice(characters) for _ in range(length)))


def _imported(path: str) -> Callable[[], Any]:
    module, _, attribute = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        # Not repeated: it may be a value in the wrong place.
        raise SecretsError(
            "the generator is not of the form package.module.callable",
            hint="a value itself is given with --value - (stdin) or --value @FILE",
        )
    known: list[str] = []
    try:
        imported = importlib.import_module(module)
        known = dir(imported)
        found = getattr(imported, attribute)
        if callable(found):
            return found  # type: ignore[no-any-return]
        reason = "it is not callable"
    except (Exception, SystemExit) as exc:  # a module of somebody else: anything may come
        reason = type(exc).__name__
    raise SecretsError(
        f"the generator {path} cannot be used: {reason}",
        hint=f"{did_you_mean([attribute], known)}"
        f"see whether `python -c 'import {module}'` works here",
    )
