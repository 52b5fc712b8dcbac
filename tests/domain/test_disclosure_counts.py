"""Disclosures counted in SQL, published and corrected, and the reminder of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session

from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.business_settings import BusinessSetting
from app.domain.complaints import (
    complaint_groups,
    disclosure_checks,
    disclosure_counts,
    disclosure_figures,
    disclosure_reminders,
    exchange_return,
    published_disclosures,
)
from app.domain.complaints.complaint import OUTCOMES, SOURCES, Complaint
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.published_disclosures import ComplaintDisclosure, Publication
from app.domain.picklists import ComplaintCategory
from app.models import ModulePermission, Notification, Role, Ticket
from tests import factories
from tests.domain.test_disclosure_figures import Case, case, day, groups_of, month, random_cases
from tests.factories import NOW

OCTOBER = month("2026-10")
TODAY = NOW.date()


@pytest.fixture
def categories(session: Session) -> list[int]:
    """Demat, and Transmission below it."""
    above = ComplaintCategory(label="Demat", position=1)
    session.add(above)
    session.flush()
    below = ComplaintCategory(label="Transmission", position=2, parent_id=above.id)
    session.add(below)
    session.flush()
    return [above.id, below.id]


Adder = Callable[..., list[int]]


@pytest.fixture
def add(session: Session, categories: list[int]) -> Adder:
    """Adds complaints, each with a ticket of its own."""

    def add(*cases: Case, **values: Any) -> list[int]:
        ticket = factories.ticket(session)
        names = ("title", "status_id", "status_on", "version", "created_on", "changed_on")
        copied = {name: getattr(ticket, name) for name in names}
        ids = [ticket.id + 1 + n for n in range(len(cases))]
        tickets = [copied | {"id": key, "number": f"CRM-TICKET-2025-{key:05}"} for key in ids]
        session.execute(insert(Ticket), tickets)
        rows = [_row(each, key, categories) | values for each, key in zip(cases, ids, strict=True)]
        session.execute(insert(Complaint), rows)
        return ids

    return add


def _row(each: Case, key: int, categories: list[int]) -> dict[str, Any]:
    return {
        "id": key,
        "number": f"CRM-COMPLAINT-2026-{key:05}",
        "ticket_id": key,
        "title": "Shares not credited",
        "source": each.source,
        "received_on": each.received_on,
        "disposed_on": each.disposed_on,
        "outcome": OUTCOMES[key % len(OUTCOMES)] if each.disposed_on else None,
        "category_id": categories[key % 2],
        "is_impersonation": each.is_impersonation,
        "acknowledge_due_on": each.received_on,
        "report_due_on": each.received_on,
        "review_stage": "None",
        "created_on": NOW,
        "changed_on": NOW,
        "version": 1,
    }


def counted(session: Session, span: Span = OCTOBER) -> disclosure_figures.Disclosure:
    return disclosure_counts.disclosure_of(session, span)


# --- counting


@pytest.mark.parametrize("of", ["2025-02", "2026-02", "2026-05", "2026-10"])
def test_sql_counts_as_a_loop_does(session: Session, add: Adder, of: str) -> None:
    cases = [each for each in random_cases(7, 600) if each.source in SOURCES]
    add(*cases)
    span = month(of)
    relevant = disclosure_counts.disclosure_of(session, span)
    assert relevant == complaint_groups.build(groups_of(cases, span), span, SOURCES)
    assert relevant.total.received and relevant.total.old, "the month has something to count"


def test_complaints_that_were_joined_to_another_are_not_counted(session: Session, add: Adder) -> None:
    (kept,) = add(case("2026-10-05"))
    add(case("2026-10-06"), joined_to_id=kept)
    assert counted(session).total.received == 1


def test_a_withdrawn_complaint_is_resolved(session: Session, add: Adder) -> None:
    add(case("2026-10-05", "2026-10-09"), outcome="Withdrawn")
    total = counted(session).total
    assert (total.resolved, total.pending, total.days) == (1, 0, 4)


def test_the_day_of_receipt_and_disposal_may_be_one(session: Session, add: Adder) -> None:
    add(case("2026-10-05", "2026-10-05"), case("2024-02-29", "2026-10-05"))
    assert counted(session).total.days == (day("2026-10-05") - day("2024-02-29")).days


def test_many_complaints_take_one_statement(session: Session, add: Adder) -> None:
    add(*[Case(SOURCES[n % 5], date(2020, 4, 1) + timedelta(days=n % 2300)) for n in range(2000)])
    assert _statements(session, lambda: counted(session)) == 1
    assert _statements(session, lambda: exchange_return.return_of(session, OCTOBER)) == 2


def _statements(session: Session, work: Callable[[], Any]) -> int:
    sent: list[str] = []
    engine = session.get_bind()

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    work()
    event.remove(engine, "before_cursor_execute", note)
    return len(sent)


# --- the return to the exchange


def test_the_return_adds_up_to_the_disclosure(session: Session, add: Adder) -> None:
    cases = [each for each in random_cases(11, 500) if each.source in SOURCES]
    add(*cases)
    found, total = exchange_return.return_of(session, OCTOBER), counted(session).total
    assert (found.opening, found.received, found.resolved, found.closing) == total.numbers()[:4]
    assert sum(found.pending_ages) == total.pending and sum(found.resolved_ages) == total.resolved
    assert {line.category for line in found.lines} <= {"Demat", "Demat › Transmission"}
    assert exchange_return.from_json(exchange_return.as_json(found)) == found


@pytest.mark.parametrize(
    ("days", "place"), [(0, 0), (7, 0), (8, 1), (14, 1), (15, 2), (21, 2), (22, 3), (30, 3), (31, 4)]
)
def test_ages_of_the_return(session: Session, add: Adder, days: int, place: int) -> None:
    last = OCTOBER.last
    add(Case("Investor", last - timedelta(days=days)), Case("Depository", last - timedelta(days=days), last))
    found = exchange_return.return_of(session, OCTOBER)
    expected = tuple(int(n == place) for n in range(5))
    assert found.pending_ages == found.resolved_ages == expected


def test_the_return_tells_outcomes_apart(session: Session, add: Adder) -> None:
    add(case("2026-10-01", "2026-10-02"), case("2026-10-01", "2026-10-03"), outcome="Withdrawn")
    add(case("2026-10-01", "2026-11-03"), outcome="Resolved")
    assert {line.source for line in exchange_return.return_of(session, OCTOBER).lines} == {"Investor"}
    outcomes = [line.resolved for line in exchange_return.return_of(session, OCTOBER).lines if line.resolved]
    assert sum(each.get("Withdrawn", 0) for each in outcomes) == 2
    assert all("Resolved" not in each for each in outcomes), "it was resolved in November"


# --- checks


def test_a_complaint_disposed_of_before_it_came_is_named(session: Session, add: Adder) -> None:
    (key,) = add(case("2026-10-05", "2026-09-30"))
    add(case("2026-10-06", "2026-10-08"))
    broken = disclosure_checks.broken_identities(counted(session))
    assert {(each.span, each.source) for each in broken} == {
        (span, source) for span in (month("2026-09"), OCTOBER) for source in (None, "Investor")
    }
    assert disclosure_checks.impossible_dates(session) == [f"CRM-COMPLAINT-2026-{key:05}"]


def test_right_figures_pass_all_checks(session: Session, add: Adder) -> None:
    add(*[each for each in random_cases(3, 300) if each.source in SOURCES])
    found = counted(session)
    assert not disclosure_checks.broken_identities(found) and not disclosure_checks.broken_carries(found)
    assert not disclosure_checks.later_changes(found, [(1, found)])


def test_figures_that_do_not_carry_over_are_found() -> None:
    made = complaint_groups.build(groups_of([case("2026-08-05")], OCTOBER), OCTOBER, SOURCES)
    months = dict(made.months)
    months[month("2026-09")] = disclosure_figures.Movement(carried=1, resolved=1)
    wrong = disclosure_figures.Disclosure(made.month, made.sources, months, made.years, 0, made.months_by_source)
    (broken,) = disclosure_checks.broken_carries(wrong)
    assert (broken.earlier, broken.later, broken.pending, broken.carried) == (month("2026-09"), OCTOBER, 0, 1)


# --- publishing


def publication(session: Session, of: Span = OCTOBER, layout: str = "2025", base: int = 0, reason: str = "") -> Any:
    figures = disclosure_counts.disclosure_of(session, of)
    return Publication(figures, exchange_return.return_of(session, of), layout, base, reason)


def publish(session: Session, **values: Any) -> ComplaintDisclosure:
    return published_disclosures.publish(session, publication(session, **values), Stamp(None, NOW), TODAY)


def test_publishing_freezes_a_month(session: Session, add: Adder) -> None:
    (key,) = add(case("2026-10-05", "2026-10-20"))
    first = publish(session)
    before = first.disclosure
    row = session.get(Complaint, key)
    assert row is not None
    row.outcome = row.disposed_on = None  # reopened after the publication
    session.flush()
    session.expire(first)
    assert first.disclosure == before and before.total.resolved == 1
    changes = disclosure_checks.later_changes(counted(session), [(1, first.disclosure)])
    assert {(each.source, each.figure, each.published, each.counted) for each in changes} == {
        (source, *figure) for source in (None, "Investor") for figure in (("resolved", 1, 0), ("pending", 0, 1))
    }
    second = publish(session, base=1, reason="  The investor was not satisfied. ")
    assert (second.version_number, second.reason) == (2, "The investor was not satisfied.")
    assert [each.version_number for each in published_disclosures.versions_of(session, OCTOBER)] == [2, 1]
    assert not disclosure_checks.later_changes(counted(session), [(2, second.disclosure)])


def test_what_cannot_be_published(session: Session, add: Adder) -> None:
    add(case("2026-10-05"))
    for values, sentence in (
        ({"of": month("2026-11")}, "isn't over"),
        ({"layout": "2019"}, "layouts"),
        ({"base": 1}, "meanwhile"),
    ):
        with pytest.raises(RuleBroken, match=sentence):
            publish(session, **values)
    publish(session)
    for more, sentence in (
        ({"base": 1, "reason": "Why"}, "Nothing has changed since version 1"),
        ({"base": 1, "layout": "2021"}, "say why"),
        ({"base": 1, "layout": "2021", "reason": "x" * 501}, "at most 500"),
        ({"base": 0, "layout": "2021", "reason": "x"}, "meanwhile"),
    ):
        with pytest.raises(RuleBroken, match=sentence):
            publish(session, **more)
    add(case("2026-10-05", "2026-10-01"))
    with pytest.raises(RuleBroken, match="add up"):
        publish(session, base=1, reason="Why")
    assert len(published_disclosures.versions_of(session, OCTOBER)) == 1


def test_of_two_who_publish_at_once_the_database_takes_one(
    session: Session, add: Adder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(case("2026-10-05"))
    publish(session)
    monkeypatch.setattr(published_disclosures, "versions_of", lambda *_of: [])  # as the other one has seen it
    with pytest.raises(Conflict, match="meanwhile"):
        publish(session)
    assert session.scalars(select(ComplaintDisclosure.version_number)).all() == [1]


def test_the_newest_version_of_each_month_is_found(session: Session, add: Adder) -> None:
    add(case("2026-08-05"))
    for of in ("2026-08", "2026-09", "2026-10"):
        publish(session, of=month(of))
    publish(session, of=month("2026-09"), base=1, reason="Why", layout="2021")
    found = published_disclosures.newest_versions(session, day("2026-09-01"), 12)
    assert [(each.month.month, each.version_number) for each in found] == [(10, 1), (9, 2)]
    assert [each.month.month for each in published_disclosures.newest_versions(session, day("2020-01-01"), 1)] == [10]


# --- the reminder


@pytest.fixture
def rhea(session: Session) -> Any:
    """The compliance officer."""
    role, manager = Role(name="Compliance"), Role(name="Support Lead")
    session.add_all((role, manager))
    session.flush()
    session.add(ModulePermission(role_id=role.id, module="Complaints", verb="write", level="all"))
    session.flush()
    session.add(ModulePermission(role_id=manager.id, module="Complaints", verb="write", level="team"))
    factories.user(session, "sam", "Support Lead")
    return factories.user(session, "rhea", "Compliance")


def at(text: str) -> datetime:
    """A day at 9:00 in the office."""
    return datetime.fromisoformat(f"{text}T03:30").replace(tzinfo=UTC)


def reminded(session: Session, text: str) -> list[str]:
    months = disclosure_reminders.due_months(session, at(text), "Asia/Kolkata")
    return [disclosure_reminders.remind(session, each, at(text)) for each in months]


def told(session: Session) -> list[tuple[int, str]]:
    query = select(Notification.user_id, Notification.payload).where(Notification.kind == "disclosure")
    return [(user, payload["month"]) for user, payload in session.execute(query)]


def test_who_may_publish_is_reminded_once(session: Session, add: Adder, rhea: Any) -> None:
    factories.user(session, "leela", "Compliance", active=False)
    assert reminded(session, "2026-11-05") == [], "nobody has complained yet"
    add(case("2026-10-05"))
    assert reminded(session, "2026-11-03") == []
    assert reminded(session, "2026-11-04") == ["reminded"] and reminded(session, "2026-11-05") == ["skipped"]
    assert told(session) == [(rhea.id, "2026-10")]
    assert reminded(session, "2026-12-10") == ["reminded"], "the next month, however late"
    assert told(session) == [(rhea.id, "2026-10"), (rhea.id, "2026-11")]


def test_the_officer_of_the_settings_is_reminded_while_they_are_active(session: Session, add: Adder, rhea: Any) -> None:
    vera = factories.user(session, "vera", "Support Lead")
    session.add(BusinessSetting(key="complaint_people", value={"compliance": vera.id}))
    add(case("2026-10-05"))
    assert reminded(session, "2026-11-04") == ["reminded"] and told(session) == [(vera.id, "2026-10")]
    vera.active = False
    session.flush()
    assert reminded(session, "2026-12-04") == ["reminded"] and told(session)[1:] == [(rhea.id, "2026-11")]


@pytest.mark.usefixtures("rhea")
def test_a_published_month_is_not_reminded_of(session: Session, add: Adder) -> None:
    add(case("2026-10-05"))
    publish(session)
    assert reminded(session, "2026-11-06") == []


@pytest.mark.usefixtures("rhea")
def test_when_it_is_due_is_a_setting(session: Session, add: Adder) -> None:
    add(case("2026-10-05"))
    chosen = {"disclosure_due_day": 15, "disclosure_reminder_days": 1}
    session.add_all(BusinessSetting(key=key, value=value) for key, value in chosen.items())
    session.flush()
    assert reminded(session, "2026-11-13") == [] and reminded(session, "2026-11-14") == ["reminded"]
