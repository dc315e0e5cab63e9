"""Importing is free, and imports go one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import django_kms_secrets

ROOT = Path(django_kms_secrets.__file__).parent

# What stores are to the rest.
INTERFACES = {"backends.base", "backends.capabilities", "backends.iam", "backends.diagnosis"}

# What stores are made of that keep their names in one document.
DOCUMENTS = {"backends.contents", "backends.document"}

# Who may import whom, by the first part below the package; the order is that of the design.
ALLOWED = {
    "_version": set(),
    "types": set(),
    "exceptions": set(),
    "envelope": {"exceptions"},
    "replies": {"exceptions", "types"},
    "deadline": {"exceptions"},
    "aws": {"_version", "deadline", "exceptions", "replies", "transport"},
    "transport": {"_version", "types"},
    "formats": {"exceptions"},
    "files": {"exceptions"},
    "backends.base": {"exceptions", "types"},
    "backends.capabilities": set(),
    "backends.iam": {"exceptions"},
    "backends.diagnosis": {"backends.base", "exceptions", "types"},
    "backends.contents": {"exceptions", "formats", "types"},
    "backends.document": {
        "backends.base",
        "backends.capabilities",
        "backends.contents",
        "exceptions",
        "types",
    },
    "backends.credstash": {
        "aws",
        "deadline",
        "envelope",
        "exceptions",
        "transport",
        "types",
        *INTERFACES,
        *DOCUMENTS,
    },
    "backends.secretsmanager": {
        "aws",
        "deadline",
        "exceptions",
        "transport",
        "types",
        *INTERFACES,
        *DOCUMENTS,
    },
    "backends.file": {"exceptions", "files", "formats", "types", "backends.base"},
    "backends.locmem": {"types", "backends.base", "backends.capabilities"},
    "config": {"backends.base", "exceptions"},
    "generators": {"exceptions", "types"},
    "offline": {"exceptions", "types"},
    "recording": set(),
    "snapshot": {"exceptions", "types"},
    "sealing": {
        "aws",
        "backends.capabilities",
        "backends.credstash",
        "backends.iam",
        "deadline",
        "envelope",
        "exceptions",
        "types",
    },
    "lastgood": {"exceptions", "files", "sealing", "snapshot", "types"},
    "env": {"exceptions", "offline", "types"},
    "redaction": {"types"},
    "reporting": {"redaction", "types"},
    "log": {"redaction", "types"},
    "sentry": {"redaction"},
    "signals": set(),
    "overrides": {"formats", "redaction", "types"},
    "db": {"exceptions", "formats", "types"},
    "layer": {"backends.base", "config", "lastgood", "recording", "snapshot", "types"},
    "loader": {
        "config",
        "db",
        "env",
        "exceptions",
        "formats",
        "layer",
        "offline",
        "overrides",
        "recording",
        "redaction",
        "signals",
        "types",
    },
    "testing": {
        "aws",
        "backends.locmem",
        "exceptions",
        "formats",
        "loader",
        "overrides",
        "transport",
        "types",
    },
    "pytest_plugin": {"testing"},
    "conf": set(),
    "checks": {
        "backends.capabilities",
        "conf",
        "config",
        "exceptions",
        "loader",
        "log",
        "offline",
        "redaction",
        "reporting",
    },
    "apps": {"checks"},
    "account": {"aws", "deadline", "exceptions", "transport"},
    "policy": {"backends.iam", "exceptions"},
    "stages": {"backends.base", "exceptions", "types"},
    "audit": {"backends.capabilities", "formats", "types"},
    "contrib": {
        "audit",
        "conf",
        "config",
        "exceptions",
        "loader",
        "offline",
        "recording",
        "redaction",
        "stages",
        "types",
    },
    "cli": {
        "account",
        "audit",
        *INTERFACES,
        "config",
        "exceptions",
        "files",
        "formats",
        "generators",
        "lastgood",
        "offline",
        "policy",
        "recording",
        "sealing",
        "snapshot",
        "stages",
        "transport",
        "types",
    },
    "management": {"cli", "conf", "exceptions"},
    "__main__": {"cli", "exceptions"},
    "__init__": {"_version"},
}
DJANGO_PARTS = {"conf", "checks", "apps", "management", "contrib"}


def modules():
    return sorted(path for path in ROOT.rglob("*.py"))


def layer(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "backends":
        return "backends" if parts[1] == "__init__" else ".".join(parts[:2])
    return parts[0]


def imported(path: Path, *, runtime: bool) -> set[str]:
    """The absolute names a module imports; with `runtime` only those outside TYPE_CHECKING."""
    tree = ast.parse(path.read_text("utf-8"))
    package = ["django_kms_secrets", *path.relative_to(ROOT).parent.parts]
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if runtime and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return names


def own_layers(names: set[str]) -> set[str]:
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "django_kms_secrets" and len(parts) > 1:
            path = ROOT.joinpath(*parts[1:3])
            if parts[1] == "backends":
                found.add(".".join(parts[1:3]))
            elif path.parent.is_dir() or path.parent.with_suffix(".py").exists():
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    here = layer(path)
    if here == "backends":
        return
    assert own_layers(imported(path, runtime=True)) - {here} <= ALLOWED[here]


def test_the_design_names_every_module():
    assert {layer(path) for path in modules()} - {"backends"} == set(ALLOWED)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_django_parts_import_settings_and_apps(path):
    names = imported(path, runtime=True)
    touches = any(name.startswith(("django.conf", "django.apps")) for name in names)
    assert not touches or layer(path) in DJANGO_PARTS


def test_the_rules_see_what_they_forbid(tmp_path, monkeypatch):
    """The same functions find a forbidden import in a module that has one."""
    module = tmp_path / "types.py"
    module.write_text("from .loader import load\nimport django.conf\n")
    (tmp_path / "loader.py").touch()
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    names = imported(module, runtime=True)
    assert own_layers(names) - ALLOWED[layer(module)] == {"loader"}
    assert any(name.startswith("django.conf") for name in names)


IMPORT = """
import sys
opened = []
def audit(event, args):
    code = event == "open" and str(args[0]).endswith((".py", ".pyc", ".so"))
    if event.startswith(("socket.", "subprocess.", "open")) and not code:
        opened.append((event, args))
import django.core.exceptions, django.utils.module_loading, logging, json, inspect, difflib
import urllib.parse, queue, threading, csv, tempfile
sys.addaudithook(audit)
import django_kms_secrets
print([name for name in sys.modules if name.startswith("django_kms_secrets.")])
from django_kms_secrets import *
heavy = {"boto3", "botocore", "environ", "yaml", "rich", "cryptography", "django.apps", "django.db"}
print(sorted(heavy & set(sys.modules)), opened)
from django.conf import settings
print(settings.configured)
"""


def test_importing_the_package_touches_nothing(tmp_path):
    """No boto3, settings, apps, network or file, and no module of ours before a name is used."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['django_kms_secrets._version']\n[] []\nFalse\n"


def test_the_tests_run_against_what_is_installed_where_tox_says_so():
    """Under tox the sources are not there to be imported by accident."""
    import os

    if os.environ.get("TOX_ENV_NAME"):
        assert "site-packages" in str(ROOT)
