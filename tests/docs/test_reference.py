"""The reference lists what the package has: no more, no less, with the same defaults."""

from __future__ import annotations

import argparse
import ast
import graphlib
import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from django.dispatch import Signal

import django_kms_secrets
from django_kms_secrets import apps, config, deadline, envelope, exceptions, redaction, signals
from django_kms_secrets.backends.credstash import table, versions
from django_kms_secrets.backends.secretsmanager import api
from django_kms_secrets.cli import arguments
from django_kms_secrets.cli.main import VERBS, add_verbs
from django_kms_secrets.formats import dotenv, tree
from django_kms_secrets.transport import client

from .pages import DOCS, ROOT, all_pages, commands, page

if TYPE_CHECKING:
    from types import ModuleType

    from django_kms_secrets.backends.base import BaseStore

STORES = [config.read_config(f"{scheme}://?x=").store_class for scheme in config._SCHEMES]

_OURS = re.compile(
    r"(?:^|\s)(?:manage\.py secrets|-m django_kms_secrets|\bsecrets)\s+(.*)", re.DOTALL
)


def _sources() -> str:
    """The text of every module."""
    paths = sorted(Path(str(django_kms_secrets.__file__)).parent.rglob("*.py"))
    return "".join(path.read_text("utf-8") for path in paths)


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


#: What the page calls the types of options.
_TYPES = {
    "Mapping[str, str]": "dict of str",
    "os.PathLike[str]": "str or Path",
    **{name: name for name in ("str", "int", "float", "bool")},
}


def _type(annotation: str) -> str:
    """As the page says it: without None, and without the text that a URL gives in its place."""
    kinds = [kind for kind in annotation.split(" | ") if kind != "None"]
    (kind,) = [kind for kind in kinds if kind != "str"] or kinds
    return _TYPES[kind]


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_types_are_those_of_the_options(kind: type[BaseStore]) -> None:
    """A store's table has the types that its options are annotated with."""
    parameters = inspect.signature(kind).parameters.values()
    rows = page("docs/reference/settings.md").table(kind.__name__)
    assert [row[1] for row in rows] == [_type(parameter.annotation) for parameter in parameters]


def test_every_option_has_a_meaning_and_a_number_its_unit() -> None:
    """No cell of an option's row is empty, and every number is one of something."""
    settings = page("docs/reference/settings.md")
    tables = ["LAST_KNOWN_GOOD", *(kind.__name__ for kind in STORES)]
    rows = [row for table in tables for row in settings.table(table)]
    assert all(all(row) and len(row) == 4 for row in rows)
    numbers = [row for row in rows if row[1] in {"int", "float"}]
    assert len(numbers) == 8
    assert [row for row in numbers if not re.match(r"(seconds|days) ", row[3])] == []


def test_keys_of_the_configuration_are_documented() -> None:
    """The first table has the keys that a configuration may have."""
    rows = page("docs/reference/settings.md").table("The configuration")
    assert tuple(row[0].strip("`") for row in rows) == config._KEYS


def test_keys_of_last_known_good_are_documented() -> None:
    """Its table has the keys that it may have, with their types and defaults."""
    options = config.CopyOptions
    types = get_type_hints(options)
    defaults = {name: _literal(value) for name, value in options._field_defaults.items()}
    rows = page("docs/reference/settings.md").table("LAST_KNOWN_GOOD")
    assert [tuple(row[:3]) for row in rows] == [
        (f"`{name}`", types[name].__name__, defaults.get(name, "required"))
        for name in options._fields
    ]


def test_environment_variables_are_documented() -> None:
    """The table has every variable of ours, and credstash's, that the package names; no other."""
    named = set(re.findall(r"\b(?:KMS_SECRETS|CREDSTASH)_[A-Z_]+\b", _sources()))
    rows = page("docs/reference/settings.md").table("Environment variables")
    listed = set(re.findall(r"`([A-Z_]+)`", " ".join(row[0] for row in rows)))
    assert {name for name in listed if not name.startswith("SSL_")} == named - {"CREDSTASH_"}


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
    fetch = page("docs/explanation/fetch.md").text
    assert f"{deadline.POOL_SIZE} at a time" in fetch
    assert f"takes {api.BATCH_IDS} names" in fetch
    first, longest = client._THROTTLED_PAUSE, client._LONGEST_PAUSE
    assert f"the first pause is up to {first:g} s and the others up to {longest:g} s" in fetch
    assert f"Beyond that a pause is up to {deadline._THROTTLED_PAUSE:g} s" in fetch
    manager = page("docs/howto/secrets-manager.md").text
    assert f"{api.VALUE_BYTES:,} bytes" in manager
    assert f"at most {api.NAME_CHARACTERS} of" in manager
    assert f"{versions.WIDTH} digits" in page("docs/explanation/versions.md").text
    assert f"has {arguments.SECONDS:.0f} seconds" in page("docs/explanation/fetch.md").text
    assert f"nested {tree.DEEPEST} deep" in page("docs/reference/command.md").text
    assert f"{envelope.DATA_KEY_BYTES} bytes" in page("docs/glossary.md").text
    words = {7: "seven"}
    short = f"fewer than {words[redaction.FLOOR]} characters"
    for name in ("SECURITY.md", "docs/howto/hide-secrets.md", "docs/explanation/threat-model.md"):
        assert short in page(name).text
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
    ids = re.findall(r'id="(kms_secrets\.\w+)"', _sources())
    assert len(ids) == len(set(ids))
    rows = page("docs/reference/checks.md").table("System checks")
    assert sorted(row[0].strip("`") for row in rows) == sorted(set(ids))


def test_checks_are_run_when_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check is `--deploy`'s if it is registered so, or is what a store finds in a deployment."""
    when = {"check": False, "check_deployment": True, "not_for_servers": True}
    monkeypatch.setattr(
        apps, "register", lambda check, deploy=False: when.update({check.__name__: deploy})
    )
    apps.KmsSecretsConfig.ready(None)  # type: ignore[arg-type] # it only registers
    expected = {
        node.value: "`check --deploy`" if when[function.name] else "always"
        for function in ast.walk(ast.parse(_sources()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and str(node.value).startswith("kms_secrets.")
    }
    rows = page("docs/reference/checks.md").table("System checks")
    assert {row[0].strip("`"): row[1] for row in rows} == expected


def test_signals_are_documented() -> None:
    """The table has every signal of the module."""
    names = [name for name, value in vars(signals).items() if isinstance(value, Signal)]
    rows = page("docs/reference/signals.md").table("Signals")
    assert [row[0].strip("`") for row in rows] == names


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
    tool = _module(DOCS / "tools" / "import_diagram.py")
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
        for used in sorted(tool.imported(path)):
            if not any(used == name or used.startswith(f"{name}.") for name in may):
                wrong.append(f"{module} imports {used}")
    assert wrong == []


def test_the_diagram_is_current() -> None:
    """The picture of who imports whom is what its generator draws of the code."""
    tool = _module(DOCS / "tools" / "import_diagram.py")
    drawn = tool.draw(tool.parts())
    message = "run: python docs/tools/import_diagram.py"
    assert (DOCS / "imports.svg").read_text("utf-8") == drawn, message


def test_the_diagram_sees_what_it_draws(tmp_path: Path) -> None:
    """Imports of functions and of the package itself count, those for types do not."""
    tool = _module(DOCS / "tools" / "import_diagram.py")
    (tmp_path / "inner").mkdir()
    for name in ("inner/__init__.py", "types.py", "log.py"):
        (tmp_path / name).touch()
    module = tmp_path / "inner" / "module.py"
    module.write_text(
        "import json\nfrom .. import log\nfrom . import name\n"
        "def function():\n    from ..types import SecretStr\n"
        "if TYPE_CHECKING:\n    from ..loader import load\n"
    )
    assert tool.imported(module, tmp_path) == {"log", "inner", "types"}


def test_no_diagram_of_a_circle() -> None:
    """Parts that import each other have no order, and no diagram."""
    tool = _module(DOCS / "tools" / "import_diagram.py")
    assert tool._sorted({"b": {"a"}, "a": set()}) == ["a", "b"]
    with pytest.raises(graphlib.CycleError):
        tool._sorted({"b": {"a"}, "a": {"b"}})


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
