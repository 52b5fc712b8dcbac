"""The register of data requests: who sees it, what follows from what is entered, and the copy of a person's data."""

from __future__ import annotations

import json
import re
import tracemalloc
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text, update

from app.domain import who_has_seen
from app.domain.base import Stamp
from app.models import AuditEntry, DataRequest, ExportRun, Message, Notification
from app.notice_texts import text_of
from app.ops.redis.rate_counter import Rate
from app.web.compliance import person_copy_requests
from app.web.transfer import export_worker
from tests.app_fixtures import Crm, Make

URL = "/data-requests"
TODAY = datetime.now(ZoneInfo("Asia/Kolkata")).date()
REST = "/api/v1/data_request/"
#: Rows of a kind in a long copy.
MANY = 12_000


@pytest.fixture
def customer(crm: Crm, make: Make) -> Any:
    return make.customer("ana", first_name="Ravi", last_name="Kumar", mobile="9820012345")


def noted(crm: Crm, customer: Any = None, **more: Any) -> DataRequest:
    """A request that Compliance has noted."""
    typed = {"person": "Meera Joshi", "kind": "access", "received_on": f"{TODAY - timedelta(days=3)}"} | more
    typed |= {"customer": customer.id} if customer is not None else {}
    answer = crm.client("rhea").form(f"{URL}/add", typed)
    assert answer.status_code == 302, errors_of(answer)
    return latest(crm)


def errors_of(answer: Any) -> list[str]:
    return re.findall(r'role="alert".*?</div>|class="field-error".*?</p>', answer.text, re.DOTALL)


def latest(crm: Crm) -> DataRequest:
    found: DataRequest = crm.rows(select(DataRequest).order_by(DataRequest.id))[-1]
    return found


def work(crm: Crm) -> ExportRun:
    """Make the newest copy, as a worker does."""
    run: ExportRun = crm.rows(select(ExportRun).order_by(ExportRun.id))[-1]
    with crm.app.app_context():
        export_worker.work(run.id)
    made: ExportRun = crm.fresh(run)
    return made


def test_only_compliance_and_admins_see_the_register(crm: Crm) -> None:
    row = noted(crm)
    for who in ("ana", "mia", "cleo"):
        client = crm.client(who)
        assert f'href="{URL}/"' not in client.screen("/").text, who
        for path in (f"{URL}/", f"{URL}/show/{row.id}", f"{URL}/copy/{row.id}", "/breaches/"):
            assert client.screen(path).status_code in (302, 403, 404), (who, path)
        assert client.rest("GET", f"{REST}{row.id}").status_code in (403, 404)
        assert client.form(f"{URL}/add", {"person": "x", "kind": "access"}).status_code in (302, 403)
    for who in ("rhea", "root"):
        assert "Meera Joshi" in crm.client(who).screen(f"{URL}/?tab=due").text
        assert f'href="{URL}/"' in crm.client(who).screen("/").text
    assert len(crm.rows(select(DataRequest))) == 1


def test_the_open_requests_come_first_and_what_is_overdue_is_red(crm: Crm) -> None:
    noted(crm, received_on=f"{TODAY - timedelta(days=100)}", due_on=f"{TODAY - timedelta(days=5)}")
    rhea = crm.client("rhea")
    page = rhea.screen(f"{URL}/", follow_redirects=True)
    assert page.request.args["tab"] == "due" and "5 days overdue" in page.text and "tone-red" in page.text
    rhea.screen("/lang/hi")
    main = rhea.screen(f"{URL}/?tab=due").text.partition("<main")[2]
    rhea.screen("/lang/en")
    assert "खुला" in main and ">खोलें<" not in main, "a state, not what a button does"
    answered = {"state": "answered", "answer": "Sent.", "identity_how": "PAN", "identity_checked_on": f"{TODAY}"}
    assert rhea.rest("PUT", f"{REST}{latest(crm).id}", answered).status_code == 200
    assert "overdue" not in rhea.screen(f"{URL}/?tab=all").text


def test_the_list_leads_to_the_page_of_a_request_by_its_number(crm: Crm) -> None:
    row, rhea = noted(crm), crm.client("rhea")
    (link,) = re.findall(r'class=row-link href="([^"]+)"', rhea.screen(f"{URL}/?tab=due").text)
    assert link == f"{URL}/DR-{row.id}"
    page = rhea.screen(link)
    assert page.status_code == 200 and "Check the identity" in page.text
    assert rhea.screen(link.lower()).status_code == 200
    for typed, is_found in ((f"DR-{row.id}", 1), (f"{row.id}", 1), ("josh", 1), (f"DR-{row.id + 1}", 0), ("%", 0)):
        assert rhea.screen(f"{URL}/?tab=all&q={typed}").text.count(f'row-link href="{link}"') == is_found, typed
    for number in (f"DR-{row.id + 1}", f"DR-0{row.id}", f"DR-{row.id}x", f"{row.id}", "DR-", "DR-९", "DR-" + "9" * 50):
        assert rhea.screen(f"{URL}/{number}").status_code == 404, number
    assert crm.client("ana").screen(link).status_code in (302, 403, 404)


def test_what_follows_is_filled_in(crm: Crm, customer: Any) -> None:
    row = noted(crm, customer, person="", received_on="", identity_how="Called back on the known number")
    assert (row.person, row.received_on, row.due_on) == ("Ravi Kumar", TODAY, TODAY + timedelta(days=90))
    assert (row.state, row.identity_checked_by_id) == ("open", crm.people["rhea"].id)
    page = crm.client("rhea").screen(f"{URL}/show/{row.id}").text
    assert "Ravi Kumar" in page and "Called back on the known number" in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"person": " "}, "choose the customer, or enter"),
        ({"received_on": f"{TODAY + timedelta(days=3)}"}, "in the future"),
        ({"received_on": "soon"}, "received_on"),
        ({"kind": "gossip"}, "must be one of"),
        ({"due_on": "2001-01-01"}, "before the day"),
        ({"identity_checked_on": f"{TODAY}"}, "how the identity was checked"),
        ({"identity_how": "x", "identity_checked_on": "2001-01-01"}, "between the one"),
        ({"state": "answered"}, "say what was answered"),
        ({"state": "answered", "answer": "Sent"}, "check the person"),
        ({"answered_on": f"{TODAY}"}, "what became of the request"),
    ],
)
def test_what_was_typed_stays_on_errors(crm: Crm, wrong: dict[str, str], said: str) -> None:
    typed = {"person": "Meera Joshi", "kind": "access", "details": "Wants to know it all"} | wrong
    answer = crm.client("rhea").form(f"{URL}/add", typed)
    assert answer.status_code == 422 and said in answer.text, errors_of(answer)
    assert "Wants to know it all" in answer.text and not crm.rows(select(DataRequest))


def test_answering_over_rest_and_a_stale_version(crm: Crm) -> None:
    row, rhea = noted(crm, kind="grievance"), crm.client("rhea")
    sent = {"state": "answered", "answer": "Explained by email", "version": row.version}
    assert crm.client("ana").rest("PUT", f"{REST}{row.id}", sent).status_code in (403, 404)
    assert rhea.rest("PUT", f"{REST}{row.id}", sent).status_code == 200
    assert (latest(crm).state, latest(crm).answered_on) == ("answered", TODAY)
    changed = _audit(crm, row)[-1]
    assert changed.payload["what"] == "changed" and set(changed.payload["columns"]) >= {"state", "answer"}
    assert "Explained" not in json.dumps(changed.payload)
    page = rhea.screen(f"{URL}/show/{row.id}").text
    assert "noted this" in page and "changed: Answer, Answered on" in page
    assert rhea.rest("PUT", f"{REST}{row.id}", sent | {"answer": "Other"}).status_code == 409
    assert crm.client("root").rest("DELETE", f"{REST}{row.id}").status_code == 405
    assert "Explained by email" in rhea.screen(f"{URL}/show/{row.id}").text


# --- the copy


def test_a_copy_needs_the_customer_and_a_checked_identity(crm: Crm, customer: Any) -> None:
    rhea = crm.client("rhea")
    for row, said in (
        (noted(crm, kind="correction"), "Only a request for access"),
        (noted(crm), "choose the customer first"),
        (noted(crm, customer), "check the person"),
    ):
        answer = rhea.form(f"{URL}/copy/{row.id}")
        assert answer.status_code == 422 and said in answer.text
        assert said in rhea.screen(f"{URL}/copy/{row.id}").text
        assert rhea.form(f"{URL}/copy/{row.id}/file").status_code == 422
    assert not crm.rows(select(ExportRun))


def test_a_copy_is_made_under_the_rights_of_whoever_asks_and_taken_once(crm: Crm, make: Make, customer: Any) -> None:
    lead = make.lead("ana", customer_id=customer.id, first_name="Ravi", mobile="9820012345", task={})
    make.task(lead, "ana")
    make.call("ana", lead_id=lead.id, outcome="Interested")
    make.message("ana", lead_id=lead.id, body="Namaste Ravi")
    make.lead("ana", first_name="Somebody", last_name="Else")
    ticket = make.ticket("cleo", customer_id=customer.id)
    said = {"ticket": ticket.number, "source": "Investor", "category": "Demat", "title": "Shares not credited"}
    assert crm.client("cleo").rest("POST", "complaint/", said).status_code == 201
    row, rhea = noted(crm, customer, identity_how="PAN card seen"), crm.client("rhea")
    url = f"{URL}/copy/{row.id}"
    assert rhea.form(url).status_code == 302
    assert rhea.form(url).status_code == 409, "one is being made"
    run = work(crm)
    assert run.outcome == "done", run.error
    assert "can be downloaded once" in rhea.screen(url).text
    assert crm.client("ana").form(f"{url}/file").status_code in (302, 403, 404)
    [notice] = crm.rows(select(Notification).where(Notification.kind == "export"))
    with crm.app.test_request_context("/"):
        assert text_of(notice) == "The copy of the data is ready. It can be downloaded once, within 24 hours."
    assert rhea.screen(f"/exports/{run.id}/file").status_code == 404
    assert f"/exports/{run.id}/" not in rhea.screen("/exports/").text
    answer = rhea.form(f"{url}/file")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/zip"
    with ZipFile(BytesIO(answer.data)) as archive:
        page, data = (archive.read(f"personal-data.{kind}").decode() for kind in ("html", "json"))
    told = json.loads(data)
    assert [each["title"] for each in told["complaints"]] == ["Shares not credited"]
    assert f"{TODAY.day} {TODAY:%b %Y}" in page and "+00:00" not in page and f"{TODAY}" not in page
    assert [each["number"] for each in told["customer"]] == [customer.number]
    assert [each["number"] for each in told["leads"]] == [lead.number]
    assert len(told["calls"]) == 1 and told["messages"][0]["body"] == "Namaste Ravi" and told["tasks"]
    assert "9820012345" not in data + page and "2345" in data, "Compliance sees the last four digits"
    assert "Namaste Ravi" in page and "Somebody" not in page + data and "<script" not in page
    again = rhea.form(f"{url}/file")
    assert again.status_code == 422 and "downloaded already" in again.text
    audited = [(each.event, (each.payload or {}).get("what")) for each in _audit(crm, row)]
    noted_first = ("data request", "noted")
    assert audited == [
        noted_first,
        ("data request", "copy asked for"),
        ("export", None),
        ("data request", "copy downloaded"),
    ]


def _audit(crm: Crm, row: DataRequest) -> list[AuditEntry]:
    query = select(AuditEntry).where(AuditEntry.about == f"data request {row.id}")
    return list(crm.rows(query.order_by(AuditEntry.seq)))


def test_a_copy_in_full_needs_a_reason_and_is_told_to_others(
    crm: Crm, customer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, rhea = noted(crm, customer), crm.client("rhea")
    url, why = f"{URL}/copy/{row.id}", {"reason": "Handed over at our office"}
    answer = rhea.form(url, why)
    assert answer.status_code == 422 and "check the person" in answer.text, "only after the identity was checked"
    sent = {"identity_how": "PAN card seen", "version": row.version}
    assert rhea.rest("PUT", f"{REST}{row.id}", sent).status_code == 200
    answer = rhea.form(url, {"reason": " why "})
    assert answer.status_code == 422 and "few words" in answer.text and " why " in answer.text
    assert not crm.rows(select(ExportRun))
    assert rhea.form(url, why).status_code == 302 and work(crm).outcome == "done"
    assert crm.client("root").form(f"{url}/file").status_code == 403, "only for who has given the reason"
    answer = rhea.form(f"{url}/file")
    with ZipFile(BytesIO(answer.data)) as archive:
        told = json.loads(archive.read("personal-data.json"))
    assert "9820012345" in told["customer"][0]["mobile"].replace(" ", ""), told["customer"][0]
    assert rhea.form(f"{url}/file").status_code == 422, "once"
    entries = crm.rows(select(AuditEntry).where(AuditEntry.event == "reveal"))
    assert [(each.about, each.payload["reason"]) for each in entries] == [
        (f"customer {customer.number}", why["reason"])
    ]
    asked = [each.payload for each in _audit(crm, row) if each.payload.get("what") == "copy in full asked for"]
    assert [each["reason"] for each in asked] == [why["reason"]]
    notice = crm.rows(select(Notification).where(Notification.kind == "compliance"))
    assert [each.user_id for each in notice] == [crm.people["root"].id]
    assert "values in full is made" in crm.client("root").screen("/bell/").text
    assert "had a copy of the data in full made" in rhea.screen(f"{URL}/show/{row.id}").text
    assert "Copy of all data, in full" in rhea.screen(f"/customers/seen/{customer.id}").text
    monkeypatch.setattr(person_copy_requests, "FULL_RATES", (Rate(1, 3600),))
    assert rhea.form(url, why).status_code == 429


def test_a_copy_expires_and_can_be_made_anew(crm: Crm, customer: Any) -> None:
    row, rhea = noted(crm, customer, identity_how="PAN card seen"), crm.client("rhea")
    url = f"{URL}/copy/{row.id}"
    assert rhea.form(url).status_code == 302
    run = work(crm)
    crm.session.execute(update(ExportRun).values(expires_on=datetime.now(UTC) - timedelta(minutes=1)))
    crm.session.commit()
    answer = rhea.form(f"{url}/file")
    assert answer.status_code == 422 and "has expired" in answer.text
    assert rhea.form(url).status_code == 302 and work(crm).id != run.id
    assert rhea.form(f"{url}/file").status_code == 200


def test_a_copy_is_not_handed_to_people_who_see_less_or_made_for_those_who_lost_the_right(
    crm: Crm, make: Make, customer: Any
) -> None:
    row, url = noted(crm, customer, identity_how="PAN card seen"), f"{URL}/copy/{latest(crm).id}"
    assert crm.client("root").form(url).status_code == 302
    assert work(crm).outcome == "done"
    assert crm.client("rhea").form(f"{url}/file").status_code == 403, "an admin sees more than Compliance"
    assert crm.client("root").form(f"{url}/file").status_code == 200
    assert crm.client("rhea").form(url).status_code == 302
    make.cell("Compliance", "Data Requests", "export", "none")
    run = work(crm)
    assert run.outcome == "failed" and not latest(crm).copy_taken_on
    assert crm.client("rhea").form(f"{URL}/copy/{row.id}").status_code in (302, 403)


def test_a_copy_is_not_handed_out_for_another_customer_or_without_a_checked_identity(
    crm: Crm, make: Make, customer: Any
) -> None:
    other = make.customer("ana", first_name="Yash", last_name="Shah", mobile="9820012399")
    row, rhea = noted(crm, customer, identity_how="PAN card seen"), crm.client("rhea")
    url = f"{URL}/copy/{row.id}"
    assert rhea.form(url).status_code == 302 and work(crm).outcome == "done"
    for change, said in (
        ({"customer": other.number}, "customer of the request was changed"),
        ({"customer": customer.number, "identity_how": None, "identity_checked_on": None}, "check the person"),
        ({"kind": "grievance"}, "Only a request for access"),
    ):
        sent = change | {"version": latest(crm).version}
        assert rhea.rest("PUT", f"{REST}{row.id}", sent).status_code == 200
        assert "can be downloaded once" not in rhea.screen(url).text and f"{url}/file" not in rhea.screen(url).text
        answer = rhea.form(f"{url}/file")
        assert answer.status_code == 422 and said in answer.text and not latest(crm).copy_taken_on
    back = {"kind": "access", "identity_how": "PAN card seen", "version": latest(crm).version}
    assert rhea.rest("PUT", f"{REST}{row.id}", back).status_code == 200
    assert rhea.form(f"{url}/file").status_code == 200


def test_who_has_seen_the_data_is_not_handed_to_people_who_may_not_know(crm: Crm, make: Make, customer: Any) -> None:
    row, rhea = noted(crm, customer, identity_how="PAN card seen"), crm.client("rhea")
    url = f"{URL}/copy/{row.id}"
    assert rhea.form(url).status_code == 302 and work(crm).outcome == "done"
    make.cell("Compliance", "Audit Log", "read", "none")
    assert rhea.form(f"{url}/file").status_code == 403
    assert rhea.form(url).status_code == 302 and work(crm).outcome == "done"
    assert rhea.form(f"{url}/file").status_code == 200


def test_a_copy_is_whole_and_few_of_its_rows_are_in_memory_at_once(crm: Crm, make: Make, customer: Any) -> None:
    made = make.message("ana", customer_id=customer.id, body="Message 1")
    stored = [
        column.name for column in Message.__table__.c if not column.name.endswith("_reversed")
    ]  # the others follow
    copied = ", ".join({"id": "id + :n", "body": ":body"}.get(name, name) for name in stored)
    step = text(f"INSERT INTO message ({', '.join(stored)}) SELECT {copied} FROM message WHERE id = {made.id}")  # noqa: S608
    for n in range(1, MANY):
        crm.session.execute(step, {"n": n, "body": f"Message {n + 1} " + "x" * 5000})
    crm.session.commit()
    row, rhea = noted(crm, customer, identity_how="PAN card seen"), crm.client("rhea")
    url = f"{URL}/copy/{row.id}"
    assert rhea.form(url).status_code == 302
    tracemalloc.start()
    run = work(crm)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.outcome == "done" and run.rows > MANY
    with ZipFile(BytesIO(rhea.form(f"{url}/file").data)) as archive:
        page, data = (archive.read(f"personal-data.{kind}").decode() for kind in ("html", "json"))
    told = json.loads(data)["messages"]
    assert [each["body"].split()[1] for each in told] == [f"{n + 1}" for n in range(MANY)]
    assert len(re.findall(r"<dd>Message [0-9]+ ?", page)) == MANY and "incomplete" not in data[-200:]
    assert peak < len(data) / 2, f"{peak:,} bytes for a file of {len(data):,}"


def test_all_who_have_seen_the_data_are_in_the_copy(crm: Crm, customer: Any) -> None:
    number = who_has_seen.MAX_ENTRIES + 3
    for _ in range(number):
        seen = who_has_seen.Reveal(f"customer {customer.number}", "mobile", "A call", None)
        who_has_seen.write_reveal(crm.session, seen, Stamp(crm.user_id("ana"), datetime.now(UTC)))
    crm.session.commit()
    assert len(who_has_seen.all_of_customer(crm.session, customer)) == number
    assert len(who_has_seen.of_customer(crm.session, customer)) == who_has_seen.MAX_ENTRIES
