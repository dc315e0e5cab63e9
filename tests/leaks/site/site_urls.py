"""Views that fail, each with a secret in another place."""

import json
import logging
import os
import subprocess
import sys
import warnings

from django.shortcuts import render
from django.urls import path
from site_settings import secrets

logger = logging.getLogger("site")


class Failed(Exception):
    """What the views raise."""


def variables(request):
    text = f"prefix-{secrets['LOCAL']}"
    raw = secrets["LOCAL_BYTES"].encode()
    # The report cuts variables off after 4096 characters.
    long = "." * 4080 + secrets["TRIMMED"] + "." * 500
    raise Failed("variables", len(text + long) + len(raw))


def argument(request):
    raise Failed("argument", str(secrets["ARGUMENT"]))


def chained(request):
    try:
        raise Failed(str(secrets["CHAINED"]))
    except Failed as exc:
        raise ValueError("chained") from exc


def context(request):
    try:
        {}[str(secrets["MISSING_KEY"])]
    except KeyError:
        int(str(secrets["CONTEXT"]))


def document(request):
    json.loads("{" + secrets["DOC"])


def undecodable(request):
    secrets["UNDECODABLE"].encode("latin-1").decode()


def note(request):
    exc, text = Failed("note"), f"with {secrets['NOTE']}"
    if sys.version_info >= (3, 11):
        exc.add_note(text)
    else:
        exc.args += (text,)
    raise exc


def program(request):
    command = [sys.executable, "-c", "1/0", str(secrets["PROGRAM"])]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def asked(request):
    """The secrets are in the request."""
    request.POST["nope"]


def environment(request):
    # As wsgiref does it, and so runserver.
    request.META.update(os.environ)
    raise Failed("environment")


async def asynchronous(request):
    text = f"async {secrets['ASYNC']}"
    raise Failed("asynchronous", len(text))


def template(request):
    name = f"no-such-template-{secrets['TEMPLATE']}"
    return render(request, "broken.html", {"shown": 1, "name": name})


def logs(request):
    secrets.refresh()
    logger.info("logged %s", secrets["LOGGED"])
    logger.warning("extra", extra={"token": str(secrets["EXTRA"]), "tree": [secrets["EXTRA"]]})
    logger.warning("stack %(a)s", {"a": secrets["STACK"]}, stack_info=True)
    logger.warning("wrong %d", str(secrets["WRONG_LOG"]))
    warnings.warn(f"warned of {secrets['WARNED']}", stacklevel=1)
    try:
        json.loads("{" + secrets["ATTRIBUTE"])
    except ValueError:
        logger.info("no JSON", exc_info=True)
    raise Failed("logs")


VIEWS = [
    variables,
    argument,
    chained,
    context,
    document,
    undecodable,
    note,
    program,
    asked,
    environment,
    asynchronous,
    template,
    logs,
]

urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]
urlpatterns.append(path("asked/<str:something>/", lambda request, something: asked(request)))
