"""With ``--dynamodb dynalite`` the tests are about dynalite, and not about moto once more."""

from __future__ import annotations

import json
import urllib.request

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.exceptions import SecretsError


def test_credstash_on_dynalite_is_asked_of_dynalite_only(request, aws):
    if request.config.getoption("--dynamodb") != "dynalite":
        assert aws.dynamodb is None
        return
    with CredStashStore() as store:
        store.setup_key()
        store.setup()
        store.put("NAME", "x")
        with pytest.raises(SecretsError, match=r"TransactWriteItems .*UnknownOperationException"):
            store.put_many({"A": "x", "B": "y"})
    items = aws.dynamodb.client.scan(TableName="credential-store")["Items"]
    assert [item["name"]["S"] for item in items] == ["NAME"]
    with urllib.request.urlopen(f"{aws.endpoint}/moto-api/data.json", timeout=30) as reply:
        assert not json.load(reply).get("dynamodb", {}).get("Table")
