"""``python -m django_kms_secrets``: the command where there is no settings module yet."""

from __future__ import annotations

import argparse
import sys

from .cli.console import Console
from .cli.main import add_verbs, close_quietly, run
from .exceptions import SecretsError


def main(argv: list[str] | None = None) -> int:
    """Parse and run.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        The exit code: 0, 1 for a failure, 2 for wrong usage (by argparse).
    """
    parser = argparse.ArgumentParser(
        prog="python -m django_kms_secrets",
        description="Set up, push, pull and look after secrets in AWS. The store is --url, or "
        "the URL in $KMS_SECRETS_URL.",
    )
    add_verbs(parser)
    options = vars(parser.parse_args(argv))
    console = Console(sys.stdout, sys.stderr)
    try:
        return run(options, console, None)
    except SecretsError as exc:
        console.fail(exc)
        return 1
    except BrokenPipeError:
        close_quietly()
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
