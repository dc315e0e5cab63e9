"""Arguments that several verbs share, in credstash's spelling, and how values are read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files, formats
from ..backends.capabilities import AWSStore
from ..exceptions import SecretsError
from ..types import SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..backends.base import BaseStore
    from ..config import Config
    from .console import Console

#: As credstash names them.
DIGESTS = ("SHA", "SHA224", "SHA256", "SHA384", "SHA512", "MD5")
#: Arguments that replace an option of the store for one run: the argument's dest -> the option.
OVERRIDES = {"context": "context", "key": "key_id", "digest": "digest"}
# Arguments that `refuse_empty` looks at: the argument's dest -> its name for people, and a hint.
_NOT_EMPTY = {
    "url": ("--url", "name the store, or leave --url out"),
    "key": ("-k", "give an alias, an id or an ARN, or leave -k out"),
    "output": ("-o", "name a file; without -o, stdout has the values"),
}
#: What an operation may take where OPTIONS["timeout"] does not say it (seconds). A fetch has 10, as
#: a site waits for it to start; throttling may well last longer.
SECONDS = 60.0


def add_context(parser: argparse.ArgumentParser) -> None:
    """``k=v …``: the encryption context."""
    parser.add_argument(
        "context",
        nargs="*",
        default=[],
        metavar="CONTEXT=VALUE",
        help="the KMS encryption context, instead of the configured one (CredStash)",
    )


def add_key_and_digest(parser: argparse.ArgumentParser) -> None:
    """``-k`` and ``-d``."""
    parser.add_argument("-k", "--key", metavar="KEY", help="the KMS key for what is written")
    parser.add_argument(
        "-d",
        "--digest",
        choices=DIGESTS,
        metavar="DIGEST",
        help=f"the digest of the HMAC (CredStash): {', '.join(DIGESTS)}; SHA256",
    )
    parser.add_argument(
        "-a",
        "--autoversion",
        action="store_true",
        help="as in credstash; a put without a version always makes the next one",
    )


def add_format(parser: argparse.ArgumentParser, default: str | None = "json") -> None:
    """``-f``: how values are written."""
    parser.add_argument(
        "-f", "--format", choices=("json", "dotenv", "yaml", "csv"), default=default
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """``FILE`` and ``--input-format``: where many values are read from; see `read_values`."""
    # SecretStr: it may be a tree of values itself.
    parser.add_argument("source", type=SecretStr, metavar="FILE", help="FILE or @FILE; - for stdin")
    parser.add_argument(
        "--input-format",
        choices=("json", "dotenv", "yaml"),
        help="left out: by the file's name; of stdin, JSON or dotenv by its first character",
    )


def add_listing_format(parser: argparse.ArgumentParser, words: str | None = None) -> None:
    """``-f``: how a listing is written."""
    parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help=words)


def add_report_format(parser: argparse.ArgumentParser) -> None:
    """``-f``: whether what was done is written as data too; see `Console.report`."""
    add_listing_format(parser, "json: what was done, on stdout, for programs")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """``--yes``: the answer to a question that would be asked."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def context_of(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``k=v`` pairs.

    Raises:
        SecretsError: one is not of that form, or a key stands twice. It is not repeated: it may
            be a value in the wrong place.
    """
    context: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise SecretsError(
                "an argument after the value is not of the form key=value",
                hint="what follows is the encryption context; quote a value that has spaces",
            )
        if key in context:
            raise SecretsError(f"the context has {key} twice", hint="keep one of them")
        context[key] = value
    return context


def refuse_empty(options: Mapping[str, Any]) -> None:
    """Refuse an option that is empty, as of a shell's variable that is not set.

    What holds without the option is not meant: the configured store or key, and stdout.

    Raises:
        SecretsError: one is empty.
    """
    for option, (flag, hint) in _NOT_EMPTY.items():
        if options.get(option) == "":
            raise SecretsError(f"{flag} is empty", hint=hint)


def overrides_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The store's options that the arguments replace."""
    given = {option: options.get(dest) for dest, option in OVERRIDES.items()}
    if given["context"]:
        given["context"] = context_of(given["context"])
    return {option: value for option, value in given.items() if value}


def store_of(config: Config) -> BaseStore:
    """The store of a configuration, not opened, with the time that a command has."""
    store = config.make_store()
    if isinstance(store, AWSStore) and "timeout" not in config.options:
        store.timeouts = store.timeouts._replace(overall=SECONDS)
    return store


def read_value(
    argument: str, console: Console, *, instead: str = "leave it out to be asked, or use - or @FILE"
) -> SecretStr:
    """Read a value as credstash does: ``-`` is stdin, ``@FILE`` a file, all else the value.

    Nothing is stripped. A value on the command line, and one that ends in a line break, are
    warned about.

    Args:
        argument: as typed.
        console: where to warn.
        instead: what to type in the place of a value.

    Raises:
        SecretsError: it cannot be read, or is not UTF-8.
    """
    if argument == "-":
        value = read_stdin()
    elif argument.startswith("@"):
        value = read_file(argument)
    else:
        console.say(
            "warning: the value was on the command line, where `ps` and the shell's history show "
            f"it; {instead}"
        )
        return SecretStr(argument)
    if value.endswith("\n"):
        console.say("warning: the value ends with a line break, and is stored with it")
    return value


def read_values(
    source: str,
    format: str | None,  # noqa: A002
    console: Console,
) -> dict[str, str]:
    """Read the names and values of a file, of stdin, or of a tree of JSON as credstash takes it.

    Args:
        source: as typed.
        format: ``json``, ``dotenv`` or ``yaml``; None: known by the name, or the first character.
        console: where to warn.

    Raises:
        SecretsError: it cannot be read, or there is nothing in it.
    """
    if source == "-":
        text = read_stdin()
    elif source.lstrip().startswith("{"):
        console.say(
            "warning: the values were on the command line, where `ps` and the shell's history "
            "show them; use a file or -"
        )
        text = SecretStr(source)
    else:
        text = read_file(source)
        format = format or formats.format_of(str(path_of(source)))  # noqa: A001
    format = format or ("json" if text.lstrip()[:1] == "{" else "dotenv")  # noqa: A001
    found = formats.parse(text, format, exact=True)
    values: dict[str, str] = masked(found)
    if not values:
        # An upstream command that failed sends nothing; putall --prune would then empty the store.
        raise SecretsError(
            "there are no secrets in what was read", hint="look at where it comes from"
        )
    return values


def read_file(argument: str) -> SecretStr:
    """All of a file, given as ``FILE`` or ``@FILE``, as text.

    Raises:
        SecretsError: it cannot be read, is too large, or not UTF-8. A path that is not there is
            not repeated: it may be a value.
    """
    path = path_of(argument)
    if not _exists(path):
        raise SecretsError(
            "there is no file of the name that was given, or it cannot be reached",
            hint="check the path; a value that begins with @ goes through stdin (-)",
        )
    return SecretStr(files.read_text(path))


def path_of(argument: str) -> Path:
    """The path in ``FILE`` or ``@FILE``; ``~`` is a home directory."""
    path = Path(argument.removeprefix("@"))
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user
        return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long: a value
        return False


def read_stdin() -> SecretStr:
    """All of stdin as text.

    Raises:
        SecretsError: it is closed, is too large, or not UTF-8.
    """
    if sys.stdin is None:
        raise SecretsError("stdin is closed", hint="send the values to it, or name a file")
    return SecretStr(files.decode(sys.stdin.buffer.read(files.MAX_BYTES + 1), "stdin"))
