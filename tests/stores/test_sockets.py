"""The sockets of a store, at a server that would keep them for ever."""

from __future__ import annotations

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.deadline import POOL_SIZE

from ..server.keeping import KeepingServer

STORES = {
    "credstash": (CredStashStore, {}),
    "document": (SecretsManagerStore, {"secret_id": "notes/production"}),
    "names": (SecretsManagerStore, {"prefix": "notes/"}),
}


@pytest.mark.parametrize("opening", ["open", "open_to_read"])
@pytest.mark.parametrize("name", STORES)
def test_close_closes_every_socket_and_leaves_none_to_be_collected(aws, name, opening):
    store_class, options = STORES[name]
    with KeepingServer() as server:
        store = store_class(endpoint_url=server.endpoint, **options)
        getattr(store, opening)()
        for _ in range(3):
            assert store.get_many(None) == {}
        clients = [service.client for service in store._services]
        assert server.opened == 1, "one socket serves request after request"
        assert server.closed == 0
        store.close()
        assert server.all_closed(60)
        del clients


@pytest.mark.parametrize("opening", ["open", "open_to_read"])
def test_as_many_sockets_are_kept_as_requests_run_at_once(aws, opening):
    """A smaller pool would throw sockets away, and open new ones for every round."""
    with KeepingServer() as server:
        store = CredStashStore(endpoint_url=server.endpoint)
        getattr(store, opening)()
        for _ in range(3):
            assert store.get_many([f"NAME_{number}" for number in range(64)]) == {}
        assert 1 <= server.opened <= POOL_SIZE
        assert server.closed == 0
        store.close()
        assert server.all_closed(60)


def test_two_stores_share_no_socket(aws):
    with KeepingServer() as server:
        with (
            CredStashStore(endpoint_url=server.endpoint) as one,
            CredStashStore(endpoint_url=server.endpoint) as two,
        ):
            one.get_many(None)
            two.get_many(None)
            assert server.opened == 2
        assert server.all_closed(60)
