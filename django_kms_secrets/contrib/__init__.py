"""Apps that a site may add."""
