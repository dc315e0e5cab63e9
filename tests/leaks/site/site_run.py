"""Run the site: every view is asked for, and what came out is put into files in SITE_OUT.

What is printed and logged goes where it goes; the test has it too.
"""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import django
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment

OUT = Path(os.environ["SITE_OUT"])


def write(name, text):
    (OUT / name).write_text(text, "utf-8", "backslashreplace")


def sentry(filtered):
    """Sentry's own SDK, with everything it can collect, sending into a list."""
    try:
        import sentry_sdk
        from sentry_sdk.integrations.logging import LoggingIntegration
        from sentry_sdk.transport import Transport
    except ImportError:
        return None
    sent = []

    class Kept(Transport):
        def capture_envelope(self, envelope):
            sent.append(envelope.serialize().decode())

    options = {}
    if filtered:
        from django_kms_secrets.sentry import before_send

        options = {
            "before_send": before_send,
            "before_send_transaction": before_send,
            "before_send_log": before_send,
        }
    sentry_sdk.init(
        dsn="https://key@127.0.0.1/1",
        transport=Kept,
        send_default_pii=True,
        traces_sample_rate=1.0,
        max_request_body_size="always",
        enable_logs=True,
        integrations=[LoggingIntegration(level=logging.DEBUG, sentry_logs_level=logging.DEBUG)],
        **options,
    )
    return sent


def ask(client, view, headers):
    """Ask for a view, as a request that has secrets of its own."""
    from site_settings import secrets

    client.cookies["thing"] = str(secrets["COOKIE"])
    name = view.__name__
    something = f"{secrets['PATH']}/" if name == "asked" else ""
    return client.post(
        f"/{name}/{something}",
        data={"field": str(secrets["FORM"])},
        query_params={"q": str(secrets["QUERY"])},
        headers={**headers, "X-Thing": str(secrets["HEADER"])},
    )


def ask_for_all():
    from site_urls import VIEWS

    for accept in ("text/html", "text/plain"):
        client = Client(raise_request_exception=False)
        for view in VIEWS:
            response = ask(client, view, {"accept": accept})
            assert response.status_code == 500, view
            write(f"page-{view.__name__}-{accept[5:]}", response.content.decode())
        missing = client.get("/nowhere/", headers={"accept": accept})
        write(f"page-404-{accept[5:]}", missing.content.decode())
    for number, message in enumerate(mail.outbox):
        parts = [message.subject, message.body, *(a.content for a in message.alternatives)]
        write(f"mail-{number}", "\n\n".join(parts))


def dump_settings():
    shown = io.StringIO()
    call_command("diffsettings", "--all", stdout=shown)
    write("diffsettings", shown.getvalue())


def dump_objects():
    """What Python shows of our objects and errors, and copies of them."""
    import copy
    import pickle
    import pprint
    import traceback

    import site_settings
    from django.conf import settings

    from django_kms_secrets import redaction
    from django_kms_secrets.config import read_config
    from django_kms_secrets.types import PREVIOUS

    held = [site_settings.secrets, site_settings.env, settings.DATABASES, settings.TREE]
    held += [redaction.matcher(), vars(site_settings), vars(site_settings.secrets)]
    shown = [show(thing) for thing in held for show in (repr, pprint.pformat)]
    for thing in held[:2]:
        shown += map(repr, vars(thing).values())
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            shown.append(attempted(lambda each=duplicate, thing=thing: repr(each(thing))))
    for url in (os.environ["SITE_TABLE"], os.environ["SITE_DOCUMENT"]):
        store = read_config(url).make_store()
        with store:
            name = next(iter(site_settings.secrets))
            found = attempted(lambda: store.get_many([name]))  # noqa: B023
            listed = store.list_secrets()
            shown += [found, repr(vars(store)), repr(listed), repr(listed[0]._asdict())]
            shown.append(attempted(lambda: store.get(name, version=PREVIOUS)))  # noqa: B023
        shown += [repr(vars(store)), repr(copy.deepcopy(store)), pprint.pformat(vars(store))]
    for alias in ("rotated", "tree"):
        database = settings.DATABASES[alias]["SECRET"]
        rotation = database._rotation
        shown += map(repr, (database, vars(database), rotation, vars(rotation)))
        shown += [repr(copy.deepcopy(database)), repr(pickle.dumps(database))]
    loaded = site_settings.secrets._loaded
    shown += map(repr, (loaded, vars(loaded), copy.copy(loaded), vars(redaction.matcher())))
    shown.append(repr(pickle.loads(pickle.dumps(settings.DATABASES))))
    shown.append(repr(copy.deepcopy(settings.DATABASES)))
    for wrong in (
        lambda: site_settings.secrets["NOWHERE"],
        lambda: site_settings.secrets.json("SECRET_KEY"),
        lambda: site_settings.env.int("SECRET_KEY"),
        lambda: site_settings.env.db("SECRET_KEY"),
        lambda: site_settings.env.str("SECRET_KEY", choices=["a"]),
    ):
        shown.append(attempted(wrong))
    write("objects", "\n".join([*shown, traceback.format_exc()]))


def attempted(action):
    """What an action gives; or its error with everything in it, and the variables of its frames."""
    import traceback

    try:
        return repr(action())
    except Exception as exc:
        told = traceback.TracebackException.from_exception(exc, capture_locals=True)
        return "".join(told.format()) + repr(vars(exc)) + repr(exc.args)


def dump_processes():
    """How this process and a child of it look to others."""
    for name in ("cmdline", "environ"):
        data = Path("/proc/self", name).read_bytes()
        child = subprocess.run(["cat", f"/proc/self/{name}"], capture_output=True, check=True)
        (OUT / f"proc-{name}").write_bytes(data + child.stdout)


if __name__ == "__main__":
    events = sentry(os.environ["SITE_FILTERED"] == "1")
    django.setup()
    setup_test_environment(debug=os.environ["SITE_DEBUG"] == "1")
    if sys.argv[1] == "views":
        ask_for_all()
    else:
        dump_settings()
        dump_objects()
        dump_processes()
    if events is not None:
        import sentry_sdk

        sentry_sdk.flush()
        write("sentry", "\n".join(events))
