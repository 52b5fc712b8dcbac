"""The erasure for a data request, on its page and over REST: who may, what is told, and what every door shows after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from app import jobs
from app.models import Customer, DataErasure, DataRequest
from tests.app_fixtures import Crm, Make

URL, REST = "/data-requests/erasure", "/api/v1/data_request/"
DAY = "accounts_ended_on"
TODAY = datetime.now(UTC).date()


def noted(crm: Crm, **more: Any) -> DataRequest:
    """A request for erasure, of which the identity is checked."""
    typed = {"kind": "erasure", "received_on": f"{TODAY - timedelta(days=3)}", "identity_how": "PAN card seen"}
    answer = crm.client("rhea").form("/data-requests/add", typed | more)
    assert answer.status_code == 302, answer.text
    found: DataRequest = crm.rows(select(DataRequest).order_by(DataRequest.id))[-1]
    return found


def work(crm: Crm) -> DataErasure:
    """Run the job, as if some minutes had gone by."""
    crm.session.execute(update(DataErasure).values(confirmed_on=datetime.now(UTC) - timedelta(minutes=11)))
    crm.session.commit()
    with crm.app.app_context():
        jobs.run_now(crm.app, "go on with erasures")
    made: DataErasure = crm.rows(select(DataErasure))[-1]
    return made


def test_a_customer_is_erased_at_every_door(crm: Crm, make: Make) -> None:
    customer = make.customer("ana", first_name="Ravi", last_name="Kumar", mobile="9820012345", email="ravi@kumar.in")
    lead = make.lead("ana", customer_id=customer.id, first_name="Ravi", mobile="9820012345", description="Zinc")
    make.message("ana", lead_id=lead.id, body="Namaste Ravi")
    row = noted(crm, customer=customer.id)
    rhea, number = crm.client("rhea"), f"DR-{row.id}"
    assert f'href="{URL}/{row.id}"' in rhea.screen(f"/data-requests/show/{row.id}").text
    page = rhea.screen(f"{URL}/{row.id}").text
    assert "Nothing is erased yet" in page and "Messages and emails" in page and "kept for 1096 days as proof" in page
    planned = rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]
    assert planned["state"] == "planned" and planned["number"] == number and len(planned["sentences"]) == 5
    assert {each["kind"]: each["goes"] for each in planned["lines"]}["contact"] == 1
    for who in ("ana", "mia"):
        assert crm.client(who).screen(f"{URL}/{row.id}").status_code in (302, 403, 404)
        assert crm.client(who).form(f"{URL}/{row.id}", {"confirm": number}).status_code in (302, 403, 404)
        assert crm.client(who).rest("GET", f"{REST}{row.id}/erasure").status_code in (403, 404)
        assert crm.client(who).rest("POST", f"{REST}{row.id}/erasure", {"confirm": number}).status_code in (403, 404)
    for typed, said in (({"confirm": "yes"}, f"the number of the request, {number}"), ({DAY: "x"}, "2027-03-31")):
        refused = rhea.form(f"{URL}/{row.id}", {"confirm": number} | typed)
        assert refused.status_code == 422 and said in refused.text
        assert all(f'value="{value}"' in refused.text for value in typed.values()), "what was typed stays"
        assert rhea.rest("POST", f"{REST}{row.id}/erasure", {"confirm": number} | typed).status_code == 422
    assert not crm.rows(select(DataErasure)) and crm.fresh(customer).first_name == "Ravi"
    stale = crm.fresh(customer).version
    assert rhea.form(f"{URL}/{row.id}", {"confirm": number.lower()}).status_code == 302
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", {"confirm": number}).status_code == 409
    assert "being erased" in rhea.screen(f"{URL}/{row.id}").text
    made = work(crm)
    assert made.state == "waiting" and made.counts["contact"] == 1, made.counts
    assert "The rest goes by itself" in rhea.screen(f"{URL}/{row.id}").text
    ana = crm.client("ana")
    pages = [ana.screen(f"/customers/show/{customer.id}"), ana.screen(f"/leads/show/{lead.id}")]
    pages += [ana.screen("/customers/list/"), ana.rest("GET", f"customer/{customer.id}")]
    pages += [ana.rest("GET", f"lead/{lead.id}"), ana.rest("GET", "message/"), ana.rest("GET", "call_log/")]
    assert {each.status_code for each in pages} == {200}
    seen = "".join(each.text for each in pages)
    assert all(customer.number not in ana.screen(f"/search?q={words}").text for words in ("Kumar", "9820012345"))
    assert [each for each in ("Ravi", "Zinc", "Kumar", "9820012345", "ravi@") if each in seen] == []
    assert f"Erased by request {number}" in seen
    late = ana.rest("PUT", f"customer/{customer.id}", {"first_name": "Ravi", "version": stale})
    assert late.status_code == 409
    again = make.lead("ana", first_name="Ravi", mobile="9820012345")
    assert again.customer_id is None and len(crm.rows(select(Customer))) == 1
    history = rhea.screen(f"/data-requests/show/{row.id}").text
    assert "confirmed the erasure" in history and "What no duty keeps was erased" in history


def test_a_hold_is_told_in_words_and_a_lead_can_be_chosen(crm: Crm, make: Make) -> None:
    lead = make.lead("ana", first_name="Meera", mobile="9820012346")
    row, rhea = noted(crm, lead=lead.id), crm.client("rhea")
    assert crm.fresh(row).person.startswith("Meera")
    held = {"record": lead.number, "reason": "Police", "until": ""}
    assert rhea.form("/settings/legal-holds/new", held).status_code == 302
    page = rhea.screen(f"{URL}/{row.id}").text
    assert "is under a legal hold" in page and "Erase for good" not in page
    refused = rhea.form(f"{URL}/{row.id}", {"confirm": f"DR-{row.id}"})
    assert refused.status_code == 422 and "is under a legal hold" in refused.text
    assert "is under a legal hold" in rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]["hinders"]
    assert not crm.rows(select(DataErasure))
