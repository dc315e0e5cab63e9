"""The documentation builds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from .pages import DOCS, all_pages

if TYPE_CHECKING:
    from pathlib import Path


def test_sphinx_has_nothing_to_say(tmp_path: Path) -> None:
    """Sphinx builds the pages without a warning, with every reference checked."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-E", "-b", "html"]
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
