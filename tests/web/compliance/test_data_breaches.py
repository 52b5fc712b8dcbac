"""The register of data breaches: its deadlines, the texts to copy, and whose data a user has seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from app import access
from app.domain import who_has_seen
from app.domain.audit_log import audit
from app.models import DataBreach
from tests.app_fixtures import Crm

URL = "/breaches"
REST = "/api/v1/data_breach/"


def noted(crm: Crm, **more: Any) -> DataBreach:
    sent = {"title": "List sent to a wrong address", "data_kinds": "Names, mobile numbers"} | more
    answer = crm.client("rhea").rest("POST", REST, sent)
    assert answer.status_code == 201, answer.text
    return latest(crm)


def latest(crm: Crm) -> DataBreach:
    found: DataBreach = crm.rows(select(DataBreach).order_by(DataBreach.id))[-1]
    return found


def test_a_breach_gets_its_deadlines_and_its_texts(crm: Crm) -> None:
    row, rhea = noted(crm, measures="Passwords are new.", people_count=42), crm.client("rhea")
    assert row.cert_in_due_on - row.noticed_on == timedelta(hours=6)
    assert row.board_due_on - row.noticed_on == timedelta(hours=72)
    assert "List sent to a wrong address" in rhea.screen(f"{URL}/").text
    page = rhea.screen(f"{URL}/show/{row.id}").text
    assert f"{URL}/texts/{row.id}" in page and f"{URL}/people/{row.id}" in page
    texts = rhea.screen(f"{URL}/texts/{row.id}").text
    assert "Passwords are new." in texts and "Number of persons: 42." in texts and "Happened: not known yet." in texts
    assert crm.client("ana").screen(f"{URL}/texts/{row.id}").status_code in (302, 403, 404)


def test_a_deadline_is_red_until_the_authority_is_told(crm: Crm) -> None:
    row = noted(crm, noticed_on=(datetime.now(UTC) - timedelta(hours=8)).isoformat())
    rhea = crm.client("rhea")
    assert "is-late" in rhea.screen(f"{URL}/").text
    assert rhea.rest("PUT", f"{REST}{row.id}", {"cert_in_told_on": datetime.now(UTC).isoformat()}).status_code == 200
    assert "is-late" not in rhea.screen(f"{URL}/").text


def test_a_refused_form_keeps_what_was_typed(crm: Crm) -> None:
    typed = {"title": "Laptop lost", "details": "In the train", "state": "closed"}
    answer = crm.client("rhea").form(f"{URL}/add", typed)
    assert answer.status_code == 422 and "In the train" in answer.text and "enter when they were told" in answer.text
    assert crm.client("ana").form(f"{URL}/add", {"title": "x"}).status_code in (302, 403)
    assert not crm.rows(select(DataBreach))


def test_whose_data_comes_from_the_audit(crm: Crm) -> None:
    now = datetime.now(UTC)
    with access.as_system(crm.session):
        for event, about in (("reveal", "lead CRM-LEAD-2026-00001"), ("sign-out", "x"), ("export", "list of lead")):
            audit.write(crm.session, event, crm.people["ben"].id, now, about)
        audit.write(crm.session, "reveal", crm.people["ana"].id, now, "lead CRM-LEAD-2026-00009")
        crm.session.commit()
    row, rhea = noted(crm, people="Ravi Kumar"), crm.client("rhea")
    url = f"{URL}/people/{row.id}"
    times = {"since": _local(now - timedelta(hours=2)), "until": _local(now + timedelta(hours=2))}
    sent = {"user": str(crm.people["ben"].id)} | times
    for wrong, said in (
        ({"user": ""}, "fill in this field"),
        ({"since": "soon"}, "soon"),
        ({"until": _local(now - timedelta(hours=3))}, "after the beginning"),
        ({"user": str(crm.people["mia"].id)}, "nothing in that time"),
    ):
        answer = rhea.form(url, sent | wrong)
        assert answer.status_code == 422 and said in answer.text, wrong
    for _twice in range(2):
        assert rhea.form(url, sent).status_code == 302
        assert latest(crm).people == "Ravi Kumar\nlead CRM-LEAD-2026-00001\nlist of lead"
    assert crm.client("mia").form(url, sent).status_code in (302, 403, 404)


def test_more_of_the_audit_than_fits_is_refused_and_not_cut(crm_on_both: Crm) -> None:
    crm, now = crm_on_both, datetime.now(UTC)
    with access.as_system(crm.session):
        for number in range(150):
            audit.write(crm.session, "reveal", crm.people["ben"].id, now, f"list of {number:03}{'x' * 150}")
        crm.session.commit()
    row, rhea = noted(crm, people="Ravi Kumar"), crm.client("rhea")
    sent = {"user": "ben", "since": _local(now - timedelta(hours=2)), "until": _local(now + timedelta(hours=2))}
    answer = rhea.form(f"{URL}/people/{row.id}", sent)
    assert answer.status_code == 422 and "choose a shorter time" in answer.text and sent["since"] in answer.text
    assert latest(crm).people == "Ravi Kumar"
    with access.as_system(crm.session):
        for number in range(who_has_seen.MAX_RECORDS + 1):
            audit.write(crm.session, "reveal", crm.people["ana"].id, now, f"lead {number}")
        crm.session.commit()
    answer = rhea.form(f"{URL}/people/{row.id}", sent | {"user": "ana"})
    assert answer.status_code == 422 and "choose a shorter time" in answer.text
    assert latest(crm).people == "Ravi Kumar", "nothing is left out in silence"


def _local(moment: datetime) -> str:
    return (moment + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M")
