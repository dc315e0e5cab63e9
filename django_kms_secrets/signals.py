"""The signal that a refresh sends."""

from django.dispatch import Signal

#: Sent by `Secrets.refresh` after values changed, in the thread that refreshed. Receivers get
#: ``secrets``, the `Secrets` that were refreshed, and ``names``, a frozenset of the names whose
#: value changed, appeared or went; never a value. What a receiver raises is logged by Django and
#: stops neither the refresh nor the other receivers.
secrets_changed: Signal = Signal()
