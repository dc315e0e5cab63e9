"""Hostile input: what `run` fuzzes, and `test_corpus` replays."""

#: Stands where a value would: no message may have it.
MARKER = "hunter2-PLANTED"
