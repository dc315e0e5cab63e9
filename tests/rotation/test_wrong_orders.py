"""The orders that the documentation warns of lose sessions, with the same people on the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .hosts import PATIENCE

if TYPE_CHECKING:
    from .conftest import Site

pytestmark = pytest.mark.timeout(3 * PATIENCE)


def test_one_phase_loses_sessions_until_the_second_host_is_deployed(site: Site) -> None:
    """The first host signs with a key that the second one does not know (ticket 35400)."""
    first, second = site.hosts
    with site.traffic() as traffic:
        for _ in range(3):
            before = traffic.window("before")
            traffic.begin("rotated")
            old = site.store.key
            new = site.store.replace()
            site.deploy(first, new, old)
            between = traffic.window("the first host is deployed")
            site.deploy(second, new, old)
            after = traffic.window("both are deployed")
            assert (before.lost, after.lost) == ([], [])
            # Who comes from the first host is not known on the second one.
            assert set(between.lost) == {(first.name, second.name)}
    assert traffic.failures == []
    assert traffic.lost >= 3
    print(f"one phase, 3 rotations: {traffic.lost} sessions lost in {traffic.requests} requests")


def test_promoting_before_the_second_host_was_deployed_loses_sessions(site: Site) -> None:
    """A key that is staged and not deployed everywhere is as unknown as one that is not staged."""
    first, second = site.hosts
    with site.traffic() as traffic:
        old = site.store.key
        new = site.store.stage()
        site.deploy(first, old, new)
        staged = traffic.window("staged, one host deployed")
        traffic.begin("promoted")
        site.store.promote()
        site.deploy(first, new, old)
        promoted = traffic.window("promoted, one host deployed")
    assert traffic.failures == []
    assert staged.lost == []
    assert set(promoted.lost) == {(first.name, second.name)}


def test_retiring_before_the_second_host_was_deployed_loses_sessions(site: Site) -> None:
    """The second host still signs with the key that the first one does not accept any more."""
    first, second = site.hosts
    with site.traffic() as traffic:
        old = site.store.key
        new = site.store.stage()
        for host in site.hosts:
            site.deploy(host, old, new)
        site.store.promote()
        site.deploy(first, new, old)
        promoted = traffic.window("promoted, one host deployed")
        traffic.begin("retired")
        site.store.retire()
        site.deploy(first, new)
        retired = traffic.window("retired, one host deployed")
    assert traffic.failures == []
    assert promoted.lost == []
    assert set(retired.lost) == {(second.name, first.name)}
