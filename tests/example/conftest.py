"""People, a note, and a reader of pages."""

from __future__ import annotations

import os
import signal
from html.parser import HTMLParser

import pytest

# As in tests/conftest.py: what is started is not to inherit that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A run of the whole suite has no Django settings, or others: it passes this directory by.
if os.environ.get("DJANGO_SETTINGS_MODULE") != "example_settings":
    collect_ignore_glob = ["*"]


class Page(HTMLParser):
    """What a page offers to someone who cannot see it."""

    VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lang = ""
        self.title = ""
        self.tags: list[str] = []
        self.fields: dict[str, dict[str, str | None]] = {}
        self.labelled: set[str] = set()
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "html":
            self.lang = values.get("lang") or ""
        if "id" in values:
            self.ids.append(values["id"] or "")
        if tag == "label":
            self.labelled.add(values.get("for") or "")
        if tag in {"input", "textarea", "select"} and values.get("type") != "hidden":
            self.fields[values["name"] or ""] = values

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title += data


@pytest.fixture
def read():
    """A function that checks a response's status and reads its page."""

    def read_page(response, status: int = 200) -> Page:
        assert response.status_code == status
        return Page(response.content.decode())

    return read_page


@pytest.fixture
def author(django_user_model):
    return django_user_model.objects.create_user("author", password="opens-the-authors-door")


@pytest.fixture
def stranger(django_user_model):
    return django_user_model.objects.create_user("stranger", password="opens-another-door")


@pytest.fixture
def staff(django_user_model):
    return django_user_model.objects.create_user("staff", is_staff=True)


@pytest.fixture
def note(author):
    from notes.models import Note

    return Note.objects.create(title="Bread", body="Flour, water, salt.\n\nTime.", author=author)
