"""``manage.py secrets``: parser and dispatch; the verbs are in ``django_kms_secrets.cli``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from ...cli.console import Console
from ...cli.main import add_verbs, close_quietly, run
from ...conf import configured_source
from ...exceptions import SecretsError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Set up, push, pull and look after the secrets that the settings read."""

    help = __doc__
    # The store may be empty, and settings are imported in offline mode: nothing can be checked.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The verbs."""
        add_verbs(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Run the verb.

        Raises:
            CommandError: it failed; from the command line the error and its hint are printed
                instead, and the process exits.
        """
        self.stdout.ending = self.stderr.ending = ""
        self.stderr.style_func = None
        console = Console(self.stdout, self.stderr)
        try:
            code = run(options, console, configured_source())
        except SecretsError as exc:
            error = exc
        except BrokenPipeError:
            close_quietly()
            sys.exit(1)
        else:
            if code:
                sys.exit(code)
            return
        if self._called_from_command_line:  # type: ignore[attr-defined]  # Django's own flag
            console.fail(error)
            sys.exit(1)
        raise CommandError(str(error))
