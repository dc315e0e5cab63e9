"""Say which Python versions the suite will run on; fail if it would run on none."""

from __future__ import annotations

import subprocess
import sys
from shutil import which

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def works(version: str) -> bool:
    """Whether that interpreter starts; a shim of a version manager may be there and fail."""
    path = which(f"python{version}")
    if path is None:
        return False
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    found = [version for version in SUPPORTED if works(version)]
    print(f"Python found: {', '.join(found) or 'none'}")
    missing = [version for version in SUPPORTED if version not in found]
    if missing:
        print(f"not found, so not tested here: {', '.join(missing)}")
    sys.exit(0 if found else "no supported Python was found: install python3 and python3-venv")
