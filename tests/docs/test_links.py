"""Links lead somewhere, also on GitHub, where Sphinx does not see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .pages import DOCS, ROOT, Page, all_pages, page, slug

if TYPE_CHECKING:
    from pathlib import Path


def _broken(found: Page) -> list[str]:
    broken = []
    for link in found.links:
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (found.path.parent / target).resolve() if target else found.path
        if not path.is_file() or (anchor and anchor not in Page(path).anchors):
            broken.append(link)
    return broken


@pytest.mark.parametrize("found", all_pages(), ids=lambda found: found.name)
def test_links_resolve(found: Page) -> None:
    """A link inside the repository names a file that is there, and a heading that is in it."""
    assert _broken(found) == []


@pytest.mark.parametrize("found", all_pages(), ids=lambda found: found.name)
def test_lines_are_short(found: Page) -> None:
    """Prose is wrapped at 120 characters; tables, transcripts and links are not."""
    long = [
        line
        for line in found.prose.splitlines()
        if len(line) > 120 and not line.startswith("|") and "](" not in line
    ]
    assert long == []


def test_every_page_is_reached_from_the_readme() -> None:
    """README.md links to every page under docs/ but those that only list or include others."""
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in page("README.md").links}
    only_sphinx = {"index.md", "changelog.md", "security.md", "contributing.md", "glossary.md"}
    pages = {path for path in DOCS.rglob("*.md") if path.name not in only_sphinx}
    pages = {path for path in pages if "_build" not in path.parts}
    assert sorted(str(path.relative_to(ROOT)) for path in pages - linked) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A link to a page or heading that is not there is broken; the web is not looked at."""
    assert slug("`load()` and *Secrets*: how") == "load-and-secrets-how"
    sample = tmp_path / "sample.md"
    sample.write_text("# Here\n[a](no.md) [b](#here) [c](#there) [d](sample.md#x) [e](https://x)\n")
    assert _broken(Page(sample)) == ["no.md", "#there", "sample.md#x"]
