"""`make_secrets.py DIRECTORY`: random secrets for a site on one machine, made once.

They go to two files that only their owner can read: `secrets.json` for `manage.py secrets putall`,
and `database-password` for PostgreSQL. Files that are there stay as they are.
"""

import json
import os
import secrets
import sys
from pathlib import Path


def main(directory: Path) -> None:
    """Make what is missing."""
    password = _kept(directory / "database-password", secrets.token_urlsafe(24))
    values = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DATABASE_URL": f"postgres://notes:{password}@db:5432/notes",
        "EMAIL_HOST_PASSWORD": secrets.token_urlsafe(24),
        "site": {
            "banner": "on one machine",
            "sentry": {"dsn": ""},
            "api": {"weather": {"key": secrets.token_urlsafe(24)}},
        },
    }
    _kept(directory / "secrets.json", json.dumps(values, indent=4))


def _kept(path: Path, text: str) -> str:
    """Return what the file holds; a file that is not there gets this text, whole or not at all."""
    if not path.exists():
        partial = path.with_name(f".{path.name}.partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
