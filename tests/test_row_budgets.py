"""Limits on the rows that MariaDB reads for a request, in a house where a scan would be plainly visible."""

from __future__ import annotations

from functools import cache
from urllib.parse import quote

import pytest

from app.models import Lead
from tests.generated_house import House, house

__all__ = ["house"]

JSON = {"Accept": "application/json"}
WHO = ("sales", "manager")


@cache
def phone(house: House) -> str:
    """The number of a lead of the Sales User."""
    mine = Lead.assignee_id == house.world.people["bench_sales"].id
    return str(
        house.world.rows(Lead.__table__.select().with_only_columns(Lead.mobile).where(mine, Lead.mobile > "").limit(1))[
            0
        ]
    )


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    "text, most",
    [
        ("phone", 200),
        ("last five", 350),
        ("Quennell", 200),
        ("Aarav", 2000),
        ("Shah", 2000),
        ("Aarav Patel", 300),
        ("B0000123", 300),
        ("a.b@", 200),
        ("Ledger", 1500),
        ("શિકાયત", 300),
    ],
)
def test_a_search(house: House, who: str, text: str, most: int) -> None:
    typed = {"phone": phone(house), "last five": phone(house)[-5:]}.get(text, text)
    found = house.cost(who, f"/search?q={quote(typed)}", headers=JSON)
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who", WHO)
def test_a_number_in_a_filter_and_in_a_list(house: House, who: str) -> None:
    asked = f"/api/v1/lead/?q=(filters:!((col:mobile,opr:eq,value:'{phone(house)}')),page_size:20)"
    for path in (asked, f"/leads/?q={phone(house)}"):
        found = house.cost(who, path)
        assert found.total <= 100, found.dearest


@pytest.mark.parametrize("who", WHO)
def test_a_pick_list_while_a_common_name_is_typed(house: House, who: str) -> None:
    found = house.cost(who, "/leads/lookup?q=Aa")
    assert found.total <= 2000, found.dearest
