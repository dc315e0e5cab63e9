"""People who are logged in, on two hosts at once, for as long as a rotation takes."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

from .hosts import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from .hosts import Host

ENGINES = ("db", "signed_cookies")
#: How many answers each host gives in every window, at least.
ANSWERS = 8
#: Between two requests of a client (seconds): two hosts and AWS share the machine with it.
PAUSE = 0.02
#: How often somebody who does not keep a session logs in anew.
CHANCE_OF_LOGIN = 0.3
#: How often a request goes to another host than the one before.
CHANCE_OF_MOVE = 0.75


@dataclass
class Window:
    """The time between two steps of a rotation, and what the clients did in it.

    Attributes:
        label: the step before it.
        requests: how many were answered, by host.
        logins: how many sessions were opened, by host.
        lost: the sessions that a host did not know any more, as it and the host before it.
        moved: who went from which host to which, with one session.
        brought: from which host to which a session went that was opened in this window.
    """

    label: str
    requests: Counter[str] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[str, str]] = field(default_factory=list)
    moved: set[tuple[str, str, str]] = field(default_factory=set)
    brought: set[tuple[str, str]] = field(default_factory=set)


class Traffic:
    """Clients with a session each, who take it from host to host at random.

    Half of them keep their session from beginning to end; the others log in anew at times. A window
    lasts until every session that is kept went both ways between the hosts, and one that was opened
    in the window went each way.

    Attributes:
        windows: what happened, in its order.
        failures: replies that were no page, and connections that failed.
        repeated: requests that were sent again to another host, where that is allowed.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        password: str,
        people: int,
        engines: Sequence[str] = ENGINES,
        crashes: bool = False,
    ) -> None:
        """Nobody is there before the block.

        Args:
            hosts: the two hosts.
            password: everybody's.
            people: how many clients.
            engines: which of Django's engines keep their sessions, in turn.
            crashes: whether a host may go down; a client then asks the other one, as a load
                balancer does.
        """
        self.hosts = hosts
        self.password = password
        self.crashes = crashes
        self.windows = [Window("start")]
        self.failures: list[str] = []
        self.repeated = 0
        self.changed = threading.Condition()
        self.ended = threading.Event()
        self.clients = [
            _Client(self, number, engines[number // 2 % len(engines)], keeps=number % 2 == 0)
            for number in range(people)
        ]

    def __enter__(self) -> Self:
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ended.set()
        for client in self.clients:
            client.join(2 * PATIENCE)
            assert not client.is_alive()

    def begin(self, label: str) -> Window:
        """Begin a window; requests that are sent from now on belong to it."""
        window = Window(label)
        with self.changed:
            self.windows.append(window)
        return window

    def window(self, label: str) -> Window:
        """Begin a window, and wait until everybody was everywhere; it goes on until the next."""
        window = self.begin(label)
        with self.changed:
            done = self.changed.wait_for(
                lambda: bool(self.failures) or self._is_over(window), PATIENCE
            )
        logs = "\n".join(host.log for host in self.hosts if self.failures)
        assert not self.failures, f"{label}: {self.failures}\n{logs}"
        assert done, f"{label}: after {PATIENCE} s not everybody was everywhere: {window}"
        return window

    @property
    def lost(self) -> int:
        """How many sessions were lost."""
        return sum(len(window.lost) for window in self.windows)

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return sum(window.requests.total() for window in self.windows)

    @property
    def kept(self) -> int:
        """How many sessions are the ones that their clients began with."""
        return sum(client.sessions == 1 for client in self.clients)

    def _is_over(self, window: Window) -> bool:
        one, other = (host.name for host in self.hosts)
        ways = {(one, other), (other, one)}
        # Who opens sessions all the time is there for `brought`.
        keepers = [client.user for client in self.clients if client.keeps]
        return (
            min(window.requests[one], window.requests[other]) >= ANSWERS
            and window.brought >= ways
            and window.moved >= {(user, *way) for user in keepers for way in ways}
        )


class _Client(threading.Thread):
    """One person with one browser."""

    def __init__(self, traffic: Traffic, number: int, engine: str, *, keeps: bool) -> None:
        super().__init__(daemon=True)
        self.user = f"user-{number}"
        self.keeps = keeps
        self.sessions = 0
        self._traffic = traffic
        self._engine = engine
        self._random = random.Random(number)
        self._cookies: dict[str, str] = {}
        self._last = ""
        self._opened: Window | None = None

    def run(self) -> None:
        while not self._traffic.ended.is_set():
            try:
                self._step()
            except Exception as error:
                self._fail(f"{self.user}: {error!r}")
                return
            self._traffic.ended.wait(PAUSE)

    def _step(self) -> None:
        window = self._traffic.windows[-1]
        if not self._cookies or (not self.keeps and self._random.random() < CHANCE_OF_LOGIN):
            self._log_in(window)
        else:
            self._look(window)

    def _log_in(self, window: Window) -> None:
        self._cookies = {}
        form = {"name": self.user, "password": self._traffic.password}
        host, text = self._ask("POST", "/login", urllib.parse.urlencode(form))
        if text != self.user:
            self._fail(f"{self.user} could not log in on {host.name}: {text}")
        with self._traffic.changed:
            window.requests[host.name] += 1
            window.logins[host.name] += 1
        self.sessions += 1
        self._last, self._opened = host.name, window

    def _look(self, window: Window) -> None:
        host, text = self._ask("GET", "/who")
        way = (self._last, host.name)
        with self._traffic.changed:
            window.requests[host.name] += 1
            if text != self.user:
                window.lost.append(way)
            if way[0] != way[1]:
                window.moved.add((self.user, *way))
                if self._opened is window:
                    window.brought.add(way)
            self._traffic.changed.notify_all()
        if text != self.user:
            self._cookies = {}
        self._last, self._opened = host.name, None

    def _ask(self, method: str, path: str, body: str = "") -> tuple[Host, str]:
        # Those that were asked before come first.
        hosts = sorted(self._traffic.hosts, key=lambda host: host.name != self._last)
        if self._random.random() < CHANCE_OF_MOVE:
            hosts.reverse()
        if self._traffic.crashes:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return hosts[0], self._ask_host(hosts[0], method, path, body)
            with self._traffic.changed:
                self._traffic.repeated += 1
            hosts.reverse()
        return hosts[0], self._ask_host(hosts[0], method, path, body)

    def _ask_host(self, host: Host, method: str, path: str, body: str) -> str:
        headers = {
            "X-Sessions": self._engine,
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        if reply.status != 200:
            self._fail(f"{self.user}: {method} {path} on {host.name}: {reply.status}")
        for line in reply.msg.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.value
                if morsel["max-age"] == "0" or not morsel.value:
                    del self._cookies[name]
        return text

    def _fail(self, words: str) -> None:
        with self._traffic.changed:
            self._traffic.failures.append(words)
            self._traffic.changed.notify_all()
