"""What the pages say of hiding is so where running their blocks does not show it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

_HANDLERS = """
import logging

import django
from django.conf import settings

settings.configure(LOGGING=LOGGING, DEBUG=True)
django.setup()

from django_kms_secrets.log import RedactingFilter

loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
handlers = [(logger.name, handler) for logger in loggers for handler in logger.handlers]
assert len(handlers) == 2, handlers
for name, handler in handlers:
    assert any(isinstance(each, RedactingFilter) for each in handler.filters), (name, handler)
assert logging.getLogger("django.server").propagate
"""


def test_the_logging_of_the_page_leaves_no_handler_without_the_filter() -> None:
    """With what Django configures by itself before it."""
    page = (ROOT / "docs" / "howto" / "hide-secrets.md").read_text("utf-8")
    block = re.search(r"```python\n(LOGGING = .*?)```", page, re.S)
    assert block
    subprocess.run([sys.executable, "-c", block[1] + _HANDLERS], check=True, timeout=60)


def test_no_page_types_a_value_on_a_command_line() -> None:
    """After ``put NAME`` comes nothing, ``-`` or ``@file``: what is typed is in the history."""
    shown = [
        (page.name, line)
        for page in PAGES
        for line in re.findall(r"^\$ .*\bsecrets put \S+ +(.*)$", page.read_text("utf-8"), re.M)
        if not re.match(r"(-|@\S+|-[-a-zA-Z].*)(\s|$)", line)
    ]
    assert shown == []
