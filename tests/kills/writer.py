"""A program that runs commands in children of its own, each when it is told to.

It has imported what a command needs, so what is killed is the command, and not an import.

It takes lines of JSON, ``{"argv": […], "env": {…}, "words": PATH, "warm": BOOL}``, and answers
each with two lines: the child's process id, and how it ended. A child begins when a byte comes. A
command to get warm is run in the program itself.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import Any

import botocore.session

from django_kms_secrets.__main__ import main


def _run(command: dict[str, Any]) -> int:
    os.environ.update(command["env"])
    words = os.open(command["words"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    before = [os.dup(1), os.dup(2)]
    os.dup2(words, 1)
    os.dup2(words, 2)
    try:
        return main(command["argv"])
    except SystemExit as exc:
        return int(exc.code or 0)
    finally:
        sys.stdout.flush()
        os.dup2(before[0], 1)
        os.dup2(before[1], 2)
        for descriptor in (words, *before):
            os.close(descriptor)


def _child(command: dict[str, Any]) -> int:
    os.read(0, 1)
    return _run(command)


def serve() -> None:
    """Until there are no more commands."""
    # Or each client would read the descriptions of the services anew.
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    while line := os.read(0, 65536):
        command = json.loads(line)
        if command["warm"]:
            _say(0, _run(command))
            continue
        pid = os.fork()
        if not pid:
            code = 70  # a bug here
            try:
                code = _child(command)
            finally:
                os._exit(code)
        _say(pid)
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _say(*numbers: int) -> None:
    os.write(1, "".join(f"{number}\n" for number in numbers).encode())


if __name__ == "__main__":
    serve()
