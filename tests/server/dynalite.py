"""dynalite: a second implementation of DynamoDB, so that moto's habits are not taken for AWS's.

https://github.com/architect/dynalite, as ``npm ci`` installs it in ``tests/dynalite``.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import subprocess
import time
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from .embedded import REGION

DIRECTORY = Path(__file__).parents[1] / "dynalite"
#: Seconds: how long a slow machine may take to start or to end it.
PATIENCE = 60


class Dynalite:
    """It runs inside a ``with`` block.

    Attributes:
        endpoint: its URL.
    """

    endpoint: str

    def __enter__(self) -> Dynalite:
        node = shutil.which("node")
        assert node, "there is no node: apt-get install -y nodejs npm"
        installed = DIRECTORY / "node_modules" / "dynalite"
        assert installed.is_dir(), f"no dynalite: cd {DIRECTORY} && npm ci --ignore-scripts"
        self._process = subprocess.Popen(
            [node, DIRECTORY / "start.js"],
            stdin=subprocess.PIPE,  # whose end ends it, also if this process is killed
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else b""
        if not line.strip().isdigit():
            self.__exit__()
            raise AssertionError("dynalite does not start; above is what it says")
        self.endpoint = f"http://127.0.0.1:{int(line)}"
        self.client = boto3.client(
            "dynamodb",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="AKIAEMBEDDED",
            aws_secret_access_key="embedded",
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        if hasattr(self, "client"):
            self.client.close()
        self._process.kill()
        self._process.communicate(timeout=PATIENCE)

    def reset(self) -> None:
        """Forget every table."""
        end = time.monotonic() + PATIENCE
        while tables := self.client.list_tables()["TableNames"]:
            assert time.monotonic() < end, f"dynalite still has {', '.join(tables)}"
            for table in tables:
                with contextlib.suppress(ClientError):
                    self.client.delete_table(TableName=table)  # it is gone a moment later
