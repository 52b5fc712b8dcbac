"""The page of the business settings, and those of the deadlines about personal data and of the disclosure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.access.person import Person
from app.domain import business_settings
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.models import BusinessSetting
from app.web.core import fab_access
from app.web.core.fab_access import NOT_REFUSED, Refusal, current_viewer
from app.web.core.localization.default_labels import shown_label
from app.web.pages.settings_page import SettingsFormPage, refuse_stale, settings_form
from app.web.settings import settings_audit

#: Longer spans are typing errors: a year in minutes, ten years in days.
MAX_MINUTES, MAX_DAYS, MAX_TEXT_LENGTH = 525_600, 3650, 140
#: A warning must come before the target.
MAX_PERCENT = 99
#: Every month has this day; a reminder comes after the month that it is about.
MAX_DAY_OF_MONTH, MAX_REMINDER_DAYS = 28, 27
#: Texts that may be empty; fields of which complete forms contain one, so that a missing checkbox means unchecked.
_OPTIONAL, _SENT_FIELDS = ("phone_app_url", "sms_link_hosts"), ("phone_app_version", "disclosure_due_day")
#: Characters of the list of hosts, and one of them.
MAX_HOSTS_LENGTH = 1000
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}", re.IGNORECASE)
_TIME = "((?:[01][0-9]|2[0-3]):[0-5][0-9])"
_HOURS = re.compile(rf"{_TIME} *[-–] *{_TIME}")
_LABELS = {
    "grace_minutes": lazy_gettext("Office minutes a task can be overdue before it is reassigned"),
    "retry_minutes": lazy_gettext("Office minutes until a reassigned task is due"),
    "first_task_minutes": lazy_gettext("Minutes until the first task of a new record is due"),
    "request_expiry_days": lazy_gettext("Working days until a pending assignment request expires"),
    "lead_expiry_days": lazy_gettext("Days without activity until an open lead expires"),
    "opened_expiry_days": lazy_gettext("Days in Account Opened until a lead expires"),
    "rekyc_reminder_days": lazy_gettext("Days before a customer's re-KYC date at which their owner is reminded"),
    "sla_warning_percent": lazy_gettext("Percent of the SLA target after which a warning is sent"),
    "sla_escalation_minutes": lazy_gettext("Office minutes until a missed SLA target is escalated to the next manager"),
    "promotional_hours": lazy_gettext("Hours in which promotional messages are sent and calls made"),
    "caller_id_rule": lazy_gettext("When no caller ID fits the purpose of a call"),
    "quiet_hours": lazy_gettext("Hours in which nothing is sent that no person has written"),
    "promotional_needs_consent": lazy_gettext("Send promotional messages only to people whose consent is on record"),
    "consent_transaction_days": lazy_gettext("Days until a consent that was given for an ongoing transaction lapses"),
    "consent_ask_again_days": lazy_gettext("Days after an opt-out in which a person isn't asked for consent again"),
    "data_request_days": lazy_gettext("Days in which a request about personal data is answered"),
    "data_request_warning_days": lazy_gettext("Days before the last one at which a warning is sent"),
    "breach_cert_in_hours": lazy_gettext("Hours in which CERT-In is told of a data breach"),
    "breach_board_hours": lazy_gettext("Hours in which the Data Protection Board is told of a data breach"),
    "breach_warning_percent": lazy_gettext("Percent of these hours after which a warning is sent"),
    "erasure_customer_days": lazy_gettext("Days for which a customer's data is kept after the end of their accounts"),
    "erasure_complaint_days": lazy_gettext("Days for which a complaint is kept after its end"),
    "erasure_order_days": lazy_gettext("Days for which an order by telephone is kept, with what proves it"),
    "erasure_proof_days": lazy_gettext("Days for which a request is kept after the erasure, as its proof"),
    "dnd_valid_days": lazy_gettext("Days for which a do-not-disturb check of a number is valid"),
    "sms_link_hosts": lazy_gettext("Hosts that links in SMS may lead to, comma-separated; leave empty to allow any"),
    "disclosure_layout": lazy_gettext("Layout of the monthly disclosure of complaints"),
    "disclosure_due_day": lazy_gettext("Day of the next month on which the disclosure of complaints is due"),
    "disclosure_reminder_days": lazy_gettext("Days before it is due at which the compliance officer is reminded of it"),
    "disclosure_is_public": lazy_gettext("Show the published disclosures of complaints at a public address"),
    "default_referral": lazy_gettext("The company's own referral code"),
    "phone_app_version": lazy_gettext("Latest version of the phone app"),
    "phone_app_build": lazy_gettext("Build number of the phone app"),
    "phone_app_url": lazy_gettext("Download address of the phone app; leave empty for none"),
    "phone_app_force": lazy_gettext("Require users to update older versions"),
}


class Business(SettingsFormPage):
    """/settings/business/"""

    route_base = "/settings/business"
    title: Any = lazy_gettext("Business settings")
    keys = tuple(key for key in business_settings.DEFINITIONS if key not in business_settings.ON_OTHER_PAGES)

    def _save(self, session: Session) -> None:
        stored = business_settings.values_of(session, *self.keys)
        refuse_stale(stored)
        self._store(session, stored, _posted_values(stored))

    def _store(self, session: Session, stored: dict[str, Any], values: dict[str, Any]) -> None:
        _store_values(session, values)

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED) -> str:
        stored = business_settings.values_of(db.session(), *self.keys)
        sections = _sections(stored, posted, refused.errors)
        form = settings_form(str(self.title), f"{self.route_base}/", sections, fab_access.content_hash(stored))
        form["error"] = refused.sentence
        return self.render_template("pages/form.html", title=form["title"], form=form)


class _OfficersSettings(Business):
    """Settings that whoever may change all rows of a module sets, in place of those who change settings."""

    VERBS = {"index": "write", "save": "write"}
    module: Any
    #: Of the audit.
    event: str
    refusal: Any

    @classmethod
    def opens_for(cls, person: Person) -> bool:
        """Whether the person may change these settings."""
        return person.level(cls.module, "write") == "all"

    def _refuse(self) -> None:
        if not self.opens_for(current_viewer().person):
            raise access.Denied(str(self.refusal))

    def _store(self, session: Session, stored: dict[str, Any], values: dict[str, Any]) -> None:
        settings_audit.store(session, self.event, stored, values)


class PersonalDataSettingsView(_OfficersSettings):
    """/settings/personal-data/, for who may change all data requests: the compliance officer sets the deadlines."""

    route_base = "/settings/personal-data"
    module, event = "Data Requests", "data request"
    title = lazy_gettext("Personal data")
    refusal = lazy_gettext("Only people whose role changes all data requests can open these settings.")
    keys = business_settings.OF_PERSONAL_DATA


class DisclosureSettingsView(_OfficersSettings):
    """/settings/disclosure/, for who may change all complaints: the compliance officer sets how they are disclosed."""

    route_base = "/settings/disclosure"
    module, event = "Complaints", "disclosure"
    title = lazy_gettext("Monthly disclosure")
    refusal = lazy_gettext("Only people whose role changes all complaints can open these settings.")
    keys = business_settings.OF_DISCLOSURE


def _parts(key: str, value: Any) -> dict[str, Any]:
    """Field name -> value: one field for a plain setting, one per priority for a table."""
    return {f"{key}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {key: value}


#: The topics of the settings; those of no topic come last.
_TOPICS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (lazy_gettext("Tasks and assignment"), ("grace_minutes", "retry_minutes", "request_expiry_days")),
    ("", ("first_task_minutes",)),
    (lazy_gettext("Leads"), ("lead_expiry_days", "opened_expiry_days", "default_referral")),
    (lazy_gettext("Customers"), ("rekyc_reminder_days",)),
    (lazy_gettext("SLA"), ("sla_warning_percent", "sla_escalation_minutes")),
    (
        lazy_gettext("Messages and calls"),
        ("promotional_hours", "quiet_hours", "caller_id_rule", "dnd_valid_days", "sms_link_hosts"),
    ),
    (lazy_gettext("Consents"), ("consent_transaction_days", "consent_ask_again_days", "promotional_needs_consent")),
    ("", business_settings.OF_DISCLOSURE),
    ("", business_settings.OF_PERSONAL_DATA),
    (lazy_gettext("Phone app"), ("phone_app_version", "phone_app_build", "phone_app_url", "phone_app_force")),
)


def _sections(stored: dict[str, Any], posted: Any, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The settings by topic: one section each, and one for a setting of several parts."""
    named = {key for _title, keys in _TOPICS for key in keys}
    topics = [*_TOPICS, ("", tuple(key for key in stored if key not in named))]
    made = []
    for title, keys in topics:
        found = [_section(key, stored[key], posted, errors) for key in keys if key in stored]
        if found:
            fields = [each for section in found for each in section["fields"]]
            made.append({"title": str(title) or found[0]["title"], "fields": fields})
    return made


def _section(key: str, value: Any, posted: Any, errors: dict[str, list[str]]) -> dict[str, Any]:
    label = str(_LABELS.get(key, business_settings.DEFINITIONS[key][1]))
    parts = _parts(key, value)
    return {
        "title": label if len(parts) > 1 else "",
        "fields": [
            {
                "name": name,
                "label": shown_label(name.partition(".")[2]) or label,
                "value": posted.get(name, each),
                "required": name not in _OPTIONAL and not isinstance(each, bool),
                "kind": _kind(each),
                "options": _options(name),
                "maxlength": MAX_HOSTS_LENGTH if name == "sms_link_hosts" else MAX_TEXT_LENGTH,
                "help": _source_of(key),
                "errors": errors.get(name, []),
            }
            for name, each in parts.items()
        ],
    }


def _options(name: str) -> list[tuple[str, str]] | None:
    """The choices of a setting that has some."""
    if name == "disclosure_layout":
        return [("2025", "2025"), ("2021", _("2021 (Annexure B)"))]
    if name == "caller_id_rule":
        return [("warn", _("Warn the caller, and call")), ("refuse", _("Refuse the call"))]
    return None


#: The source of a default, in the person's language.
_SOURCES = {
    "data_request_days": lazy_gettext("DPDP Rules 2025, rule 14: at most 90 days. As set by your compliance officer."),
    "breach_cert_in_hours": lazy_gettext("CERT-In's directions of 28 Apr 2022. As set by your compliance officer."),
    "breach_board_hours": lazy_gettext("DPDP Rules 2025, rule 7. As set by your compliance officer."),
    "erasure_customer_days": lazy_gettext(
        "PMLA Rules 2005, rule 10, and SEBI (Stock Brokers) Regulations 1992, regulation 18: five years. "
        "As set by your compliance officer."
    ),
    "erasure_complaint_days": lazy_gettext(
        "SEBI (Stock Brokers) Regulations 1992, regulation 18: five years. As set by your compliance officer."
    ),
    "erasure_order_days": lazy_gettext(
        "SEBI's circular CIR/P/2018/54: three years. As set by your compliance officer."
    ),
    "erasure_proof_days": lazy_gettext("Limitation Act 1963: three years. As set by your compliance officer."),
    "promotional_hours": lazy_gettext("TCCCPR 2018 (TRAI), Schedule II. As set by your compliance officer."),
    "promotional_needs_consent": lazy_gettext(
        "TCCCPR 2018 (TRAI) and DPDP Act 2023, section 6. As set by your compliance officer."
    ),
    "consent_transaction_days": lazy_gettext(
        "TCCCPR as amended on 12 Feb 2025 (TRAI). As set by your compliance officer."
    ),
    "consent_ask_again_days": lazy_gettext(
        "TCCCPR as amended on 12 Feb 2025 (TRAI). As set by your compliance officer."
    ),
    "dnd_valid_days": lazy_gettext("No period is prescribed; 30 days is common. As set by your compliance officer."),
    "disclosure_layout": lazy_gettext(
        "SEBI/HO/MIRSD/DOP/P/CIR/2021/676, Annexure B, and its layout of 2025. As set by your compliance officer."
    ),
    "disclosure_due_day": lazy_gettext("SEBI/HO/MIRSD/DOP/P/CIR/2021/676. As set by your compliance officer."),
    "disclosure_is_public": lazy_gettext("At /public/complaints, without signing in: months that were published."),
    "sms_link_hosts": lazy_gettext(
        "TRAI's direction of 20 Aug 2024 on whitelisted links. As registered on your DLT platform."
    ),
}


def _source_of(key: str) -> str:
    return str(_SOURCES.get(key, ""))


def _kind(value: Any) -> str:
    return "flag" if isinstance(value, bool) else "number" if isinstance(value, int) else "text"


def _posted_values(stored: dict[str, Any]) -> dict[str, Any]:
    """The posted settings, parsed; a field that is missing in the form keeps its value. Raises RuleBroken."""
    values, errors = dict(stored), {}
    for key, value in values.items():
        for name, old in _parts(key, value).items():
            try:
                new = _parse(name, old)
            except ValueError as wrong:
                errors[name] = [str(wrong)]
                continue
            values[key] = {**values[key], name.partition(".")[2]: new} if "." in name else new
    if errors:
        raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
    return values


def _parse(name: str, old: Any) -> Any:
    posted = request.form.get(name)
    if isinstance(old, bool):  # browsers do not send unchecked checkboxes
        return bool(posted) if posted is not None or any(each in request.form for each in _SENT_FIELDS) else old
    if posted is None:
        return old
    posted = posted.strip()
    return _parse_number(name, posted) if isinstance(old, int) else _parse_words(name, posted)


def _parse_words(name: str, posted: str) -> str:
    if name == "sms_link_hosts":
        return _parse_hosts(posted)
    if name in _OPTIONAL:
        return _parse_url(posted) if posted else ""
    if name.endswith("_hours"):
        return _parse_hours(posted)
    return _parse_choice(name, posted) if _options(name) else _parse_text(posted)


def _parse_number(name: str, posted: str) -> int:
    most = _most(name)
    if not (posted.isascii() and posted.isdigit() and len(posted) < 8 and 1 <= int(posted) <= most):
        raise ValueError(_("Please enter a whole number from 1 to %(most)s.", most=grouped(most)))
    return int(posted)


def _most(name: str) -> int:
    if name == "disclosure_due_day":
        return MAX_DAY_OF_MONTH
    if name == "disclosure_reminder_days":
        return MAX_REMINDER_DAYS
    return MAX_PERCENT if "percent" in name else MAX_DAYS if "days" in name else MAX_MINUTES


def _parse_hours(posted: str) -> str:
    found = _HOURS.fullmatch(posted)
    if not found:
        raise ValueError(_("Please enter two times such as 10:00-21:00."))
    return f"{found[1]}-{found[2]}"


def _parse_choice(name: str, posted: str) -> str:
    if posted not in dict(_options(name) or ()):
        raise ValueError(_("Please choose one of the options."))
    return posted


def _parse_hosts(posted: str) -> str:
    hosts = [each.strip().lower() for each in posted.split(",") if each.strip()]
    if len(posted) > MAX_HOSTS_LENGTH or not all(_HOST.fullmatch(each) for each in hosts):
        raise ValueError(_("Please enter hosts such as eshin.in, separated by commas, or leave it empty."))
    return ", ".join(dict.fromkeys(hosts))


def _parse_url(posted: str) -> str:
    line = _parse_text(posted)
    if not line.startswith("https://") or " " in line:
        raise ValueError(_("Please enter an address that starts with https://, or leave it empty."))
    return line


def _parse_text(posted: str) -> str:
    if not posted or len(posted) > MAX_TEXT_LENGTH or not posted.isprintable():
        raise ValueError(_("Please enter at most %(most)s characters.", most=MAX_TEXT_LENGTH))
    return posted


def _store_values(session: Session, values: dict[str, Any]) -> None:
    rows = {row.key: row for row in session.scalars(select(BusinessSetting))}
    stored = business_settings.values_of(session, *values)
    for key, value in values.items():
        if value == stored[key]:
            continue
        row = rows.get(key) or BusinessSetting(key=key, value=value)
        row.value, row.changed_on = value, fab_access.request_time()
        session.add(row)
