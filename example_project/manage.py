#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    """Run the command; the local settings are taken where no others are named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except (
        ImproperlyConfigured
    ) as error:  # such as a secret that is missing: one line, no traceback
        sys.exit(f"{sys.argv[0]}: " + " | ".join(str(error).splitlines()))


if __name__ == "__main__":
    main()
