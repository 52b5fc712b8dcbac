"""A change without a version wins over what is saved between its reading and its writing, as the API guide says."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.models import Lead
from tests.app_fixtures import Crm


def set_first_name(crm: Crm, lead: Any, endpoint: str) -> int:
    """The status of a change without a version."""
    ana = crm.client("ana")
    if endpoint == "rest":
        return int(ana.rest("PUT", f"lead/{lead.id}", {"first_name": "One"}).status_code)
    if endpoint == "document":
        return int(ana.rest("PUT", f"/api/resource/CRM Lead/{lead.number}", {"first_name": "One"}).status_code)
    body = {"doctype": "CRM Lead", "name": lead.number, "fieldname": {"first_name": "One"}}
    return int(ana.rest("POST", "/api/method/frappe.client.set_value", body).status_code)


@pytest.mark.parametrize("overtaken, is_saved", [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize("endpoint", ["rest", "document", "set_value"])
def test_a_change_without_a_version_wins(crm: Crm, endpoint: str, overtaken: int, is_saved: bool) -> None:
    """Such as over a job that reassigns the lead meanwhile: often right after a start, when much is overdue."""
    lead = crm.make.lead("ana")
    left = [overtaken]

    def overtake(session: Session, *_more: Any) -> None:
        if left[0] and any(isinstance(each, Lead) for each in session.dirty):
            left[0] -= 1
            session.connection().exec_driver_sql("UPDATE leads SET version = version + 1")

    event.listen(Session, "before_flush", overtake)
    try:
        status = set_first_name(crm, lead, endpoint)
    finally:
        event.remove(Session, "before_flush", overtake)
    assert (status == 200, crm.stored(lead)["first_name"]) == (is_saved, "One" if is_saved else "Ravi")
    assert left == [0] and (is_saved or status == 409)
