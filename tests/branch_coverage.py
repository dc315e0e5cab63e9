"""Whether enough branches are covered; coverage's own limit is of lines and branches together.

Usage: ``python tests/branch_coverage.py FILE``, where FILE is what ``coverage json`` has written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

#: Percent.
LIMIT = 95.0


def main() -> str | None:
    """Give what is wrong, or None."""
    totals = json.loads(Path(sys.argv[1]).read_text("utf-8"))["totals"]
    percent = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"branches: {percent:.1f} % of {totals['num_branches']}, the limit is {LIMIT:g} %")
    return None if percent >= LIMIT else f"fewer than {LIMIT:g} % of the branches are covered"


if __name__ == "__main__":
    sys.exit(main())
