"""What users write down, and so stays as it is: names, options, columns, numbers of checks.

``python -m tests.upgrade.surface`` prints it. That of a release is kept beside this file.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import json
import pkgutil
import re
from importlib.metadata import entry_points
from pathlib import Path
from unittest import mock

from django.db.migrations.state import ProjectState
from django.utils.module_loading import import_string

import django_kms_secrets
from django_kms_secrets import Secrets, config, exceptions, load, pytest_plugin, snapshot
from django_kms_secrets.cli import main, plan
from django_kms_secrets.cli.console import Console
from django_kms_secrets.cli.verbs import run_
from django_kms_secrets.contrib.admin import migrations
from django_kms_secrets.contrib.admin.apps import KmsSecretsAdminConfig
from django_kms_secrets.db import entry

PACKAGE = Path(django_kms_secrets.__file__).parent


def surface() -> dict[str, list[str]]:
    """Lists of names, by what they are names of."""
    return {
        "django_kms_secrets": sorted(django_kms_secrets.__all__),
        "load": list(inspect.signature(load).parameters),
        "Secrets": sorted(name for name in dir(Secrets) if not name.startswith("_")),
        "errors": sorted(
            f"{name}({base.__name__})"
            for name, kind in vars(exceptions).items()
            if inspect.isclass(kind) and kind.__module__ == exceptions.__name__
            for base in kind.__mro__[1:]
            if issubclass(base, Exception) and not name.startswith("_")
        ),
        "configuration": sorted(
            {*config._KEYS, *(f"LAST_KNOWN_GOOD {key}" for key in config.CopyOptions._fields)}
        ),
        "stores": sorted(f"{scheme}:// {store}" for scheme, store in config._SCHEMES.items()),
        "options": sorted(
            f"{store} {option}"
            for store in config._SCHEMES.values()
            for option in inspect.signature(import_string(store)).parameters
        ),
        "settings": in_sources(r'getattr\(settings, "(KMS_\w+)"'),
        # That of `run` is between it and the processes of one version.
        "variables": sorted(
            {*in_sources(r'"((?:KMS_SECRETS|CREDSTASH)_[A-Z_]*[A-Z])"')} - {snapshot.VARIABLE}
        ),
        "arguments": sorted(arguments()),
        "columns": sorted(columns()),
        "exit codes": sorted(exit_codes()),
        "databases": databases(),
        "pytest": plugin(),
        "admin": [KmsSecretsAdminConfig.name, *permissions()],
        "others": others(),
        "checks": in_sources(r"\bkms_secrets\.[EW]\d{3}\b"),
    }


def in_sources(pattern: str) -> list[str]:
    """What the sources of the package have of a pattern."""
    texts = (path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    return sorted({found for text in texts for found in re.findall(pattern, text)})


#: What settings, tests and receivers name beside that.
NAMED = (
    "log.RedactingFilter",
    "redaction.redact",
    "redaction.scrub",
    "reporting.RedactingExceptionReporter",
    "reporting.RedactingExceptionReporterFilter",
    "sentry.before_send",
    "sentry.redacting",
    "signals.secrets_changed",
    "testing.Versions",
    "testing.WouldReachAWS",
    "testing.allow_aws",
    "testing.memory_store",
    "testing.no_aws",
    "testing.override_secrets",
)


def others() -> list[str]:
    """Those of NAMED that are there."""
    return [name for name in NAMED if _is_there(*name.split("."))]


def _is_there(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(f"django_kms_secrets.{module}"), name)


def arguments() -> set[str]:
    """Every verb with each of its arguments, and what each may be; an alias is a verb."""
    parser = argparse.ArgumentParser()
    main.add_verbs(parser)
    [verbs] = [each.choices for each in parser._actions if isinstance(each.choices, dict)]
    return {
        f"{verb} {name} {choice}".rstrip()
        for verb, its in verbs.items()
        for action in its._actions
        for name in action.option_strings or [action.dest]
        for choice in ("", *(action.choices or ()))
    }


def columns() -> list[str]:
    """Every column of a listing, with its place: `cut -f1` is written down, too."""
    listings = {name: getattr(verb, "_COLUMNS", ()) for name, verb in main.VERBS.items()}
    return [
        f"{verb} {place} {column}"
        for verb, its in {**listings, "diff": plan.COLUMNS}.items()
        for place, column in enumerate(its, 1)
    ]


def exit_codes() -> list[str]:
    """What the command ends with, where it is not 0."""
    failed = exceptions.SecretsError("of no matter")
    codes = {
        **{f"{verb} fails": exit_code(failed, verb) for verb in main.VERBS},
        "putall --dry-run fails": exit_code(failed, "putall", dry_run=True),
        "Ctrl-C": exit_code(KeyboardInterrupt(), "list"),
        "diff finds something": plan.DIFFERENT,
        "run finds no such program": run_.NOT_FOUND,
        "run cannot execute it": run_.NOT_EXECUTABLE,
    }
    return [f"{what}: {code}" for what, code in codes.items()]


def exit_code(error: BaseException, verb: str, *, dry_run: bool = False) -> int:
    """What a verb ends with that raises this."""
    console = Console(io.StringIO(), io.StringIO())
    with mock.patch.object(main, "run", side_effect=error):
        return main.run_as_program({"verb": verb, "dry_run": dry_run}, console, None)


def databases() -> list[str]:
    """The engines, and what a secret may say for each."""
    engines = [f"django_kms_secrets.db.{path.parent.name}" for path in PACKAGE.glob("db/*/base.py")]
    kinds = [f"{kind} {engine}" for kind, engine in entry._ENGINES.items()]
    return sorted(engines + kinds)


def plugin() -> list[str]:
    """Of the pytest plugin: its name, its fixtures, its ini option and its marker."""
    name = pytest_plugin.__name__
    fixtures = re.findall(r"@pytest\.fixture\ndef (\w+)", inspect.getsource(pytest_plugin))
    names = {each.name for each in entry_points(group="pytest11") if each.value == name}
    return sorted({*names, *fixtures, pytest_plugin.OPTION, pytest_plugin.MARKER})


def permissions() -> list[str]:
    """Those that `migrate` makes for the admin."""
    label = KmsSecretsAdminConfig.label
    state = ProjectState()
    for _, name, _ in pkgutil.iter_modules(migrations.__path__):
        module = importlib.import_module(f"{migrations.__name__}.{name}")
        state = module.Migration(name, label).mutate_state(state, preserve=False)
    return sorted(
        f"{label}.{action}_{model}"
        for (_, model), its in state.models.items()
        for action in its.options["default_permissions"]
    )


if __name__ == "__main__":
    print(json.dumps(surface(), indent=1))
