"""The documentation as the tests see it: pages, their blocks, links and tables.

A fence says what it is by its language, and a comment on the line before it says more:

* ``python`` has the right types; after ``<!-- run -->`` it is executed;
* ``pycon`` is a doctest;
* ``console`` is a transcript: every ``$`` line is executed in a shell, and the output shown under
  it is the output it has (``...`` stands for anything); after ``<!-- skip -->`` it is only parsed,
  after ``<!-- second terminal -->`` it is a server that is started and left running;
* after ``<!-- file: PATH -->`` a block of any language is the content of that file;
* what looks at the other languages is listed in test_data.py.

The blocks of a page are executed in their order, in one empty directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?"
    r"^(?P<ticks>```+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=ticks)$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands after the back-ticks.
        mark: what the comment before it says; often nothing.
        text: its content.
        line: the line of the page where its content begins.
    """

    language: str
    mark: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The path that the mark names."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else ""


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def blocks(self) -> list[Block]:
        text = self.text
        return [
            Block(
                match["info"].strip(),
                match["mark"] or "",
                match["text"],
                text.count("\n", 0, match.start("text")) + 1,
            )
            for match in _FENCE.finditer(text)
        ]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """What a link may name after ``#``: GitHub's and MyST's slugs of the headings."""
        return {slug(heading) for heading in _HEADING.findall(self.prose)}

    @property
    def code(self) -> list[str]:
        """What stands between single back-ticks."""
        return _INLINE.findall(self.prose)

    def table(self, heading: str) -> list[list[str]]:
        """The rows, without the head, of the first table under a heading."""
        parts = re.split(rf"^#+ +{re.escape(heading)} *\n", self.text, maxsplit=1, flags=re.M)
        assert len(parts) == 2, f"{self.name} has no heading {heading!r}"
        lines = [line for line in parts[1].splitlines() if line.startswith("|") or line == ""]
        table: list[str] = []
        for line in lines:
            if line:
                table.append(line)
            elif table:
                break
        return [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in table[2:]
        ]


def slug(heading: str) -> str:
    """A heading as an anchor."""
    plain = re.sub(r"[`*]", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def all_pages() -> list[Page]:
    """README.md and its neighbours, and everything under docs/."""
    found = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    return [Page(path) for path in sorted(found) if "_build" not in path.parts]


def page(name: str) -> Page:
    """A page by its path in the repository."""
    return Page(ROOT / name)


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a transcript, each with the output that is shown under it."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        elif found:
            command, output = found[-1]
            found[-1] = (command, f"{output}{line}\n")
        else:
            raise AssertionError(f"a transcript begins with a command, not with {line!r}")
    return found
