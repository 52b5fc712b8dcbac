"""The arithmetic of the disclosure of complaints: months, years, averages, what is old, and identities."""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from app.domain.complaints import complaint_groups, disclosure_figures, disclosure_periods
from app.domain.complaints.complaint_groups import ComplaintGroup
from app.domain.complaints.disclosure_figures import Movement
from app.domain.complaints.disclosure_periods import Span

SOURCES = ("Investor", "SEBI SCORES", "Stock exchange")


@dataclass(frozen=True)
class Case:
    """What of a complaint counts."""

    source: str
    received_on: date
    disposed_on: date | None = None
    is_impersonation: bool = False


def day(text: str) -> date:
    return date.fromisoformat(text)


def month(text: str) -> Span:
    return disclosure_periods.parse_month(text)


def case(received: str, disposed: str | None = None, source: str = "Investor", is_impersonation: bool = False) -> Case:
    return Case(source, day(received), day(disposed) if disposed else None, is_impersonation)


def groups_of(cases: Iterable[Case], of: Span) -> list[ComplaintGroup]:
    """Each complaint as a group of its own."""
    old_before = disclosure_periods.not_old_from(of)
    return [
        ComplaintGroup(
            each.source,
            each.is_impersonation,
            each.received_on.replace(day=1),
            each.disposed_on.replace(day=1) if each.disposed_on else None,
            1,
            int(each.received_on < old_before),
            (each.disposed_on - each.received_on).days if each.disposed_on else 0,
        )
        for each in cases
        if each.received_on < of.after
    ]


def disclosure(cases: Iterable[Case], of: str) -> disclosure_figures.Disclosure:
    return complaint_groups.build(groups_of(cases, month(of)), month(of), SOURCES)


def three_months_later(start: date) -> date:
    """By counting months on one's fingers."""
    year, number = start.year + (start.month + 2) // 12, (start.month + 2) % 12 + 1
    return date(year, number, min(start.day, monthrange(year, number)[1]))


# --- months and years


def test_a_month_has_its_own_number_of_days() -> None:
    spans = [month(text) for text in ("2024-02", "2025-02", "2026-12")]
    assert [span.last for span in spans] == [day("2024-02-29"), day("2025-02-28"), day("2026-12-31")]
    assert disclosure_periods.month_of(spans[2].after) == month("2027-01")
    assert disclosure_periods.previous(month("2026-01")) == month("2025-12")


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-1", "2026-13", "2026-00", "10-2026", "0001-01", "9999-12", "٢٠٢٦-١"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        month(text)


def test_the_trend_is_of_twelve_months() -> None:
    names = [disclosure_periods.month_name(each) for each in disclosure_periods.trend_months(month("2026-02"))]
    assert (names[0], names[-1], len(names)) == ("2025-03", "2026-02", 12)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("2026-03", ["2021-22", "2022-23", "2023-24", "2024-25", "2025-26"]),
        ("2026-04", ["2021-22", "2022-23", "2023-24", "2024-25", "2025-26", "2026-27"]),
        ("2027-02", ["2021-22", "2022-23", "2023-24", "2024-25", "2025-26", "2026-27"]),
    ],
)
def test_financial_years_begin_in_april(of: str, expected: list[str]) -> None:
    years = disclosure_periods.financial_years(month(of))
    assert [f"{span.first.year}-{(span.first.year + 1) % 100}" for span in years] == expected
    assert all(span.first.month == 4 and span.first.day == 1 for span in years)
    assert years[-1].after == month(of).after


@pytest.mark.parametrize("of", ["2024-02", "2025-02", "2025-04", "2025-05", "2025-12", "2026-01", "2026-03"])
def test_old_is_what_is_more_than_three_months_old_on_the_last_day(of: str) -> None:
    span = month(of)
    for back in range(150):
        received = span.last - timedelta(days=back)
        assert (received < disclosure_periods.not_old_from(span)) is (three_months_later(received) < span.last), (
            received
        )


def test_exactly_three_months_are_not_more_than_three_months() -> None:
    cases = [case("2025-11-27"), case("2025-11-28"), case("2025-11-30")]
    assert disclosure(cases, "2026-02").total.old == 1
    assert disclosure([case("2024-11-30"), case("2024-11-29")], "2025-02").total.old == 0


@pytest.mark.parametrize(
    ("of", "due", "expected"),
    [("2026-10", 7, "2026-11-07"), ("2026-12", 7, "2027-01-07"), ("2027-01", 28, "2027-02-28")],
)
def test_a_month_is_due_in_the_next_one(of: str, due: int, expected: str) -> None:
    assert disclosure_periods.due_day(month(of), due) == day(expected)


# --- movements


def test_each_complaint_is_carried_received_resolved_and_pending_once() -> None:
    cases = [
        case("2026-08-03", "2026-09-30"),  # over before October
        case("2026-08-03", "2026-10-01"),
        case("2026-09-30"),
        case("2026-10-01", "2026-10-31"),
        case("2026-10-31", "2026-11-01"),
        case("2026-11-01"),  # after October
    ]
    (trend,) = [span for span in disclosure(cases, "2026-10").months if span == month("2026-10")]
    found = disclosure(cases, "2026-10").months[trend]
    assert found.numbers() == (2, 2, 2, 2, 0, 59 + 30)
    assert found.excess == 0


def test_a_day_of_receipt_and_disposal_takes_no_days() -> None:
    total = disclosure([case("2026-10-05", "2026-10-05")], "2026-10").total
    assert (total.days, total.average) == (0, Decimal("0.00"))


def test_a_leap_day_is_a_day() -> None:
    assert disclosure([case("2024-02-28", "2024-03-01")], "2024-03").total.days == 2
    assert disclosure([case("2025-02-28", "2025-03-01")], "2025-03").total.days == 1


def test_nothing_resolved_has_no_average() -> None:
    assert disclosure([case("2026-10-05")], "2026-10").total.average is None


def test_the_average_of_the_total_is_that_of_all_complaints() -> None:
    """18 at 6.33 days and 7 at 6 days are 6.24, not the sum of both averages, nor their mean."""
    investor, scores = Movement(resolved=18, received=18, days=114), Movement(resolved=7, received=7, days=42)
    assert (investor.average, scores.average) == (Decimal("6.33"), Decimal("6.00"))
    assert disclosure_figures.total_of((investor, scores)).average == Decimal("6.24")


@pytest.mark.parametrize(
    ("days", "count", "expected"), [(1, 8, "0.13"), (3, 8, "0.38"), (2, 3, "0.67"), (1, 3, "0.33")]
)
def test_averages_are_rounded_half_up(days: int, count: int, expected: str) -> None:
    assert Movement(resolved=count, days=days).average == Decimal(expected)


def test_impersonations_are_counted_apart() -> None:
    cases = [
        case("2026-10-05", is_impersonation=True),
        case("2026-09-05", "2026-10-06", is_impersonation=True),
        case("2026-10-07"),
    ]
    found = disclosure(cases, "2026-10")
    assert found.impersonations == 1 and found.total.numbers() == (0, 1, 0, 1, 0, 0)


def test_all_sources_are_shown_and_unknown_ones_last() -> None:
    found = disclosure([case("2026-10-07", source="Ombudsman")], "2026-10")
    assert list(found.sources) == [*SOURCES, "Ombudsman"]
    assert found.sources["Ombudsman"].received == 1 and found.sources["Investor"] == Movement()


def test_a_complaint_disposed_of_before_it_came_breaks_the_identity() -> None:
    found = disclosure([case("2026-10-07", "2026-09-30")], "2026-10")
    assert found.months_by_source["Investor"][month("2026-09")].excess == 1
    assert found.total.excess == -1


def test_consecutive_spans_are_joined_by_their_ends() -> None:
    first, second = Movement(3, 5, 4, 4, 2, 10), Movement(4, 1, 2, 3, 1, 7)
    assert disclosure_figures.joined([first, second]).numbers() == (3, 6, 6, 3, 1, 17)
    assert disclosure_figures.joined([]) == Movement()


def test_published_figures_are_read_as_they_were_stored() -> None:
    found = disclosure([case("2026-08-03", "2026-10-01"), case("2026-10-04", source="Ombudsman")], "2026-10")
    stored = disclosure_figures.from_json(disclosure_figures.as_json(found))
    assert (stored.sources, stored.months, stored.years) == (found.sources, found.months, found.years)
    assert (stored.month, stored.total, stored.impersonations) == (found.month, found.total, 0)


# --- at random


def random_cases(seed: int, count: int) -> list[Case]:
    rng, start = random.Random(seed), day("2020-01-01")
    cases = []
    for _number in range(count):
        received = start + timedelta(days=rng.randrange(2500))
        took = rng.choice((0, 1, rng.randrange(40), rng.randrange(400)))
        is_pending = rng.random() < 0.1
        disposed = None if is_pending else received + timedelta(days=took)
        cases.append(Case(rng.choice(SOURCES), received, disposed, rng.random() < 0.05))
    return cases


def counted_by_hand(cases: Sequence[Case], span: Span) -> Movement:
    """One complaint after the other, day by day."""
    carried = received = resolved = pending = days = 0
    for each in cases:
        if each.is_impersonation:
            continue
        was_open = each.received_on < span.first and (each.disposed_on is None or each.disposed_on >= span.first)
        is_open = each.received_on <= span.last and (each.disposed_on is None or each.disposed_on > span.last)
        carried, pending = carried + was_open, pending + is_open
        received += span.first <= each.received_on <= span.last
        if each.disposed_on is not None and span.first <= each.disposed_on <= span.last:
            resolved, days = resolved + 1, days + (each.disposed_on - each.received_on).days
    return Movement(carried, received, resolved, pending, 0, days)


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_a_count_by_hand(seed: int) -> None:
    cases = random_cases(seed, 400)
    found = disclosure(cases, "2026-02")
    for span, movement in {**found.months, **found.years}.items():
        expected = counted_by_hand(cases, span)
        assert movement.numbers()[:4] == expected.numbers()[:4] and movement.days == expected.days
        assert movement.excess == 0
        if movement.resolved:
            assert abs(Fraction(movement.average or 0) - Fraction(expected.days, expected.resolved)) <= Fraction(1, 200)
    spans = list(found.months.values())
    assert [each.pending for each in spans[:-1]] == [each.carried for each in spans[1:]]
    old = [c for c in cases if c.disposed_on is None or c.disposed_on > month("2026-02").last]
    shown = [c for c in old if not c.is_impersonation and three_months_later(c.received_on) < month("2026-02").last]
    assert found.total.old == len(shown)
