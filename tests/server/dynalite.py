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
#: It has no TransactWriteItems, which these tests need: they write several records at once, to
#: prove just that or to begin with. They are expected to fail on it, and may not pass. What they do
#: to a document goes: that is one record.
LEFT_TO_MOTO = {
    # tests/stores/test_contract.py
    "test_get_many_takes_all_or_names_and_leaves_out_what_is_missing",
    "test_get_many_keys_are_the_names_of_the_secrets",
    "test_list_is_sorted_by_name_with_one_current_version_each_and_no_value",
    "test_put_many_gives_the_current_versions_in_the_order_of_the_values",
    "test_put_many_that_expects_the_versions_that_were_read_writes",
    "test_put_many_expects_nothing_of_a_name_that_expected_leaves_out",
    "test_put_many_names_every_name_that_is_at_another_version",
    "test_put_many_conflicts_where_somebody_else_wrote_or_deleted_meanwhile",
    "test_apply_writes_and_deletes",
    "test_apply_that_expects_another_version_is_a_conflict_and_deletes_nothing",
    "test_delete_takes_away_the_name_with_all_its_versions",
    "test_another_store_sees_what_one_wrote",
    "test_close_leaves_no_client_no_thread_and_no_socket",
    "test_sixteen_threads_read_at_once",
    # tests/stores/test_credstash.py
    "test_no_data_key_ever_seals_two_records",
    "test_the_encryption_context_is_sent_with_every_request_for_a_key",
    "test_an_attribute_that_is_no_text_is_an_error_that_names_the_secret[digest-nothing]",
    "test_a_damaged_record_is_an_error_that_names_the_secret",
    "test_every_secret_that_cannot_be_opened_is_named_in_one_error",
    "test_every_secret_whose_key_is_denied_is_named_in_one_error",
    "test_two_hundred_and_fifty_names_are_written_in_three_transactions",
    "test_large_values_are_cut_into_transactions_by_their_weight",
    "test_a_failure_half_way_says_what_was_stored_before_it",
    "test_what_was_stored_before_an_interruption_is_in_the_log",
    "test_a_removal_that_fails_says_what_was_stored_and_deleted_before_it",
    "test_a_removal_that_is_interrupted_says_so_in_the_log",
    "test_a_writer_who_came_between_cancels_the_whole_transaction",
    "test_a_name_that_was_deleted_meanwhile_is_left_out",
}

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
