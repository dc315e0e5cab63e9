"""The reference lists what the package has: no more, no less, with the same defaults."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import django_kms_secrets
from django_kms_secrets import aws, config, envelope, exceptions
from django_kms_secrets.backends.credstash import table, versions
from django_kms_secrets.backends.secretsmanager import api
from django_kms_secrets.cli.main import VERBS, add_verbs
from django_kms_secrets.formats import dotenv

from .pages import DOCS, ROOT, all_pages, commands, page

if TYPE_CHECKING:
    from types import ModuleType

    from django_kms_secrets.backends.base import BaseStore

STORES = [config.read_config(f"{scheme}://?x=").store_class for scheme in config._SCHEMES]

_OURS = re.compile(
    r"(?:^|\s)(?:manage\.py secrets|-m django_kms_secrets|\bsecrets)\s+(.*)", re.DOTALL
)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Settings


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_options_are_those_of_the_store(kind: type[BaseStore]) -> None:
    """A store's table has its options, in their order, with their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    expected = [
        (
            f"`{parameter.name}`",
            "required" if parameter.default is parameter.empty else _literal(parameter.default),
        )
        for parameter in parameters
    ]
    rows = page("docs/reference/settings.md").table(kind.__name__)
    assert [(row[0], row[2]) for row in rows] == expected


def _literal(value: Any) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{value!r}`"


def test_every_option_has_a_type_and_a_meaning() -> None:
    """No cell of an option's row is empty, and seconds are called seconds."""
    settings = page("docs/reference/settings.md")
    rows = [row for kind in STORES for row in settings.table(kind.__name__)]
    assert all(all(row) and len(row) == 4 for row in rows)
    assert all("seconds" in row[3] for row in rows if "timeout" in row[0])


def test_keys_of_the_configuration_are_documented() -> None:
    """The first table has the keys that a configuration may have."""
    rows = page("docs/reference/settings.md").table("The configuration")
    assert tuple(row[0].strip("`") for row in rows) == config._KEYS


def test_digests_are_documented() -> None:
    """The digests that may be written are listed."""
    text = page("docs/reference/settings.md").text
    assert all(f"`{digest}`" in text for digest in envelope.DIGESTS)


def test_schemes_are_documented() -> None:
    """The page on URLs has every scheme, and the README an example of each."""
    rows = page("docs/reference/url.md").table("URLs")
    assert [row[0].strip("`") for row in rows] == list(config._SCHEMES)
    urls = [row[1].strip("`") for row in page("README.md").table("One URL")]
    assert {url.partition("://")[0] for url in urls} == set(config._SCHEMES)
    for url in urls:
        config.read_config(url).make_store()


def test_offline_values_are_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every expression of the table of offline mode has the value beside it."""
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    secrets = django_kms_secrets.load()
    names = {"secrets": secrets, "env": secrets.env}
    rows = page("docs/howto/docker.md").table("What offline mode does")
    compared = 0
    for row in rows:
        expressions, values = (re.findall(r"`([^`]+)`", cell) for cell in row[:2])
        if len(values) == 1:  # one value for all of the row
            values *= len(expressions)
        for expression, value in zip(expressions, values, strict=False):
            found, expected = eval(expression, names), eval(value)
            assert found == expected, expression
            assert isinstance(found, type(expected)), expression
            compared += 1
    assert compared >= 15
    assert secrets.json("tree")["any"]["key"] == ""
    assert secrets.env.cache("X")["BACKEND"].endswith("DummyCache")


def test_limits_are_those_of_the_code() -> None:
    """The numbers that the text repeats are the constants of the package."""
    assert f"{aws.POOL_SIZE} at a time" in page("docs/explanation/fetch.md").text
    assert f"takes {api.BATCH_IDS} names" in page("docs/explanation/fetch.md").text
    assert f"{api.VALUE_BYTES:,} bytes" in page("docs/howto/secrets-manager.md").text
    assert f"{versions.WIDTH} digits" in page("docs/explanation/versions.md").text
    assert f"up to {table.TRANSACTION_ITEMS} records" in page("docs/howto/credstash.md").text


def test_versions_are_those_of_the_metadata() -> None:
    """The README names the Pythons and Djangos of the classifiers."""
    classifiers = (ROOT / "setup.cfg").read_text("utf-8")
    pythons = re.findall(r"Python :: (3\.\d+)", classifiers)
    djangos = re.findall(r"Django :: ([\d.]+)", classifiers)
    expected = f"Python {pythons[0]} to {pythons[-1]}, Django {djangos[0]} to {djangos[-1]}"
    assert expected in page("README.md").text


# Errors, checks, API


def test_errors_are_documented() -> None:
    """The table has every class of the family, in the order of the module."""
    classes = [
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, exceptions.SecretsError)
    ]
    rows = page("docs/reference/errors.md").table("Errors")
    assert [row[0].strip("`") for row in rows] == classes
    assert all(all(row) for row in rows)


def test_checks_are_documented() -> None:
    """The table has every id that the checks can give, and no other."""
    sources = Path(django_kms_secrets.__file__).parent.rglob("*.py")
    text = "".join(path.read_text("utf-8") for path in sources)
    ids = re.findall(r'id="(kms_secrets\.\w+)"', text)
    assert len(ids) == len(set(ids))
    rows = page("docs/reference/checks.md").table("System checks")
    assert sorted(row[0].strip("`") for row in rows) == sorted(set(ids))


def test_public_names_are_documented() -> None:
    """Every name of the package's ``__all__`` is on the page of the API or of the errors."""
    text = page("docs/reference/api.md").text + page("docs/reference/errors.md").text
    names = set(django_kms_secrets.__all__) - {"__version__"}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", text)] == []


def test_methods_of_secrets_are_documented() -> None:
    """Every public method of `Secrets` has a docstring, which the page shows."""
    members = {
        name: value for name, value in vars(django_kms_secrets.Secrets).items() if name[0] != "_"
    }
    assert {"get", "json", "env", "previous", "fallbacks", "refresh", "place"} <= members.keys()
    assert all(inspect.getdoc(value) for value in members.values())
    directive = ".. autoclass:: django_kms_secrets.Secrets()\n   :members:\n"
    assert directive in page("docs/reference/api.md").text


# Command


def test_command_reference_is_current() -> None:
    """The page of the command is what its generator writes."""
    tool = _module(DOCS / "tools" / "command_reference.py")
    text = page("docs/reference/command.md").text
    assert tool.update(text) == text, "run: python docs/tools/command_reference.py"


def test_verbs_are_documented() -> None:
    """Every verb has its section, and its row in the tables of permissions and of credstash."""
    anchors = page("docs/reference/command.md").anchors
    assert set(VERBS) <= anchors
    permissions = " ".join(row[0] for row in page("docs/reference/permissions.md").table("Verbs"))
    moved = " ".join(" ".join(row[:2]) for row in _moved())
    for verb in VERBS:
        assert f"`{verb}" in permissions, verb
        assert f"`{verb}" in moved, verb


def _moved() -> list[list[str]]:
    return page("docs/howto/credstash.md").table("Verb by verb")


def test_targets_and_formats_are_documented() -> None:
    """Every reader that ``--for`` knows is named."""
    text = page("docs/reference/command.md").text
    assert all(f"`{target}`" in text for target in dotenv.TARGETS if target)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise AssertionError(message)


def _invocations() -> list[Any]:
    found = []
    for each in all_pages():
        for block in each.blocks:
            if block.language in {"console", "sh", "dockerfile"}:
                lines = (
                    [command for command, _ in commands(block.text)]
                    if block.language == "console"
                    else block.text.splitlines()
                )
                found += [(each, part) for line in lines for part in re.split(r" \| | && ", line)]
        found += [(each, text) for text in each.code]
    return [
        pytest.param(match[1].strip(), id=f"{each.name}: {text}")
        for each, text in found
        if (match := _OURS.search(text.partition("    #")[0]))
    ]


@pytest.mark.parametrize("arguments", _invocations())
def test_commands_parse(arguments: str) -> None:
    """Every command of ours, in transcripts and in the text, is one that the parser takes."""
    words = [word for word in shlex.split(arguments) if word not in {"…", "2>&1"}]
    words = words[: words.index(">")] if ">" in words else words
    parser = _Parser(prog="secrets")
    add_verbs(parser)
    if words in ([], ["SUBCOMMAND"], ["--help"], ["run"]):  # the last is its name, in a sentence
        return
    parser.parse_args(words)


def test_a_wrong_command_is_found() -> None:
    """A verb that does not exist is refused."""
    with pytest.raises(AssertionError, match="invalid choice"):
        test_commands_parse("spin SECRET_KEY")


# Record format


def test_vectors_are_those_of_the_envelope() -> None:
    """Every test vector of the page is what sealing gives."""
    rows = page("docs/explanation/credstash-format.md").table("Test vectors")
    assert len(rows) == 8
    for plaintext, digest, contents, tag in ([cell.strip("`") for cell in row] for row in rows):
        record = envelope.seal(
            plaintext.encode(), data_key=bytes(range(64)), encrypted_key=b"", digest=digest
        )
        encoded = envelope.encode(record)
        assert encoded["contents"] == contents
        assert encoded["hmac"] == tag.encode()


# Architecture


def test_the_tree_is_the_package() -> None:
    """Every module and package is in the tree of the architecture page."""
    package = Path(str(django_kms_secrets.__file__)).parent
    (tree,) = (
        block.text
        for block in page("docs/architecture.md").blocks
        if block.text.startswith("django_kms_secrets/")
    )
    names = {path.name for path in package.glob("*.py")} - {"_version.py"}
    names |= {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").is_file()}
    names |= {path.name for path in (package / "backends").glob("[a-z]*.py")}
    names -= {"management/"}
    assert [name for name in sorted(names) if name not in tree] == []


def test_imports_are_as_the_page_says() -> None:
    """A module imports, of this package, only what its row of the table allows."""
    rows = page("docs/architecture.md").table("Who imports whom")
    allowed = {
        module: set(re.findall(r"`([\w.]+)`", row[1])) | {module, "_version"}
        for row in rows
        for module in re.findall(r"`([\w.]+)`", row[0])
        if not row[1].startswith("all;")
    }
    stores = set(re.findall(r"`([\w.]+)`", next(row[1] for row in rows if row[0] == "a store")))
    package = Path(str(django_kms_secrets.__file__)).parent
    wrong = []
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        module = module.removesuffix(".__init__")
        top = module.partition(".")[0]
        may = allowed.get(module) or allowed.get(top)
        if top == "backends" and module not in {"backends", *allowed}:
            may = stores | {"backends"}
        if may is None:
            continue
        for used in sorted(_imports(path, module, package)):
            if not any(used == name or used.startswith(f"{name}.") for name in may):
                wrong.append(f"{module} imports {used}")
    assert wrong == []


def _imports(path: Path, module: str, package: Path) -> set[str]:
    """The modules of ours that a module imports, types aside."""
    parts = module.split(".")
    inside = path.name == "__init__.py"
    used: set[str] = set()
    for node in _running(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        drop = node.level - (1 if inside else 0)
        base = parts[: len(parts) - drop] if drop else parts
        base = base + (node.module.split(".") if node.module else [])
        for alias in node.names:
            target = [*base, alias.name]
            is_module = (package.joinpath(*target).with_suffix(".py")).is_file() or (
                package.joinpath(*target) / "__init__.py"
            ).is_file()
            used.add(".".join(target if is_module else base))
    return used - {""}


def _running(tree: ast.AST) -> list[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        found += [node, *_running(node)]
    return found


def test_no_page_claims_what_is_not_there() -> None:
    """Verbs that are planned and not built are not mentioned as if they were."""
    planned = (
        "rotate",
        "reencrypt",
        "run",
        "doctor",
        "policy",
        "audit",
        "copy",
        "diff",
        "rollback",
    )
    absent = [verb for verb in planned if verb not in VERBS]
    claims = [
        f"{found.name}: {text}"
        for found in all_pages()
        for text in found.code
        for verb in absent
        if text == verb or re.match(rf"(manage\.py )?secrets {verb}\b", text)
    ]
    assert claims == []


def test_pages_name_no_machine() -> None:
    """No page has a path of somebody's machine, or a name of ours for a person."""
    pattern = re.compile(r"/(?:home|root|Users|work|tmp)/|localhost:\d")
    assert [found.name for found in all_pages() if pattern.search(found.text)] == []
