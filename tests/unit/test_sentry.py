"""Sentry's events: no value in what is sent, and something is sent whatever happens."""

from __future__ import annotations

import pytest

from django_kms_secrets.redaction import Loaded
from django_kms_secrets.sentry import before_send, redacting
from django_kms_secrets.types import MASK

VALUE = "hunter2-marker"
EVENT = {"event_id": "1", "exception": {"values": [{"value": f"a {VALUE}"}]}, "extra": {VALUE: 1}}
CLEAN = {"event_id": "1", "exception": {"values": [{"value": f"a {MASK}"}]}, "extra": {MASK: 1}}


@pytest.fixture(autouse=True)
def loaded():
    """One value is loaded."""
    holder = Loaded()
    holder.add([VALUE])
    return holder


def test_the_whole_event_is_clean():
    """Wherever in it the value stands."""
    assert before_send(EVENT, {}) == CLEAN


def test_objects_in_a_log_are_clean():
    """Sentry sends their repr, after us; those with nothing to hide stay what they are."""

    class Shows:
        def __init__(self, text):
            self.text = text

        def __repr__(self):
            return f"<{self.text}>"

    harmless = Shows("x")
    log = {"body": f"a {VALUE}", "attributes": {"request": Shows(VALUE), "other": harmless}}
    sent = before_send(log, {})
    assert sent == {"body": f"a {MASK}", "attributes": {"request": f"<{MASK}>", "other": harmless}}


def test_a_project_s_own_comes_first():
    """What it adds is redacted, and what it drops stays dropped."""
    added = redacting(lambda event, hint: {**event, "tags": hint})
    assert added(EVENT, {"tag": VALUE}) == {**CLEAN, "tags": {"tag": MASK}}
    assert redacting(lambda event, hint: None)(EVENT, {}) is None


def test_an_event_that_cannot_be_looked_at_is_only_announced():
    """It raises nothing, and sends nothing of the rest."""
    event: dict = {**EVENT}
    event["itself"] = event
    sent = before_send(event, {})
    assert sent == {
        "event_id": "1",
        "message": "an event that could not be redacted: RecursionError",
    }
