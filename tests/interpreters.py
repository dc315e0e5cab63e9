"""Say which Python versions the suite will run on; fail if it would run on none."""

from __future__ import annotations

import os
import subprocess
import sys
from shutil import which

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def works(version: str) -> bool:
    """Whether one of that version starts; a version manager's shim may come first and fail."""
    paths = [which(f"python{version}", path=entry) for entry in os.get_exec_path()]
    return any(
        subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
        for path in paths
        if path
    )


if __name__ == "__main__":
    found = [version for version in SUPPORTED if works(version)]
    print(f"Python found: {', '.join(found) or 'none'}")
    missing = [version for version in SUPPORTED if version not in found]
    if missing:
        print(f"not found, so not tested here: {', '.join(missing)}")
    sys.exit(0 if found else "no supported Python was found: install python3 and python3-venv")
