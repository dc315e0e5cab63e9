"""System checks. They touch no network, and show no value."""
