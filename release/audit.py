"""Ask OSV, by pip-audit, for the known vulnerabilities of resolved requirements.

pip-audit's command exits with 1 for a vulnerability as for a failure, and takes the first page of
an answer for the whole, and an answer that is none for good news. Here exit code 0 is none, 1 is
some, and 2 is not known, whatever the reason.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# pip-audit documents its modules, but promises nothing for them: its version is locked.
from packaging.version import Version
from pip_audit._audit import Auditor
from pip_audit._dependency_source import DependencySource
from pip_audit._service import OsvService, ResolvedDependency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import Response

TIMEOUT = 30  # seconds, for one answer


class NotKnownError(Exception):
    """The question has no answer; the message says why."""


class Resolved(DependencySource):
    """The packages of a resolved requirements file, each as NAME==VERSION."""

    def __init__(self, requirements: Path) -> None:
        lines = requirements.read_text("utf-8").splitlines()
        self.lines = [line for line in lines if not re.match(r"\s*(#|$)", line)]
        if not self.lines:
            raise NotKnownError(f"{requirements} names no package")

    def collect(self) -> Iterator[ResolvedDependency]:
        for line in self.lines:
            match = re.fullmatch(r"([\w.-]+)==(\S+)", line)
            if match is None:
                raise NotKnownError(f"not a package as NAME==VERSION: {line}")
            yield ResolvedDependency(match[1], Version(match[2]))

    def fix(self, fix_version: Any) -> None:
        raise NotImplementedError


def main() -> int:
    """Print what is known, and give the exit code."""
    parser = argparse.ArgumentParser(description="Ask OSV for known vulnerabilities.")
    parser.add_argument("requirements", type=Path, help="every package, as NAME==VERSION")
    parser.add_argument("--osv-url", required=True, help="where OSV answers queries")
    options = parser.parse_args()
    try:
        return audit(options.requirements, options.osv_url)
    except Exception as error:  # Python would exit with 1, which is the answer "some".
        reason = str(error) or repr(error.__cause__ or error)
        print(f"audit: not known, {options.osv_url}: {reason}", file=sys.stderr)
        return 2


def audit(requirements: Path, url: str) -> int:
    """Ask for every package, then print; gives 0 or 1."""
    service = OsvService(osv_url=url, timeout=TIMEOUT)
    service.session.hooks["response"].append(refuse_parts)
    found = list(Auditor(service).audit(Resolved(requirements)))
    lines = [
        f"{package.name} {package.version}: {vulnerability.id},"
        f" fixed in {', '.join(map(str, vulnerability.fix_versions)) or 'no version'}"
        for package, vulnerabilities in found
        for vulnerability in vulnerabilities
    ]
    print(*lines, f"audit: {len(found)} packages, {len(lines)} vulnerabilities", sep="\n")
    return 1 if lines else 0


def refuse_parts(response: Response, **_: Any) -> None:
    """Refuse the answers that pip-audit would take for fewer vulnerabilities than there are.

    The fields are those of https://google.github.io/osv.dev/post-v1-query/
    """
    if not response.ok:
        return  # pip-audit refuses it.
    answer = response.json()
    if not isinstance(answer, dict) or not set(answer) <= {"vulns", "next_page_token"}:
        raise NotKnownError("an answer is none of OSV's")
    if answer.get("next_page_token"):
        raise NotKnownError("an answer has more pages than are read")
    for vulnerability in answer.get("vulns", []):
        version = vulnerability.get("schema_version", "1")
        if "affected" not in vulnerability or version.partition(".")[0] != "1":
            raise NotKnownError(f"pip-audit cannot read {vulnerability['id']}")


if __name__ == "__main__":
    sys.exit(main())
