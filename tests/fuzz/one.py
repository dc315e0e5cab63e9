"""The process that fuzzes one target: ``python -m tests.fuzz.one TARGET DIRECTORY… [OPTION…]``."""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["django_kms_secrets", "botocore.parsers", "yaml"]):
    from . import mutator, targets

#: Those whose input is a list of replies.
_REPLIES = {"credstash", "document", "names", "transports"}


def _replies(data: bytes, max_size: int, seed: int) -> bytes:
    changed = mutator.mutated(data, seed) if random.Random(seed).random() < 0.9 else None
    if changed is None or len(changed) > max_size:
        return bytes(atheris.Mutate(data, max_size))
    return changed


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    name = sys.argv.pop(1)
    more = {"custom_mutator": _replies} if name in _REPLIES else {}
    atheris.Setup(sys.argv, targets.TARGETS[name], **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
