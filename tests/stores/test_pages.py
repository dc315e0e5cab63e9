"""The pages of a table as DynamoDB cuts them: at a megabyte of what is stored, not of what is read.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
"""

from __future__ import annotations

import pytest

#: Three of them are a page.
LARGE = "x" * 300_000


@pytest.fixture
def put_large(credstash_store, account):
    """Stores so many large versions of each name."""

    def put(names, versions):
        credstash_store.put("NAME", "hunter2")
        item = account.item("NAME")
        for name in names:
            for number in range(1, versions + 1):
                account.put_item(
                    item,
                    name={"S": name},
                    version={"S": f"{number:019}"},
                    comment={"S": f"{number}"},
                    contents={"S": LARGE},
                )

    return put


def test_a_listing_has_what_is_on_every_page(credstash_store, put_large, aws):
    """So many pages that it is begun anew in segments."""
    names = {f"NAME_{number:02}" for number in range(16)}
    put_large(names, versions=1)
    with aws.counted() as requests:
        listed = credstash_store.list_secrets()
    assert sorted(entry.name for entry in listed) == sorted({"NAME", *names})
    assert requests["dynamodb.Scan"] >= 7


def test_a_history_has_what_is_on_every_page(credstash_store, put_large, aws):
    put_large(["LARGE"], versions=7)
    with aws.counted() as requests:
        history = credstash_store.history("LARGE")
    assert [int(entry.version) for entry in history] == list(range(1, 8))
    assert requests["dynamodb.Query"] >= 2


def test_the_newest_version_is_read_without_the_pages_before_it(credstash_store, put_large, aws):
    put_large(["NAME"], versions=4)
    newest = credstash_store.put("NAME", "hunter3").version
    with aws.counted() as requests:
        assert credstash_store.get("NAME").value == "hunter3"
    assert (int(newest), requests["dynamodb.Query"]) == (5, 1)
