"""What the fuzzer found worth keeping, faults that were mended among it, without the fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import MARKER, mutator, run, wire
from .targets import TARGETS, Broken, _hidden

CORPUS = Path(__file__).parent / "corpus"
REPLIES = ("credstash", "document", "names", "transports")


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_of_the_corpus_breaks_no_rule(target):
    files = sorted((CORPUS / target).iterdir())
    assert files
    for path in files:
        print(path.name)  # pytest shows the last one of a failure
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in {"cli", *REPLIES}])
def test_any_bytes_break_no_rule(target):
    @given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
    def holds(data: bytes) -> None:
        TARGETS[target](data)

    holds()


# Where the two transports may differ is for the fuzzer to find, and not for chance in the suite.
@pytest.mark.parametrize("target", [name for name in REPLIES if name != "transports"])
def test_a_reply_that_was_changed_breaks_no_rule(target):
    """The changes are those that the fuzzer makes: other types, members gone, twice, or nested."""
    files = sorted((CORPUS / target).iterdir())

    @given(st.sampled_from(files), st.integers(min_value=0))
    def holds(path: Path, seed: int) -> None:
        changed = mutator.mutated(path.read_bytes(), seed)
        TARGETS[target](changed or path.read_bytes())

    holds()


def test_the_corpus_is_small():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {*TARGETS} == {*run.RUNS}
    assert len(files) <= 350
    assert sum(path.stat().st_size for path in files) <= 200_000


def test_a_fault_would_be_seen(monkeypatch):
    """An exception that is none of ours, and a value in a message, end the run."""
    monkeypatch.setattr("django_kms_secrets.formats.tree.load", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        TARGETS["json"](b"{}")
    monkeypatch.undo()
    monkeypatch.setattr("django_kms_secrets.cli.plan.Plan._fingerprint", lambda _, value: value)
    for verb in (b"diff\na.json", b"copy\n--to\nfile://a.json\n--dry-run"):
        with pytest.raises(Broken):
            TARGETS["cli"](verb)
    monkeypatch.undo()
    with pytest.raises(Broken):
        _hidden(ValueError(MARKER))


def test_nothing_is_done_outside_of_the_room():
    """The command gets arguments of any kind, and runs with the rights of whoever fuzzes."""
    here = sorted(Path.cwd().iterdir())
    for argument in (b"/", b"file:///x.env", b"%2Fx.json", b"~/x.json"):
        TARGETS["cli"](b"getall\n-o\n" + argument + b"\n-f\njson")
        TARGETS["cli"](b"setup\n--url\n" + argument)
    assert sorted(Path.cwd().iterdir()) == here
    assert not Path("/x.env").exists()
    assert not Path("/x.json").exists()


def test_a_wire_that_answers_properly_is_read():
    """Fuzzing begins with replies that are right: behind an error nothing would be found."""
    from .targets import _credstash

    status, _, body = wire.text({"Items": [wire.record()]}).partition(" ")
    replies = [(int(status), body.encode()), (200, wire.text(wire.KEY).partition(" ")[2].encode())]
    with wire.answering(replies):
        assert _credstash().get("A").value == MARKER
