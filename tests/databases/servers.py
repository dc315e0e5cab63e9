"""PostgreSQL and MariaDB as processes on the loopback, each in one temporary directory."""

from __future__ import annotations

import abc
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import MySQLdb
import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT_PASSWORD = "the-tests-own"
DATABASE = "notes"
_PATH = os.pathsep.join(["/usr/sbin", "/usr/bin", "/sbin", "/bin"])


class Server(abc.ABC):
    """A database server, and what the tests do to its roles.

    Attributes:
        kind: the name of the engines of this package and of Django.
        scheme: what a URL of it begins with.
        packages: where Debian has it.
        refusal: the code or text of its driver's error where a password is wrong.
        host, port: where it listens.
    """

    kind: ClassVar[str]
    scheme: ClassVar[str]
    packages: ClassVar[str]
    refusal: ClassVar[str]
    host = "127.0.0.1"
    port: int
    _goodbye: ClassVar[signal.Signals]
    _refusal_in_log: ClassVar[str]

    def __init__(self) -> None:
        # Not below pytest's directories: the server runs as another user.
        self._state = Path(tempfile.mkdtemp(prefix=f"kms-secrets-{self.kind}-"))
        self._state.chmod(0o755)
        self._log = self._state / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, str] = {}

    @property
    def ours(self) -> str:
        return f"django_kms_secrets.db.{self.kind}"

    @property
    def djangos(self) -> str:
        return f"django.db.backends.{self.kind}"

    def start(self) -> None:
        """Start it, with an empty database."""
        self._prepare()
        self.port = free_port()  # late: nothing keeps it until the server has it
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user
            )
        wait_until(self._answers, f"{self.kind}:\n{self.log()}", seconds=60)
        self._fill()

    def stop(self) -> None:
        """Stop it, and leave nothing of it."""
        if self._process:
            self._process.send_signal(self._goodbye)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        shutil.rmtree(self._state, ignore_errors=True)

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def refusals(self) -> int:
        """How often it has refused a password so far, by its own log."""
        return self.log().count(self._refusal_in_log)

    def url(self, user: str, password: str, query: str = "") -> str:
        """What DATABASE_URL would be."""
        place = f"{self.host}:{self.port}/{DATABASE}"
        return f"{self.scheme}://{user}:{password}@{place}{query}"

    def tree(self, user: str, password: str) -> dict[str, Any]:
        """What Amazon RDS would write, with more than DATABASES needs."""
        return {
            "engine": self.scheme,
            "host": self.host,
            "port": self.port,
            "dbname": DATABASE,
            "username": user,
            "password": password,
            "dbInstanceIdentifier": "notes-production",
            "masterarn": "arn:aws:secretsmanager:ap-northeast-2:123456789012:secret:master",
        }

    @abc.abstractmethod
    def make_role(self, name: str, password: str) -> None:
        """Make a role anew, which may do all in the database and make test databases."""

    @abc.abstractmethod
    def set_password(self, name: str, password: str) -> None:
        """Change a role's password; the old one is refused from now on."""

    @abc.abstractmethod
    def lock(self, name: str, *, locked: bool = True) -> None:
        """Let a role not log in, though its password is right."""

    @abc.abstractmethod
    def hang_up(self, name: str) -> None:
        """End the connections of a role."""

    @abc.abstractmethod
    def _prepare(self) -> None: ...

    @abc.abstractmethod
    def _command(self) -> list[str]: ...

    @abc.abstractmethod
    def _answers(self) -> bool: ...

    @abc.abstractmethod
    def _fill(self) -> None: ...

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self._state, capture_output=True, text=True, timeout=120, **self._user
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"

    def _program(self, name: str, path: str = _PATH) -> str:
        found = shutil.which(name, path=path)
        assert found, f"there is no {name}: apt-get install -y {self.packages}"
        return found

    def _be(self, user: str, *owned: Path) -> None:
        """Run what follows as another user: no server starts as root."""
        if os.geteuid() == 0:
            for path in owned:
                shutil.chown(path, user)
            self._user = {"user": user, "group": user}


class PostgreSQL(Server):
    """PostgreSQL with scram-sha-256, which is what RDS has too."""

    kind = "postgresql"
    scheme = "postgres"
    packages = "postgresql"
    refusal = "password authentication failed for user"
    _goodbye = signal.SIGINT  # without waiting for its clients
    _refusal_in_log = "FATAL:  password authentication failed for user"

    def _prepare(self) -> None:
        self._data = self._state / "data"
        self._data.mkdir(mode=0o700)
        password = self._state / "password"
        password.write_text(ROOT_PASSWORD)
        self._be("postgres", self._data, password)
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self._bin = str(programs[-1]) if programs else _PATH
        command = [self._program("initdb", self._bin), "-D", str(self._data)]
        self._run(*command, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}", "-N")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self._data,
            "fsync": "off",
            "max_connections": 200,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        program = self._program("postgres", self._bin)
        return [program, "-D", str(self._data), *options]

    def _answers(self) -> bool:
        ready = [self._program("pg_isready", self._bin), "-q", "-h", self.host]
        return subprocess.run([*ready, "-p", str(self.port)], check=False).returncode == 0

    def _fill(self) -> None:
        self.execute(f"CREATE DATABASE {DATABASE}")

    def execute(self, *statements: str) -> None:
        """As the superuser, one by one."""
        with psycopg.connect(
            host=self.host,
            port=self.port,
            user="postgres",
            password=ROOT_PASSWORD,
            dbname="postgres",
            autocommit=True,
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def make_role(self, name: str, password: str) -> None:
        self.execute(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') "
            f"THEN CREATE ROLE {name}; END IF; END $$",
            f"ALTER ROLE {name} LOGIN CREATEDB PASSWORD '{password}'",
            f"GRANT ALL ON DATABASE {DATABASE} TO {name}",
        )

    def set_password(self, name: str, password: str) -> None:
        self.execute(f"ALTER ROLE {name} PASSWORD '{password}'")

    def lock(self, name: str, *, locked: bool = True) -> None:
        self.execute(f"ALTER ROLE {name} {'NOLOGIN' if locked else 'LOGIN'}")

    def hang_up(self, name: str) -> None:
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
        )


class MariaDB(Server):
    """MariaDB as Debian has it."""

    kind = "mysql"
    scheme = "mysql"
    packages = "mariadb-server"
    refusal = "Access denied for user"
    _goodbye = signal.SIGKILL  # nothing of it is kept
    _refusal_in_log = "Access denied for user"

    def _prepare(self) -> None:
        self._data = self._state / "data"
        self._data.mkdir(mode=0o700)
        self._be("mysql", self._data)
        install = [self._program("mariadb-install-db"), "--no-defaults"]
        self._run(
            *install,
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    def _command(self) -> list[str]:
        return [
            self._program("mariadbd"),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self._data}/socket",
            f"--pid-file={self._data}/pid",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
            "--log-warnings=2",
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(MySQLdb.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def _fill(self) -> None:
        self.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")

    def execute(self, *statements: str) -> None:
        """As root, one by one."""
        socket_path = str(self._data / "socket")
        with contextlib.closing(
            MySQLdb.connect(unix_socket=socket_path, user="root", autocommit=True)
        ) as connection:
            for statement in statements:
                connection.query(statement)
                connection.store_result()

    def make_role(self, name: str, password: str) -> None:
        self.execute(
            f"CREATE OR REPLACE USER {name}@'%' IDENTIFIED BY '{password}'",
            f"GRANT ALL ON *.* TO {name}@'%'",
        )

    def set_password(self, name: str, password: str) -> None:
        self.execute(f"ALTER USER {name}@'%' IDENTIFIED BY '{password}'")

    def lock(self, name: str, *, locked: bool = True) -> None:
        self.execute(f"ALTER USER {name}@'%' ACCOUNT {'LOCK' if locked else 'UNLOCK'}")

    def hang_up(self, name: str) -> None:
        self.execute(f"KILL USER {name}")


def wait_until(condition: Callable[[], object], what: str, *, seconds: float) -> None:
    """Ask until the condition holds.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    It is below those that Linux gives to outgoing connections (from 32768), of which there are
    thousands here: one of them could have it before the server does.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
