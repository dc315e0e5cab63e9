"""Copy the tracked and new files of the project, without the package, for tox.

What is left can only import the package that tox installed: the wheel.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path


def main(source: Path, target: Path) -> None:
    """Copy ``source`` to ``target``, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    for name in files_of(source):
        if name.parts[0] != "django_kms_secrets":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def files_of(source: Path) -> list[Path]:
    """The tracked and new files below ``source``, relative to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=source, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        # A tree without git, such as an unpacked sdist: every file but what tools leave behind.
        left = re.compile(r"\.tox|\.venv.*|\.git|__pycache__")
        found = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
        return [path for path in found if not any(map(left.fullmatch, path.parts))]
    names = (Path(name) for name in listing.decode().split("\0") if name)
    return [name for name in names if (source / name).is_file()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
