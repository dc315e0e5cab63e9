"""Whether mypy and pyright refuse every wrong line of refused.py, and no other.

Usage: ``python tests/typing/check.py``, where both are installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REFUSED = HERE / "refused.py"
CHECKERS = {
    "mypy": [sys.executable, "-m", "mypy", "--show-absolute-path"],
    "pyright": ["node", f"{HERE}/node_modules/pyright/index.js", "--pythonpath", sys.executable],
}


def refused_by(command: list[str]) -> set[int]:
    """The lines of refused.py that a checker has an error for."""
    done = subprocess.run(
        [*command, str(REFUSED)], cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )
    found = re.findall(rf"{re.escape(str(REFUSED))}:(\d+):.*error", done.stdout)
    return {int(line) for line in found}


def main() -> str | None:
    """Give what is wrong, in lines, or None."""
    lines = REFUSED.read_text("utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if "# wrong: " in line}
    words = [
        f"{name}: refused.py:{line} is {'not refused' if line in wrong else 'refused'}"
        for name, command in CHECKERS.items()
        for line in sorted(refused_by(command) ^ wrong)
    ]
    return "\n".join(words) or None


if __name__ == "__main__":
    sys.exit(main())
