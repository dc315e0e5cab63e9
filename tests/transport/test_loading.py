"""Settings are read without boto3, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from django_kms_secrets.config import read_config

URLS = {
    "credstash": "credstash://",
    "document": "secretsmanager:///notes",
    "names": "secretsmanager://?prefix=notes/",
}
SETTINGS = """
import json, sys
from django_kms_secrets import load
secrets = load(sys.argv[1])
found = [secrets["A"], secrets.fallbacks("A"), secrets.previous("A")]
secrets.refresh()
heavy = {"boto3", "botocore", "urllib3", *json.loads(sys.argv[2])} & set(sys.modules)
print(json.dumps([*found, sorted(heavy)]))
"""


# What takes milliseconds to import, and only commands or some configurations need.
COMMANDS_OWN = [
    "csv",
    "encodings.idna",
    "rich",
    "django_kms_secrets.backends.diagnosis",
    "django_kms_secrets.backends.iam",
    "django_kms_secrets.formats.dotenv",
    "django_kms_secrets.lastgood",
]


def run(url: str, *others: str) -> list[object]:
    """Read secrets, and tell which of boto3's modules, and the others, were imported for it."""
    command = [sys.executable, "-W", "error", "-c", SETTINGS, url, json.dumps(others)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", URLS)
def test_settings_import_no_boto3(name, aws):
    url = URLS[name]
    with read_config(url).make_store() as store:
        store.setup()
        if name == "credstash":
            store.setup_key()
        store.put("A", "old")
        store.rotate("A", "new", expected=store.get("A").version)
    assert run(url, *COMMANDS_OWN) == ["new", ["old"], "old", []]


def test_settings_import_boto3_where_they_are_told_to(aws):
    with read_config(URLS["names"]).make_store() as store:
        store.put("A", "new")
    found = run(f"{URLS['names']}&transport=boto3")
    assert found == ["new", [], None, ["boto3", "botocore", "urllib3"]]
