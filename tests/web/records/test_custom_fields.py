"""Custom fields: a new one is immediately in forms, lists, filters, REST, imports, exports and reports."""

from __future__ import annotations

import html
import json
import threading
import time
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, update
from sqlalchemy.orm import Session

from app import access
from app.domain import custom_fields
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.custom_fields import CustomField, ExistingNames, FieldInput, name_from
from app.domain.custom_values import CustomValue
from app.domain.merging import merge_undo, record_merge
from app.lib import number_parsing
from app.lib.web_links import link_of
from app.models import Activity, AuditEntry, BulkChange, FieldMask, Lead, RecordMerge, Report, Role
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW
from tests.web.transfer.test_imports import Importer

ROOT = "/settings/fields"
RISK = {"kind": "choice", "label": "Risk profile", "name": "x_risk"} | {
    f"choice_label_{n}": label for n, label in enumerate(("Low", "Medium", "High"))
}
RISK |= {f"choice_offered_{n}": "1" for n in range(3)} | {"label_hi": "जोखिम", "choice_label_hi_2": "ऊँचा"}


def add(crm: Crm, table: str = "leads", **sent: Any) -> CustomField:
    """A field that the admin adds by the page."""
    answer = crm.client("root").form(f"{ROOT}/add?record={table}", sent)
    assert answer.status_code == 302, answer.text
    found: CustomField = crm.rows(select(CustomField).order_by(CustomField.id.desc()).limit(1))[0]
    return found


def made(crm: Crm, table: str, *inputs: FieldInput) -> None:
    """Fields that the domain adds, without a page."""
    session = crm.new_session()
    for given in inputs:
        custom_fields.create(session, given, ExistingNames(table, frozenset()), Stamp(crm.id_of("root"), NOW))
    session.commit()


def five(crm: Crm, table: str = "leads") -> None:
    """One field of each kind."""
    choices = [{"label": label} for label in ("Low", "Medium")] + [{"label": "High", "labels": {"hi": "ऊँचा"}}]
    labels = {"number": "Income", "date": "Review date", "text": "Hobby", "link": "Web page"}
    names = {"number": "x_income", "date": "x_review", "text": "x_hobby", "link": "x_web"}
    risk = FieldInput("Risk profile", "choice", "x_risk", {"hi": "जोखिम"}, choices=choices)
    made(crm, table, risk, *(FieldInput(label, kind, names[kind]) for kind, label in labels.items()))


VALUES = {
    "x_risk": "High",
    "x_income": 1200000.5,
    "x_review": "2026-12-24",
    "x_hobby": "Cricket",
    "x_web": "https://example.com/a",
}


def change(crm: Crm, row: CustomField, **sent: Any) -> Any:
    return crm.client("root").form(f"{ROOT}/{row.id}", {"label": row.label, "version": row.version, **sent})


def custom_of(crm: Crm, rule: Any, record: Any = Lead) -> dict[str, Any]:
    """The custom values of the one record for which this holds."""
    return dict(crm.rows(select(record).where(rule))[0].custom or {})


def test_rest_reads_writes_filters_and_sorts_custom_fields_at_once(crm_on_both: Crm) -> None:
    ana, resource = (
        crm_on_both.client("ana"),
        {"leads": "lead", "customer": "customer", "ticket": "ticket", "task": "task"},
    )
    lead = crm_on_both.make.lead()
    other, third = crm_on_both.make.lead(), crm_on_both.make.lead()
    rows = {"leads": lead, "customer": crm_on_both.make.customer(), "task": crm_on_both.make.task(lead)}
    for table, row in rows.items():
        assert ana.rest("GET", f"{resource[table]}/{row.id}").json["result"].get("x_risk", "none") == "none"
        five(crm_on_both, table)
        body = ana.rest("PUT", f"{resource[table]}/{row.id}", json=VALUES)
        assert body.status_code == 200, body.text
        read = ana.rest("GET", f"{resource[table]}/{row.id}").json["result"]
        assert {name: read[name] for name in VALUES} == VALUES == {n: body.json["result"][n] for n in VALUES}
        assert 'data-pair="x_risk"' in ana.screen(f"/{table.removesuffix('s')}s/show/{row.id}").text
        assert ana.screen(f"/{table.removesuffix('s')}s/edit/{row.id}").text.count('name="x_risk"') == 1
    five(crm_on_both, "ticket")
    subject = ana.rest("GET", "ticket/_info").status_code
    ticket = crm_on_both.make.ticket("cleo")
    assert crm_on_both.client("cleo").rest("PUT", f"ticket/{ticket.id}", json=VALUES).status_code == 200, subject
    ana.rest("PUT", f"lead/{other.id}", json={"x_income": 5, "x_hobby": "Bridge", "x_risk": "low"})
    found = {
        '[{"col":"x_risk","opr":"eq","value":"high"}]': [lead.id],
        '[{"col":"x_risk","opr":"neq","value":"High"}]': [other.id, third.id],
        '[{"col":"x_risk","opr":"in","value":["Low","High"]}]': [lead.id, other.id],
        '[{"col":"x_income","opr":"ge","value":5}]': [lead.id, other.id],
        '[{"col":"x_income","opr":"lt","value":1200000.5}]': [other.id],
        '[{"col":"x_income","opr":"null","value":true}]': [third.id],
        '[{"col":"x_review","opr":"le","value":"2026-12-24"}]': [lead.id],
        '[{"col":"x_hobby","opr":"ct","value":"RICK"}]': [lead.id],
        '[{"col":"x_hobby","opr":"not_null","value":true}]': [lead.id, other.id],
        '[{"col":"x_web","opr":"sw","value":"https://example"}]': [lead.id],
    }
    for filters, ids in found.items():
        answer = ana.rest("GET", "lead/", q={"filters": json.loads(filters)})
        assert (answer.status_code, sorted(answer.json["ids"])) == (200, ids), (filters, answer.text)
    for name, up in (("x_income", [other.id, lead.id, third.id]), ("x_hobby", [other.id, lead.id, third.id])):
        for direction in ("asc", "desc"):
            answer = ana.rest("GET", "lead/", q={"order_column": name, "order_direction": direction})
            expected = up if direction == "asc" else [lead.id, other.id, third.id]
            assert answer.json["ids"] == expected, (name, direction, answer.text)
    info = ana.rest("GET", "lead/_info").json
    assert {"x_risk", "x_web"} <= {each["name"] for each in info["add_columns"]} and "x_income" in info["filters"]
    shown = ana.rest("GET", "/api/v1/_openapi").json["components"]["schemas"]["Lead"]["properties"]
    assert shown["x_risk"]["enum"] == ["Low", "Medium", "High", None] and shown["x_income"]["type"] == "number"
    assert crm_on_both.rows(select(CustomValue.number_value).where(CustomValue.number_value == 5)) == [5]


def test_the_pages_show_take_and_filter_them(crm: Crm) -> None:
    ana, lead = crm.client("ana"), crm.make.lead()
    assert "x_risk" not in ana.screen("/leads/add").text
    five(crm)
    add(crm, kind="text", label="Nickname", name="x_nick", is_required="1", is_quick="1")
    form = ana.screen("/leads/add").text
    assert 'name="x_risk"' in form and 'name="x_review"' in form and "More fields" in form
    income = next(tag for tag in form.split("<input") if 'name="x_income"' in tag).partition(">")[0]
    assert 'type="text"' in income and 'inputmode="decimal"' in income, "a number takes no ₹ and no comma"
    assert 'name="x_nick"' in ana.screen("/leads/quick").text and 'name="x_web"' not in ana.screen("/leads/quick").text
    typed = {"first_name": "Uma", "mobile": crm.make.mobile()}
    for path in ("/leads/add", "/leads/quick"):
        answer = ana.form(path, typed)
        assert answer.status_code == 422 and "Nickname" in answer.text, path
    filled = {"x_nick": "U", "x_income": "12,34,567.50", "x_review": "2026-12-24", "x_web": "www.example.com"}
    assert ana.form("/leads/add", typed | filled).status_code == 302
    kept = custom_of(crm, Lead.first_name == "Uma")
    assert kept == filled | {"x_income": 1234567.5, "x_web": "https://www.example.com"}
    # an old lead without the required value can still be changed, but a value can't be emptied
    row = ana.screen(f"/leads/show/{lead.id}").text
    assert ("Risk profile" in row and 'data-name="x_risk"' in row) or "x_risk" in row
    assert ana.form(f"/leads/edit/{lead.id}", {"first_name": "Ravi", "x_risk": "Low"}).status_code == 302
    assert ana.form(f"/leads/edit/{lead.id}", {"first_name": "Ravi", "x_nick": "R"}).status_code == 302
    emptied = ana.form(f"/leads/edit/{lead.id}", {"first_name": "Ravi", "x_nick": ""})
    assert emptied.status_code == 422 and "be emptied" in emptied.text
    assert ana.form(f"/leads/cell/{lead.id}/x_hobby", {"x_hobby": "Chess"}).status_code in (200, 204, 302)
    assert custom_of(crm, Lead.id == lead.id)["x_hobby"] == "Chess"
    listed = ana.screen("/leads/?cols=name,x_risk,x_web,x_income&_flt_eq_x_hobby=Chess&_oc_LeadScreen=x_income")
    assert listed.status_code == 200 and ">Low<" in listed.text and "Uma" not in listed.text
    nested = json.dumps(["any", ["x_income", "gt", "1000"], ["x_risk", "eq", "High"]])
    found = ana.screen("/leads/", query_string={"where": nested})
    assert "Uma" in found.text and "Ravi" not in found.text and "Income" in ana.screen("/leads/filters").text
    assert 'rel="noopener' in ana.screen("/leads/?cols=name,x_web").text
    hindi = ana.rest("GET", "lead/_info", headers={"Accept-Language": "hi"}).json["add_columns"]
    assert "जोखिम" in [each["label"] for each in hindi] and "Income" in [each["label"] for each in hindi]
    lines = crm.rows(select(Activity).where(Activity.lead_id == lead.id, Activity.kind == "field_change"))
    assert [["leads.x_risk", None, "Low"]] in [each.payload["changes"] for each in lines]
    timeline = ana.screen(f"/leads/show/{lead.id}?tab=changes").text
    assert "Risk profile" in timeline and "Nickname" in timeline


def test_only_whom_the_role_matrix_names_sees_a_limited_field(crm: Crm) -> None:
    """Masked in lists, pages, exports and timelines; never filtered, sorted or grouped by."""
    lead, ana, mia = crm.make.lead(), crm.client("ana"), crm.client("mia")
    five(crm)
    field = add(crm, kind="text", label="Bank", name="x_bank", is_restricted="1")
    root = crm.client("root")
    assert root.rest("PUT", f"lead/{lead.id}", json={"x_bank": "HDFC 998877", "x_hobby": "Chess"}).status_code == 200
    assert "998877" not in ana.rest("GET", f"lead/{lead.id}").text + ana.screen(f"/leads/show/{lead.id}").text
    assert "998877" not in ana.screen(f"/leads/show/{lead.id}?tab=changes").text
    for q in ({"filters": [{"col": "x_bank", "opr": "eq", "value": "HDFC 998877"}]}, {"order_column": "x_bank"}):
        assert ana.rest("GET", "lead/", q=q).status_code == 400
    definition = {"groups": [{"column": "x_bank", "by": ""}], "figures": [{"of": "count", "column": ""}]}
    assert made_report(crm, "ana", definition).status_code == 400
    role = crm.rows(select(Role).where(Role.name == "Sales Manager"))[0]
    page = root.screen(f"/roles/matrix/{role.id}").text
    assert f'name="mask_x_{field.id}"' in page and "Bank" in page
    seen = page.split("?seen=")[1].split('"')[0]
    assert root.form(f"/roles/matrix/{role.id}?seen={seen}", {f"mask_x_{field.id}": "full"}).status_code == 302
    assert crm.rows(select(FieldMask.level).where(FieldMask.field == f"x_{field.id}")) == ["full"]
    assert mia.rest("GET", f"lead/{lead.id}").json["result"]["x_bank"] == "HDFC 998877"
    shown = ana.rest("GET", f"lead/{lead.id}").json["result"]["x_bank"]
    assert ana.rest("PUT", f"lead/{lead.id}", json={"x_bank": shown}).status_code == 200  # a mask changes nothing
    assert custom_of(crm, Lead.id == lead.id)["x_bank"] == "HDFC 998877"
    assert "Bank" in ana.screen("/users/can/", follow_redirects=True).text


def test_who_does_not_see_a_limited_field_cannot_open_it_for_everybody(crm: Crm) -> None:
    field = add(crm, kind="text", label="Bank", name="x_bank", is_restricted="1")
    lead = crm.make.lead()
    crm.client("root").rest("PUT", f"lead/{lead.id}", json={"x_bank": "HDFC 998877"})
    for verb in ("read", "write"):
        crm.make.cell("Sales Manager", "Settings", verb, "all")
    mia, page = crm.client("mia"), f"{ROOT}/{field.id}"
    answer = mia.form(page, {"label": "Bank", "version": field.version})
    assert answer.status_code == 403 and "grant more than you have" in answer.text
    assert "998877" not in mia.rest("GET", f"lead/{lead.id}").text
    assert crm.rows(select(CustomField.is_restricted)) == [True]
    sent = {"label": "Bank account", "version": field.version, "is_restricted": "1"}
    assert mia.form(page, sent).status_code == 302
    role = crm.rows(select(Role.id).where(Role.name == "Sales Manager"))[0]
    crm.session.add(FieldMask(role_id=role, field=f"x_{field.id}", level="full"))
    crm.session.commit()
    (version,) = crm.rows(select(CustomField.version))
    assert mia.form(page, {"label": "Bank", "version": version}).status_code == 302


def made_report(crm: Crm, who: str, definition: dict[str, Any]) -> Any:
    """What REST answers for a new report of leads."""
    report = Report(owner_id=crm.id_of(who), label="R", kind="lead", definition=definition, audience="all")
    report.created_on = report.changed_on = NOW
    crm.session.add(report)
    crm.session.commit()
    return crm.client(who).rest("GET", f"report/{report.id}/run")


def test_reports_group_sum_and_show_custom_fields(crm_on_both: Crm) -> None:
    five(crm_on_both)
    root = crm_on_both.client("root")
    given = (("High", 10, "2026-11-30"), ("High", 5.5, "2026-12-01"), ("Low", 1, None), (None, 0.25, None))
    for risk, income, day in given:
        values = {"x_risk": risk, "x_income": income, "x_review": day, "x_hobby": risk and f"{risk} hobby"}
        lead = crm_on_both.make.lead()
        assert root.rest("PUT", f"lead/{lead.id}", json=values).status_code == 200
    figures = [{"of": "count", "column": ""}, *({"of": of, "column": "x_income"} for of in ("sum", "median"))]
    definition = {"groups": [{"column": "x_risk", "by": ""}], "figures": figures}
    answer = made_report(crm_on_both, "root", definition)
    assert answer.status_code == 200, answer.text
    assert {tuple(row) for row in answer.json["rows"]} >= {("High", 2, 15.5, 7.75), ("Low", 1, 1, 1)}, answer.text
    by_month = {"groups": [{"column": "x_review", "by": "month"}], "figures": [{"of": "max", "column": "x_income"}]}
    months = {tuple(row) for row in made_report(crm_on_both, "root", by_month).json["rows"]}
    assert {("Nov 2026", 10), ("Dec 2026", 5.5)} <= months
    columns = {"columns": ["number", "x_risk", "x_income", "x_review"], "where": ["all", ["x_income", "ge", "5"]]}
    assert len(made_report(crm_on_both, "root", columns).json["rows"]) == 2


def test_a_file_brings_and_takes_custom_values_and_a_revert_takes_them_back(crm: Crm) -> None:
    five(crm)
    mia = Importer(crm)
    run = mia.imported(
        "First name,Mobile,Risk profile,Income,Review date,Web page,Hobby\n"
        'Uma,9820011111,ऊँचा,"12,34,567.5",24/12/2026,www.example.com/x,Chess\n'
        "Bad,9820022222,Extreme,many,2026-12-24,javascript:alert(1),\n"
    )
    wrong = mia.problems(run)
    assert (run.created, list(wrong)) == (1, [2]), wrong
    assert all(word in wrong[2] for word in ("Risk profile", "Income", "Web page"))
    expected = {"x_risk": "High", "x_income": 1234567.5, "x_review": "2026-12-24"}
    expected |= {"x_web": "https://www.example.com/x", "x_hobby": "Chess"}
    assert custom_of(crm, Lead.first_name == "Uma") == expected
    again = mia.imported("Mobile,Income,Hobby\n9820011111,7,\n", duplicates="update")
    assert again.updated == 1 and custom_of(crm, Lead.first_name == "Uma")["x_income"] == 7
    assert mia.act(again, "revert").outcome and custom_of(crm, Lead.first_name == "Uma") == expected
    root = crm.client("root")
    form = {"format": "csv", "columns": ["name", "x_risk", "x_income", "x_review", "x_web"]}
    sent = root.form("/exports/lead", form)
    text = sent.get_data(as_text=True)
    assert sent.status_code == 200 and "Risk profile" in text and "High" in text and "1234567.5" in text, text[:400]
    assert "https://www.example.com/x" in text


def test_a_merge_takes_custom_values_along_and_its_undo_brings_them_back(crm: Crm) -> None:
    five(crm)
    root, kept, gone = crm.client("root"), crm.make.lead(), crm.make.lead()
    root.rest("PUT", f"lead/{kept.id}", json={"x_hobby": "Chess", "x_income": 1})
    root.rest("PUT", f"lead/{gone.id}", json={"x_hobby": "Cricket", "x_risk": "High"})
    context = ChangeContext(crm.id_of("root"), NOW, vault=crm.vault)
    session = crm.new_session()
    done = record_merge.merge(session, record_merge.MergeRequest(Lead, (kept.id, gone.id)), context)
    session.commit()
    assert custom_of(crm, Lead.id == kept.id) == {"x_hobby": "Cricket", "x_income": 1, "x_risk": "High"}
    assert set(crm.rows(select(CustomValue.record_id))) == {kept.id}
    merge_undo.undo(session, crm.rows(select(RecordMerge.id))[0], context)
    session.commit()
    assert done.id and custom_of(crm, Lead.id == kept.id) == {"x_hobby": "Chess", "x_income": 1}
    assert custom_of(crm, Lead.id == gone.id) == {"x_hobby": "Cricket", "x_risk": "High"}
    assert set(crm.rows(select(CustomValue.record_id))) == {kept.id, gone.id}
    assert root.form(f"/leads/delete/{gone.id}").status_code == 302
    assert set(crm.rows(select(CustomValue.record_id))) == {kept.id}


def test_an_index_that_differs_from_the_records_is_found_and_mended(crm_on_both: Crm) -> None:
    five(crm_on_both)
    root, runner = crm_on_both.client("root"), crm_on_both.app.test_cli_runner()
    rows = [crm_on_both.make.lead() for _ in range(3)]
    for row in rows:
        root.rest("PUT", f"lead/{row.id}", json=VALUES)
    root.rest("PUT", f"lead/{rows[0].id}", json={"x_income": 0.1})
    index: Any = CustomValue.__table__
    whole = sorted(map(str, crm_on_both.rows(select(index))))
    assert runner.invoke(args=["custom-field", "check"]).exit_code == 0
    with crm_on_both.engine.begin() as connection:  # statements that bypass the hook
        connection.execute(delete(index).where(index.c.record_id == rows[0].id))
        connection.execute(update(index).where(index.c.record_id == rows[1].id).values(text_value="Other"))
        lost = {"field_id": crm_on_both.rows(select(CustomField.id))[0], "record_id": rows[2].id + 1000}
        connection.execute(insert(index).values(lost | {"text_value": "Low"}))
    checked = runner.invoke(args=["custom-field", "check"])
    assert (checked.exit_code, "lead: 3 records differ." in checked.output) == (1, True), checked.output
    rebuilt = runner.invoke(args=["custom-field", "rebuild"])
    assert (rebuilt.exit_code, "were mended" in rebuilt.output) == (0, True), rebuilt.output
    assert sorted(map(str, crm_on_both.rows(select(index)))) == whole
    assert runner.invoke(args=["custom-field", "check"]).exit_code == 0


def test_a_bulk_change_of_custom_fields_can_be_undone(crm: Crm) -> None:
    five(crm)
    root, lead = crm.client("root"), crm.make.lead()
    root.rest("PUT", f"lead/{lead.id}", json={"x_hobby": "Chess"})
    assert root.form("/leads/action_post", {"action": "edit", "rowid": [lead.id], "x_risk": "Low", "x_hobby": "Go"})
    assert custom_of(crm, Lead.id == lead.id) == {"x_risk": "Low", "x_hobby": "Go"}
    change_id = crm.rows(select(BulkChange.id))[0]
    root.form("/leads/undo", {"change": change_id})
    assert custom_of(crm, Lead.id == lead.id) == {"x_hobby": "Chess"}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"label": ""}, "what people call"),
        ({"label": "Status"}, "There is a field “Status” already"),
        ({"label": "risk PROFILE"}, "There is a field “risk PROFILE” already"),
        ({"label": "A", "name": "x_risk"}, "the name of another field"),
        ({"label": "A", "name": "Größe"}, "small Latin letters"),
        ({"label": "A", "name": "x_" + "a" * 40}, "small Latin letters"),
        ({"label": "L" * 61}, "too long"),
        ({"label": "A", "kind": "formula"}, "what the field holds"),
        ({"label": "A", "kind": "choice"}, "at least one choice"),
        (
            {"label": "A", "kind": "choice", "choice_label_0": "x", "choice_label_1": "X", "choice_offered_0": "1"},
            "twice",
        ),
        (
            {"label": "A", "kind": "choice", "choice_label_0": "x", "choice_offered_0": "1"}
            | {"choice_label_1": "y", "choice_label_hi_1": "X"},
            "“X” is there twice",
        ),
        ({"label": "A", "choice_label_0": "x", "choice_offered_0": "1"}, "Only a field that holds a choice"),
    ],
)
def test_a_field_that_cannot_be_is_refused_and_what_was_typed_stays(crm: Crm, sent: dict[str, str], said: str) -> None:
    add(crm, **RISK)
    answer = crm.client("root").form(f"{ROOT}/add?record=leads", {"kind": "text", "help": "Kept text", **sent})
    assert (answer.status_code, said in answer.text, "Kept text" in answer.text) == (422, True, True), answer.text
    assert crm.count(CustomField) == 1


def test_choices_and_fields_that_records_use_are_never_lost(crm: Crm) -> None:
    field, root, lead = add(crm, **RISK), crm.client("root"), crm.make.lead()
    devanagari = add(crm, kind="text", label="जन्म स्थान")
    assert devanagari.name == "x_field" and name_from("Risk (KYC) – é") == "x_risk_kyc"
    root.rest("PUT", f"lead/{lead.id}", json={"x_risk": "High", "x_field": "पुणे"})
    assert change(crm, field, kind="number").status_code == 422
    kept = {"choice_value_0": "Low", "choice_label_0": "Low", "choice_offered_0": "1"}
    refused = change(crm, field, **kept)
    assert refused.status_code == 422 and "Records have “High”" in refused.text
    swapped = kept | {"choice_label_0": "High", "choice_value_1": "High", "choice_label_1": "Low"}
    refused = change(crm, field, **swapped)
    assert refused.status_code == 422 and "is there twice" in refused.text
    retired = kept | {"choice_value_1": "High", "choice_label_1": "Very high"}  # renamed, and no longer offered
    assert change(crm, field, **retired).status_code == 302
    assert change(crm, field, **retired).status_code == 409  # somebody else has saved since
    assert "Very high" in root.screen(f"/leads/edit/{lead.id}").text
    assert root.rest("PUT", f"lead/{lead.id}", json={"x_risk": "High", "x_field": "नाशिक"}).status_code == 200
    other = root.rest("PUT", f"lead/{crm.make.lead().id}", json={"x_risk": "High"})
    assert other.status_code == 422 and "offered any more" in other.text
    found = root.rest("GET", "lead/", q={"filters": [{"col": "x_risk", "opr": "eq", "value": "Very high"}]})
    assert found.json["ids"] == [lead.id]
    assert root.form(f"{ROOT}/{field.id}/remove").status_code == 302
    assert "x_risk" not in root.rest("GET", f"lead/{lead.id}").json["result"]
    assert root.screen("/leads/?cols=name,x_risk").status_code == 400
    gone = {"filters": [{"col": "x_risk", "opr": "eq", "value": "High"}]}
    assert root.rest("GET", "lead/", q=gone).status_code == 400
    again = root.form(f"{ROOT}/add?record=leads", {"kind": "text", "label": "Risk profile"})
    assert again.status_code == 422 and "was removed" in again.text
    assert root.form(f"{ROOT}/{field.id}/restore").status_code == 302
    assert root.rest("GET", f"lead/{lead.id}").json["result"]["x_risk"] == "High"
    noted = crm.rows(select(AuditEntry).where(AuditEntry.event == "custom field").order_by(AuditEntry.id))
    assert [each.payload["state"] for each in noted] == ["added", "added", "changed", "removed", "restored"]
    for who, code in (("ana", 403), ("mia", 403), (None, 302)):
        assert crm.client(who).form(f"{ROOT}/{field.id}/remove").status_code == code


def test_no_field_is_brought_back_beyond_the_limit(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    field, root = add(crm, kind="text", label="One"), crm.client("root")
    assert root.form(f"{ROOT}/{field.id}/remove").status_code == 302
    add(crm, kind="text", label="Two")
    monkeypatch.setattr(custom_fields, "MAX_FIELDS", 1)
    root.form(f"{ROOT}/{field.id}/restore")
    assert "can have 1 fields of your own" in root.screen(f"{ROOT}/").text
    assert crm.fresh(field).removed_on is not None


def test_two_admins_at_once_give_one_name_to_one_field(maria: Crm) -> None:
    made(maria, "leads", FieldInput("One", "text"), FieldInput("Two", "text"))
    said: list[str] = []

    def rename(key: int) -> None:
        with Session(maria.engine) as session, access.as_system(session):
            row = session.get_one(CustomField, key)
            ready.wait()
            try:
                custom_fields.change(
                    session, row, FieldInput("Same", "text"), ExistingNames("leads", frozenset()), stamp
                )
                time.sleep(0.3)
                session.commit()
                said.append("saved")
            except RuleBroken:
                said.append("refused")

    ready, stamp = threading.Barrier(2), Stamp(maria.id_of("root"), NOW)
    threads = [threading.Thread(target=rename, args=(key,)) for key in maria.rows(select(CustomField.id))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(said) == ["refused", "saved"]


@pytest.mark.parametrize("first", ["who chooses", "who deletes"])
def test_a_choice_that_is_deleted_while_somebody_chooses_it(maria: Crm, first: str) -> None:
    choices = [{"label": "Low"}, {"label": "High"}]
    made(maria, "leads", FieldInput("Risk", "choice", "x_risk", choices=choices))
    field, lead = maria.rows(select(CustomField))[0], maria.make.lead()
    said: dict[str, str] = {}
    root, ana = maria.client("root"), maria.client("ana")

    def delete_it() -> None:
        form = {"label": "Risk", "version": field.version, "kind": "choice", "choice_label_0": "Low"}
        form |= {"choice_value_0": "Low", "choice_offered_0": "1"}
        answer = root.form(f"{ROOT}/{field.id}", form)
        said["who deletes"] = "done" if answer.status_code == 302 else answer.text

    def choose_it() -> None:
        answer = ana.rest("PUT", f"lead/{lead.id}", json={"x_risk": "High"})
        said["who chooses"] = "done" if answer.status_code == 200 else answer.text

    acts = {"who deletes": delete_it, "who chooses": choose_it}
    (second,) = acts.keys() - {first}
    held, goes_on = threading.Event(), threading.Event()

    def hold(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        """The first one stops before its commit, with its locks."""
        is_locking = "custom_field" in statement and ("LOCK IN SHARE MODE" in statement or "FOR UPDATE" in statement)
        if is_locking and not held.is_set():
            held.set()
            assert goes_on.wait(20)

    event.listen(maria.engine, "after_cursor_execute", hold)
    try:
        one, two = threading.Thread(target=acts[first]), threading.Thread(target=acts[second])
        one.start()
        assert held.wait(20)
        two.start()
        time.sleep(1)
        assert said == {}  # the second one waits for the first one
        goes_on.set()
        one.join(30)
        two.join(30)
    finally:
        goes_on.set()
        event.remove(maria.engine, "after_cursor_execute", hold)
    assert said[first] == "done", said
    part = {"who chooses": "was deleted a moment ago", "who deletes": "be deleted. Take the tick off"}[second]
    assert part in said[second]
    kept = custom_of(maria, Lead.id == lead.id).get("x_risk")
    offered = [each["value"] for each in maria.fresh(field).choices]
    assert kept in (None, *offered)


def test_sixty_fields_cost_no_statement_more(crm: Crm) -> None:
    lead = crm.make.lead()
    made(crm, "leads", FieldInput("Field 0", "text", "x_f0"))
    counted = [statements(crm, path) for path in (f"lead/{lead.id}", "lead/")]
    made(crm, "leads", *(FieldInput(f"Field {number}", "text", f"x_f{number}") for number in range(1, 60)))
    body = {f"x_f{number}": "क" * 255 for number in range(60)}
    assert crm.client("ana").rest("PUT", f"lead/{lead.id}", json=body).status_code == 200
    assert [statements(crm, path) for path in (f"lead/{lead.id}", "lead/")] == counted
    assert crm.client("ana").screen(f"/leads/show/{lead.id}").status_code == 200


def statements(crm: Crm, path: str) -> int:
    """How many statements the second of two requests sends."""
    seen: list[str] = []
    crm.client("ana").rest("GET", path)
    event.listen(crm.engine, "before_cursor_execute", note := lambda *args: seen.append(args[2]))
    try:
        assert crm.client("ana").rest("GET", path).status_code == 200
    finally:
        event.remove(crm.engine, "before_cursor_execute", note)
    return len(seen)


def test_what_was_typed_into_a_field_that_was_removed_meanwhile_is_not_lost_in_silence(crm: Crm) -> None:
    lead, ana, root = crm.make.lead("ana"), crm.client("ana"), crm.client("root")
    field = add(crm, kind="text", label="Nickname", name="x_nick")
    assert root.rest("PUT", f"lead/{lead.id}", json={"x_nick": "Old"}).status_code == 200
    assert root.form(f"{ROOT}/{field.id}/remove").status_code == 302
    version, typed = str(crm.fresh(lead).version), {"first_name": "Ravi", "x_nick": "Bunty 100%"}
    for path in (f"/leads/edit/{lead.id}", "/leads/add", "/leads/quick"):
        sent = {"mobile": crm.make.mobile(), "version": version}
        answer = ana.form(path, typed | sent)
        assert answer.status_code == 422 and "You had entered: Bunty 100%" in html.unescape(answer.text), path
        assert crm.fresh(lead).version == int(version) and crm.count(Lead) == 1
    assert ana.form(f"/leads/edit/{lead.id}", typed | {"x_nick": "Old", "version": version}).status_code == 302


@each_case(
    "typed, number",
    [
        ("12,34,567.50", 1234567.5),
        ("1,234,567", 1234567),
        ("1.234,50", 1234.5),
        ("₹ 1,234", 1234),
        ("१२.५", 12.5),
        ("-0.0001", -0.0001),
        ("−5", -5),
        (7, 7),
        ("1,5", None),
        ("1.23456", None),
        ("1e5", None),
        ("NaN", None),
        ("12 lakh", None),
        ("", None),
        (True, None),
        (10**12, None),
        ([], None),
    ],
)
def test_numbers_are_read_as_people_write_them(typed: Any, number: Any) -> None:
    if number is None:
        with pytest.raises(ValueError):
            number_parsing.read(typed)
    else:
        assert number_parsing.read(typed) == number


@each_case(
    "typed, link",
    [
        ("example.com", "https://example.com"),
        ("HTTP://example.com:8080/a?b=c#d", "HTTP://example.com:8080/a?b=c#d"),
        ("//example.com/x", "https://example.com/x"),
        ("https://उदाहरण.भारत/", "https://उदाहरण.भारत/"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt://example.com/%0aalert(1)", None),
        ("data:text/html,x", None),
        ("https://user:secret@example.com", None),
        ("https://", None),
        ("nonsense", None),
        ("https://exa mple.com", None),
        ('https://example.com/"onclick=', None),
        ("https://example.com:99999/", None),
        ("ftp://example.com", None),
    ],
)
def test_only_web_addresses_are_links(typed: str, link: str | None) -> None:
    if link is None:
        with pytest.raises(ValueError):
            link_of(typed)
    else:
        assert link_of(typed) == link
