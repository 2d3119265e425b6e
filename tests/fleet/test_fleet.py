"""A fleet of three listeners and twenty readers on two hosts comes through each fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet.faults import COURSES, holds
from tests.fleet.links import Links
from tests.fleet.network import PLACES
from tests.fleet.signals import Course
from tests.fleet.workers import compare
from tests.fleet.world import World, running

LEASE_SECONDS = 8

pytestmark = pytest.mark.xdist_group("fleet")  # all with one fleet


@pytest.fixture(scope="module")
def fleet() -> Iterator[World]:
    with running(lease_seconds=LEASE_SECONDS) as world:
        yield world


@pytest.mark.parametrize("fault", COURSES)
def test_a_fleet_comes_through(fleet: World, fault: str) -> None:
    figure = COURSES[fault](fleet)
    assert holds(figure, LEASE_SECONDS, slack=2), figure


def test_a_proxy_stands_in_for_each_link_where_namespaces_are_not_permitted() -> None:
    fault = "leader's host cut off from both"
    with running(lease_seconds=LEASE_SECONDS, readers=1, network=Links(*PLACES)) as world:
        figure = COURSES[fault](world)
    assert holds(figure, LEASE_SECONDS, slack=2), figure


def test_each_version_is_signaled_although_listeners_are_killed() -> None:
    with running(lease_seconds=LEASE_SECONDS, readers=1) as world:
        figure = Course(world, seed=1, say=print).run(25)
    assert figure.published >= 25
    assert figure.kills > 0
    assert figure.missed == 0


def test_workers_of_all_hosts_share_one_stream_and_one_request_per_update() -> None:
    with running(lease_seconds=LEASE_SECONDS, readers=0) as world:
        ours, theirs = compare(world, workers=4)
    assert (ours.streams, ours.requests_per_update) == (1, 1)
    assert (theirs.streams, theirs.requests_per_update) == (4, 4)
