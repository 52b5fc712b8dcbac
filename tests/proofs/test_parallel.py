"""Many people at the same door at the same moment: turns stay even, one decider wins, no save is lost."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from app.models import Activity, Assignment, Lead, RoundRobin, User
from tests.proofs.conftest import Hall
from tests.proofs.crowd import Reply, ask, at_once
from tests.proofs.setting import Ground

THREADS, SAVES = 20, 10


def test_fifty_assignments_at_once_spread_evenly_over_seven(hall: Hall) -> None:
    field, before = hall.field, hall.field.rows(select(RoundRobin.turns))
    leads = [field.world.make.lead("mia").id for _ in range(50)]
    field.world.session.execute(update(User).where(User.id == field.ana).values(available=False))
    field.world.session.commit()
    wish = {"assign_to_role": "Sales User"}
    replies = at_once([partial(ask, hall.port, "root", "POST", f"/api/v1/lead/{key}/assign", wish) for key in leads])
    assert {reply.status for reply in replies} == {200}, [reply for reply in replies if reply.status != 200]
    shares = Counter(field.rows(select(Lead.assignee_id).where(Lead.id.in_(leads))))
    assert sorted(shares) == sorted(field.sellers)
    assert max(shares.values()) - min(shares.values()) <= 1
    assert field.rows(select(RoundRobin.turns)) == [sum(before) + 50]
    by_turn = (Assignment.reason == "round robin", Assignment.lead_id.in_(leads))
    assert sorted(field.rows(select(Assignment.lead_id).where(*by_turn))) == sorted(leads)


@pytest.mark.parametrize("second", ["Approved", "Rejected"])
def test_of_two_who_decide_at_the_same_moment_exactly_one_wins(hall: Hall, second: str) -> None:
    field = hall.field
    for _ in range(10):
        lead = field.world.make.lead("ana")
        request = field.world.make.request(lead, "ben")
        first, other = at_once(
            [
                partial(decide, hall.port, "max", request.id, "Approved"),
                partial(decide, hall.port, "root", request.id, second),
            ]
        )
        assert {first.status, other.status} == {200, 409}, (first, other)
        assert "already decided this request" in (first if first.status == 409 else other).sentence
        by_request = select(Assignment.user_id).where(Assignment.lead_id == lead.id, Assignment.reason == "request")
        approved = first.status == 200 or second == "Approved"
        assert field.rows(by_request) == ([field.world.people["ben"].id] if approved else [])


def decide(port: int, who: str, key: int, status: str) -> Reply:
    wish = {"status": status, "decision_note": "He knows him."}
    return ask(port, who, "PUT", f"/api/v1/assignment_request/{key}", wish)


def test_of_two_hundred_saves_at_once_none_is_lost_and_none_is_overwritten(hall: Hall) -> None:
    field, lead = hall.field, hall.field.world.make.lead("ana")
    before = lead.version
    tries = at_once([partial(save_often, hall.port, lead.id, n) for n in range(THREADS)])
    replies = [reply for several in tries for reply in several]
    saved = [text for text, reply in replies if reply.status == 200]
    assert {reply.status for _, reply in replies} == {200, 409}
    assert all(reply.sentence.startswith("Someone ") for _, reply in replies if reply.status == 409)
    assert field.rows(select(Lead.version).where(Lead.id == lead.id)) == [before + len(saved)]
    assert sorted(told(field, lead.id)) == sorted(saved)


def save_often(port: int, key: int, thread: int) -> list[tuple[str, Reply]]:
    """Read, then save with the version that was read: what was written, and the answer."""
    tries = []
    for n in range(SAVES):
        seen = ask(port, "ana", "GET", f"/api/v1/lead/{key}").body["result"]
        text = f"thread {thread}, save {n}"
        wish = {"description": text, "version": seen["version"]}
        tries.append((text, ask(port, "ana", "PUT", f"/api/v1/lead/{key}", wish)))
    return tries


def told(field: Ground, key: int) -> list[Any]:
    """Every description that the timeline tells of."""
    lines = field.rows(select(Activity.payload).where(Activity.lead_id == key, Activity.kind == "field_change"))
    return [change[2] for line in lines for change in line["changes"] if change[0] == "description"]
