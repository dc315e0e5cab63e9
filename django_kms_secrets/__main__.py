"""``python -m django_kms_secrets``: the command where there is no settings module yet."""

from __future__ import annotations

import argparse
import sys

from .cli.console import Console
from .cli.main import add_verbs, run_as_program


def main(argv: list[str] | None = None) -> int:
    """Parse and run.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        The exit code: 0, 1 for a failure, 130 for Ctrl-C; wrong usage exits with 2 (by argparse).
    """
    parser = argparse.ArgumentParser(
        prog="python -m django_kms_secrets",
        allow_abbrev=False,
        description="Set up, push, pull and look after secrets in AWS. The store is --url, or "
        "the URL in $KMS_SECRETS_URL.",
    )
    add_verbs(parser)
    options = vars(parser.parse_args(argv))
    return run_as_program(options, Console(sys.stdout, sys.stderr), None)


if __name__ == "__main__":
    sys.exit(main())
