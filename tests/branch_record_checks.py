"""Checks of the record Branch from docs/extend.md; test_extend_guide runs them in a copy of the product."""

from __future__ import annotations

import html
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access, create_app, models
from app.domain.audit_log import audit_chain
from app.domain.persistence import change_events
from app.extensions import db
from tests.app_fixtures import Colleague, UserClient, settings_for, settle


def main() -> None:
    """Run all checks; an assertion names what is missing."""
    app = create_app(settings_for(Path(tempfile.mkdtemp())), TESTING=True)
    settle(app)
    with app.app_context(), Session(db.engine) as session, access.as_system(session):
        ids: dict[str, int] = dict(session.execute(select(models.User.username, models.User.id)).all())
        role = session.scalars(select(models.Role).where(models.Role.name == "Sales User")).one()
        for verb in ("read", "create", "write", "delete", "bulk"):
            session.add(models.ModulePermission(role_id=role.id, module="Branch", verb=verb, level="own"))
        session.commit()
    clients = {name: UserClient(app, Colleague(ids[name], name)) for name in ("root", "ana", "ben", "cleo")}
    lead_to_all(clients)
    with app.app_context():
        loads_demo(app)
        events = change_events.EVENTS
    assert events["branch"] == ("created", "changed", "deleted"), events
    sys.stdout.write("all of it works\n")


def lead_to_all(clients: dict[str, UserClient]) -> None:
    """List, filters, form, REST, OpenAPI, matrix, menu, search, timeline, bulk, masks, access, audit."""
    root, ana, ben, cleo = clients["root"], clients["ana"], clients["ben"], clients["cleo"]
    assert root.form("/branches/add", {"name": "Dadar", "city": "Mumbai", "mobile": "98200 11111"}).status_code == 302
    missing = root.form("/branches/add", {"name": "Nowhere"})
    assert missing.status_code == 422 and "Please fill this in." in text_of(missing)
    mine = ana.rest("POST", "branch/", json={"name": "Andheri", "city": "Mumbai", "opened_on": "2026-04-01"})
    assert mine.status_code == 201, mine.get_json()
    key = mine.get_json()["id"]
    assert mine.get_json()["result"]["owner"]["username"] == "ana"

    assert names(root) == {"Dadar", "Andheri"} and names(ana) == {"Andheri"} and names(ben) == set()
    assert cleo.rest("GET", "branch/").status_code == 403
    assert ben.rest("PUT", f"branch/{key}", json={"city": "Pune"}).status_code == 404
    foreign = ana.rest("PUT", f"branch/{key}", json={"owner": "ben"})
    assert foreign.status_code == 403, foreign.get_json()
    stale = ana.rest("PUT", f"branch/{key}", json={"city": "Pune", "version": 9})
    assert stale.status_code == 409

    assert ana.rest("PUT", f"branch/{key}", json={"city": "Thane"}).status_code == 200
    record = text_of(ana.screen(f"/branches/show/{key}"))
    assert "Andheri" in record and "Thane" in record and "Mumbai" in record
    filtered = text_of(root.screen("/branches/?_flt_eq_city=Thane"))
    assert "Andheri" in filtered and "Dadar" not in filtered
    assert "Andheri" in text_of(root.screen("/search/?q=ndher"))
    assert "/branches/" in text_of(ana.screen("/")) and "/branches/" not in text_of(cleo.screen("/"))
    assert "/branches/add" in text_of(ana.screen("/"))
    assert "Branch" in text_of(root.screen("/roles/matrix/", follow_redirects=True))
    assert "/api/v1/branch/{pk}" in root.rest("GET", "/api/v1/_openapi").get_json()["paths"]
    assert "branch.created" in text_of(root.screen("/webhooks/add"))

    assert root.form("/branches/action_post", {"action": "delete", "rowid": str(key)}).status_code == 302
    assert names(root) == {"Dadar"}


def loads_demo(app: Any) -> None:
    """The demo rows are loaded with the demo data; the deletion is in the audit."""
    from app import demo
    from app.cli import load_demo

    made = load_demo(demo, "correct horse 9 staple", leads=10)
    assert made["branch"] == 2, made
    with Session(db.engine) as session, access.as_system(session):
        entries = session.scalars(select(models.AuditEntry.event)).all()
        assert "deletion" in entries and audit_chain.verify(session).faults == []


def names(client: UserClient) -> set[str]:
    """The names of the branches in the user's list."""
    answer = client.rest("GET", "branch/")
    assert answer.status_code == 200, answer.get_json()
    return {row["name"] for row in answer.get_json()["result"]}


def text_of(answer: Any) -> str:
    """The page as text."""
    return html.unescape(answer.get_data(as_text=True))
