"""Round robin: the page of a role's queue, who may see it, who may reset it, and what it doesn't reveal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.models import AuditEntry, RoundRobin, User
from tests.app_fixtures import Crm
from tests.cases import each_case


def give(crm: Crm, count: int) -> list[Any]:
    rows = [crm.make.lead("mia") for _ in range(count)]
    for row in rows:
        answer = crm.client("root").rest("POST", f"lead/{row.id}/assign", {"assign_to_role": "Sales User"})
        assert answer.status_code == 200
    return rows


def page(crm: Crm, who: str = "root", role: str = "Sales User") -> str:
    return str(crm.client(who).screen(f"/turns/?role={role.replace(' ', '+')}").text)


def test_the_page_shows_who_is_next_and_past_turns(crm: Crm) -> None:
    rows = give(crm, 3)
    shown = page(crm)
    assert "3 turns so far" in shown and shown.count("/leads/CRM-LEAD-") >= 3
    assert all(f"/leads/{row.number}" in shown for row in rows)
    head = shown[shown.index("queue-row is-next") :]
    assert "Ben Shah" in head[:400]


def test_absent_people_are_listed_with_the_reason(crm: Crm) -> None:
    now = datetime.now(UTC)
    ana = crm.session.get_one(User, crm.people["ana"].id)
    ana.leave_from, ana.leave_to = now - timedelta(days=1), now + timedelta(days=3)
    ana.delegate_id = crm.people["max"].id
    crm.session.commit()
    give(crm, 2)
    shown = page(crm)
    assert "on leave until" in shown and "Max Shah is covering" in shown and "covering for Ana Shah" in shown


@each_case("who, code", [("root", 200), ("mia", 403), ("ana", 403), ("cleo", 403)])
def test_who_may_open_the_page(crm: Crm, who: str, code: int) -> None:
    assert crm.client(who).screen("/turns/").status_code == code
    if code != 200:
        assert crm.client(who).form("/turns/begin", {"role": "Sales User"}).status_code == 403


def test_the_page_links_visible_records_only(crm: Crm) -> None:
    (row,) = give(crm, 1)
    crm.make.cell("Support User", "Settings", "read", "all")
    shown = page(crm, "cleo")
    assert row.number not in shown and "no access" in shown and "Restart" not in shown
    assert crm.client("cleo").form("/turns/begin", {"role": "Sales User"}).status_code == 403


def test_setting_who_is_next_is_audited(crm: Crm) -> None:
    give(crm, 1)
    ana = crm.people["ana"].id
    said = crm.client("root").form("/turns/begin", {"role": "Sales User", "user": ana}, follow_redirects=True).text
    assert "Ana Shah is next." in said
    assert give(crm, 1) and crm.rows(select(RoundRobin.last_user_id)) == [ana]
    (entry,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "turn change"))
    assert (entry.about, entry.payload, entry.user_id) == (
        "role Sales User",
        {"begins_with": ana},
        crm.people["root"].id,
    )


def test_the_order_starts_over(crm: Crm) -> None:
    give(crm, 1)
    assert (
        "Ana Shah is next."
        in crm.client("root").form("/turns/begin", {"role": "Sales User"}, follow_redirects=True).text
    )


@pytest.mark.parametrize(
    "role, user, sentence",
    [
        ("Nobody", "", "no role named"),
        ("Sales User", "99999", "have the role"),
        ("Sales User", "x", "have the role"),
        ("", "", "no role named"),
    ],
)
def test_an_invalid_next_person_is_refused(crm: Crm, role: str, user: str, sentence: str) -> None:
    give(crm, 1)
    before = crm.rows(select(RoundRobin.last_user_id, RoundRobin.changed_on))
    said = crm.client("root").form("/turns/begin", {"role": role, "user": user}, follow_redirects=True).text
    assert sentence in said and crm.rows(select(RoundRobin.last_user_id, RoundRobin.changed_on)) == before
    assert crm.count(AuditEntry, AuditEntry.event == "turn change") == 0


def test_a_role_without_round_robin_is_404(crm: Crm) -> None:
    assert crm.client("root").screen("/turns/?role=Nobody").status_code == 404
    assert crm.client("root").screen("/turns/?role=Support+User").status_code == 200
