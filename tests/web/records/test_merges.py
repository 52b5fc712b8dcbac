"""Merging by pages and REST: rights, masks, submitted values, the old URL, duplicates, the overview."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain.merging import duplicate_scan
from app.domain.merging.duplicate_comparison import MOST_SHARED, SCANNED
from app.domain.merging.duplicate_pairs import DuplicatePair
from app.models import Activity, Assignment, AuditEntry, Customer, Lead, RecordMerge, Task, WebhookDelivery
from tests.app_fixtures import Crm, UserClient

Doors = Callable[[str | None], UserClient]


def scan(crm: Crm) -> None:
    with crm.new_session() as session:
        for kind in SCANNED:
            while duplicate_scan.scan_next(session, kind, datetime.now(UTC)):
                session.commit()
            session.commit()


def test_a_manager_merges_two_leads_and_undoes_it(crm: Crm, client: Doors) -> None:
    make, mia = crm.make, client("mia")
    kept, gone = make.lead("ana", email="old@x.in"), make.lead("ana", email="new@x.in")
    page = mia.screen(f"/merge/lead?ids={kept.id},{gone.id}")
    assert page.status_code == 200 and page.text.count("differs") >= 2
    assert re.search(r"Tasks <span class=\"count\">1</span>", page.text), "what moves is counted"
    form = {"ids": [str(kept.id), str(gone.id)], "keep": str(kept.id), "f.email": str(gone.id)}
    form |= {f"v.{kept.id}": "1", f"v.{gone.id}": "1"}
    answer = mia.form("/merge/lead", form)
    assert (answer.status_code, answer.location) == (302, f"/leads/{kept.number}")
    assert crm.fresh(kept).email == "new@x.in" and crm.fresh(gone) is None
    assert crm.count(Task, Task.lead_id == kept.id) == 2
    # The old addresses lead to the record that was kept; what somebody typed into the old one is shown again.
    old = (f"/leads/show/{gone.id}", f"/leads/{gone.number}", f"/leads/edit/{gone.id}")
    for address in (*old, f"/merge/lead?ids={gone.id}", f"/merge/lead?ids={kept.id},{gone.id}"):
        assert mia.screen(address).location == f"/leads/{kept.number}", address
    assert mia.rest("GET", f"lead/{gone.id}").json["merged_into"] == {"id": kept.id, "number": kept.number}
    assert [mia.rest(how, f"lead/{gone.id}", {}).status_code for how in ("GET", "PUT")] == [410, 410]
    # So does its number, wherever one types it.
    number = gone.number.lower()
    (hits,) = mia.screen("/search/hits", query_string={"q": number}).json["groups"]
    hint = f"{gone.number} was merged into {kept.number}."
    assert [(row["url"], row["hint"].startswith(hint)) for row in hits["rows"]] == [(f"/leads/{kept.number}", True)]
    assert hint in mia.screen("/search", query_string={"q": number}).text
    assert kept.number in mia.screen("/leads/", query_string={"q": number}).text
    listed = mia.rest("GET", f"lead/?filter.number={gone.number}").json
    merged_into = {"id": kept.id, "number": kept.number}
    assert (listed["count"], listed["merged"]) == (0, [{"number": gone.number, "merged_into": merged_into}])
    refused = mia.rest("POST", "task/", {"title": "Call", "lead": gone.number})
    assert refused.status_code == 422 and hint in refused.json["message"]
    ben = client("ben")
    assert ben.screen("/search/hits", query_string={"q": number}).json["groups"] == []
    assert "merged" not in ben.rest("GET", f"lead/?filter.number={gone.number}").json
    again = mia.form("/merge/lead", {"ids": f"{kept.id},{gone.id}"})
    assert again.status_code == 410 and f'href="/leads/{kept.number}"' in again.text
    typed = mia.form(f"/leads/edit/{gone.id}", {"description": "two hours of work"})
    assert typed.status_code == 410 and "two hours of work" in typed.text and kept.number in typed.text
    assert client("ben").screen(f"/leads/{gone.number}").status_code == 404, "nothing is told of what one doesn't see"
    key = crm.rows(select(RecordMerge.id))[0]
    assert client("ana").form(f"/merge/undo/{key}").status_code == 403
    assert f"/merge/undo/{key}" in mia.screen(f"/merge/lead?ids={kept.id}").text
    assert mia.form(f"/merge/undo/{key}").location == f"/leads/{kept.number}"
    assert (crm.fresh(kept).email, crm.fresh(gone).email) == ("old@x.in", "new@x.in")
    assert "merged" in mia.screen(f"/leads/{kept.number}").text
    audited = crm.rows(select(AuditEntry).where(AuditEntry.event == "merge").order_by(AuditEntry.id))
    assert [each.payload["state"] for each in audited] == ["merged", "undone"]


def test_rest_merges_tries_and_undoes(crm: Crm, client: Doors) -> None:
    make, mia = crm.make, client("mia")
    kept, gone = make.customer("mia", email="a@x.in"), make.customer("mia", email="b@x.in")
    trial = mia.rest("POST", f"customer/{kept.id}/merge", {"with": [gone.id], "dry_run": True})
    assert trial.status_code == 200 and trial.json["conflicts"] == ["mobile", "email"] and trial.json["merge"] is None
    assert crm.fresh(gone) is not None
    body = {"with": [gone.id], "fields": {"email": kept.id, "alternative_mobile": f"{gone.id}:mobile"}}
    done = mia.rest("POST", f"customer/{kept.id}/merge", body).json
    assert done["result"]["email"] == "a@x.in" and crm.fresh(kept).alternative_mobile == gone.mobile
    again = mia.rest("POST", f"customer/{kept.id}/merge", {"with": [gone.id]})
    assert (again.status_code, again.json["merged_into"]["id"]) == (410, kept.id)
    undone = mia.rest("POST", f"customer/{kept.id}/merge/undo", {"merge": done["merge"]})
    assert undone.json == {"id": kept.id, "numbers": [gone.number], "remarks": []}
    assert crm.fresh(gone).email == "b@x.in" and crm.fresh(kept).alternative_mobile is None


def test_a_merge_is_undone_after_the_kept_lead_went_to_whom_the_other_had(crm: Crm, client: Doors) -> None:
    kept, gone, root = crm.make.lead("ben"), crm.make.lead("ana"), client("root")
    done = root.rest("POST", f"lead/{kept.id}/merge", {"with": [gone.id]}).json
    assert root.rest("POST", f"lead/{kept.id}/assign", {"assign_to": "ana"}).status_code == 200
    undone = root.rest("POST", f"lead/{kept.id}/merge/undo", {"merge": done["merge"]})
    assert undone.status_code == 200, undone.text
    held = select(Assignment.lead_id, Assignment.user_id, Assignment.open_key).where(Assignment.ended_on.is_(None))
    ana = crm.user_id("ana")
    assert sorted(crm.rows(held)) == [(lead.id, ana, f"leads:{lead.id}:{ana}") for lead in (kept, gone)]


BAD: tuple[tuple[dict[str, Any], int], ...] = (
    ({}, 422),
    ({"with": []}, 422),
    ({"with": ["x"]}, 422),
    ({"with": [1, 2, 3, 4]}, 422),
    ({"with": [99999]}, 404),
    ({"with": [2], "fields": []}, 422),
    ({"with": [2], "fields": {"email": 77}}, 422),
    ({"with": [2], "fields": {"nothing": 1}}, 422),
    ({"with": [2], "fields": {"email": "1:pan"}}, 422),
    ({"with": [2], "dry_run": "yes"}, 422),
    ({"with": [1]}, 422),
)


def test_bad_requests_are_refused_in_words(crm: Crm, client: Doors) -> None:
    for _ in range(2):
        crm.make.lead("ana")
    for body, status in BAD:
        answer = client("mia").rest("POST", "lead/1/merge", body)
        assert answer.status_code == status and answer.json["message"].endswith("."), (body, answer.text)
    assert client("mia").rest("POST", "lead/1/merge/undo", {"merge": "x"}).status_code == 404
    for address, status in (("/merge/lead", 404), ("/merge/lead?ids=x", 400), ("/merge/nothing?ids=1", 404)):
        assert client("mia").screen(address).status_code == status, address
    assert crm.count(Lead) == 2


def test_only_who_may_merge_and_reaches_both(crm: Crm, client: Doors) -> None:
    one, two = crm.make.lead("ana"), crm.make.lead("ben")
    assert client("ana").screen(f"/merge/lead?ids={one.id}").status_code == 403, "the verb is a manager's"
    assert "/merge/lead" not in client("ana").screen(f"/leads/{one.number}").text
    assert client("mia").rest("POST", f"lead/{one.id}/merge", {"with": [two.id]}).status_code == 404, "not mia's team"
    crm.make.cell("Sales User", "Leads", "merge", "own")
    assert f"/merge/lead?ids={one.id}" in client("ana").screen(f"/leads/{one.number}").text
    assert client("ana").screen(f"/merge/lead?ids={one.id}").status_code == 200


def test_the_records_that_are_offered_say_whose_they_are(crm: Crm, client: Doors) -> None:
    make = crm.make
    meera, esha = make.customer("cleo", first_name="Meera"), make.customer("cleo", first_name="Esha")
    one, two = make.ticket("cleo", customer_id=meera.id), make.ticket("cleo", customer_id=meera.id)
    other = make.ticket("cleo", customer_id=esha.id)
    page = client("root").screen(f"/merge/ticket?ids={one.id}").text
    siblings = page.partition("Other tickets of this customer")[2]
    assert two.number in siblings and "Meera" in siblings and other.number not in siblings
    found = client("root").screen(f"/merge/ticket?ids={one.id}&q={other.number}").text
    facts = found.partition("known-facts")[2]
    assert "Esha" in facts and "New" in facts and "<time" in facts
    assert "Other tickets of this customer" not in found
    assert (
        "known-facts" in client("mia").screen(f"/merge/lead?ids={make.lead('ana').id}&q={make.lead('ana').number}").text
    )


def test_who_does_not_see_a_value_cannot_choose_it_and_it_is_kept(crm: Crm, client: Doors) -> None:
    crm.make.mask("Sales Manager", email="hidden")
    kept, gone = crm.make.lead("ana"), crm.make.lead("ana", email="secret@x.in")
    mia = client("mia")
    page = mia.screen(f"/merge/lead?ids={kept.id},{gone.id}").text
    assert "secret@x.in" not in page and 'name="f.email"' not in page
    refused = mia.rest("POST", f"lead/{kept.id}/merge", {"with": [gone.id], "fields": {"email": kept.id}})
    assert refused.status_code == 422
    trial = mia.rest("POST", f"lead/{kept.id}/merge", {"with": [gone.id], "dry_run": True}).json
    assert "email" not in trial["conflicts"]
    assert mia.rest("POST", f"lead/{kept.id}/merge", {"with": [gone.id]}).status_code == 200
    assert crm.fresh(kept).email == "secret@x.in"


def test_a_masked_number_does_not_become_one_that_is_seen(crm: Crm, client: Doors) -> None:
    crm.make.mask("Sales Manager", mobile="last4", alternative_mobile="full")
    kept, gone, mia = crm.make.lead("ana"), crm.make.lead("ana"), client("mia")
    page = mia.screen(f"/merge/lead?ids={kept.id},{gone.id}").text
    assert f'value="{gone.id}:mobile"' not in page
    asked = {"with": [gone.id], "fields": {"alternative_mobile": f"{gone.id}:mobile"}}
    assert mia.rest("POST", f"lead/{kept.id}/merge", asked).status_code == 422
    done = mia.rest("POST", f"lead/{kept.id}/merge", {"with": [gone.id]})
    assert done.status_code == 200 and done.json["result"]["alternative_mobile"] is None
    assert not {kept.mobile, gone.mobile} & set(re.findall(r"\d{10}", mia.screen(f"/leads/{kept.number}").text))


def test_who_may_not_assign_gives_nothing_away_by_merging(crm: Crm, client: Doors) -> None:
    crm.make.cell("Sales Manager", "Leads", "assign", "none")
    kept, gone, mia = crm.make.lead("mia"), crm.make.lead("ana"), client("mia")
    for name in ("owner", "assignee"):
        body = {"with": [gone.id], "fields": {name: gone.id}}
        assert mia.rest("POST", f"lead/{kept.id}/merge", body).status_code == 403, name
        assert mia.rest("POST", f"lead/{kept.id}/merge", body | {"dry_run": True}).status_code == 403, name
        form = {"ids": [str(kept.id), str(gone.id)], "keep": str(kept.id), f"f.{name}": str(gone.id)}
        assert mia.form("/merge/lead", form).status_code == 403, name
    assert crm.fresh(gone) is not None and crm.fresh(kept).assignee_id == crm.id_of("mia")
    own = {"with": [gone.id], "fields": {"owner": kept.id, "assignee": kept.id}}
    assert mia.rest("POST", f"lead/{kept.id}/merge", own).status_code == 200


def test_numbers_that_are_none_are_refused(crm: Crm, client: Doors) -> None:
    kept, gone, mia = crm.make.lead("ana"), crm.make.lead("ana"), client("mia")
    assert mia.screen("/duplicates/?kind=lead&after=².1").status_code == 200
    for number in ("²", "9" * 5000):
        body = {"with": [gone.id], "fields": {"status": number}}
        assert mia.rest("POST", f"lead/{kept.id}/merge", body).status_code == 422
    form = {"ids": [str(kept.id), str(gone.id)], "keep": str(kept.id), "f.status": "²"}
    assert mia.form("/merge/lead", form).status_code == 302, "as if nothing was chosen"


def test_a_stale_page_is_shown_again_with_what_was_chosen(crm: Crm, client: Doors) -> None:
    kept, gone = crm.make.lead("ana", email="a@x.in"), crm.make.lead("ana", email="b@x.in")
    form = {"ids": f"{kept.id},{gone.id}", "keep": str(gone.id), "f.email": str(kept.id), f"v.{kept.id}": "1"}
    assert client("ana").rest("PUT", f"lead/{kept.id}", {"description": "changed"}).status_code == 200
    answer = client("mia").form("/merge/lead", form)
    assert answer.status_code == 409 and "changed this record" in answer.text
    assert f'name="keep" value="{gone.id}" checked' in answer.text
    assert f'name="f.email" value="{kept.id}" checked' in answer.text


def test_webhooks_hear_of_both(crm: Crm, client: Doors) -> None:
    root = client("root")
    made = root.form(
        "/webhooks/add",
        {"name": "Books", "url": "https://books.example/hook", "user": str(crm.people["root"].id), "is_on": "1"}
        | {"events": ["lead.merged", "lead.deleted"]},
    )
    assert made.status_code in (200, 302)
    kept, gone = crm.make.lead("ana"), crm.make.lead("ana")
    assert root.rest("POST", f"lead/{kept.id}/merge", {"with": [gone.id]}).status_code == 200
    sent = crm.rows(select(WebhookDelivery.event, WebhookDelivery.record_id, WebhookDelivery.number))
    assert {each[:2] for each in sent} == {("lead.merged", kept.id), ("lead.deleted", gone.id)}


# --- duplicates


def test_the_work_list_shows_what_one_may_merge(crm: Crm, client: Doors) -> None:
    make = crm.make
    first = make.lead("ana", mobile="9811111111", email="a@x.in")
    same = make.lead("ana", mobile="9822222222", alternative_mobile="9811111111")
    foreign = make.lead("ben", mobile="9811111111")
    make.lead("ana", first_name="Meera", last_name="Joshi", date_of_birth=date(1990, 1, 2))
    make.lead("ana", first_name="Joshi", last_name="Mira", date_of_birth=date(1990, 1, 2))
    scan(crm)
    mia = client("mia")
    text = mia.screen("/duplicates/").text
    assert text.count('class="dup"') == 2 and "Similar name, same date of birth" in text
    assert foreign.number not in text, "nobody sees a pair of which they don't reach both"
    assert (
        client("ana").screen("/duplicates/").status_code == 403
        and "/duplicates/" not in client("ana").screen("/leads/").text
    )
    assert mia.screen("/duplicates/?reason=birth").text.count('class="dup"') == 1
    assert mia.screen(f"/duplicates/?owner={crm.people['ben'].id}").text.count('class="dup"') == 0
    side = mia.screen(f"/duplicates/of/lead/{first.id}", headers={"HX-Request": "true"}).text
    assert same.number in side and foreign.number not in side
    # Set aside and put back; a new look leaves the decision.
    pair = crm.rows(select(DuplicatePair.id).where(DuplicatePair.second_id == same.id))[0]
    assert mia.form("/duplicates/decide", {"kind": "lead", "pair": str(pair)}).status_code == 302
    scan(crm)
    assert same.number not in mia.screen("/duplicates/").text
    assert same.number not in mia.screen(f"/duplicates/of/lead/{first.id}", headers={"HX-Request": "true"}).text
    assert same.number in mia.screen("/duplicates/?dismissed=1").text
    assert (
        client("max").form("/duplicates/decide", {"kind": "lead", "pair": str(pair), "what": "back"}).status_code == 404
    )
    mia.form("/duplicates/decide", {"kind": "lead", "pair": str(pair), "what": "back"})
    # What has changed is looked at again, by the button too.
    assert client("ana").rest("PUT", f"lead/{same.id}", {"alternative_mobile": ""}).status_code == 200
    assert mia.form("/duplicates/look", {"kind": "lead"}).status_code == 302
    assert same.number not in mia.screen("/duplicates/").text


def test_a_value_that_very_many_share_is_no_reason(crm: Crm, client: Doors) -> None:
    born = date(1990, 1, 2)
    leads = [crm.make.lead("ana", mobile="9811111111", email=f"{n // 2}@x.in") for n in range(MOST_SHARED)]
    dated = [crm.make.lead("ana", first_name="Meera", last_name="Joshi", date_of_birth=born) for _ in range(2)]
    scan(crm)
    pairs = select(DuplicatePair.first_id, DuplicatePair.second_id, DuplicatePair.reasons)
    assert len([row for row in crm.rows(pairs) if row[2] & 1]) == 7 * (MOST_SHARED - 7) + 7 * 6 // 2
    changed = client("ana").rest("PUT", f"lead/{dated[1].id}", {"alternative_mobile": "9811111111"})
    assert changed.status_code == 200
    scan(crm)
    by_email = [(one.id, other.id, 4) for one, other in zip(leads[::2], leads[1::2], strict=True)]
    assert [tuple(row) for row in crm.rows(pairs)] == [*by_email, (dated[0].id, dated[1].id, 8)]
    assert "more than 20 records share" in client("mia").screen("/duplicates/").text


@pytest.mark.parametrize("mask", ["hidden", "last4"])
def test_a_hidden_field_is_no_reason(crm: Crm, client: Doors, mask: str) -> None:
    crm.make.mask("Sales Manager", email=mask)
    one, two = (crm.make.lead("ana", email="same@x.in") for _ in range(2))
    scan(crm)
    assert ("Same email" in client("mia").screen("/duplicates/").text) == (mask == "last4")
    side = client("mia").screen(f"/duplicates/of/lead/{one.id}", headers={"HX-Request": "true"}).text
    assert (two.number in side) == (mask == "last4")


# --- all of a customer


def test_the_overview_shows_figures_referrals_and_who_looked(crm: Crm, client: Doors) -> None:
    make = crm.make
    asha = make.customer("ana", mobile="9820012345")
    lead = make.lead("ana", mobile="9820012345", status="New")
    client("mia").rest("PUT", f"lead/{lead.id}", {"status": "Account Opened", "client_id": "E100"})
    friend = make.customer("ana", referred_by="E100", referral_code=None)
    with crm.new_session() as session:  # a circle of referrals ends
        session.get_one(Customer, asha.id).referred_by = "E200"
        session.get_one(Customer, friend.id).referral_code = "E200"
        session.commit()
    make.call("ana", lead_id=lead.id, duration_seconds=3700)
    note = "Wants the papers before Friday"
    client("ana").form(f"/leads/note/{lead.id}", {"body": note})
    with crm.new_session() as session:  # as lines of a lead that got its customer later
        session.execute(update(Activity).where(Activity.lead_id == lead.id).values(customer_id=None))
        session.commit()
    assert note in client("ana").screen(f"/customers/{asha.number}").text, "one timeline with the leads and tickets"
    text = client("root").screen(f"/customer-overview/{asha.id}").text
    assert all(each in text for each in ("1h 1m 40s", "E100", friend.number, "Who has seen this person"))
    assert f"Overview of {asha.first_name} {asha.last_name}".strip() in text
    ana = client("ana").screen(f"/customer-overview/{asha.id}")
    assert ana.status_code == 200 and "Who has seen" not in ana.text, "that is for who may read the audit"
    assert client("ben").screen(f"/customer-overview/{asha.id}").status_code == 404
    part = client("ana").screen(f"/customer-overview/{asha.id}", headers={"HX-Request": "true"}).text
    assert "Talk time" in part and "<html" not in part


def test_who_has_seen_a_record_is_known_after_it_was_merged(crm: Crm, client: Doors) -> None:
    make, mia = crm.make, client("mia")
    first, second, last = make.customer("ana", pan="ABCDE1234F"), make.customer("ana"), make.customer("ana")
    mia.form(f"/customers/reveal/{first.id}/pan", {"reason": "The customer asks"})
    for gone, kept in ((first, second), (second, last)):
        assert mia.rest("POST", f"customer/{kept.id}/merge", {"with": [gone.id]}).status_code == 200
    assert "The customer asks" in mia.screen(f"/customers/seen/{last.id}").text
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    crm.session.execute(update(AuditEntry).where(AuditEntry.event == "reveal").values(at=long_ago))
    crm.session.commit()
    assert "Revealed a masked value" in client("root").screen(f"/customer-overview/{last.id}").text
    made = crm.rows(select(RecordMerge.id).order_by(RecordMerge.id.desc()))
    for merge, kept in zip(made, (last, second), strict=True):
        assert mia.rest("POST", f"customer/{kept.id}/merge/undo", {"merge": merge}).status_code == 200
    assert "The customer asks" not in mia.screen(f"/customers/seen/{last.id}").text
    assert "The customer asks" in mia.screen(f"/customers/seen/{first.id}").text
