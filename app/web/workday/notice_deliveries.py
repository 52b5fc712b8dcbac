"""Icons of notices, and the deliveries of a notice by channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.notifications import notices
from app.models import Delivery
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer

#: kind -> (icon, tone); a bell for any other kind.
ICONS = {
    "assigned": ("user-check", "blue"),
    "unassigned": ("user-share", "gray"),
    "task_assigned": ("checkbox", "blue"),
    "task_taken": ("repeat", "gray"),
    "task_due": ("alarm", "amber"),
    "task_overdue": ("alarm", "red"),
    "exhausted": ("alert-triangle", "red"),
    "mention": ("at", "violet"),
    "comment": ("message-2", "teal"),
    "request": ("clipboard-check", "amber"),
    "request_approved": ("circle-check", "green"),
    "request_rejected": ("circle-x", "red"),
    "request_expired": ("hourglass", "gray"),
    "request_withdrawn": ("arrow-back-up", "gray"),
    "link": ("link", "amber"),
    "link_confirmed": ("link", "green"),
    "rekyc": ("calendar-event", "amber"),
    "compliance": ("scale", "amber"),
    "sla_warning": ("clock-hour-4", "amber"),
    "sla_breach": ("flag", "red"),
    "sla_escalated": ("trending-up", "red"),
    "missed_call": ("phone-x", "red"),
    "message": ("message", "blue"),
    "status": ("arrow-right", "slate"),
    "job_lag": ("server", "red"),
    "audit": ("shield-check", "red"),
    "backup": ("database", "red"),
    "health": ("heart-rate-monitor", "amber"),
    "webhook": ("webhook", "red"),
    "export": ("file-export", "blue"),
    "import": ("file-import", "blue"),
    "report": ("chart-pie", "amber"),
    "security": ("shield-lock", "amber"),
}


def icon_of(row: Any) -> dict[str, str]:
    """{icon, tone} of a notice; a late reminder is red."""
    icon, tone = ICONS.get(row.kind, ("bell", "gray"))
    is_late = row.kind == "task_due" and int((row.payload or {}).get("minutes", 0)) < 0
    return {"icon": icon, "tone": "red" if is_late else tone}


def text_values(row: Any, viewer: Viewer) -> dict[str, str]:
    """The values of a notice's sentence: actor, taker, label of a status."""
    payload, cards = dict(row.payload or {}), viewer.lookups
    picklist = "lead_status" if row.lead_id or payload.get("record") == "leads" else "ticket_status"
    found = {
        "actor": (cards.person(row.actor_id), "full_name"),
        "taker": (cards.person(payload.get("to")), "full_name"),
        "label": (cards.card(picklist, payload.get("status")), "label"),
    }
    return {name: str(card[key]) for name, (card, key) in found.items() if card}


def deliveries_of(session: Session, ids: Iterable[int]) -> dict[int, dict[str, Delivery]]:
    """Notification id -> channel -> delivery, of own notices; one statement."""
    wanted = list(ids)
    found: dict[int, dict[str, Delivery]] = {}
    if wanted:
        for row in session.scalars(select(Delivery).where(Delivery.notification_id.in_(wanted))):
            found.setdefault(row.notification_id, {})[row.channel] = row
    return found


def delivery_lines(row: Any, deliveries: dict[str, Delivery], viewer: Viewer) -> list[dict[str, str]]:
    """[{icon, label, text, tone}]: bell, on screen, email; SMS and WhatsApp if they are set up or were used."""
    lines = [
        {"icon": "bell", "label": _("Bell"), "text": _bell_text(row, viewer), "tone": ""},
        {"icon": "device-desktop", "label": _("On screen")} | _screen_line(deliveries.get("screen"), viewer),
        {"icon": "mail", "label": _("Email")} | _sent_line(deliveries.get("email"), viewer),
    ]
    set_up = viewer.lookups.business[business_settings.NOTICE_CHANNELS]
    return lines + [
        {"icon": icon, "label": label} | _sent_line(deliveries.get(channel), viewer)
        for channel, label, icon in (("sms", "SMS", "message"), ("whatsapp", "WhatsApp", "brand-whatsapp"))
        if channel in set_up or channel in deliveries
    ]


def _bell_text(row: Any, viewer: Viewer) -> str:
    if row.read_on is not None and row.read_on == row.at:
        return str(_("Turned off in your preferences; added as read."))
    if row.read_on is not None:
        return str(
            _(
                "Shown since %(at)s, read %(read)s.",
                at=_exact_time(row.at, viewer),
                read=_exact_time(row.read_on, viewer),
            )
        )
    if notices.is_snoozed(row, viewer.now):
        return str(_("Snoozed until %(at)s.", at=_exact_time(row.snoozed_until, viewer)))
    return str(_("Shown since %(at)s, not read yet.", at=_exact_time(row.at, viewer)))


def _screen_line(sent: Delivery | None, viewer: Viewer) -> dict[str, str]:
    if sent is None:
        return {"text": _("Not shown: no page was open, or you turned this off."), "tone": "gray"}
    return {"text": _("Shown %(at)s.", at=_exact_time(sent.at, viewer)), "tone": ""}


def _sent_line(sent: Delivery | None, viewer: Viewer) -> dict[str, str]:
    if sent is None:
        return {"text": _("Not sent: this kind of notification is turned off for this channel."), "tone": "gray"}
    at, why = _exact_time(sent.at, viewer), translate_text(sent.error or "")
    if sent.state == "sent":
        return {"text": _("Sent %(at)s.", at=at), "tone": "green"}
    if sent.state == "dropped":
        return {"text": _("Not sent: %(why)s", why=why), "tone": "gray"}
    if sent.state == "failed":
        return {
            "text": _("Failed %(at)s: %(why)s", at=at, why=why or _("no reason was recorded.")),
            "tone": "red",
        }
    if sent.state == "unknown":
        return {
            "text": _("Interrupted while sending %(at)s. It may have arrived and is not resent.", at=at),
            "tone": "amber",
        }
    if sent.tries:
        return {
            "text": _n(
                "Not sent after %(n)s attempt; it will be retried. %(why)s",
                "Not sent after %(n)s attempts; it will be retried. %(why)s",
                sent.tries,
                n=sent.tries,
                why=why,
            ),
            "tone": "amber",
        }
    return {"text": " ".join(filter(None, (_("Waiting since %(at)s.", at=at), why))), "tone": ""}


def _exact_time(moment: Any, viewer: Viewer) -> str:
    return str(moment_cell(moment, viewer)["title"])
