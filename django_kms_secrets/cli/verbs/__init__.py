"""One module for each verb: its arguments, and what it does with an open store."""
