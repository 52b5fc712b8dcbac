"""Limits on the rows that MariaDB reads for a request, in a house where a scan would be plainly visible."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.generated_house import House, house

__all__ = ["house"]

JSON = {"Accept": "application/json"}


@pytest.mark.parametrize("who", ["sales", "manager"])
@pytest.mark.parametrize("text", ["Quennell", "Aarav"])
def test_a_search(house: House, who: str, text: str) -> None:
    found = house.cost(who, f"/search?q={quote(text)}", headers=JSON)
    assert found.total <= 500, found.dearest
