"""What the tests ask of the running site, whether it runs in containers or as processes."""

from __future__ import annotations

import abc
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from http.client import HTTPMessage

#: How long a start that cannot succeed may take (seconds).
REFUSAL_SECONDS = 15

#: The table of the site, under another name, with the names that its settings ask for.
TABLE_URL = (
    "credstash://{table}?region_name=ap-northeast-2&key_id=alias/credstash"
    "&names=SECRET_KEY,DATABASE_URL,EMAIL_HOST_PASSWORD,site"
)


@dataclass(frozen=True)
class Ended:
    """How a start of the site ended.

    Attributes:
        status: the exit status.
        log: everything that was written.
        seconds: from its start to its end.
    """

    status: int
    log: str
    seconds: float


class Web(abc.ABC):
    """One more start of the site, beside the one that nginx asks."""

    @abc.abstractmethod
    def log(self) -> str:
        """Everything it wrote so far."""

    @abc.abstractmethod
    def ended(self) -> Ended:
        """Wait for its end.

        Raises:
            TimeoutError: it still runs.
        """

    @abc.abstractmethod
    def wait_until_healthy(self) -> None:
        """Wait until it answers.

        Raises:
            TimeoutError: it does not.
        """


class Deployment(abc.ABC):
    """nginx, the site, its database, and an AWS with its secrets.

    Attributes:
        url: where nginx listens, without a slash at the end.
    """

    url: str

    @abc.abstractmethod
    def up(self) -> None:
        """Build and start everything, and wait until it is healthy."""

    @abc.abstractmethod
    def down(self) -> None:
        """Stop and remove everything."""

    @abc.abstractmethod
    def run(
        self, *command: str, text: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a command in the site's environment; what it writes to stdout.

        Args:
            command: the program and its arguments.
            text: sent to its stdin.
            environment: variables beside those of the site.
        """

    @abc.abstractmethod
    def beside(
        self, environments: Mapping[str, Mapping[str, str]]
    ) -> AbstractContextManager[dict[str, Web]]:
        """Start the site once more for each of these environments, all at the same time."""

    @abc.abstractmethod
    def restart_web(self) -> None:
        """Start the site anew, and wait until nginx has it again."""

    @abc.abstractmethod
    def kill_workers(self) -> None:
        """Kill every worker of the site, but not their parent."""

    @abc.abstractmethod
    def frozen_aws(self) -> AbstractContextManager[None]:
        """AWS takes connections and never answers."""

    @abc.abstractmethod
    def stop_aws(self) -> None: ...

    @abc.abstractmethod
    def start_aws(self) -> None:
        """Start AWS anew: an empty account, filled as on the first day."""

    @abc.abstractmethod
    def aws_requests(self) -> list[str]:
        """The operations that AWS was sent so far."""

    def manage(
        self, *arguments: str, text: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a management command."""
        return self.run("python", "manage.py", *arguments, text=text, environment=environment)

    def get(self, path: str, **headers: str) -> Answer:
        """Ask nginx for a page."""
        return self.send(path, None, **headers)

    def send(self, path: str, body: bytes | None, **headers: str) -> Answer:
        """Ask nginx, with a body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def wait_for_site(self) -> None:
        """Wait until the site answers through nginx."""

        def answers() -> bool:
            try:
                return self.get("/healthz").status == 200
            except OSError:
                return False

        wait_until(answers, "the site to answer", seconds=60)


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: HTTPMessage
    body: bytes


def wait_until(condition: Callable[[], object], what: str, *, seconds: float) -> None:
    """Ask until the condition holds.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.25)
