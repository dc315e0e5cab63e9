"""AWS's Signature Version 4, for a request whose path is / and that has no query.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"


def authorization(
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
) -> str:
    """The Authorization header of a request.

    Args:
        method: such as POST.
        headers: all that are to be signed, X-Amz-Date (``20150830T123600Z``) among them; and the
            token of the credentials, if they have one.
        body: what follows them.
        credentials: whose request it is.
        region, service: whom it is for.
    """
    signed = {name.lower(): " ".join(value.split()) for name, value in sorted(headers.items())}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"{method}\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    moment = signed["x-amz-date"]
    scope = (moment[:8], region, service, "aws4_request")
    text = "\n".join(
        (_ALGORITHM, moment, "/".join(scope), hashlib.sha256(request.encode()).hexdigest())
    )
    key = f"AWS4{credentials.secret_key!s}".encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    return (
        f"{_ALGORITHM} Credential={credentials.access_key}/{'/'.join(scope)}, "
        f"SignedHeaders={names}, Signature={key.hex()}"
    )
