"""What users write down, and so stays as it is: names, options, arguments, numbers of checks.

``python -m tests.upgrade.surface`` prints it. That of a release is kept beside this file.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from pathlib import Path

import django_kms_secrets
from django_kms_secrets import Secrets, exceptions, load
from django_kms_secrets.backends.credstash.store import CredStashStore
from django_kms_secrets.backends.file import FileStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.backends.secretsmanager.store import SecretsManagerStore
from django_kms_secrets.cli.main import add_verbs

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
        "options": sorted(
            f"{store.__module__}.{store.__name__} {option}"
            for store in (CredStashStore, FileStore, LocMemStore, SecretsManagerStore)
            for option in inspect.signature(store).parameters
        ),
        "arguments": sorted(arguments()),
        "others": others(),
        "checks": sorted(
            {
                number
                for path in PACKAGE.rglob("*.py")
                for number in re.findall(r"\bkms_secrets\.[EW]\d{3}\b", path.read_text("utf-8"))
            }
        ),
    }


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
    add_verbs(parser)
    [verbs] = [each.choices for each in parser._actions if isinstance(each.choices, dict)]
    return {
        f"{verb} {name} {choice}".rstrip()
        for verb, its in verbs.items()
        for action in its._actions
        for name in action.option_strings or [action.dest]
        for choice in ("", *(action.choices or ()))
    }


if __name__ == "__main__":
    print(json.dumps(surface(), indent=1))
