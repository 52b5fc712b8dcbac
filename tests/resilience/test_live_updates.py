"""A commit in any process updates bells and pages in browsers connected to other processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.resilience.concurrent_requests import ask
from tests.resilience.conftest import RunningProduct
from tests.resilience.external_writer import outsider
from tests.resilience.outages import give
from tests.resilience.socket_client import Wire, wires
from tests.servers import eventually


@pytest.fixture
def sockets(hall: RunningProduct) -> Iterator[list[Wire]]:
    """Ben has one on each of the two processes."""
    with wires(hall.web, "ben") as opened:
        yield opened


def test_a_commit_through_one_worker_rings_on_both(hall: RunningProduct, sockets: list[Wire]) -> None:
    since = time.monotonic()
    give(hall.scenario, hall.port, "ben")
    for each in sockets:
        each.await_event("bell", since)


def test_a_commit_of_a_process_that_serves_nobody_rings_on_both(hall: RunningProduct, sockets: list[Wire]) -> None:
    since = time.monotonic()
    with outsider(hall.scenario, CRM_REDIS_URL=hall.redis.url) as outside:
        outside.give(hall.scenario.crm.make.lead("ana").id, hall.scenario.crm.people["ben"].id)
        for each in sockets:
            each.await_event("bell", since)


def test_a_page_open_on_another_worker_hears_that_its_record_changed(hall: RunningProduct, sockets: list[Wire]) -> None:
    lead = hall.scenario.crm.make.lead("ben")
    for each in sockets:
        each.watch("lead", lead.id)
    tries = iter(range(100))

    def all_heard() -> bool:
        """A page that began to watch a moment ago may miss the first change."""
        wish = {"description": f"change {next(tries)}"}
        assert ask(hall.port, "root", "PUT", f"/api/v1/lead/{lead.id}", wish).status == 200
        return all(each.has_heard("activity", kind="lead", id=lead.id) for each in sockets)

    eventually(all_heard, "the pages do not hear of the change")
