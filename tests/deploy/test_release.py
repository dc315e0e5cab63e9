"""A release: what is built, what is in it, and what its bill of materials says."""

from __future__ import annotations

import email
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import zipfile
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from ..copy_tree import files_of
from .conftest import RELEASE_PYTHON, ROOT, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COMMIT_TIME = 1_700_000_000
GIT = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.org"]


def commit(directory: Path) -> Path:
    """A repository with one commit: the tracked and new files of the project."""
    for name in files_of(SOURCES):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes((SOURCES / name).read_bytes())
    when = f"{COMMIT_TIME} +0000"
    environment = {**os.environ, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "a release"]):
        subprocess.run([*GIT, *command], cwd=directory, env=environment, check=True)
    return directory


def leave_behind(directory: Path) -> None:
    """What work leaves in a directory, and setuptools and pip would pick up."""
    (directory / "django_kms_secrets" / "local.py").write_text("PASSWORD = 'mine'\n")
    stale = directory / "build" / "lib" / "django_kms_secrets"
    stale.mkdir(parents=True)
    (stale / "gone.py").write_text("")
    information = directory / "django_kms_secrets.egg-info"
    information.mkdir()
    (information / "SOURCES.txt").write_text("tests/conftest.py\n")
    (information / "PKG-INFO").write_text("Name: django-kms-secrets\nVersion: 0.0.1\n")


def make(directory: Path, *arguments: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """Run make, with the tools of a release."""
    return subprocess.run(
        ["make", *arguments, f"RELEASE_PYTHON={RELEASE_PYTHON}"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        umask=umask,
        check=False,
    )


def built(directory: Path, target: str, *, umask: int = 0o022) -> Path:
    """Make a target; gives the directory."""
    made = make(directory, target, umask=umask)
    assert made.returncode == 0, made.stdout + made.stderr
    return directory


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory where somebody worked, with dist/ and sbom/, by `make sbom` alone."""
    directory = commit(tmp_path_factory.mktemp("release"))
    leave_behind(directory)
    return built(directory, "sbom")


def wheel_of(directory: Path) -> Path:
    [wheel] = (directory / "dist").glob("*.whl")
    return wheel


def sdist_of(directory: Path) -> Path:
    [sdist] = (directory / "dist").glob("*.tar.gz")
    return sdist


def package_files() -> set[str]:
    """The files of the package, as git knows them."""
    return {str(name) for name in files_of(SOURCES) if name.parts[0] == "django_kms_secrets"}


def description(wheel: Path) -> email.message.Message:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def closure(requirements: Iterable[str]) -> set[str]:
    """The names of what these requirements need here, as the installed packages say."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = normalized(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            found.add(name)
            waiting += metadata.requires(name) or []
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bill_of(directory: Path) -> tuple[dict, str]:
    """The bill of materials, parsed and as text."""
    [path] = (directory / "sbom").iterdir()
    text = path.read_text("utf-8")
    return json.loads(text), text


def test_the_wheel_is_the_package(release: Path) -> None:
    """The wheel has every committed file of the package, py.typed too, and nothing else."""
    with zipfile.ZipFile(wheel_of(release)) as archive:
        names = set(archive.namelist())
    information = {name for name in names if ".dist-info/" in name}
    assert names - information == package_files()
    assert "django_kms_secrets/py.typed" in names
    assert {name.partition(".dist-info/")[2] for name in information} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }


def test_the_sdist_is_the_package(release: Path) -> None:
    """The sdist has the package and what builds it: no tests, no example, no leftovers."""
    with tarfile.open(sdist_of(release)) as archive:
        members = [member.name.partition("/")[2] for member in archive if member.isfile()]
    names = {name for name in members if ".egg-info/" not in name}
    assert names == package_files() | {
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
    }


def test_nothing_else_is_published(release: Path) -> None:
    """dist/ is what is uploaded: one wheel for every platform, and one sdist."""
    version = description(wheel_of(release))["Version"]
    assert {path.name for path in (release / "dist").iterdir()} == {
        f"django_kms_secrets-{version}-py3-none-any.whl",
        f"django_kms_secrets-{version}.tar.gz",
    }


def test_metadata(release: Path) -> None:
    """What PyPI shows: name, version, licence, Pythons, extras, and the README as Markdown."""
    found = description(wheel_of(release))
    version = (SOURCES / "django_kms_secrets" / "_version.py").read_text("utf-8")
    assert f'"{found["Version"]}"' in version
    assert found["Name"] == "django-kms-secrets"
    assert found["License-Expression"] == "MIT"
    assert found["Requires-Python"] == ">=3.10"
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_all("Provides-Extra") == ["yaml", "credstash"]
    assert found.get_payload(decode=True) == (SOURCES / "README.md").read_bytes()


def test_two_builds_are_the_same(release: Path, tmp_path: Path) -> None:
    """Wheel and sdist depend on the commit alone: not on time, directory, umask or leftovers."""
    again = built(commit(tmp_path), "dist", umask=0o077)
    assert wheel_of(again).read_bytes() == wheel_of(release).read_bytes()
    assert sdist_of(again).read_bytes() == sdist_of(release).read_bytes()


def test_the_sdist_has_nothing_of_the_machine(release: Path) -> None:
    """Its files have the commit's time, no owner, and modes that everybody can read."""
    with tarfile.open(sdist_of(release)) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {member.mtime for member in members} == {COMMIT_TIME}
    owners = {(member.uid, member.gid, member.uname, member.gname) for member in members}
    assert owners == {(0, 0, "", "")}
    assert {(member.isdir(), member.mode) for member in members} == {(True, 0o755), (False, 0o644)}


def test_the_bill_lists_the_closure(release: Path) -> None:
    """The bill of materials is the wheel and what it needs at run time: no tool, no extra."""
    components, _ = bill_of(release)
    required = description(wheel_of(release)).get_all("Requires-Dist")
    listed = [normalized(component["name"]) for component in components["components"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {"django-kms-secrets", *closure(required)}


def test_the_bill_names_the_wheel(release: Path) -> None:
    """It has the wheel's name and SHA-256, and nothing of the machine that made it."""
    bill, text = bill_of(release)
    [package] = [each for each in bill["components"] if each["name"] == "django-kms-secrets"]
    [archive] = package["externalReferences"]
    wheel = wheel_of(release)
    assert archive["url"] == wheel.name
    assert archive["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}
    ]
    assert str(release) not in text
    assert "file:" not in text


def test_the_bill_can_be_made_again(release: Path) -> None:
    """Its time is the commit's, and it has no random number."""
    bill, _ = bill_of(release)
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert "serialNumber" not in bill
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


SDIST_BACKEND = """
import pathlib
pathlib.Path({ran!r}).touch()
def build_wheel(*_, **__): raise SystemExit("no wheel")
"""


def only_sdists(directory: Path, names: Iterable[str], ran: Path) -> None:
    """Put an sdist of each package there, whose building leaves a file."""
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    contents = {"pyproject.toml": pyproject, "backend.py": SDIST_BACKEND.format(ran=str(ran))}
    for name in names:
        base = f"{name.lower().replace('-', '_')}-999"
        with tarfile.open(directory / f"{base}.tar.gz", "w:gz") as archive:
            files = {**contents, "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 999\n"}
            for file, text in files.items():
                member = tarfile.TarInfo(f"{base}/{file}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))


def test_the_bill_leaves_the_wheel_alone(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel that is there is described as it is, and no sdist of a dependency is built for it."""
    (commit(tmp_path / "work") / "dist").mkdir()
    wheel = tmp_path / "work" / "dist" / wheel_of(release).name
    wheel.write_bytes(wheel_of(release).read_bytes())
    before = wheel.stat()
    required = description(wheel).get_all("Requires-Dist")
    ran = tmp_path / "ran"
    sdists = tmp_path / "sdists"
    sdists.mkdir()
    only_sdists(sdists, {Requirement(line).name for line in required}, ran)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(sdists))
    made = make(tmp_path / "work", "sbom")
    assert "No matching distribution found" in made.stderr
    assert not ran.exists()
    after = wheel.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def tag_check(directory: Path) -> subprocess.CompletedProcess[str]:
    makefile = str(ROOT / "release" / "release.mk")
    return make(directory, "-f", makefile, "tag-check", "MAIN=main")


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A repository whose package is 1.2.3, on main."""
    (tmp_path / "django_kms_secrets").mkdir()
    (tmp_path / "django_kms_secrets" / "_version.py").write_text('__version__ = "1.2.3"\n')
    for command in (["init", "-q", "-b", "main"], ["add", "--all"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_tag_names_the_version(tagged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag of another version, or none, stops a release before anything is built."""
    codes = {}
    for tag in ("v1.2.3", "v1.2.30", "1.2.3", "v1.2", ""):
        monkeypatch.setenv("GITHUB_REF_NAME", tag)
        codes[tag] = tag_check(tagged).returncode
    assert codes == {"v1.2.3": 0, "v1.2.30": 2, "1.2.3": 2, "v1.2": 2, "": 2}


def test_a_tag_is_on_main(tagged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that main does not have is refused; an older one of main is not."""
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.2.3")
    for command in (["checkout", "-q", "-b", "side"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*GIT, *command], cwd=tagged, check=True)
    refused = tag_check(tagged)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the commit of 'v1.2.3' is not on main" in refused.stderr
    subprocess.run([*GIT, "branch", "-q", "-f", "main"], cwd=tagged, check=True)
    subprocess.run([*GIT, "checkout", "-q", "HEAD~1"], cwd=tagged, check=True)
    assert tag_check(tagged).returncode == 0


def test_the_tools_are_locked() -> None:
    """What builds and describes a release is named by version and by hash, without exception."""
    text = (ROOT / "release" / "requirements.txt").read_text("utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", text).strip())
    assert all(re.match(r"[\w.-]+==[\w.]+[^\n]*\\\n +--hash=sha256:", entry) for entry in entries)
    locked = {entry.partition("==")[0] for entry in entries}
    wanted = (ROOT / "release" / "requirements.in").read_text("utf-8")
    assert {Requirement(line).name for line in wanted.splitlines() if line[0] != "#"} <= locked
