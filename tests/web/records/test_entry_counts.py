"""The exact number of timeline entries over REST, of who sees only their own records, and what takes too long."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from app.access.paging import entry_pages
from app.models import Activity
from app.ops.database import statement_limit
from app.web.core.queries import record_table
from tests.app_fixtures import Crm


@pytest.mark.parametrize("chunk", [1, 10_000])
def test_the_exact_number_of_entries_is_counted_however_short_the_page(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """The newest entries may all be those of others: the page is then empty, and its cursor leads on."""
    monkeypatch.setattr(entry_pages, "holds_many", lambda *_: True)
    monkeypatch.setattr(entry_pages, "CHUNK", chunk)
    lead = crm.make.lead("ana")
    theirs = crm.session.scalar(select(func.count(Activity.id)).where(Activity.lead_id == lead.id))
    for _n in range(3):
        crm.make.lead("ben")
    found = crm.client("ana").rest("GET", "/api/v1/activity/?q=(count:exact,page_size:2)").json
    assert theirs
    assert (found["count"], found["count_capped"]) == (theirs, False)
    capped = crm.client("ana").rest("GET", "/api/v1/activity/?q=(page_size:2)").json
    assert capped["count_capped"] is (chunk == 1)


@pytest.mark.parametrize("who", ["ana", "mia"])
def test_an_exact_number_that_takes_too_long_is_a_lower_bound(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    for number in range(5):
        crm.make.lead("ana", first_name=f"Asha {number}")
    asked = "/api/v1/lead/?q=(page_size:2,count:{})"

    def counted(how: str) -> tuple[int, bool]:
        found = crm.client(who).rest("GET", asked.format(how)).json
        return found["count"], found["count_capped"]

    monkeypatch.setattr(record_table, "COUNT_CAP", 3)
    assert (counted("exact"), counted("capped")) == ((5, False), (3, True))
    monkeypatch.setattr(statement_limit, "_STEPS", 1)
    monkeypatch.setattr(record_table, "EXACT_SECONDS", -1.0)
    assert counted("exact") == (3, True)
