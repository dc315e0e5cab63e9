"""The changelog: in the form of https://keepachangelog.com/en/1.1.0/, and about this version."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from packaging.version import Version

import django_kms_secrets

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
RELEASE = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)")


def mistakes(text: str, version: str) -> list[str]:
    """What is not as it should be."""
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    found = [] if head.startswith("# Changelog\n") else ["no title"]
    titles = [section.partition("\n")[0] for section in sections]
    if titles[:1] != ["[Unreleased]"]:
        found.append("Unreleased is not first")
    releases = [RELEASE.fullmatch(title) for title in titles[1:]]
    if not all(releases):
        return [*found, "a release is not [1.2.3] - 2026-01-31"]
    versions = [Version(release[1]) for release in releases if release]
    dates = [date.fromisoformat(release[2]) for release in releases if release]
    for listed in (versions, dates):
        if listed != sorted(listed, reverse=True):
            found.append("the newest is not first")
    if len(set(versions)) < len(versions):
        found.append("a release twice")
    if versions and Version(version) < versions[0]:
        found.append("the package is older than the newest release")
    return found + [
        f"{title}: {wrong}"
        for title, section in zip(titles, sections, strict=True)
        for wrong in _wrong_kinds(section)
    ]


def _wrong_kinds(section: str) -> list[str]:
    before, *kinds = re.split(r"^### ", section.partition("\n")[2], flags=re.MULTILINE)
    names = [kind.partition("\n")[0] for kind in kinds]
    found = ["text outside of its kinds"] if before.strip() else []
    if names != [kind for kind in KINDS if kind in names]:
        found.append("unknown kinds, or in another order")
    if not all(kind.partition("\n")[2].strip().startswith("- ") for kind in kinds):
        found.append("a kind without entries")
    return found


def test_the_changelog_is_in_form() -> None:
    """Ours has no mistake."""
    assert mistakes(CHANGELOG.read_text("utf-8"), django_kms_secrets.__version__) == []


GOOD = """# Changelog

## [Unreleased]

### Added

- More.

## [0.2.0] - 2026-02-01

### Added

- This.

### Fixed

- That.

## [0.1.0] - 2026-01-01

### Added

- All.
"""


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        ("", "", []),
        ("# Changelog", "# News", ["no title"]),
        ("[Unreleased]", "[0.3.0] - 2026-03-01", ["Unreleased is not first"]),
        ("- 2026-02-01", "- 1 Feb", ["a release is not [1.2.3] - 2026-01-31"]),
        ("2026-01-01", "2026-02-02", ["the newest is not first"]),
        ("[0.1.0]", "[0.2.0]", ["a release twice"]),
        ("[0.2.0]", "[0.4.0]", ["the package is older than the newest release"]),
        ("### Fixed", "### Mended", ["[0.2.0] - 2026-02-01: unknown kinds, or in another order"]),
        ("- That.", "", ["[0.2.0] - 2026-02-01: a kind without entries"]),
        ("### Added\n\n- All.", "All.", ["[0.1.0] - 2026-01-01: text outside of its kinds"]),
    ],
)
def test_mistakes_are_seen(before: str, after: str, mistake: list[str]) -> None:
    """Each mistake, planted in a good one."""
    assert mistakes(GOOD.replace(before, after, 1) if before else GOOD, "0.3.0") == mistake
