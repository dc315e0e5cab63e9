"""A bulk command that takes its time shows how far it is: on a terminal, and nowhere else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.cli import console as console_module
from django_kms_secrets.cli.console import Console
from django_kms_secrets.cli.verbs import copy, diff, getall, putall
from django_kms_secrets.types import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_kms_secrets.types import Secret

VALUE = "planted-value"
NAMES = [f"NAME_{number}" for number in range(9)]


class Screen(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class Store(LocMemStore):
    """A store that says how far it is."""

    def get_many(self, names: Iterable[str] | None) -> dict[str, Secret]:
        found = super().get_many(names)
        for number in range(len(found)):
            if self.on_progress:
                self.on_progress(number + 1, len(found))
        return found


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every bar would appear at once, on a terminal that knows how to show one."""
    monkeypatch.setattr(console_module, "MOMENT", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    for variable in ("NO_COLOR", "CI"):
        monkeypatch.delenv(variable, raising=False)


def read(*, out: bool = True, err: bool = True, **options: Any) -> str:
    """What stderr has after all was read."""
    store = Store()
    screens = Screen(is_terminal=out), Screen(is_terminal=err)
    with store:
        store.put_many(dict.fromkeys(NAMES, VALUE))
        given = {"format": None, "output": None, "target": "", "keep_going": False, **options}
        assert getall.run(store, given, Console(*screens)) == 0
    assert VALUE in screens[0].getvalue()
    assert VALUE not in screens[1].getvalue()
    return screens[1].getvalue()


def test_a_bar_is_shown_on_a_terminal():
    shown = read()
    assert "reading" in shown
    assert "9/9" in shown


@pytest.mark.parametrize(
    "surroundings", [{"err": False}, {"out": False}, {"format": "json"}], ids=str
)
def test_elsewhere_nothing_is_shown(surroundings):
    """In a pipe, or for a program that reads JSON."""
    assert read(**surroundings) == ""


def test_what_is_done_in_a_moment_shows_nothing(monkeypatch):
    monkeypatch.setattr(console_module, "MOMENT", 60.0)
    assert read() == ""


def test_no_color_is_honoured(monkeypatch):
    assert "\x1b[38;" in read()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[38;" not in read()


def test_a_bar_is_gone_when_its_work_is():
    """Nothing of it stays on the screen, and a straggler does not bring it back."""
    out, err = Screen(is_terminal=True), Screen(is_terminal=True)
    with Console(out, err).progress("reading") as show:
        show(1, 2)
    assert err.getvalue().endswith("\x1b[2K")
    out, err = Screen(is_terminal=True), Screen(is_terminal=True)
    with Console(out, err).progress("reading") as show:
        pass
    show(1, 2)
    assert err.getvalue() == ""


def test_what_is_written_is_shown_without_its_values(tmp_path):
    source = tmp_path / "all.env"
    source.write_text("".join(f"{name}={VALUE}\n" for name in NAMES))
    out, err = Screen(is_terminal=True), Screen(is_terminal=True)
    options = {
        "format": "text",
        "input_format": None,
        "dry_run": False,
        "prune": False,
        "yes": False,
    }
    with Store() as store:
        assert putall.run(store, {"source": SecretStr(source), **options}, Console(out, err)) == 0
    assert "writing" in err.getvalue()
    assert "9/9" in err.getvalue()
    assert VALUE not in out.getvalue() + err.getvalue()


@pytest.mark.parametrize("versions", [False, True], ids=["current", "versions"])
def test_a_copy_is_shown_without_its_values(versions):
    target = f"locmem://copied-{versions}"
    out, err = Screen(is_terminal=True), Screen(is_terminal=True)
    options = {"to": target, "names": None, "existing": None, "dry_run": False, "format": "text"}
    with Store() as store:
        store.put_many(dict.fromkeys(NAMES, VALUE))
        assert copy.run(store, {**options, "versions": versions}, Console(out, err)) == 0
    assert "reading" in err.getvalue()
    assert "writing" in err.getvalue()
    assert "9/9" in err.getvalue()
    assert VALUE not in out.getvalue() + err.getvalue()


def test_a_diff_on_a_terminal_is_a_table_without_values(tmp_path):
    source = tmp_path / "all.env"
    source.write_text("".join(f"{name}={VALUE}\n" for name in NAMES))
    out, err = Screen(is_terminal=True), Screen(is_terminal=True)
    options = {"source": SecretStr(source), "format": "text", "input_format": None}
    with Store() as store:
        store.put_many(dict.fromkeys(NAMES, VALUE))
        assert diff.run(store, options, Console(out, err)) == 0
    assert all(name in out.getvalue() for name in [*NAMES, "state", "stored", "given"])
    assert VALUE not in out.getvalue() + err.getvalue()
