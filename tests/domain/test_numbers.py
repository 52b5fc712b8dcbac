"""Record numbers: a series per kind and year, and no number twice."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import next_number
from app.models import NumberSeries
from tests.app_fixtures import World
from tests.domain.test_assignment import run_in_parallel


@pytest.mark.parametrize(
    "kind, first",
    [
        ("LEAD", "CRM-LEAD-2026-00001"),
        ("CUST", "CRM-CUST-2026-00001"),
        ("TICKET", "CRM-TICKET-2026-00001"),
        ("CAR", "CAR-2026-00001"),
    ],
)
def test_each_kind_has_its_own_series(office: Session, kind: str, first: str) -> None:
    next_number(office, "OTHER" if kind == "LEAD" else "LEAD", 2025) if kind != "LEAD" else None
    assert next_number(office, kind, 2026) == first
    assert next_number(office, kind, 2026) == first[:-1] + "2"


def test_each_year_starts_a_new_series(office: Session) -> None:
    made = [next_number(office, "LEAD", year) for year in (2026, 2027, 2026)]
    assert made == ["CRM-LEAD-2026-00001", "CRM-LEAD-2027-00001", "CRM-LEAD-2026-00002"]


def test_a_number_grows_beyond_five_digits(office: Session) -> None:
    office.add(NumberSeries(kind="LEAD", year=2026, last=99_999))
    office.flush()
    assert next_number(office, "LEAD", 2026) == "CRM-LEAD-2026-100000"


def test_the_number_of_a_rolled_back_record_is_issued_again(office: Session) -> None:
    next_number(office, "LEAD", 2026)
    office.rollback()
    assert office.scalars(select(NumberSeries)).all() == []
    assert next_number(office, "LEAD", 2026) == "CRM-LEAD-2026-00001"


def test_parallel_numbers_are_unique(maria: World) -> None:
    """The first ones of a year are concurrent too, because they create the row of the series."""
    made = run_in_parallel(maria, [lambda session: next_number(session, "TICKET", 2031)] * 25)
    made += run_in_parallel(maria, [lambda session: next_number(session, "TICKET", 2031)] * 25)
    assert len({str(number) for number in made}) == 50, [one for one in made if isinstance(one, Exception)]
    assert not [one for one in made if isinstance(one, Exception)]


def test_leads_created_in_parallel_over_rest_have_unique_numbers(maria: World) -> None:
    import threading

    doors, answers = [maria.door("ana") for _ in range(20)], []

    def make(n: int) -> None:
        answers.append(doors[n].rest("POST", "lead/", {"first_name": f"L{n}"}))

    threads = [threading.Thread(target=make, args=(n,)) for n in range(len(doors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    numbers = {answer.get_json()["result"]["number"] for answer in answers if answer.status_code == 201}
    assert len(numbers) == 20, [answer.text for answer in answers if answer.status_code != 201]
