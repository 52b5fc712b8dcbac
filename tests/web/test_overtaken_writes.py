"""A change without a version wins over what is saved between its reading and its writing, as the API guide says."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
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


@pytest.mark.parametrize("door", ["edit", "move", "board/move", "assign"])
def test_a_form_of_a_page_is_written_again_after_a_deadlock(crm: Crm, door: str) -> None:
    lead = crm.make.lead("ana")
    before, lost = crm.fresh(lead), [True]
    contacted = str(crm.lead_status["Contacted"])
    forms = {
        "edit": {"version": str(before.version), "first_name": "One"},
        "move": {"version": str(before.version), "status": contacted},
        "board/move": {"from": str(before.status_id), "status": contacted},
        "assign": {"how": "person", "assignee": str(crm.people["ben"].id), "was": str(before.assignee_id)},
    }

    def collide(session: Session, *_more: Any) -> None:
        if lost and any(isinstance(each, Lead) for each in session.dirty):
            lost.pop()
            raise OperationalError("UPDATE leads", {}, pymysql.err.OperationalError(1213, "Deadlock found"))

    event.listen(Session, "before_flush", collide)
    try:
        answer = crm.client("root").form(f"/leads/{door}/{lead.id}", forms[door])
    finally:
        event.remove(Session, "before_flush", collide)
    assert answer.status_code == 302 and not lost, answer.text
    assert crm.fresh(lead).version == before.version + 1, "written once"
