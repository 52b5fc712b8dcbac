"""Rows of a page are written as JSON by converters, which return the same as each field by itself, for every reader."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from app.extensions import db
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.view_registry import registered
from tests.app_fixtures import Crm


def _compared(crm: Crm, who: str) -> int:
    """How many rows were compared, as this user."""
    compared = 0
    with crm.app.test_request_context("/api/v1/lead/", headers=crm.client(who).headers):
        security: Any = crm.app.extensions["appbuilder"].sm
        assert security.authenticate_by_header() is not None
        viewer, session = current_viewer(), db.session()
        for resource in registered("resources").values():
            table = resource.record_table
            rows = table.rows(session, ListQuery([], [table.record.id.desc()], 20))
            together = table.serialize_rows(session, rows, None, viewer)
            assert together == [table.serialize_rows(session, [row], None, viewer)[0] for row in rows], table.name
            compared += len(rows)
    return compared


@pytest.mark.parametrize("level", ["full", "last4", "hidden"])
def test_pages_and_single_rows_are_written_alike(crm: Crm, level: str) -> None:
    crm.make.mask("Sales User", mobile=level, email=level, alternative_mobile=level)
    for n in range(3):
        values = {"mobile": f"982001122{n}", "email": f"row{n}@example.in", "date_of_birth": date(1990, 1, n + 1)}
        lead = crm.make.lead("ana", first_name=f"Row{n}", **values)
        crm.make.task(lead, "ana")
        crm.make.call("ana", lead_id=lead.id)
    assert _compared(crm, "ana") >= 9
