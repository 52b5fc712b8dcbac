"""The exact number of timeline entries over REST, of who sees only their own records."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from app.access.paging import entry_pages
from app.models import Activity
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
