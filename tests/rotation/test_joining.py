"""A host may start at any moment of a rotation."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from django_kms_secrets import load

from .conftest import CREDSTASH, DOCUMENT, NAME, PREFIX
from .hosts import PATIENCE, Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..server.embedded import EmbeddedAWS
    from .conftest import Site, Store

URLS = {"credstash": CREDSTASH, "document": DOCUMENT, "names": PREFIX}


@contextlib.contextmanager
def before_request(aws: EmbeddedAWS, number: int, action: Callable[[], None]) -> Iterator[None]:
    """Do something before the request of that number, counted from 0, is answered."""
    started: list[bool] = []
    count = iter(range(1_000_000))

    def fault(operation: str, body: dict[str, Any]) -> None:
        # The requests of the action itself are not counted.
        if not started and next(count) == number:
            started.append(True)
            action()

    aws.faults.append(fault)
    try:
        yield
    finally:
        aws.faults.remove(fault)
    assert started, f"there was no request {number}"


@pytest.mark.timeout(4 * PATIENCE)
def test_a_host_that_crashes_between_two_steps_comes_back_without_a_loss(site: Site) -> None:
    """One of them is killed and started between all steps, in turn; it has the store's keys then.

    The sessions are in cookies: where a session is in the database, Django may give it another id
    in a request whose reply is lost in the crash, and that has nothing to do with keys.
    """
    joined = 0
    with site.traffic(engines=["signed_cookies"], crashes=True) as traffic:

        def crash(step: str, key: str, *fallbacks: str) -> None:
            nonlocal joined
            host = site.hosts[joined % 2]
            host.kill()
            host.start()
            assert host.keys == Keys.of(key, *fallbacks)
            traffic.window(f"{step}; {host.name} was killed and started")
            joined += 1

        old = site.store.key
        crash("before", old)
        new = site.store.stage()
        crash("staged", old, new)
        for host in site.hosts:
            site.deploy(host, old, new)
            crash(f"staged, {host.name} deployed", old, new)
        site.store.promote()
        crash("promoted", new, old)
        for host in site.hosts:
            site.deploy(host, new, old)
            crash(f"promoted, {host.name} deployed", new, old)
        site.store.retire()
        crash("retired", new)
        for host in site.hosts:
            site.deploy(host, new)
            crash(f"retired, {host.name} deployed", new)
    assert traffic.failures == []
    assert [(window.label, window.lost) for window in traffic.windows if window.lost] == []
    assert joined == 10
    assert traffic.repeated > 0  # there were requests while it was down


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_promotion_at_any_moment_of_a_hosts_reading_leaves_it_both_keys(
    aws: EmbeddedAWS, make_store: Callable[[str], Store], url: str
) -> None:
    """Whichever request of its fetch or its read of the fallbacks the promotion comes before."""
    store = make_store(url)
    store.stage()
    with aws.counted() as sent:
        secrets = load(url)
        assert secrets[NAME]
        assert secrets.fallbacks(NAME)
    store.promote()
    store.retire()

    found = set()
    for number in range(sent.total()):
        old, new = store.key, store.stage()
        secrets = load(url)
        with before_request(aws, number, store.promote):
            key = secrets[NAME]
            fallbacks = secrets.fallbacks(NAME)
        # Hosts that were deployed before sign with the old key, those to come with the new one.
        both = Keys.of(old, new), Keys.of(new, old)
        assert Keys.of(key, *fallbacks) in both, f"promoted before request {number}"
        found.add(key == new)
        store.retire()
    # It came before the fetch's answer, and after it.
    assert found == {True, False}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_host_that_reads_at_any_moment_of_a_promotion_has_both_keys(
    aws: EmbeddedAWS, make_store: Callable[[str], Store], url: str
) -> None:
    """Whichever request of the promotion its whole reading comes before."""
    store = make_store(url)
    store.stage()
    with aws.counted() as sent:
        store.promote()
    store.retire()

    for number in range(sent.total()):
        found: list[Keys] = []

        def read(found: list[Keys] = found) -> None:
            secrets = load(url)
            found.append(Keys.of(secrets[NAME], *secrets.fallbacks(NAME)))

        old, new = store.key, store.stage()
        with before_request(aws, number, read):
            store.promote()
        both = Keys.of(old, new), Keys.of(new, old)
        assert found[0] in both, f"read before request {number}"
        store.retire()


@pytest.mark.timeout(3 * PATIENCE)
def test_a_host_that_starts_during_the_promotion_joins_without_a_loss(
    site: Site, aws: EmbeddedAWS
) -> None:
    """It has the old key and reads the fallbacks when the new one is in force already."""
    first, second = site.hosts
    with site.traffic(engines=["signed_cookies"], crashes=True) as traffic:
        old = site.store.key
        new = site.store.stage()
        for host in site.hosts:
            site.deploy(host, old, new)
        with aws.counted() as fetch:
            assert load(site.store.url)[NAME] == old
        first.kill()
        with before_request(aws, fetch.total(), site.store.promote):
            first.start()
        assert first.keys == Keys.of(old, new)
        site.deploy(second, new, old)
        window = traffic.window("one host joined with the old key, the other has the new one")
        site.deploy(first, new, old)
        traffic.window("both have the new one")
    assert window.lost == []
    assert (traffic.failures, traffic.lost) == ([], 0)
