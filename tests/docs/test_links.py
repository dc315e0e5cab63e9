"""Links lead somewhere, also on GitHub, where Sphinx does not see them."""

from __future__ import annotations

import ast
import re
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


@pytest.mark.parametrize("found", all_pages(), ids=lambda found: found.name)
def test_text_was_encoded_once(found: Page) -> None:
    """No page has UTF-8 that something took for Latin-1: a dot became a capital A and a dot."""
    assert re.findall(r"[\u00c2-\u00f4][\u0080-\u00bf].*", found.text) == []


def test_every_page_is_reached_from_the_readme() -> None:
    """README.md links to every page under docs/ but those that only list or include others."""
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in page("README.md").links}
    only_sphinx = {"index.md", "changelog.md", "security.md", "contributing.md"}
    pages = {path for path in DOCS.rglob("*.md") if path.name not in only_sphinx}
    pages = {path for path in pages if "_build" not in path.parts}
    assert sorted(str(path.relative_to(ROOT)) for path in pages - linked) == []


def test_every_term_is_linked() -> None:
    """Each word of the glossary is used on a page that links to it, and is there once."""
    glossary = page("docs/glossary.md")
    terms = re.findall(r"^### (.+)$", glossary.text, re.MULTILINE)
    assert len(terms) == len({slug(term) for term in terms})
    linked = {
        link.partition("glossary.md#")[2]
        for found in all_pages()
        for link in found.links
        if "glossary.md#" in link
    }
    assert [term for term in terms if slug(term) not in linked] == []


def _tests_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def _named_tests(text: str) -> list[tuple[str, str]]:
    """The tests that a text names, as `FILE::TEST`, and then `::TEST` of the same file."""
    found, file = [], ""
    for before, test in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", text):
        file = before or file
        found.append((file, test))
    return found


def test_tests_that_prove_something_exist() -> None:
    """Every test that a page names is there."""
    named = {named for found in all_pages() for named in _named_tests(found.prose)}
    assert len(named) > 40
    assert (
        sorted(
            f"{file}::{test}"
            for file, test in named
            if not (ROOT / file).is_file() or test not in _tests_of(ROOT / file)
        )
        == []
    )


def test_every_defence_has_its_proof() -> None:
    """No entry of the threat model is without a test."""
    text = page("docs/explanation/threat-model.md").text
    defended = text.partition("## What is defended\n")[2].partition("\n## ")[0]
    entries = defended.split("\n- **")[1:]
    assert len(entries) == 22
    assert [entry for entry in entries if not _named_tests(entry)] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A link to a page or heading that is not there is broken; the web is not looked at."""
    assert slug("`load()` and *Secrets*: how") == "load-and-secrets-how"
    sample = tmp_path / "sample.md"
    sample.write_text("# Here\n[a](no.md) [b](#here) [c](#there) [d](sample.md#x) [e](https://x)\n")
    assert _broken(Page(sample)) == ["no.md", "#there", "sample.md#x"]
