"""The program whose commands are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .harness import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    scratch = tmp_path_factory.mktemp("writer")
    writer = Writer(scratch, {"HOME": str(scratch), "AWS_EC2_METADATA_DISABLED": "true"})
    yield writer
    writer.close()


@pytest.fixture
def writer(_writer: Writer) -> Writer:
    """It runs commands in processes that have imported everything already."""
    return _writer
