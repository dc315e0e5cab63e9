"""The pytest plugin: fixtures, a marker and an ini option.

pytest imports it in every project of the environment, so it imports nothing before it is used.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Protocol

    from .backends.locmem import LocMemStore
    from .loader import Secrets
    from .testing import Value

    class Override(Protocol):
        """What the fixture `override_secrets` is."""

        def __call__(self, secrets: Secrets | None = None, /, **values: Value) -> None: ...


OPTION = "kms_secrets_no_aws"
MARKER = "kms_secrets_allow_aws"

_GUARDED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini(
        OPTION, "fail what would reach AWS through django-kms-secrets", type="bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, for --strict-markers; put up the guard if a conftest named the plugin."""
    _guard(config)
    config.addinivalue_line("markers", f"{MARKER}: this test may reach AWS, whatever {OPTION} says")


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Put up the guard, before pytest-django imports the settings."""
    _guard(early_config)
    yield


def _guard(config: pytest.Config) -> None:
    if config.getini(OPTION) and _GUARDED not in config.stash:
        from .testing import no_aws

        guard = no_aws()
        guard.__enter__()
        config.add_cleanup(lambda: guard.__exit__(None, None, None))
        config.stash[_GUARDED] = True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None]:
    """Open it for a test that is marked, and for the fixtures that are set up for it."""
    with ExitStack() as stack:
        if item.get_closest_marker(MARKER):
            from .testing import allow_aws

            stack.enter_context(allow_aws())
        yield


@pytest.fixture
def override_secrets() -> Iterator[Override]:
    """``override_secrets(NAME="value")``: as `testing.override_secrets`, to the end of the test."""
    from .testing import override_secrets

    with ExitStack() as stack:

        def override(secrets: Secrets | None = None, /, **values: Value) -> None:
            stack.enter_context(override_secrets(secrets, **values))

        yield override


@pytest.fixture
def secrets_store() -> Iterator[LocMemStore]:
    """An empty store in memory for this test; ``load(secrets_store.url)`` reads it."""
    from .testing import memory_store

    with memory_store() as store:
        yield store
