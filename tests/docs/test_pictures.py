"""Pictures say what they show, and can be read by anybody: without a network, a script or light."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from .pages import DOCS, Page, all_pages

if TYPE_CHECKING:
    from pathlib import Path

_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_FILL = re.compile(r"^ *(text|\.paper) \{.*?fill: (#[0-9a-f]{6});", re.MULTILINE)

SHOWN = [
    (found, text, target) for found in all_pages() for text, target in _IMAGE.findall(found.prose)
]
DRAWN = [path for path in sorted(DOCS.rglob("*.svg")) if "_build" not in path.parts]


@pytest.mark.parametrize("found, text, target", SHOWN, ids=[target for _, _, target in SHOWN])
def test_a_picture_is_there_and_has_its_text(found: Page, text: str, target: str) -> None:
    """A page shows a file that exists, and says in words what is to be seen in it."""
    assert (found.path.parent / target).is_file()
    assert len(text.split()) > 5


def test_every_picture_is_shown() -> None:
    """No picture is left from a page that is gone."""
    shown = {(found.path.parent / target).resolve() for found, _, target in SHOWN}
    assert shown == set(DRAWN)


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_a_picture_stands_alone(path: Path) -> None:
    """It has a title, and neither a script nor anything that would have to be loaded."""
    root = ElementTree.parse(path).getroot()
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "title", "style", "defs", "marker", "rect", "path", "circle", "text"}
    assert root.get("role") == "img"
    assert root.findtext("{*}title")
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?:|href|@import|url\((?!#)", text) == []


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_a_picture_is_readable_in_the_dark_too(path: Path) -> None:
    """Text and paper differ by 4.5 to 1 (WCAG 2, 1.4.3) in both schemes of colours."""
    light, _, dark = path.read_text("utf-8").partition("prefers-color-scheme: dark")
    for scheme in (light, dark):
        fills = dict(_FILL.findall(scheme))
        assert _contrast(fills["text"], fills[".paper"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_is_that_of_the_definition() -> None:
    """Black on white is 21 to 1, a colour on itself 1 to 1."""
    assert round(_contrast("#000000", "#ffffff"), 2) == 21
    assert _contrast("#1a7f37", "#1a7f37") == 1
