"""The documentation builds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from .pages import DOCS, all_pages

if TYPE_CHECKING:
    from pathlib import Path

#: Sphinx, which fails where anything asks the network.
_BUILD = """
import sys

def audit(event, args):
    if event in {"socket.connect", "socket.getaddrinfo"}:
        raise RuntimeError(f"a build of the documentation asks nobody: {args}")

sys.addaudithook(audit)
from sphinx.cmd.build import main

sys.exit(main(sys.argv[1:]))
"""


def test_sphinx_has_nothing_to_say(tmp_path: Path) -> None:
    """Sphinx builds the pages without a warning, with every reference checked and no network."""
    command = [sys.executable, "-c", _BUILD]
    command += ["-W", "--keep-going", "-n", "-q", "-E", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = [page for page in all_pages() if page.path.is_relative_to(DOCS)]
    missing = [
        page.name
        for page in pages
        if not (tmp_path / "html" / page.path.relative_to(DOCS)).with_suffix(".html").is_file()
    ]
    assert not missing
