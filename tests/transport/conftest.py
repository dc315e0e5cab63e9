"""Fixtures of the light transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import botocore.loaders
import botocore.session
import pytest

from ..server.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="package", autouse=True)
def read_once() -> Iterator[None]:
    """botocore's descriptions of the services are read once, and not for every client."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda *_: loader)
        yield


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, and servers' certificates of it."""
    return Certificates(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home directory that this test has."""
    return tmp_path / "home"


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables; None takes one away."""

    def use(**variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return use
