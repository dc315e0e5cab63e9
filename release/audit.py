"""Ask OSV for the known vulnerabilities of resolved requirements.

pip-audit exits with 1 for a vulnerability as for a failure, and calls packages that it could not
ask for clean. Here a failure is neither: exit code 0 is none, 1 is some, 2 is not known.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> int:
    """Print what is known, and give the exit code."""
    parser = argparse.ArgumentParser(description="Ask OSV for known vulnerabilities.")
    parser.add_argument("requirements", type=Path, help="every package, as NAME==VERSION")
    parser.add_argument("--osv-url", required=True, help="where OSV answers queries")
    options = parser.parse_args()
    packages = names(options.requirements.read_text("utf-8"))
    found, complaint = ask(options.requirements, options.osv_url)
    asked = {package["name"] for package in found if "vulns" in package}
    if not packages or packages - asked:
        print(
            f"audit: not known: {options.osv_url} was not asked for "
            f"{', '.join(sorted(packages - asked)) or 'any package'}\n{complaint}",
            file=sys.stderr,
        )
        return 2
    lines = [
        f"{package['name']} {package['version']}: {vulnerability['id']},"
        f" fixed in {', '.join(vulnerability['fix_versions']) or 'no version'}"
        for package in found
        for vulnerability in package["vulns"]
    ]
    print(*lines, f"audit: {len(asked)} packages, {len(lines)} vulnerabilities", sep="\n")
    return 1 if lines else 0


def names(requirements: str) -> set[str]:
    """The packages of a resolved requirements file."""
    return {line.partition("==")[0] for line in requirements.splitlines() if line[:1].isalnum()}


def ask(requirements: Path, url: str) -> tuple[list[dict[str, Any]], str]:
    """Give pip-audit's report, a dict a package, and the last line of what it said beside it."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip"]
        command += ["--progress-spinner", "off", "--format", "json", "--output", str(report)]
        command += ["--vulnerability-service", "osv", "--osv-url", url]
        ran = subprocess.run(
            [*command, "--requirement", str(requirements)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        complaint = ran.stderr.strip().rpartition("\n")[2]
        if not report.is_file() or not report.stat().st_size:
            return [], complaint
        found: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["dependencies"]
        return found, complaint


if __name__ == "__main__":
    sys.exit(main())
