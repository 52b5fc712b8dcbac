"""Rows without a value are last in an ascending list, on whatever page; they are read separately."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW

#: Days until the next follow-up of each lead; None = it has none.
DAYS = (3, None, 1, None, 2, None)


@pytest.mark.parametrize("who", ["ana", "root"])
def test_pages_go_on_from_rows_with_a_value_to_those_without(make: Any, client: Any, who: str) -> None:
    times = [None if days is None else NOW + timedelta(days=days) for days in DAYS]
    leads = [make.lead("ana", next_follow_up_on=time, task={}) for time in times]
    for size in (1, 2, 4, 10):
        asked = {"order_column": "next_follow_up_on", "order_direction": "asc", "page_size": size}
        answers = [client(who).rest("GET", "lead/", q=asked | {"page": page}).json for page in range(8)]
        assert {answer["count"] for answer in answers} == {len(leads)}
        assert [key for answer in answers for key in answer["ids"]] == [leads[n].id for n in (2, 4, 0, 1, 3, 5)], size
