"""The demonstration: an embedded AWS, a store with secrets in it, and the site that reads them.

    python example_project/demo.py            serves until Ctrl-C
    python example_project/demo.py --check    drives the site, and exits with 0 or 1

All it makes is in one temporary directory, which is the home directory of all that it starts, and
goes at the end. It needs what ``make demo`` installs, and no network.
"""

from __future__ import annotations

import argparse
import contextlib
import http.cookiejar
import json
import os
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent
# Not resolved: beside this interpreter are the scripts of its environment.
SCRIPTS = Path(sys.executable).parent
REGION = "ap-northeast-2"  # the one in config/settings/production.py
LOGIN = "demo"

#: How long one program, one reply and one end may take (seconds).
PROGRAM_SECONDS = 60
REPLY_SECONDS = 30
STOP_SECONDS = 10

# The AWS: moto on a port that the system chooses. It ends when this process does, however that
# ends, because its stdin ends then.
AWS = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
WHOSE = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"


class Failed(Exception):
    """What went wrong, for people."""


class Interrupted(BaseException):
    """A signal asked for the end."""


# --- Programs ---------------------------------------------------------------------------------


class Signals:
    """The first SIGINT, SIGTERM or SIGHUP as `Interrupted`; those after it change nothing.

    Attributes:
        received: its number, 0 while there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._held = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
                signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: object) -> None:
        is_first = not self.received
        self.received = self.received or number
        if is_first and not self._held:
            raise Interrupted

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait for the end of the block."""
        before = self.received
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.received and not before:
            raise Interrupted

    def ignore(self) -> None:
        """From now on nothing is interrupted."""
        self._held = True


class Programs:
    """The programs that this one starts, each in a session, and so a process group, of its own.

    Args:
        directory: where they run unless told otherwise, and where their logs are.
        signals: held while a program starts, so that none is started and forgotten.
    """

    def __init__(self, directory: Path, signals: Signals) -> None:
        self.directory = directory
        self.command_lines: list[str] = []
        self._signals = signals
        self._running: list[subprocess.Popen[str]] = []
        self._servers: dict[str, subprocess.Popen[str]] = {}
        self._sessions: set[int] = set()

    def run(
        self, argv: Sequence[str | Path], *, cwd: Path, env: dict[str, str], stdin: str = ""
    ) -> str:
        """Run a program to its end, which has to be a success; give what it wrote to stdout."""
        name = " ".join([Path(argv[0]).name, *map(str, argv[1:])])
        pipe = subprocess.PIPE
        with self._started(argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe) as program:
            try:
                out, err = program.communicate(stdin, timeout=PROGRAM_SECONDS)
            except subprocess.TimeoutExpired:
                raise Failed(f"{name}: not done within {PROGRAM_SECONDS} s") from None
            if program.returncode:
                raise Failed(f"{name}: exit code {program.returncode}\n{_tail(out + err)}")
        return out

    def serve(self, name: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        """Start a program that stays; its stderr is ``NAME.log``."""
        with self.log(name).open("wb") as log:
            program = self._start(argv, stderr=log, **options)
        self._servers[name] = program
        return program

    def log(self, name: str) -> Path:
        """The log of a server."""
        return self.directory / f"{name}.log"

    def check(self) -> None:
        """Fail if a server has ended."""
        for name, program in self._servers.items():
            if program.poll() is not None:
                log = _tail(self.log(name).read_text(errors="replace"))
                raise Failed(f"{name} has ended (exit code {program.returncode})\n{log}")

    def stop(self) -> None:
        """End all that still runs: asked to first, killed where it does not."""
        while self._running:
            _end(self._running.pop())
        end = time.monotonic() + STOP_SECONDS
        while self.alive() and time.monotonic() < end:
            time.sleep(0.05)  # what a program started itself is killed, and not ours to wait for

    def alive(self) -> list[int]:
        """The processes in the sessions of what was started (Linux; elsewhere none are known)."""
        stats = (_read(path / "stat") for path in Path("/proc").glob("[0-9]*"))
        # pid (name) state ppid pgrp session …; the name may have anything in it.
        fields = (
            (stat.partition(" ")[0], stat.rpartition(")")[2].split()) for stat in stats if stat
        )
        return [
            int(pid)
            for pid, rest in fields
            if len(rest) > 3 and int(rest[3]) in self._sessions and rest[0] != "Z"
        ]

    @contextlib.contextmanager
    def _started(
        self, argv: Sequence[str | Path], **options: Any
    ) -> Iterator[subprocess.Popen[str]]:
        program = self._start(argv, **options)
        try:
            yield program
        finally:
            _end(program)
            self._running.remove(program)

    def _start(self, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        with self._signals.held():
            try:
                program = subprocess.Popen(argv, text=True, start_new_session=True, **options)
            except OSError as error:
                raise Failed(f"cannot start {argv[0]}: {error.strerror}") from None
            self._running.append(program)
            self._sessions.add(program.pid)
            self.command_lines.append(_command_line(program, argv))
            return program


def _end(program: subprocess.Popen[str]) -> None:
    """End a program with all that it started."""
    if program.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(STOP_SECONDS)
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def _command_line(program: subprocess.Popen[str], argv: Sequence[str | Path]) -> str:
    """The command line as others can read it; as it was given where it is gone, or no /proc is."""
    path = Path(f"/proc/{program.pid}/cmdline")
    line = ""
    while not line and path.exists() and program.poll() is None:
        line = _read(path)  # for a moment after it started, it is empty
    return line or "\0".join(map(str, argv))


def _read(path: Path) -> str:
    """A file of /proc; nothing where it is gone, or there is no /proc."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _tail(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "\n".join(f"    {line}" for line in plain.strip().splitlines()[-12:])


# --- What is shown ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A secret in the store, without its value."""

    name: str
    version: str
    writer: str


class Demo:
    """The store and the site.

    Args:
        programs: what starts and ends the programs.
    """

    def __init__(self, programs: Programs) -> None:
        home = programs.directory
        self._programs = programs
        self.secrets = _made_up(home)
        self.password = secrets.token_urlsafe(12)
        self.entries: list[Entry] = []
        self.address = ""
        # From nothing: no profile, proxy or setting of whoever runs this reaches the programs.
        kept = {"LANG", "LC_ALL", "LD_LIBRARY_PATH"}
        self._bare = {name: value for name, value in os.environ.items() if name in kept} | {
            "PATH": f"{SCRIPTS}{os.pathsep}{os.defpath}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            "STATIC_ROOT": str(home / "static"),
        }
        self._env: dict[str, str] = {}

    def build(self) -> None:
        """From nothing to a site that serves."""
        self._start_aws()
        self._fill_store()
        self._prepare_site()
        self._start_site()

    def _start_aws(self) -> None:
        account = f"{secrets.randbelow(10**12):012}"
        server = self._programs.serve(
            "AWS",
            [sys.executable, "-c", AWS],
            cwd=self._programs.directory,
            env={**self._bare, "MOTO_ACCOUNT_ID": account},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        port = _line_of(server)
        if not port:
            self._programs.check()
            raise Failed(f"the embedded AWS named no port within {PROGRAM_SECONDS} s")
        self._env = {
            **self._bare,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HTTPS": "off",
            "WEB_CONCURRENCY": "2",
        }
        # The port came from our own child; the account says that it is our child who answers.
        answered = self._run([sys.executable, "-c", WHOSE]).strip()
        if answered != account:
            raise Failed(f"port {port} is answered by somebody else's AWS (account {answered})")
        say(f"an embedded AWS answers on port {port}, and it is ours (account {account})")

    def _fill_store(self) -> None:
        self._manage("secrets", "setup", "--create-key")
        say("manage.py secrets setup --create-key: a KMS key and a CredStash table")
        by_credstash = ("SECRET_KEY", "EMAIL_HOST_PASSWORD")
        for name in by_credstash:
            put: list[str | Path] = [SCRIPTS / "credstash", "-r", REGION, "put", name, "-"]
            # It leaves a credstash.log where it runs, so not in the project.
            self._run(put, stdin=self.secrets[name], cwd=self._programs.directory)
        say(f"credstash put: {', '.join(by_credstash)}")
        rest = {name: self.secrets[name] for name in self.secrets if name not in by_credstash}
        self._manage("secrets", "putall", "-", stdin=json.dumps(rest))
        say(f"manage.py secrets putall: {', '.join(rest)}")
        for row in json.loads(self._manage("secrets", "list", "-f", "json")):
            writer = "credstash" if row["name"] in by_credstash else "manage.py secrets"
            self.entries.append(Entry(row["name"], row["version"].lstrip("0"), writer))

    def _prepare_site(self) -> None:
        self._manage("migrate", "--verbosity", "0")
        say("manage.py migrate: the database that DATABASE_URL names")
        offline = {**self._bare, "KMS_SECRETS_OFFLINE": "1"}
        self._manage("collectstatic", "--noinput", "--verbosity", "0", env=offline)
        say("manage.py collectstatic: offline, without credentials and without a request")
        self._manage("create_demo_user", LOGIN, "--password-stdin", stdin=f"{self.password}\n")

    def _start_site(self) -> None:
        # The socket is made here, so that no other program can take the port in between.
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            command = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
            command += ["-c", "config/gunicorn_cfg.py", "--bind", f"fd://{listener.fileno()}"]
            self._programs.serve(
                "gunicorn",
                command,
                cwd=PROJECT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        end = time.monotonic() + PROGRAM_SECONDS
        while not self._is_healthy():
            self._programs.check()
            if time.monotonic() > end:
                raise Failed(f"{self.address}/healthz: not ok within {PROGRAM_SECONDS} s")
            time.sleep(0.2)
        say(f"gunicorn serves production settings at {self.address}")

    def _is_healthy(self) -> bool:
        try:
            return Browser(self.address, timeout=2).get("/healthz").text == "ok"
        except Failed:
            return False

    def _manage(self, *args: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
        return self._run([sys.executable, "manage.py", *args], stdin=stdin, env=env)

    def _run(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: str = "",
        env: dict[str, str] | None = None,
        cwd: Path = PROJECT,
    ) -> str:
        return self._programs.run(argv, cwd=cwd, env=env or self._env, stdin=stdin)


def _made_up(directory: Path) -> dict[str, Any]:
    """Values for the names that the production settings read."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "EMAIL_HOST_PASSWORD": secrets.token_urlsafe(24),
        "DATABASE_URL": f"sqlite:///{directory}/{secrets.token_hex(8)}.sqlite3",
        "site": {
            "banner": f"banner {secrets.token_hex(8)}",
            "sentry": {"dsn": f"https://{secrets.token_hex(16)}@sentry.invalid/1"},
            "api": {"weather": {"key": secrets.token_urlsafe(24)}},
        },
    }


def _line_of(server: subprocess.Popen[str]) -> str:
    """The first line that a server writes to stdout."""
    assert server.stdout is not None
    ready, _, _ = select.select([server.stdout], [], [], PROGRAM_SECONDS)
    line = server.stdout.readline().strip() if ready else ""
    if not line:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(1)
    return line


# --- The check --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """A reply, after redirects."""

    status: int
    path: str
    text: str


class Browser:
    """Pages with cookies, and forms with their CSRF token, as a browser sends them.

    Args:
        address: the site.
        timeout: for each reply (seconds).

    Attributes:
        seen: all that was received, headers included.
    """

    def __init__(self, address: str, timeout: float = REPLY_SECONDS) -> None:
        self.seen: list[str] = []
        self._address = address
        self._timeout = timeout
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # a proxy of the environment is not meant for this
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            _Redirects(self.seen),
        )

    def get(self, path: str) -> Page:
        """Open a page."""
        return self._open(path, None)

    def post(self, path: str, *, form_on: str = "", **fields: str) -> Page:
        """Send the form of a page, by default of the one it is sent to."""
        page = self.get(form_on or path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if not token:
            raise Failed(f"{form_on or path}: no form with a CSRF token (status {page.status})")
        return self._open(path, {"csrfmiddlewaretoken": token[1], **fields})

    def post_without_token(self, path: str, **fields: str) -> Page:
        """Send fields as another site's form would."""
        return self._open(path, fields)

    def _open(self, path: str, fields: dict[str, str] | None) -> Page:
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            with self._opener.open(self._address + path, data, self._timeout) as reply:
                return self._page(reply)
        except urllib.error.HTTPError as error:
            with error:
                return self._page(error)
        except OSError as error:
            raise Failed(f"{path}: no reply ({error})") from None

    def _page(self, reply: Any) -> Page:
        text = reply.read().decode(errors="replace")
        self.seen += [str(reply.headers), text]
        return Page(reply.status, urllib.parse.urlsplit(reply.url).path, text)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and remembers their headers too."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> urllib.request.Request | None:
        self._seen.append(str(headers))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def drive(demo: Demo, programs: Programs) -> None:
    """Use the site as people do, and see that it shows none of its secrets."""
    visitor, writer = Browser(demo.address), Browser(demo.address)
    look_around(visitor)
    write_without_a_login(visitor)
    log_in(writer, demo.password)
    write_a_note(writer, visitor)
    programs.check()
    look_for_secrets(demo, programs, visitor.seen + writer.seen)


def look_around(visitor: Browser) -> None:
    """What anybody may see."""
    check("/healthz says ok", visitor.get("/healthz").text == "ok")
    page = visitor.get("/")
    check("the list of notes is shown to anybody", page.status == 200 and "All notes" in page.text)
    stylesheet = re.search(r'href="(/static/site\.\w+\.css)"', page.text)
    check("it links to a style sheet named by its content", bool(stylesheet))
    assert stylesheet
    check("which is served", visitor.get(stylesheet[1]).status == 200)
    check("a page that is not there is 404", visitor.get("/nowhere/").status == 404)


def write_without_a_login(visitor: Browser) -> None:
    """What is refused."""
    check("writing asks for a login", visitor.get("/notes/new/").path == "/accounts/login/")
    page = visitor.post("/notes/new/", form_on="/accounts/login/", title="sneaked in", body="x")
    check("a note sent without one is refused", page.path == "/accounts/login/")
    page = visitor.post_without_token("/notes/new/", title="sneaked in", body="x")
    check("so is one without a CSRF token", page.status == 403)
    check("and neither was stored", "sneaked in" not in visitor.get("/").text)
    page = visitor.post("/accounts/login/", username=LOGIN, password="not the password")
    check("a wrong password is refused", "Not logged in" in page.text)
    check("and opens nothing", visitor.get("/notes/new/").path == "/accounts/login/")


def log_in(writer: Browser, password: str) -> None:
    """The demonstration's own login."""
    page = writer.post("/accounts/login/", username=LOGIN, password=password)
    check("the right password is taken", page.path == "/" and "Log out" in page.text)


def write_a_note(writer: Browser, visitor: Browser) -> None:
    """Create, edit, delete."""
    title, changed = (f"{word} {secrets.token_hex(4)}" for word in ("Written", "Changed"))
    page = writer.post("/notes/new/", title=title, body="Made by the check.")
    note = page.path
    created = re.fullmatch(r"/notes/\d+/", note) and title in page.text
    check("a note is created", bool(created))
    check("everybody can read it", title in visitor.get(note).text)
    check("only its author is offered to edit it", f"{note}edit/" not in visitor.get(note).text)
    page = writer.post(f"{note}edit/", title=changed, body="Edited by the check.")
    check("it is edited", page.path == note and changed in page.text and title not in page.text)
    check("the list has the new title", changed in visitor.get("/").text)
    page = visitor.post(f"{note}delete/", form_on="/accounts/login/")
    check("nobody else can delete it", visitor.get(note).status == 200)
    page = writer.post(f"{note}delete/")
    check("its author deletes it", page.path == "/" and "is deleted" in page.text)
    check("and it is gone", visitor.get(note).status == 404)
    writer.post("/accounts/logout/", form_on="/")
    check("logging out closes the door", writer.get("/notes/new/").path == "/accounts/login/")


def look_for_secrets(demo: Demo, programs: Programs, seen: list[str]) -> None:
    """No value is in what was sent, logged, or can be read of the processes."""
    alive = programs.alive()
    lines = programs.command_lines + [_read(Path(f"/proc/{pid}/cmdline")) for pid in alive]
    places = {
        f"the {len(seen)} headers and bodies received": seen,
        "gunicorn's log": [programs.log("gunicorn").read_text(errors="replace")],
        f"the {len(lines)} command lines": lines,
        "the environment of what runs": [_read(Path(f"/proc/{pid}/environ")) for pid in alive],
    }
    for place, texts in places.items():
        found = shown(demo.secrets, texts)
        check(f"no secret is in {place}", not found, ", ".join(found))


def shown(values: dict[str, Any], texts: list[str]) -> list[str]:
    """The names of the secrets, one leaf of which is in one of the texts."""
    return [
        name
        for name, value in values.items()
        if any(leaf in text for leaf in _leaves(value) for text in texts)
    ]


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    return [value]


# --- The run ----------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line about what is done."""
    print(f"  {text}", flush=True)


def check(what: str, passed: bool, detail: str = "") -> None:
    """A line about what was seen to be so; a failure if it is not."""
    if not passed:
        raise Failed(f"not so: {what}{f' ({detail})' if detail else ''}")
    print(f"  ok  {what}", flush=True)


def show(demo: Demo) -> None:
    """The address, the login, and what was read from where; no values."""
    rows = [("NAME", "READ FROM", "VERSION", "WRITTEN BY")]
    place = f"CredStash table credential-store in {REGION}"
    rows += [(entry.name, place, entry.version, entry.writer) for entry in demo.entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(cells).rstrip())
    print(f"\n  {demo.address}\n  log in as {LOGIN} with {demo.password}\n")
    print("  Ctrl-C stops everything.", flush=True)


def stay(programs: Programs) -> None:
    """Serve until a signal comes; fail if a server ends by itself."""
    while True:
        programs.check()
        time.sleep(0.5)


def run(signals: Signals, *, unattended: bool) -> int:
    """The whole demonstration, and the end of all that it started."""
    serving = False
    with tempfile.TemporaryDirectory(prefix="kms-secrets-demo-") as directory:
        programs = Programs(Path(directory), signals)
        demo = Demo(programs)
        try:
            demo.build()
            if unattended:
                drive(demo, programs)
            else:
                show(demo)
                serving = True
                stay(programs)
        except Interrupted:
            print("\n  stopping", flush=True)
        except Failed:
            programs.check()  # where a server has ended, that is what failed
            raise
        finally:
            signals.ignore()
            programs.stop()
    check("everything is stopped", not programs.alive() and not Path(directory).exists())
    # Ctrl-C is how the demonstration ends, and an interruption of anything else.
    return 0 if serving or not signals.received else 128 + signals.received


def main() -> int:
    """Parse and run.

    Returns:
        The exit code: 0, 1 with what failed, 128 and the signal's number when interrupted.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="drive the site, unattended")
    unattended: bool = parser.parse_args().check
    start = time.monotonic()
    try:
        code = run(Signals(), unattended=unattended)
    except Interrupted:  # before anything was started
        return 130
    except Failed as error:
        print(f"\nFAILED  {error}", file=sys.stderr, flush=True)
        return 1
    if unattended and code == 0:
        print(f"\nthe demonstration works ({time.monotonic() - start:.0f} s)", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
