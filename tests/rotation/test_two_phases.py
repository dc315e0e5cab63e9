"""A key that is accepted everywhere before it signs anywhere loses no session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import DOCUMENT, PREFIX
from .hosts import PATIENCE
from .traffic import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Site
    from .traffic import Traffic

ROTATIONS = 20


def rotate(site: Site, traffic: Traffic) -> None:
    """Rotate in two phases: every step is deployed on both hosts before the next is taken."""
    old = site.store.key
    new = site.store.stage()
    for host in site.hosts:
        site.deploy(host, old, new)
        traffic.window(f"staged, {host.name}")
    site.store.promote()
    assert site.store.key == new != old
    for host in site.hosts:
        site.deploy(host, new, old)
        traffic.window(f"promoted, {host.name}")
    site.store.retire()
    for host in site.hosts:
        site.deploy(host, new)
        traffic.window(f"retired, {host.name}")


def check(site: Site, traffic: Traffic, rotations: int) -> None:
    """No session was lost, and there were sessions to lose in every window."""
    assert traffic.failures == []
    assert [(window.label, window.lost) for window in traffic.windows if window.lost] == []
    assert len(traffic.windows) == 1 + 6 * rotations
    for window in traffic.windows[1:]:
        for host in site.hosts:
            assert window.requests[host.name] >= ANSWERS
            assert window.logins[host.name] >= 1
    # Half of the people have the session still that they had before the first rotation.
    assert traffic.kept == sum(client.keeps for client in traffic.clients) >= 2


@pytest.mark.timeout(10 * PATIENCE)
def test_twenty_rotations_lose_no_session(site: Site) -> None:
    """Sessions outlive the key that signed them, twenty times; replies are pages all the time."""
    keys = [site.store.key]
    with site.traffic() as traffic:
        for number in range(ROTATIONS):
            # The first and the last by the command, in a process of its own.
            site.store.command = number in {0, ROTATIONS - 1}
            rotate(site, traffic)
            keys.append(site.store.key)
    check(site, traffic, ROTATIONS)
    assert len(set(keys)) == 1 + ROTATIONS
    print(f"{ROTATIONS} rotations: {traffic.lost} sessions lost in {traffic.requests} requests")


@pytest.mark.parametrize("url", [DOCUMENT, PREFIX], ids=["document", "names"])
@pytest.mark.timeout(3 * PATIENCE)
def test_secrets_manager_rotates_without_a_loss(start: Callable[[str], Site], url: str) -> None:
    """Once by the command, once by the store's own methods."""
    site = start(url)
    with site.traffic() as traffic:
        for site.store.command in (True, False):
            rotate(site, traffic)
    check(site, traffic, 2)
