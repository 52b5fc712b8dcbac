"""Access to the settings; picklists and SLA policies."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.messaging import message_templates
from app.extensions import db
from app.models import (
    BusinessSetting,
    Lead,
    LeadSource,
    LeadStatus,
    MessageTemplate,
    OfficeRange,
    SlaPolicy,
    SlaTarget,
    SupportPage,
    TicketStatus,
)
from app.web.settings import settings_menu
from tests.cases import each_case
from tests.web.settings_app import (
    PICKLIST_ENTRY,
    Site,
    first_id,
    labels,
)

#: These have rights of their own: the brand is for admins alone, see test_brand.py; for the days of complaints and of
#: personal data, and for the disclosure, see tests/web/records/test_complaints.py.
OWN_RIGHTS = ("/settings/brand/", "/settings/complaints/", "/settings/personal-data/", "/settings/disclosure/")
ADMIN_PAGES = [entry.url for entry in settings_menu.BUSINESS if entry.url not in OWN_RIGHTS]
ADMIN_PAGES.append("/settings/office-ranges/list/")


# --- who may open the settings


@each_case("url", ADMIN_PAGES)
def test_who_may_open_the_settings(site: Site, url: str) -> None:
    for who in ("root", "sid"):
        if (who, url) != ("sid", "/settings/support-pages/list/"):
            response = site.get(who, url)
            assert response.status_code == 200, who
            assert " style=" not in response.text and "onclick=" not in response.text
    expected = 200 if url == "/settings/support-pages/list/" else 403
    assert site.get("ana", url).status_code == expected


def test_a_new_entry_comes_after_all_others(site: Site) -> None:
    last = max(site.rows(select(LeadSource.position)))
    form = site.get("root", "/settings/lead-sources/add").text
    assert re.search(
        rf'<input[^>]*(name="position"[^>]*value="{last + 1}"|value="{last + 1}"[^>]*name="position")', form
    )


def test_support_pages_have_their_own_module(site: Site) -> None:
    sent = {"label": "KYC", "url": "https://example.in/kyc", "description": "", "position": "1", "is_active": "y"}
    assert site.post("ana", "/settings/support-pages/add", **sent).status_code == 403
    assert site.post("sid", "/settings/support-pages/add", **sent).status_code == 403
    assert site.rows(select(SupportPage)) == []
    assert site.post("root", "/settings/support-pages/add", **sent).status_code == 302
    assert "https://example.in/kyc" in site.get("ana", "/settings/support-pages/list/").text


def test_a_sales_user_cannot_change_settings(site: Site) -> None:
    before = labels(site, LeadSource)
    key = first_id(site, LeadSource)
    assert site.post("ana", "/settings/lead-sources/add", **PICKLIST_ENTRY).status_code == 403
    assert site.post("ana", f"/settings/lead-sources/edit/{key}", **PICKLIST_ENTRY).status_code == 403
    assert site.post("ana", f"/settings/lead-sources/delete/{key}").status_code == 403
    assert site.post("ana", "/settings/business/", grace_minutes="1").status_code == 403
    assert site.post("ana", "/settings/hours/").status_code == 403
    assert labels(site, LeadSource) == before and site.rows(select(BusinessSetting)) == []
    assert site.rows(select(OfficeRange))


# --- picklists


def test_a_picklist_row_is_added_renamed_and_deleted(site: Site) -> None:
    assert site.post("sid", "/settings/lead-sources/add", **PICKLIST_ENTRY).status_code == 302
    key = site.ids(LeadSource, LeadSource.label)["Walk-in"]
    site.post("sid", f"/settings/lead-sources/edit/{key}", **{**PICKLIST_ENTRY, "label": "  Branch "})
    assert "Branch" in labels(site, LeadSource) and "Walk-in" not in labels(site, LeadSource)
    site.post("sid", f"/settings/lead-sources/delete/{key}")
    assert "Branch" not in labels(site, LeadSource)


@each_case(
    "change, sentence",
    [
        ({"label": ""}, ""),
        ({"label": "   "}, ""),
        ({"label": "x" * 141}, ""),
        ({"position": "many"}, ""),
        ({"position": "99999999999999999999"}, "between -9999 and 9999"),
        ({"label": "*taken*"}, "already exists"),
    ],
)
def test_an_invalid_row_is_refused_and_the_form_keeps_its_values(
    site: Site, change: dict[str, str], sentence: str
) -> None:
    before = labels(site, LeadSource)
    if change.get("label") == "*taken*":
        change = {"label": before[0]}
    response = site.post("root", "/settings/lead-sources/add", **{**PICKLIST_ENTRY, **change})
    assert response.status_code == 422 and sentence in response.text
    assert f'value="{(change.get("label") or change.get("position") or "").strip()}"' in response.text
    assert labels(site, LeadSource) == before


@pytest.mark.parametrize("field, value", [("color", "ultraviolet"), ("meaning", "lost in space")])
def test_color_and_meaning_come_from_the_list(site: Site, field: str, value: str) -> None:
    before = labels(site, LeadStatus)
    sent = {**PICKLIST_ENTRY, "color": "teal", "meaning": "working", field: value}
    assert site.post("root", "/settings/lead-statuses/add", **sent).status_code == 422
    assert labels(site, LeadStatus) == before
    good = {**sent, field: "blue" if field == "color" else "new"}
    assert site.post("root", "/settings/lead-statuses/add", **good).status_code == 302
    assert "Walk-in" in labels(site, LeadStatus)


@pytest.mark.parametrize("model, base", [(LeadStatus, "lead-statuses"), (TicketStatus, "ticket-statuses")])
def test_the_last_status_of_a_required_meaning_stays(site: Site, model: Any, base: str) -> None:
    row = site.rows(select(model).where(model.meaning == "new"))[0]
    site.post("root", f"/settings/{base}/delete/{row.id}")
    sent = {"label": row.label, "color": row.color, "position": "1"}
    hidden = site.post("root", f"/settings/{base}/edit/{row.id}", **sent, meaning="new")
    turned = site.post("root", f"/settings/{base}/edit/{row.id}", **sent, meaning="working", is_active="y")
    assert (hidden.status_code, turned.status_code) == (422, 422) and "only status" in turned.text
    again = site.rows(select(model).where(model.id == row.id))[0]
    assert again.is_active and again.meaning == "new"


def test_a_row_in_use_is_not_deleted(site: Site) -> None:
    key = first_id(site, LeadSource)
    with site.app.app_context():
        status, root = first_id(site, LeadStatus), site.user("root")
        now = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
        db.session.add(
            Lead(
                number="CRM-LEAD-2026-00001",
                first_name="Asha",
                status_id=status,
                status_on=now,
                source_id=key,
                owner_id=root,
                created_on=now,
                changed_on=now,
            )
        )
        db.session.commit()
    before = labels(site, LeadSource)
    assert site.post("root", f"/settings/lead-sources/delete/{key}").status_code == 302
    assert "still in use" in site.get("root", "/settings/lead-sources/list/").text
    assert labels(site, LeadSource) == before


@each_case("url", ["javascript:alert(1)", "ftp://example.in", "example.in", "https://", "http://a b"])
def test_a_support_page_needs_a_valid_url(site: Site, url: str) -> None:
    sent = {"label": "KYC", "url": url, "description": "", "position": "1", "is_active": "y"}
    response = site.post("root", "/settings/support-pages/add", **sent)
    assert response.status_code == 422 and "http:// or https://" in response.text
    assert site.rows(select(SupportPage)) == []


@pytest.mark.parametrize(
    "channel, header, provider_id, status",
    [
        ("email", "Dear {{first_name}}", "", 302),
        ("sms", "", "1107160000000000001", 302),
        ("sms", "A subject", "", 422),
        ("sms", "", "HX12", 422),
    ],
)
def test_a_template_has_its_subject_or_its_dlt_id(
    site: Site, channel: str, header: str, provider_id: str, status: int
) -> None:
    sent = {**PICKLIST_ENTRY, "channel": channel, "language": "en", "purpose": "promotional", "body": "Hi {{city}}"}
    sent |= {"header": header, "provider_id": provider_id}
    assert site.post("root", "/settings/message-templates/add", **sent).status_code == status
    rows = site.rows(select(MessageTemplate))
    assert len(rows) == (status == 302)
    for row in rows:
        assert (row.header, row.provider_id, row.purpose) == (header or None, provider_id or None, "promotional")
        names = message_templates.variables(row)
        assert set(names) == ({"city", "first_name"} if channel == "email" else {"city"})
        assert message_templates.subject_of(row, {"first_name": "Asha"}) == ("Dear Asha" if header else "")


def test_labels_are_escaped(site: Site) -> None:
    evil = "<script>alert(1)</script>"
    site.post(
        "root",
        "/settings/message-templates/add",
        **{**PICKLIST_ENTRY, "label": evil, "channel": "sms", "language": "en", "body": evil},
    )
    assert len(site.rows(select(MessageTemplate))) == 1
    key = first_id(site, MessageTemplate)
    for page in ("list/", f"show/{key}", f"edit/{key}"):
        assert evil not in site.get("root", f"/settings/message-templates/{page}").text


def test_a_template_shows_how_it_reads_for_a_ticket(site: Site) -> None:
    body = "Dear {{first_name}}, {{number}} is done. <b>{{1}}</b>"
    sent = {**PICKLIST_ENTRY, "channel": "note", "language": "en", "purpose": "service", "body": body}
    assert site.post("root", "/settings/message-templates/add", **sent).status_code == 302
    shown = site.get("root", f"/settings/message-templates/show/{first_id(site, MessageTemplate)}").text
    assert re.search(r"Dear Asha, CRM-TICKET-\d{4}-00042 is done\. &lt;b&gt;\{\{1\}\}&lt;/b&gt;", shown)
    assert "{{client_id}}" in site.get("root", "/settings/message-templates/add").text


def test_a_nul_character_is_refused(site: Site) -> None:
    before = labels(site, LeadSource)
    answer = site.post("root", "/settings/lead-sources/add", **{**PICKLIST_ENTRY, "label": "Fair a\0b"})
    assert answer.status_code == 422 and "be stored. Please remove it." in answer.text
    assert 'value="Fair ab"' in answer.text, "what was typed stays"
    assert labels(site, LeadSource) == before


# --- SLA policies


def targets(site: Site, policy: int) -> dict[str, tuple[int, int | None]]:
    rows = site.rows(select(SlaTarget).where(SlaTarget.policy_id == policy))
    return {row.priority: (row.first_response_minutes, row.resolution_minutes) for row in rows}


def test_a_policy_is_saved_with_its_targets(site: Site) -> None:
    sent = {"label": "Gold", "applies_to": "ticket", "position": "1", "is_active": "y"}
    aims = {"reply_any": "60", "solve_any": "", "reply_high": "15", "solve_high": "90"}
    assert site.post("root", "/settings/sla/add", **sent, **aims).status_code == 302
    key = site.ids(SlaPolicy, SlaPolicy.label)["Gold"]
    assert targets(site, key) == {"": (60, None), "High": (15, 90)}
    assert 'value="15"' in site.get("root", f"/settings/sla/edit/{key}").text
    site.post("root", f"/settings/sla/edit/{key}", **sent, reply_any="", solve_any="", reply_high="20", solve_high="90")
    assert targets(site, key) == {"High": (20, 90)}
    assert "High: response in 20m, resolution in 1h 30m" in site.get("root", "/settings/sla/list/").text


@each_case(
    "aims",
    [
        {},
        {"reply_high": "90", "solve_high": "15"},
        {"solve_high": "15"},
        {"reply_high": "0"},
        {"reply_high": "soon"},
        {"reply_high": "99999999999999999999"},
    ],
)
def test_an_invalid_policy_is_refused(site: Site, aims: dict[str, str]) -> None:
    before = labels(site, SlaPolicy)
    sent = {"label": "Gold", "applies_to": "ticket", "position": "1", "is_active": "y", **aims}
    empty = {f"{side}_high": "" for side in ("reply", "solve")}
    assert site.post("root", "/settings/sla/add", **{**empty, **sent}).status_code == 422
    assert labels(site, SlaPolicy) == before


def test_deleting_a_policy_deletes_its_targets(site: Site) -> None:
    key = first_id(site, SlaPolicy)
    site.post("root", f"/settings/sla/delete/{key}")
    assert targets(site, key) == {} and key not in site.rows(select(SlaPolicy.id))


# --- taking an entry off offer


def registered_picklists() -> list[str]:
    from app.web.settings.picklists import PicklistScreen
    from app.web.settings.settings_menu import GROUPS

    views = [entry.view for group in GROUPS for entry in group.entries]
    picklists = [view for view in views if isinstance(view, type) and issubclass(view, PicklistScreen)]
    return [
        view.route_base for view in picklists if {*view.columns} >= {"label", "is_active"} and not view.show_fieldsets
    ]


@pytest.mark.parametrize("base", registered_picklists())
def test_an_entry_of_every_picklist_can_be_taken_off_offer(crm: Any, base: str) -> None:
    """An unticked box is not sent at all; it means no."""
    screen = next(view for view in crm.app.appbuilder.baseviews if getattr(view, "route_base", "") == base)
    model, root = screen.datamodel.obj, crm.client("root")
    fields = {"label": "Short-lived", "position": "7", "is_active": "y", "url": "https://eshin.in/help", "body": "Hi"}
    fields |= {"channel": "sms", "language": "en", "color": "gray", "meaning": "working", "applies_to": "lead"}
    added = root.form(f"{base}/add", {name: value for name, value in fields.items() if name in screen.add_columns})
    assert added.status_code == 302, added.text
    (key,) = crm.rows(select(model.id).where(model.label == "Short-lived"))
    del fields["is_active"]
    sent = {name: value for name, value in fields.items() if name in screen.edit_columns}
    assert root.form(f"{base}/edit/{key}", sent).status_code == 302
    assert crm.rows(select(model.is_active).where(model.id == key)) == [False]
