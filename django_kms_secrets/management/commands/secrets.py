"""``manage.py secrets``: parser and dispatch; the verbs are in ``django_kms_secrets.cli``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from ...cli.console import Console
from ...cli.main import add_verbs, failure_code, run, run_as_program
from ...conf import configured_source
from ...exceptions import SecretsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Command(BaseCommand):
    """Set up, push, pull and look after the secrets that the settings read."""

    help: str = __doc__ or ""
    # The store may be empty, and settings are imported in offline mode: nothing can be checked.
    requires_system_checks: Any = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The verbs."""
        add_verbs(parser, shared=[_django_options()])

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Run the verb.

        Raises:
            CommandError: it failed; from the command line the error and its hint are printed
                instead, and the process exits.
        """
        color = _color(options)
        if self._called_from_command_line:  # type: ignore[attr-defined]  # Django's own flag
            # Django's streams do not tell that one is closed.
            console = Console(sys.stdout, sys.stderr, color=color)
            if code := run_as_program(options, console, configured_source()):
                sys.exit(code)
            return
        self.stdout.ending = self.stderr.ending = ""
        self.stderr.style_func = None
        console = Console(self.stdout, self.stderr, color=color)
        try:
            code = run(options, console, configured_source())
        except SecretsError as exc:
            error, code = str(exc), failure_code(options)
        else:
            if not code:
                return
            # The console has the rest.
            error = f"secrets {options['verb']} failed in part, or found something"
        raise CommandError(error, returncode=code)


def _color(options: Mapping[str, Any]) -> bool | None:
    """What Django's own options say; None: nothing."""
    if options["no_color"]:
        return False
    return True if options["force_color"] else None


def _django_options() -> argparse.ArgumentParser:
    """Django's own options, which people write after the verb: its parser has them before it."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    for option in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(option, action="store_true", help=argparse.SUPPRESS)
    return parser
