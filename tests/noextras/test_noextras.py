"""The package with nothing but what it requires: no extra, and nothing that happens to be there."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured

import django_kms_secrets
from django_kms_secrets import SecretsError, formats, load

if TYPE_CHECKING:
    from pathlib import Path

CLEAR = (
    "error: YAML needs PyYAML",
    "hint: pip install 'django-kms-secrets[yaml]'",
)
#: Needs PyYAML; the others need a database's driver, as Django's own engines do.
NEED_MORE = {
    "django_kms_secrets.formats.yaml": SecretsError,
    "django_kms_secrets.db.mysql.base": ImproperlyConfigured,
    "django_kms_secrets.db.postgresql.base": ImproperlyConfigured,
}


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m django_kms_secrets``."""
    return subprocess.run(
        [sys.executable, "-m", "django_kms_secrets", *arguments],
        env={"KMS_SECRETS_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with one secret."""
    path = tmp_path / "store.json"
    path.write_text('{"A": "one"}')
    path.chmod(0o600)
    return f"file://{path}"


@pytest.mark.parametrize("name", ["PyYAML", "credstash"])
def test_no_extra_is_there(name: str) -> None:
    """Otherwise nothing here proves anything."""
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution(name)


#: Their models are Django's, so Django has to be set up first.
OF_THE_ADMIN = ("django_kms_secrets.contrib.admin.admin", "django_kms_secrets.contrib.admin.models")


def modules() -> list[str]:
    """The names of all modules of the package that can be imported anywhere."""
    walked = pkgutil.walk_packages(django_kms_secrets.__path__, "django_kms_secrets.")
    elsewhere = {"django_kms_secrets.__main__", *OF_THE_ADMIN}
    return [module.name for module in walked if module.name not in elsewhere]


@pytest.mark.parametrize("name", modules())
def test_every_module_is_imported_or_says_what_it_needs(name: str) -> None:
    """What needs more than is required says so; nothing else needs more."""
    if name in NEED_MORE:
        with pytest.raises(NEED_MORE[name]):
            importlib.import_module(name)
    else:
        importlib.import_module(name)


def test_the_page_in_the_admin_needs_no_more() -> None:
    """A site with the app: its modules are imported, in a process of their own."""
    apps = ["admin", "auth", "contenttypes", "messages"]
    installed = [f"django.contrib.{app}" for app in apps] + ["django_kms_secrets.contrib.admin"]
    code = (
        "import django, importlib; from django.conf import settings;"
        f"settings.configure(INSTALLED_APPS={installed}); django.setup();"
        f"[importlib.import_module(name) for name in {OF_THE_ADMIN}]"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_settings_are_read(url: str) -> None:
    """Reading needs no extra."""
    assert load(url)["A"] == "one"


@pytest.mark.parametrize("kind", ["json", "dotenv"])
def test_the_command_writes_other_formats(url: str, kind: str) -> None:
    """The command needs no extra for its other formats."""
    done = command(url, "getall", "--format", kind)
    assert (done.returncode, done.stderr) == (0, "")
    assert "one" in done.stdout


def test_a_format_says_what_to_install() -> None:
    """YAML from Python: one error, with the command that mends it."""
    with pytest.raises(SecretsError) as caught:
        formats.parse("A: one\n", "yaml")
    assert str(caught.value).splitlines()[0] in CLEAR[0]
    assert f"hint: {caught.value.hint}" == CLEAR[1]


def test_the_command_says_what_to_install(url: str, tmp_path: Path) -> None:
    """YAML that is written, and YAML that is read: the same error, and no traceback."""
    (tmp_path / "more.yaml").write_text("B: two\n")
    written = command(url, "getall", "--format", "yaml")
    read = command(url, "putall", str(tmp_path / "more.yaml"))
    for done in (written, read):
        assert (done.returncode, done.stdout) == (1, "")
        assert tuple(done.stderr.splitlines()[-2:]) == CLEAR


def test_a_yaml_store_says_what_to_install(tmp_path: Path) -> None:
    """Settings that name a YAML file."""
    path = tmp_path / "secrets.yaml"
    path.write_text("A: one\n")
    path.chmod(0o600)
    with pytest.raises(SecretsError, match="YAML needs PyYAML"):
        load(f"file://{path}")["A"]
