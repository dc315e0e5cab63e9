"""Executes blocks of Python for `session.Session`: requests on stdin, answers on stdout, as JSON.

It is a process of its own, so that a page finds neither the settings nor the modules of the tests.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import sys
import traceback
from typing import Any


def main() -> None:
    """Answer until stdin ends: "" for a block that worked, else what went wrong."""
    answers, sys.stdout = sys.stdout, sys.stderr
    names: dict[str, Any] = {"__name__": "__main__"}
    for line in sys.stdin:
        block = json.loads(line)
        print(json.dumps(_run(names=names, **block)), file=answers, flush=True)


def _run(language: str, text: str, where: str, names: dict[str, Any]) -> str:
    out = io.StringIO()
    if language == "pycon":
        examples = doctest.DocTestParser().get_doctest(text, names, where, where, 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(examples, out=out.write, clear_globs=False)
        names.update(examples.globs)
        return out.getvalue()
    try:
        exec(compile(text, where, "exec"), names)  # our own documentation
    except Exception:
        return traceback.format_exc()
    return ""


if __name__ == "__main__":
    sys.path.insert(0, "")
    with contextlib.suppress(KeyboardInterrupt):
        main()
