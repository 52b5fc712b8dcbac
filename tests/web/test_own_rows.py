"""A lead without a customer is read without the table of customers, and looks the same as when it is read with it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from app import access
from app.extensions import db
from app.models import Lead
from app.ops.database.connections import STATEMENTS
from app.web.core.fab_access import current_viewer
from app.web.core.queries import own_rows, record_pages
from app.web.core.view_registry import registered
from tests.app_fixtures import Crm


@pytest.fixture(autouse=True)
def nothing_is_known() -> None:
    own_rows._referring.clear()


def _rows(crm: Crm, who: str, key: int, names: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, list[str]]:
    """(row, the same as read with all tables, the statements of the first) as this user sees it."""
    with crm.app.test_request_context("/api/v1/lead/", headers=crm.client(who).headers):
        security: Any = crm.app.extensions["appbuilder"].sm
        assert security.authenticate_by_header() is not None
        assert current_viewer().person.username == who
        (table,) = (each.record_table for each in registered("resources").values() if each.resource_name == "lead")
        token = STATEMENTS.set([])
        row, sent = record_pages.visible_row(table, db.session(), key, names), STATEMENTS.get() or []
        STATEMENTS.reset(token)
        with monkeypatch.context() as changed:
            changed.setattr(own_rows, "find", lambda *_: None)
            return row, record_pages.visible_row(table, db.session(), key, names), list(sent)


def _link(crm: Crm, lead: Any, customer: Any) -> None:
    """Give a lead its customer."""
    with crm.new_session() as session, access.as_system(session):
        session.execute(update(Lead).where(Lead.id == lead.id).values(customer_id=customer.id))
        session.commit()


@pytest.mark.parametrize("who", ["ana", "root"])
@pytest.mark.parametrize("names", [None, ("name", "mobile", "status"), ("number", "customer", "pan")])
def test_a_row_is_the_same_without_the_tables_that_it_does_not_refer_to(
    crm: Crm, who: str, names: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = crm.make.lead("ana", first_name="Asha", mobile="9820011223", pan="ABCDE1234F")
    row, whole, sent = _rows(crm, who, lead.id, names, monkeypatch)
    assert row == whole is not None
    assert len(sent) == 1 and " customer " not in sent[0]


def test_a_lead_with_a_customer_is_read_with_them_and_from_then_on_at_once(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = crm.make.customer("ana", first_name="Bela", mobile="9820011224")
    lead = crm.make.lead("ana")
    _link(crm, lead, customer)
    for number in (2, 1):
        row, whole, sent = _rows(crm, "ana", lead.id, None, monkeypatch)
        assert row == whole and "Bela" in row
        assert len(sent) == number


def test_who_does_not_see_a_lead_does_not_see_it_without_its_customer(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = crm.make.lead("ana")
    assert _rows(crm, "ben", lead.id, None, monkeypatch)[:2] == (None, None)
    assert own_rows._referring.get(("leads", lead.id)) is None


def test_a_customer_who_is_added_is_seen_with_the_next_read(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = crm.make.customer("ana", first_name="Bela")
    lead = crm.make.lead("ana", first_name="Asha")
    assert "Bela" not in _rows(crm, "ana", lead.id, None, monkeypatch)[0]
    _link(crm, lead, customer)
    assert "Bela" in _rows(crm, "ana", lead.id, None, monkeypatch)[0]
