"""What the package imports is what it declares, and nothing is declared in vain."""

from __future__ import annotations

import ast
import configparser
import functools
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from . import test_imports
from .test_imports import imported, modules

SETUP = Path(__file__).parents[2] / "setup.cfg"

# An extra that brings a command for people: it is started, not imported.
COMMANDS = {"credstash"}

# A plugin, which only the program imports whose plugin it is.
PLUGINS = {"pytest_plugin.py": "pytest"}


def normalized(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(setup: Path) -> list[Requirement]:
    """What a setup.cfg requires, in its extras too."""
    parser = configparser.ConfigParser()
    parser.read_string(setup.read_text("utf-8"))
    required = [parser["options"]["install_requires"]]
    required += parser["options.extras_require"].values()
    return [Requirement(line) for text in required for line in text.splitlines() if line]


def declared(setup: Path) -> set[str]:
    """The distributions that a setup.cfg requires, those of its extras too."""
    return {normalized(requirement.name) for requirement in requirements(setup)}


def imported_by_name(path: Path) -> set[str]:
    """The constants that a module gives to `import_module`."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "import_module"
        and isinstance(node.args[0], ast.Constant)
    }


def third_party() -> set[str]:
    """The top-level modules of others that the package imports at run time."""
    names = {
        root
        for path in modules()
        for name in imported(path, runtime=True) | imported_by_name(path)
        if (root := name.partition(".")[0]) != PLUGINS.get(path.name)
    }
    return names - set(sys.stdlib_module_names) - {"django_kms_secrets"}


@functools.cache
def _installed() -> dict[str, set[str]]:
    """The distributions by module. (Python 3.10's own list leaves out those without top_level.txt.)

    It reads the files of every installed distribution, which takes a second.
    """
    found: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]  # parses the file anew whenever it is asked
        for file in distribution.files or ():
            found.setdefault(file.parts[0].partition(".")[0], set()).add(name)
    return found


def distributions(module: str) -> set[str]:
    """The distributions that a module comes from; several may share a name."""
    return {normalized(name) for name in _installed().get(module, ())}


def undeclared(setup: Path) -> set[str]:
    """The modules that are imported, and come from no declared distribution."""
    return {name for name in third_party() if not distributions(name) & declared(setup)}


def unused(setup: Path) -> set[str]:
    """The declared distributions of which no module is imported."""
    used = {distribution for name in third_party() for distribution in distributions(name)}
    return declared(setup) - used


def test_every_imported_module_is_declared() -> None:
    """Nothing is imported that only happens to be there because another package needs it."""
    assert undeclared(SETUP) == set()


def test_every_dependency_is_imported() -> None:
    """Nobody has to install what the package does not use."""
    assert unused(SETUP) == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_exceptions_are_commands(name: str) -> None:
    """What is declared and not imported brings a program."""
    files = metadata.distribution(name).files or []
    assert any(file.parent.name in {"bin", "Scripts"} for file in files)


def test_the_oldest_versions_are_those_that_are_tested() -> None:
    """What setup.cfg permits, the environment `lowest` has: no bound is a guess."""
    text = SETUP.with_name("tests").joinpath("lowest.txt").read_text("utf-8")
    tested = [Requirement(line) for line in text.splitlines() if line[0] != "#"]
    assert {str(each.specifier)[:2] for each in tested} == {"=="}
    assert {str(each.specifier)[:2] for each in requirements(SETUP)} == {">="}
    assert _versions(tested) == _versions(requirements(SETUP))


def _versions(listed: list[Requirement]) -> dict[str, Version]:
    return {normalized(each.name): Version(str(each.specifier)[2:]) for each in listed}


SETUP_OF_TWO = """
[options]
install_requires =
    Django>=5.2
    cryptography>=42
[options.extras_require]
yaml =
    PyYAML>=6
"""


@pytest.mark.parametrize(
    ("text", "imports_too_much", "declares_too_much"),
    [
        ("import django\nimport yaml\nfrom cryptography import x509\n", set(), set()),
        ("import django\nimport cryptography\n", set(), {"pyyaml"}),
        ("import django, cryptography, yaml\nimport boto3.session\n", {"boto3"}, set()),
        (
            "import django, cryptography, yaml\nfrom importlib import import_module\n"
            'def late():\n    return import_module("boto3")\n',
            {"boto3"},
            set(),
        ),
        ("import django, cryptography, yaml\nimport nobody_has_this\n", {"nobody_has_this"}, set()),
        (
            "import django, yaml\nfrom typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    import cryptography, boto3\n",
            set(),
            {"cryptography"},
        ),
        ("import django, cryptography, yaml, pytest\n", {"pytest"}, set()),
    ],
    ids=[
        "agrees",
        "unused",
        "undeclared",
        "by-name",
        "not-installed",
        "types-only",
        "not-a-plugin",
    ],
)
def test_the_rules_see_what_they_forbid(
    text: str,
    imports_too_much: set[str],
    declares_too_much: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same functions find a planted import and a planted requirement."""
    setup = tmp_path / "setup.cfg"
    setup.write_text(SETUP_OF_TWO)
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text(text)
    monkeypatch.setattr(test_imports, "ROOT", package)
    assert undeclared(setup) == imports_too_much
    assert unused(setup) == declares_too_much
