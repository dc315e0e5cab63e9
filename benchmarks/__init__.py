"""What fetching secrets costs, here and elsewhere: ``python -m benchmarks``."""
