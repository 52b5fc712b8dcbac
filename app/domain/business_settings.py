"""Business settings with their defaults, which managers change on a page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime


class BusinessSetting(Model):  # type: ignore[misc]
    """A changed business setting; DEFINITIONS lists all settings."""

    __tablename__ = "business_setting"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String(60), nullable=False, unique=True)
    value: Mapped[Any] = mapped_column(JSON, nullable=False)
    changed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


#: Business setting -> (default, label).
DEFINITIONS: dict[str, tuple[Any, str]] = {
    "grace_minutes": (30, "Office minutes a task can be overdue before it is reassigned"),
    "retry_minutes": (540, "Office minutes until a reassigned task is due"),
    "first_task_minutes": (
        {"Low": 1440, "Medium": 120, "High": 60},
        ("Minutes until the first task of a new record is due"),
    ),
    "request_expiry_days": (3, "Working days until a pending assignment request expires"),
    "lead_expiry_days": (60, "Days without activity until an open lead expires"),
    "opened_expiry_days": (30, "Days in Account Opened until a lead expires"),
    "rekyc_reminder_days": (30, "Days before a customer's re-KYC date at which their owner is reminded"),
    "sla_warning_percent": (75, "Percent of the SLA target after which a warning is sent"),
    "sla_escalation_minutes": (60, "Office minutes until a missed SLA target is escalated to the next manager"),
    "promotional_hours": ("10:00-21:00", "Hours in which promotional messages are sent and calls made"),
    "caller_id_rule": ("warn", "When no caller ID fits the purpose of a call"),
    "quiet_hours": ("21:00-09:00", "Hours in which nothing is sent that no person has written"),
    "promotional_needs_consent": (False, "Send promotional messages only to people whose consent is on record"),
    "consent_transaction_days": (7, "Days until a consent that was given for an ongoing transaction lapses"),
    "consent_ask_again_days": (90, "Days after an opt-out in which a person isn't asked for consent again"),
    "data_request_days": (90, "Days in which a request about personal data is answered"),
    "data_request_warning_days": (15, "Days before the last one at which a warning is sent"),
    "breach_cert_in_hours": (6, "Hours in which CERT-In is told of a data breach"),
    "breach_board_hours": (72, "Hours in which the Data Protection Board is told of a data breach"),
    "breach_warning_percent": (50, "Percent of these hours after which a warning is sent"),
    "erasure_customer_days": (1826, "Days for which a customer's data is kept after the end of their accounts"),
    "erasure_complaint_days": (1826, "Days for which a complaint is kept after its end"),
    "erasure_order_days": (1096, "Days for which an order by telephone is kept, with what proves it"),
    "erasure_proof_days": (1096, "Days for which a request is kept after the erasure, as its proof"),
    "dnd_valid_days": (30, "Days for which a do-not-disturb check of a number is valid"),
    "sms_link_hosts": ("", "Hosts that links in SMS may lead to, comma-separated; leave empty to allow any"),
    "default_referral": ("AUOMC", "The company's own referral code"),
    "phone_app_version": ("1.3.0", "Latest version of the phone app"),
    "phone_app_build": (5, "Build number of the phone app"),
    "phone_app_url": ("", "Download address of the phone app; leave empty for none"),
    "phone_app_force": (False, "Require users to update older versions"),
    "file_person_mb": (5_000, "MB of files that one person may attach to records"),
    "file_total_mb": (200_000, "MB of files of records in all"),
    "file_scan_rule": ("refuse", "While the virus scanner is unavailable"),
    "disclosure_layout": ("2025", "Layout of the monthly disclosure of complaints"),
    "disclosure_due_day": (7, "Day of the next month on which the disclosure of complaints is due"),
    "disclosure_reminder_days": (3, "Days before it is due at which the compliance officer is reminded of it"),
    "disclosure_is_public": (False, "Show the published disclosures of complaints at a public address"),
    # Days; those of `acknowledge` are working days.
    "complaint_clocks": (
        {
            **{"acknowledge": 1, "report": 21, "review_request": 15, "first_review": 15, "second_review": 15},
            **{"dispute": 21, "desk": 5, "officer": 10, "director": 15, "warnings": [7, 14, 18, 20]},
            "review_warning": 3,
        },
        "Clocks of complaints",
    ),
    "complaint_sources": ({}, "Sources of the clocks of complaints"),
    "complaint_people": ({}, "People to whom complaints are escalated"),
    "notice_channels": ({}, "Accounts and templates of notifications by SMS and WhatsApp"),
}
#: Business settings on the page of files instead of that of business settings.
OF_FILES = ("file_person_mb", "file_total_mb", "file_scan_rule")
#: Has a page of its own, too: sms or whatsapp -> {"account": id, "template": id} by which notifications go out.
NOTICE_CHANNELS = "notice_channels"
#: Have a page of their own, too.
OF_COMPLAINTS = ("complaint_clocks", "complaint_sources", "complaint_people")
OF_ERASURE = ("erasure_customer_days", "erasure_complaint_days", "erasure_order_days", "erasure_proof_days")
OF_PERSONAL_DATA = (
    *("data_request_days", "data_request_warning_days"),
    *OF_ERASURE,
    *("breach_cert_in_hours", "breach_board_hours", "breach_warning_percent"),
)
OF_DISCLOSURE = ("disclosure_layout", "disclosure_due_day", "disclosure_reminder_days", "disclosure_is_public")
ON_OTHER_PAGES = (*OF_FILES, *OF_COMPLAINTS, *OF_PERSONAL_DATA, *OF_DISCLOSURE, NOTICE_CHANNELS)


def value_of(session: Session, key: str) -> Any:
    """The setting's value, or its default. Raises KeyError for an unknown key."""
    default = DEFINITIONS[key][0]
    found = session.execute(select(BusinessSetting.value).where(BusinessSetting.key == key)).scalar()
    return default if found is None else found


def values_of(session: Session, *keys: str) -> dict[str, Any]:
    """Several settings by name, in one statement. Raises KeyError for an unknown key."""
    query = select(BusinessSetting.key, BusinessSetting.value).where(BusinessSetting.key.in_(keys))
    return {key: DEFINITIONS[key][0] for key in keys} | {row.key: row.value for row in session.execute(query)}
