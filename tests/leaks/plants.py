"""The secrets that are planted: each has a core of its own, by which it is recognised anywhere."""

from __future__ import annotations

import base64
import secrets as random
from dataclasses import dataclass, field

# What the values look like around their cores; a name that is not here has the core alone.
_SHAPES = {
    "DATABASE_URL": "postgres://app:{core}%40x@db.example:5432/app",
    "CACHE_URL": "rediscache://:{core}@cache.example:6379/0",
    "BROKER_URL": "amqp://worker:{core}@broker.example//",
    "SENTRY_DSN": "https://{core}@sentry.example/1",
    "SERVICE_URL": "https://robot:{core}@service.example/?a=b",
    "HOSTS": "{core}.one.example,two.example",
    "PAIRS": "one={core},two=2",
    "TREE": '{{"deep": [{{"er": "{core}"}}], "port": 5432}}',
    "TREE_ENV": '{{"deep": [{{"er": "{core}"}}]}}',
    "TREE_DOTTED": '{{"deep": {{"er": "{core}"}}}}',
    "PHRASE": "several words before {core} and as many after it, so that a printer would wrap it",
    "PEM": "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n{core}AgEA\n-----END KEY-----\n",
    "AWKWARD": "'\"<&>\\\n\té%41 {core} +/=",
    "UNICODE": "schlüssel{core}",
    "QUOTED": "p@s/{core}?&",
    "UNDECODABLE": "é{core}",
    "ROTATED_URL": "postgres://app:{core}%2F@db.example:5432/app",
    "ROTATED_TREE": '{{"engine": "postgres", "username": "app", "password": "{core}"}}',
    "CELERY_RESULT_BACKEND": "redis://:{core}@cache.example:6379/1",
    "EMAIL_URL": "smtp://robot:{core}@mail.example:25",
    "CHANNELS": "redis://:{core}@cache.example:6379/2",
    "SEARCH": "https://robot:{core}@search.example/",
    "WEBHOOK": "https://hooks.example/services/{core}",
}

# So much of a core is found as well: something may have cut it off.
_ENOUGH = 12

#: Those that stay what the package gave: masked strings, and what `secrets.env` makes of them.
KEPT = [
    "SECRET_KEY",
    "DATABASE_URL",
    "CACHE_URL",
    "EMAIL_HOST_PASSWORD",
    "SERVICE_URL",
    "HOSTS",
    "PAIRS",
    "TREE",
    "TREE_ENV",
    "TREE_DOTTED",
    "RAW",
    "NESTED",
    "ROTATED_URL",
    "ROTATED_TREE",
]

#: Those that Django hides by their names: ordinary strings as well.
NAMED = [
    "AWS_SECRET_ACCESS_KEY",
    "STRIPE_API_KEY",
    "SOCIAL_AUTH_GOOGLE_OAUTH2_SECRET",
    "SIGNING_KEY",
    "ROLLBAR_TOKEN",
]

#: Those of which the site makes ordinary strings, in its settings.
DERIVED = [
    "BROKER_URL",
    "SENTRY_DSN",
    "BANNER",
    "FORMATTED",
    "ADDED",
    "LISTED",
    "MAPPED",
    "IN_A_SET",
    "BLOB",
    "BASIC",
    "QUOTED",
    "HEXADECIMAL",
    "ENVIRON",
    "OBJECT",
    "PHRASE",
    "PEM",
    "AWKWARD",
    "UNICODE",
    "TRIMMED",
    "CELERY_RESULT_BACKEND",
    "EMAIL_URL",
    "CHANNELS",
    "SEARCH",
    "STORAGE",
    "WEBHOOK",
]

#: Those that its views put into variables, requests, errors and logs.
HANDLED = [
    "LOCAL",
    "LOCAL_BYTES",
    "ARGUMENT",
    "CHAINED",
    "CONTEXT",
    "DOC",
    "UNDECODABLE",
    "MISSING_KEY",
    "NOTE",
    "HEADER",
    "QUERY",
    "FORM",
    "COOKIE",
    "PATH",
    "ASYNC",
    "TEMPLATE",
    "PROGRAM",
    "LOGGED",
    "EXTRA",
    "STACK",
    "WRONG_LOG",
    "WARNED",
    "ATTRIBUTE",
]

NAMES = [*KEPT, *NAMED, *DERIVED, *HANDLED]


@dataclass
class Plants:
    """Values for every name, new for every run."""

    cores: dict[str, str] = field(
        default_factory=lambda: {name: f"leak{random.token_hex(8)}" for name in NAMES}
    )

    @property
    def values(self) -> dict[str, str]:
        """What to put into the stores."""
        return {
            name: _SHAPES.get(name, "{core}").format(core=core) for name, core in self.cores.items()
        }

    def found_in(self, data: bytes) -> set[str]:
        """The names whose core, or the most of it, stands in some bytes: as it is, in base64 or in
        hexadecimal."""
        return {
            name
            for name, core in self.cores.items()
            if any(form in data for form in _recognised(core[:_ENOUGH].encode()))
        }


def _recognised(core: bytes) -> list[bytes]:
    # Written apart from the code that is tested. A core has no character that escaping changes;
    # of its base64 the inner part is enough.
    inner = [base64.b64encode(bytes(before) + core)[4:-4] for before in range(3)]
    return [core, core.hex().encode(), *inner]
