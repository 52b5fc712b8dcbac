"""Record numbers: a series per kind and year, and no number twice."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.persistence.numbering import BLOCK, next_number
from app.models import NumberSeries
from tests.app_fixtures import Crm
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
def test_each_kind_has_its_own_series(db: Session, kind: str, first: str) -> None:
    next_number(db, "OTHER" if kind == "LEAD" else "LEAD", 2025) if kind != "LEAD" else None
    assert next_number(db, kind, 2026) == first
    assert next_number(db, kind, 2026) == first[:-1] + "2"


def test_each_year_starts_a_new_series(db: Session) -> None:
    made = [next_number(db, "LEAD", year) for year in (2026, 2027, 2026)]
    assert made == ["CRM-LEAD-2026-00001", "CRM-LEAD-2027-00001", "CRM-LEAD-2026-00002"]


def test_a_number_grows_beyond_five_digits(db: Session) -> None:
    db.add(NumberSeries(kind="LEAD", year=2026, last=99_999))
    db.flush()
    assert next_number(db, "LEAD", 2026) == "CRM-LEAD-2026-100000"


def test_the_number_of_a_rolled_back_record_is_issued_again(db: Session) -> None:
    next_number(db, "LEAD", 2026)
    db.rollback()
    assert db.scalars(select(NumberSeries)).all() == []
    assert next_number(db, "LEAD", 2026) == "CRM-LEAD-2026-00001"


def test_parallel_numbers_are_unique(maria: Crm) -> None:
    """The first ones of a year are concurrent too, because they create the row of the series."""
    made = run_in_parallel(maria, [lambda session: next_number(session, "TICKET", 2031)] * 25)
    made += run_in_parallel(maria, [lambda session: next_number(session, "TICKET", 2031)] * 25)
    assert len({str(number) for number in made}) == 50, [one for one in made if isinstance(one, Exception)]
    assert not [one for one in made if isinstance(one, Exception)]


def test_leads_created_in_parallel_over_rest_have_unique_numbers(maria: Crm) -> None:
    clients, answers = [maria.client("ana") for _ in range(20)], []

    def make(n: int) -> None:
        answers.append(clients[n].rest("POST", "lead/", {"first_name": f"L{n}"}))

    threads = [threading.Thread(target=make, args=(n,)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    numbers = {answer.get_json()["result"]["number"] for answer in answers if answer.status_code == 201}
    assert len(numbers) == 20, [answer.text for answer in answers if answer.status_code != 201]


def test_in_a_crowd_one_takes_a_block_for_all(maria: Crm) -> None:
    """Whoever waits for the row takes a block; after the commit nobody waits for as long as it lasts."""
    with Session(maria.engine) as first, Session(maria.engine) as second, Session(maria.engine) as third:
        numbers = [next_number(first, "CAR", 2032)]
        waiting = threading.Thread(target=lambda: numbers.append(next_number(second, "CAR", 2032)))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()  # for the lock of the row
        first.commit()
        waiting.join(60)
        second.commit()
        numbers.append(next_number(second, "CAR", 2032))  # holds no lock
        numbers += [next_number(third, "CAR", 2032) for _ in range(BLOCK - 2)]
        third.rollback()
        numbers.append(next_number(first, "CAR", 2032))  # the block is used up
        first.rollback()
        numbers[-1:] = [next_number(third, "CAR", 2032)]
        third.commit()
    assert numbers == [f"CAR-2032-{n:05d}" for n in range(1, BLOCK + 3)]


@pytest.mark.parametrize("undo", ["rollback", "close", "savepoint"])
def test_a_block_that_is_rolled_back_is_given_to_nobody(maria: Crm, undo: str) -> None:
    year = {"rollback": 2033, "close": 2034, "savepoint": 2035}[undo]
    with Session(maria.engine) as first, Session(maria.engine) as second:
        next_number(first, "CAR", year)
        first.commit()
        next_number(first, "CAR", year)
        taking = threading.Thread(target=lambda: next_number(second, "CAR", year))
        if undo == "savepoint":
            second.begin_nested()
        taking.start()
        taking.join(0.2)
        first.commit()
        taking.join(60)
        if undo == "savepoint":
            second.rollback()  # to the savepoint, or all: the block is undone with it
            second.commit()
        else:
            getattr(second, undo)()
        made = [next_number(session, "CAR", year) for session in (first, first)]
        first.commit()
        assert [made, next_number(second, "CAR", year)] == [
            [f"CAR-{year}-00003", f"CAR-{year}-00004"],
            f"CAR-{year}-00005",
        ]


def test_a_released_savepoint_gives_nothing_away_yet(maria: Crm) -> None:
    with Session(maria.engine) as first, Session(maria.engine) as second:
        next_number(first, "CAR", 2036)
        second.begin()
        nested = second.begin_nested()
        taking = threading.Thread(target=lambda: next_number(second, "CAR", 2036))
        taking.start()
        taking.join(0.2)
        first.commit()
        taking.join(60)
        nested.commit()
        second.rollback()
        assert next_number(first, "CAR", 2036) == "CAR-2036-00002"
