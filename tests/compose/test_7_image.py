"""No secret is in an image or in the description of a container."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_deployment import EngineDeployment, docker

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def values(deployment: EngineDeployment, planted: dict[str, str]) -> set[bytes]:
    """Every value that must not be found: those of the store, and those about the builder."""
    stored = json.loads(deployment.manage("secrets", "getall", "-f", "json"))
    found = {*planted.values(), *leaves(stored)}
    secret = {value for value in found if len(value) > 15}
    assert len(secret) >= len(planted) + 4
    return {value.encode() for value in secret}


def leaves(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    else:
        yield str(tree)


def saved(image: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer of an image, and the files that describe it."""
    path = folder / "image.tar"
    docker("save", "-o", str(path), image, seconds=120)
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None:
                continue
            if member.name.endswith(".json") or member.name == "manifest.json":
                yield member.name, content.read()
            else:
                yield from layer(member.name, content.read())
    path.unlink()


def layer(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    if len(content) < 1024 or content[257:262] != b"ustar":
        yield name, content
        return
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                data = file.read()
                yield member.name, data
                if data[:2] == b"\x1f\x8b":
                    yield member.name, gzip.decompress(data)


@pytest.mark.parametrize("index", [0, 1], ids=["web", "nginx"])
def test_no_secret_in_any_layer(
    deployment: EngineDeployment, values: set[bytes], tmp_path: Path, index: int
) -> None:
    """No file of any layer has a secret, and the search finds what is there, compressed or not."""
    # Sure to be found: in the stylesheet, and of it in the compressed copy.
    control = b"The whole look of the site"
    names: dict[bytes, set[str]] = {value: set() for value in (*values, control)}
    for name, content in saved(deployment.images[index], tmp_path):
        for value, places in names.items():
            if value in content:
                places.add(name)
    found_control = names.pop(control)
    assert any(name.endswith(".css") for name in found_control)
    assert any(name.endswith(".css.gz") for name in found_control)
    assert not any(names.values()), {place for places in names.values() for place in places}


def test_no_secret_in_the_history(deployment: EngineDeployment, values: set[bytes]) -> None:
    """Neither the commands of the build nor the description show one; offline mode is not on."""
    for image in deployment.images:
        text = docker("history", "--no-trunc", image) + docker("inspect", image)
        assert not [value for value in values if value.decode() in text]
        environment = json.loads(docker("inspect", image))[0]["Config"]["Env"]
        assert not [line for line in environment if line.startswith("KMS_SECRETS")]


def test_no_secret_in_the_description_of_a_container(
    deployment: EngineDeployment, values: set[bytes]
) -> None:
    """`docker inspect` of every container, those that have ended included, shows none."""
    containers = deployment.containers()
    assert len(containers) == 6
    text = json.dumps(containers)
    assert not [value for value in values if value.decode() in text]


def test_nobody_is_root(deployment: EngineDeployment) -> None:
    """nginx and gunicorn run as ordinary users who cannot write to their own files."""
    for service in ("web", "nginx"):
        ids = deployment.compose("exec", "-T", service, "sh", "-c", "cat /proc/1/status")
        users = next(line for line in ids.splitlines() if line.startswith("Uid:")).split()[1:]
        assert "0" not in users
        written = deployment.compose(
            "exec", "-T", service, "sh", "-c", "touch /srv/x 2>/dev/null && echo yes || echo no"
        )
        assert written.strip() == "no"


def test_the_package_is_installed_as_a_wheel(deployment: EngineDeployment) -> None:
    """The image has the package in its environment, and neither its sources nor tools to build."""
    where = deployment.run("python", "-c", "import django_kms_secrets as m; print(m.__file__)")
    assert where.startswith("/srv/venv/")
    listed = deployment.run("sh", "-c", "ls -a /srv /srv/app; command -v pip || true")
    assert set(listed.split()) - {".", "..", "/srv:", "/srv/app:"} == {
        *("app", "gunicorn", "venv"),
        *("config", "manage.py", "notes", "static", "staticfiles", "templates"),
    }
