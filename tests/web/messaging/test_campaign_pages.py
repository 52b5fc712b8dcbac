"""Campaigns, consents, do-not-disturb lists and undelivered messages on pages and over REST."""

from __future__ import annotations

import gzip
import io
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app.domain.base import RuleBroken, Stamp
from app.domain.messaging import consents, dlt_rules, dnd_uploads
from app.domain.persistence import file_references
from app.models import (
    ApiKey,
    AuditEntry,
    BusinessSetting,
    Campaign,
    Consent,
    DndUpload,
    DoNotDisturb,
    Message,
    MessageTemplate,
)
from app.web.messaging import campaign_source, dnd_list_worker
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW
from tests.web.messaging.test_channel_endpoints import account, fresh, run_calls  # noqa: F401

HX = {"HX-Request": "true"}
PLAN = {"name": "Offer", "channel": "sms", "purpose": "service", "body": "Hi {{first_name}}", "per_minute": "600"}
PLAN |= {"var.first_name": "first_name", "else.first_name": ""}


@pytest.fixture(autouse=True)
def _open_hours(crm: Crm, account: Any) -> None:  # noqa: F811
    for key in ("promotional_hours", "quiet_hours"):
        crm.session.add(BusinessSetting(key=key, value="00:00-00:00"))
    crm.session.commit()


def test_a_selection_becomes_a_campaign_that_is_checked_and_started(crm: Crm) -> None:
    leads = [crm.make.lead("ana") for _n in range(3)]
    client = crm.client("mia")
    chosen = {"action": "message", "rowid": [each.id for each in leads[:2]], "back": "/leads/?q="}
    handed = client.form("/leads/action_post", chosen)
    assert (handed.status_code, handed.location) == (307, "/campaigns/choose/leads")
    page = client.form("/campaigns/choose/leads", chosen).text
    assert "The 2 selected records" in page and "All 3 records of the list" in page
    made = client.form("/campaigns/create/leads", {"scope": "all", "back": "/leads/"})
    base = made.location.removesuffix("/edit")
    refused = client.form(f"{base}/edit", PLAN | {"body": "Hi {{who}}", "name": "Kept as typed"})
    assert refused.status_code == 422 and "Kept as typed" in refused.text and "{{who}}" in refused.text
    unseen = {name: value for name, value in PLAN.items() if "first_name" not in name}  # "Show" was never pressed
    assert client.form(f"{base}/edit", unseen).location == base
    assert fresh(crm, Campaign)[0].variables == {"first_name": {"from": "first_name", "text": ""}}
    alone = {"body": "Hi {{who}}", "var.who": "", "else.who": "all"}  # a text without a source is the same for all
    assert client.form(f"{base}/edit", PLAN | alone).location == base
    assert fresh(crm, Campaign)[0].variables == {"who": {"from": "text", "text": "all"}}
    # One a minute: it still runs when it is looked at, however slow the machine is
    assert client.form(f"{base}/edit", PLAN | {"per_minute": "1"}).location == base
    run_calls()
    page = client.screen(base).text
    assert "3 people get it" in page and page.count("Hi Ravi") == 3 and "1 SMS" in page
    assert client.form(f"{base}/start").location == base
    run_calls()
    live = client.screen(f"{base}/live")
    assert "Running" in live.text and "HX-Refresh" not in live.headers
    assert client.screen(f"{base}?state=waiting&page=0").status_code == 200
    for path, code in ((f"{base}?state=lost", 400), (f"{base}?page=x", 400), ("/campaigns/99", 404)):
        assert client.screen(path).status_code == code, path
    client.form(f"{base}/stop")
    assert fresh(crm, Campaign)[0].state == "stopped"
    assert client.screen(f"{base}/live").headers["HX-Refresh"] == "true"  # with its recipients, as they are at the end
    whats = [each.payload["what"] for each in crm.rows(select(AuditEntry).where(AuditEntry.event == "campaign"))]
    assert whats == ["created", "started", "stopped"]


def test_an_address_of_no_list_is_refused_in_words(crm: Crm) -> None:
    lead, client = crm.make.lead("ana"), crm.client("mia")
    for path in ("choose/leads", "create/leads"):
        answer = client.form(f"/campaigns/{path}", {"rowid": lead.id, "scope": "all", "back": "//["}, headers=HX)
        assert answer.status_code == 422 and "not complete" in answer.text, path
    assert not crm.count(Campaign)


@each_case("who, code", [("ana", 403), ("ben", 403), ("rhea", 403), ("max", 404)])
def test_who_may_not_send_to_many_neither_makes_nor_moves_one(crm: Crm, who: str, code: int) -> None:
    lead = crm.make.lead("ana")
    body = {"name": "X", "channel": "sms", "body": "Hi", "purpose": "service", "leads": [lead.id]}
    key = crm.client("mia").rest("POST", "campaign/", body).json["id"]
    client = crm.client(who)
    assert client.rest("POST", f"campaign/{key}/start", {}).status_code in (403, 404)
    assert client.form(f"/campaigns/{key}/start").status_code == code
    if who != "max":
        assert client.rest("POST", "campaign/", body).status_code == 403
        assert client.form("/campaigns/create/leads", {"rowid": lead.id}).status_code == 403
        assert "Send a message…" not in client.screen("/leads/").text
    assert fresh(crm, Campaign)[0].state == "draft"


def test_a_key_for_messages_alone_reaches_no_leads(crm: Crm) -> None:
    lead, client = crm.make.lead("ana"), crm.client("mia")
    body = {"name": "X", "channel": "sms", "body": "Hi", "purpose": "service"}
    for scope, code in ((["Messages"], 403), (["Messages", "Leads.read"], 201)):
        crm.session.execute(update(ApiKey).where(ApiKey.key == "keymia").values(scope=scope))
        crm.session.commit()
        assert client.rest("POST", "campaign/", body | {"leads": [lead.id]}).status_code == code, scope
        assert client.rest("POST", "campaign/", body | {"customers": [1]}).status_code == 403, scope


def test_rest_makes_checks_starts_and_tells_of_each_recipient(crm: Crm) -> None:
    leads = [crm.make.lead("ana", mobile=f"98200111{n:02d}").id for n in range(2)]
    client = crm.client("mia")
    source = {"first_name": {"from": "first_name", "text": "there"}}
    body = {"name": "X", "channel": "sms", "body": "Hi {{first_name}}", "variables": source, "purpose": "service"}
    made = client.rest("POST", "campaign/", body | {"leads": [*leads, leads[0], 999], "per_minute": 600})
    assert made.status_code == 201, made.text
    key = made.json["id"]
    assert client.rest("POST", f"campaign/{key}/start", {}).status_code == 409  # not checked yet
    run_calls()
    told = client.rest("GET", f"campaign/{key}/counts").json
    assert told == {"counts": {"waiting": 2, "left_out": 1}, "left_out": {"not_yours": 1}, "is_checked": True}
    crm.make.mask("Sales Manager", mobile="last4")
    rows = client.rest("GET", f"campaign/{key}/recipients?page_size=10").json["result"]
    assert [each["state"] for each in rows] == ["waiting", "waiting", "left_out"] and rows[2]["reason"]
    assert "9820011" not in str(rows) and "9820011" not in client.screen(f"/campaigns/{key}").text
    assert client.rest("POST", f"campaign/{key}/start", {"start_on": "2030-01-01T00:00:00Z"}).status_code == 422
    for step, code in (("start", 200), ("start", 409), ("pause", 200), ("resume", 200), ("stop", 200), ("stop", 409)):
        assert client.rest("POST", f"campaign/{key}/{step}", {}).status_code == code, step
    # who sees numbers masked can't find out by a list whose they are
    assert client.rest("POST", "campaign/", body | {"numbers": ["9820011100"]}).status_code == 403


@each_case(
    "wrong",
    [
        {"leads": "all"},
        {"leads": []},
        {},
        {"leads": [1], "customers": [1]},
        {"leads": [1], "variables": {"a": "b"}},
        {"numbers": [["1", {"a": "x"}], ["2", {"b": "y"}]]},
        {"leads": list(range(1, 5002))},
        {"leads": [1], "per_minute": 0},
    ],
)
def test_wrong_requests_are_refused_in_words(crm: Crm, wrong: dict[str, Any]) -> None:
    body = {"name": "X", "channel": "sms", "body": "Hi", "purpose": "service", **wrong}
    answer = crm.client("mia").rest("POST", "campaign/", body)
    assert answer.status_code == 422 and answer.json["message"], answer.text


def upload(crm: Crm, who: str, path: str, content: bytes, **more: str) -> Any:
    client = crm.client(who)
    return client.form(path, {"file": (io.BytesIO(content), "list.csv"), **more}, content_type="multipart/form-data")


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "This file is empty."),
        (b"number\n" + b"9820012345\n" * 5001, "more than 5,000 rows"),
        ("नंबर".encode("utf-16"), "UTF-8"),
        (b"number,,x\n9820012345,a,b", "a name of its own"),
        (b"x" * 60_001, "2 MB"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(
    crm: Crm, content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_source, "MAX_BYTES", 60_000)
    answer = upload(crm, "mia", "/campaigns/create/numbers", content)
    assert answer.status_code == 422 and said in answer.text


def test_a_file_of_numbers_fills_its_columns_in(crm: Crm) -> None:
    crm.make.lead("ana", mobile="9820012345")
    made = upload(crm, "mia", "/campaigns/create/numbers", b"mobile;name\n98200 12345;Asha\n9820099999;Other\nx;y\n")
    plan = PLAN | {"body": "Hi {{who}}", "var.who": "column:name", "else.who": ""}
    crm.client("mia").form(made.location, plan)
    run_calls()
    page = crm.client("mia").screen(made.location.removesuffix("/edit")).text
    assert "1 person gets it" in page and "Hi Asha" in page and "2 of 3 are left out" in page


# --- consents


def note(crm: Crm, who: str, **values: Any) -> Any:
    body = {"channel": "sms", "action": "given", "how": "form", "words": "I agree", **values}
    return crm.client(who).rest("POST", "consent/", body)


def test_a_consent_is_noted_with_its_words_and_lapses(crm: Crm) -> None:
    lead = crm.make.lead("ana", mobile="9820012345")
    assert note(crm, "ana", lead=lead.id, is_for_transaction=True).status_code == 201
    (entry,) = fresh(crm, Consent)
    assert (entry.address, entry.lead_id, (entry.ends_on - entry.happened_on).days) == ("+919820012345", lead.id, 7)
    for wrong in ({"words": ""}, {"how": "message"}, {"happened_on": "2999-01-01T00:00:00Z"}, {"address": "x"}):
        assert note(crm, "ana", lead=lead.id, **wrong).status_code == 422, wrong
    assert note(crm, "ben", address="9820012345").status_code == 422  # not one of his
    assert note(crm, "ana", lead=lead.id, action="withdrawn").status_code == 201
    refused = note(crm, "ana", lead=lead.id)
    assert refused.status_code == 422 and "may not be asked again until" in refused.json["message"]
    assert note(crm, "ana", lead=lead.id, is_unasked=True).status_code == 201
    client = crm.client("ana")
    page = client.screen(f"/consents/of/lead/{lead.id}").text
    assert page.count("I agree") >= 2 and "Withdrawn" in page
    table, tree = (client.screen(f"/consents/export/lead/{lead.id}.{form}") for form in ("csv", "json"))
    assert table.text.count("+919820012345") == 3 and [each["action"] for each in tree.json["entries"]] == [
        *("given", "withdrawn", "given")
    ]
    assert crm.client("ben").screen(f"/consents/export/lead/{lead.id}.csv").status_code == 404
    assert "Consents" in client.screen(f"/leads/{lead.number}").text
    assert crm.client("root").screen("/consents/").status_code == 200


def test_nobody_notes_a_consent_of_somebody_out_of_reach(crm: Crm) -> None:
    mine = crm.make.lead("ana", mobile="9820012345")
    his = crm.make.customer("ben", mobile="9833344444", email="his@example.in")
    for strange in ({"address": "9833344444"}, {"address": "his@example.in", "channel": "email"}):
        for action in ("given", "withdrawn"):
            answer = note(crm, "ana", lead=mine.id, action=action, is_unasked=True, **strange)
            assert answer.status_code == 422 and "of theirs" in answer.json["message"], strange
    assert not crm.fresh(his).no_sms and not crm.count(Consent)
    assert note(crm, "ana", lead=mine.id, address="98200 12345").status_code == 201
    assert note(crm, "ana", address="98200 12345").status_code == 201


def test_a_consent_confirms_no_masked_number(crm: Crm) -> None:
    mine = crm.make.lead("ana", mobile="9820012345")
    crm.make.mask("Sales User", mobile="last4")
    right, wrong = (note(crm, "ana", address=each, lead=mine.id) for each in ("9820012345", "9820092345"))
    assert right.status_code == wrong.status_code == 422 and right.json == wrong.json
    assert note(crm, "ana", address="9820012345").json == right.json
    assert note(crm, "ana", lead=mine.id).json["result"]["address"].endswith("2345")


def test_nobody_changes_the_ledger(crm: Crm) -> None:
    said = {"channel": "sms", "address": "+919820012345", "action": "given", "how": "form"}
    entry = consents.record(crm.session, said, Stamp(None, NOW))
    crm.session.commit()
    for method in ("PUT", "DELETE"):
        assert crm.client("root").rest(method, f"consent/{entry.id}", {"words": "x"}).status_code in (404, 405)
    entry.action = "withdrawn"
    with pytest.raises(RuleBroken):
        crm.session.flush()
    crm.session.rollback()
    crm.session.delete(crm.session.get_one(Consent, entry.id))
    with pytest.raises(RuleBroken):
        crm.session.flush()
    crm.session.rollback()
    for step in (update(Consent).values(words="x"), delete(Consent)):
        with pytest.raises(RuleBroken):
            crm.session.execute(step)
        crm.session.rollback()
    assert [each.action for each in fresh(crm, Consent)] == ["given"]


# --- do-not-disturb lists

LIST = b"""mobile,preference,checked on
9820012345,blocked,2026-01-02
+91 98200 12346,none,
9820012347
no number,blocked,
9820012348,maybe,
9820012349,blocked,2999-01-01
9820012345,none,2026-01-01
"""


@pytest.mark.parametrize("content", [LIST, gzip.compress(LIST)])
def test_a_list_is_read_and_its_wrong_lines_are_kept(crm: Crm, content: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr(dnd_uploads, "CHUNK", 3)
    path = "/settings/do-not-disturb/"
    assert upload(crm, "ana", path, content, checked_on="2026-01-03").status_code == 403
    assert upload(crm, "root", path, content, checked_on="2999-01-01").status_code == 422
    assert upload(crm, "root", path, content, checked_on="2026-01-03").status_code == 302
    run_calls()
    (done,) = fresh(crm, DndUpload)
    assert (done.state, done.lines, done.wrong) == ("done", 8, 3)
    found = {each.number[-1]: (each.preference, each.checked_on.day) for each in fresh(crm, DoNotDisturb)}
    assert found == {"5": ("blocked", 2), "6": ("none", 3), "7": ("blocked", 3)}  # the older check changes nothing
    page = crm.client("root").screen(path).text
    assert f"{path}{done.id}/wrong.csv" in page and "list.csv" in page
    lines = crm.client("root").screen(f"{path}{done.id}/wrong.csv").text.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["line", "5", "6", "7"]


@pytest.mark.parametrize("text", ["=1+1", "＝1", "＋x", "－x", "＠x", "-x", "@x"])
def test_a_wrong_line_is_no_formula(crm: Crm, text: str) -> None:
    path = "/settings/do-not-disturb/"
    upload(crm, "root", path, f"mobile\n{text}\n".encode(), checked_on="2026-01-03")
    run_calls()
    (done,) = fresh(crm, DndUpload)
    assert f"'{text}" in crm.client("root").screen(f"{path}{done.id}/wrong.csv").text


def test_a_damaged_gzip_file_is_refused_in_words(crm: Crm) -> None:
    whole = gzip.compress(LIST * 100)
    for damaged in (whole[:20] + b"\xff" * 50 + whole[70:], whole[:30], whole[:10] + b"\xff" * 100):
        answer = upload(crm, "root", "/settings/do-not-disturb/", damaged, checked_on="2026-01-03")
        assert answer.status_code == 422 and "damaged" in answer.text
    assert not crm.count(DndUpload)


def test_a_list_that_is_cut_off_goes_on_where_it_was(crm: Crm, monkeypatch: Any) -> None:
    monkeypatch.setattr(dnd_uploads, "CHUNK", 3)
    upload(crm, "root", "/settings/do-not-disturb/", LIST, checked_on="2026-01-03")
    key = fresh(crm, DndUpload)[0].id
    with crm.app.app_context(), ExitStack() as stack:
        assert dnd_list_worker._step(key, dnd_list_worker._Source(stack), fresh(crm, DndUpload)[0].created_on)
        (cut,) = fresh(crm, DndUpload)
        assert file_references.referenced(crm.session, [cut.digest]) == {cut.digest}  # nobody takes it for forgotten
        dnd_list_worker.read(key)
    (done,) = fresh(crm, DndUpload)
    assert (done.state, done.wrong, done.digest) == ("done", 3, None)


def test_the_day_of_a_check_may_have_begun_in_india_only() -> None:
    evening = datetime(2026, 11, 26, 20, 30, tzinfo=UTC)
    line = dnd_uploads.parse(["9820012345", "", "2026-11-27"], evening, evening)
    assert isinstance(line, dnd_uploads.DndLine) and line.checked_on == evening
    assert isinstance(dnd_uploads.parse(["9820012345", "", "2026-11-28"], evening, evening), str)


def test_a_list_whose_file_is_gone_says_so(crm: Crm) -> None:
    upload(crm, "root", "/settings/do-not-disturb/", LIST, checked_on="2026-01-03")
    crm.app.extensions["crm_files"].delete(fresh(crm, DndUpload)[0].digest)
    run_calls()
    assert fresh(crm, DndUpload)[0].state == "failed"
    assert "no longer in the storage" in crm.client("root").screen("/settings/do-not-disturb/").text


def test_many_wrong_lines_are_counted_and_the_first_are_kept(crm: Crm, monkeypatch: Any) -> None:
    monkeypatch.setattr(dnd_uploads, "MAX_WRONG", 2)
    upload(crm, "root", "/settings/do-not-disturb/", b"no number\n" * 5, checked_on="2026-01-03")
    run_calls()
    (done,) = fresh(crm, DndUpload)
    lines = crm.client("root").screen(f"/settings/do-not-disturb/{done.id}/wrong.csv").text.splitlines()
    assert (done.wrong, len(lines)) == (5, 4) and "5 wrong lines" in lines[-1]


# --- undelivered


def test_many_are_sent_again_by_filter(crm: Crm, account: Any) -> None:  # noqa: F811
    own = {"channel": "sms", "direction": "out", "peer": "+919820012345", "body": "x", "account_id": account.id}
    rows = [("failed", "No money")] * 130 + [("failed", "No network")] * 3 + [("unknown", "No answer")] * 2
    for state, reason in rows:
        row = Message(**own, state=state, reason=reason, tries=1, native={})
        row.stamp(Stamp(crm.id_of("ana"), NOW))
        crm.session.add(row)
    crm.session.commit()
    client = crm.client("root")
    page = client.screen("/undelivered/?reason=No+money").text
    assert ">130<" in page and "before=" in page and "No network (3)" in page and page.count('name="rowid"') == 100
    assert client.screen("/undelivered/?state=sent").status_code == 400
    assert crm.client("ana").form("/undelivered/again", {"all": "1"}).status_code == 403
    assert client.form("/undelivered/again", {}).status_code == 302  # nothing was selected
    client.form("/undelivered/again", {"all": "1", "reason": "No network"})
    client.form("/undelivered/again", {"all": "1"})
    left = [each.state for each in fresh(crm, Message)]
    assert (left.count("failed"), left.count("unknown"), left.count("queued")) == (0, 2, 133)


# --- SMS


@pytest.mark.parametrize(
    "text, hosts, is_refused",
    [
        ("See https://eshin.in/kyc", "", False),
        ("See https://eshin.in/kyc", "eshin.in", False),
        ("See https://www.ESHIN.in", "eshin.in", False),
        ("See pay.eshin.in/x now", "eshin.in", False),
        ("See https://eshin.in.evil.com/x", "eshin.in", True),
        ("See bit.ly/x", "eshin.in", True),
        ("Version 2.5, at 10.30", "eshin.in", False),
    ],
)
def test_links_in_sms_follow_the_white_list(crm: Crm, text: str, hosts: str, is_refused: bool) -> None:
    crm.session.add(BusinessSetting(key="sms_link_hosts", value=hosts))
    crm.session.commit()
    if is_refused:
        with pytest.raises(RuleBroken, match="white list"):
            dlt_rules.refuse_foreign_links(crm.session, text)
    else:
        dlt_rules.refuse_foreign_links(crm.session, text)


@pytest.mark.parametrize(
    "text, chosen, result",
    [
        ("Dear Asha, your KYC is done", False, True),
        ("Dear Asha, your KYC is not done", False, False),
        ("Dear Asha, your KYC is done", True, True),
        ("Dear " + "A" * 31 + ", your KYC is done", True, False),
    ],
)
def test_a_text_follows_its_registered_template(
    crm: Crm,
    account: Any,  # noqa: F811
    text: str,
    chosen: bool,
    result: bool,
) -> None:
    template = MessageTemplate(
        label="KYC", channel="sms", body="Dear {{1}}, your KYC is done", provider_id="1107", position=0
    )
    crm.session.add(template)
    account.settings = {**account.settings, "dlt_entity_id": "1101"}
    crm.session.flush()
    given = template if chosen else None

    def found() -> Any:
        return dlt_rules.registered(crm.session, account, dlt_rules.SmsText("+919820012345", text, given))

    if result:
        assert found() is template
    else:
        with pytest.raises(RuleBroken):
            found()
    assert dlt_rules.registered(crm.session, account, dlt_rules.SmsText("+14155550100", text, None)) is None
