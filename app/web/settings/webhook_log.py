"""How webhooks and their deliveries are shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.persistence import change_events
from app.models import Customer, Lead, Task, Ticket, Webhook, WebhookDelivery
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer
from app.web.settings.webhook_form import EVENTS, kind_label

#: The page polls a delivery that is due within this time.
SOON = timedelta(seconds=20)
_KIND_LABELS = {
    "lead": _l("Lead"),
    "ticket": _l("Ticket"),
    "customer": _l("Customer"),
    "task": _l("Task"),
    "call_log": _l("Call"),
}
_STATE_CHIPS = {"on": (_l("On"), "green"), "paused": (_l("Paused"), "amber"), "off": (_l("Off"), "gray")}
_DELIVERY_CHIPS = {
    "queued": (_l("Waiting"), "blue"),
    "sending": (_l("Sending"), "blue"),
    "sent": (_l("Delivered"), "green"),
    "failed": (_l("Failed"), "red"),
    "dropped": (_l("Not sent"), "gray"),
}
#: Why a webhook was paused or turned off -> text.
PAUSE_REASONS = {
    "failures": _l(
        "Paused because deliveries kept failing. Events are queued. Check the last responses, then turn it on."
    ),
    "gone": _l("Turned off because the receiver answered 410 Gone. No events are queued."),
    "user": _l("Paused because its user is no longer active. Choose another user, then turn it on."),
}
#: Kind -> record and the column of its number or title.
_TITLES: dict[str, tuple[Any, Any]] = {
    "lead": (Lead, Lead.number),
    "ticket": (Ticket, Ticket.number),
    "customer": (Customer, Customer.number),
    "task": (Task, Task.title),
}
#: Kind -> URL of its pages, before the number or id.
_BY_NUMBER = {"lead": "/leads/", "ticket": "/tickets/", "customer": "/customers/"}
_BY_ID = {"task": "/tasks/show/", "call_log": "/calls/show/"}

#: (kind, id) -> number or title of the record.
Titles = dict[tuple[str, int], str]


def webhook_card(hook: Webhook, viewer: Viewer) -> dict[str, Any]:
    """A webhook as shown in the list and on its page; never its secret."""
    label, tone = _STATE_CHIPS[hook.state]
    return {
        "id": hook.id,
        "name": hook.name,
        "url": hook.url if viewer.person.is_admin else origin_of(hook.url),
        "events": _event_texts(hook.events),
        "state": hook.state,
        "chip": {"kind": "status", "label": label, "color": tone},
        "failures": hook.failures,
        "user": (viewer.lookups.person(hook.user_id) or {}).get("full_name"),
        "tried": moment_cell(hook.tried_on, viewer),
        "result": hook.result,
        "is_bad": bool(hook.failures),
    }


def origin_of(url: str) -> str:
    """The receiver of a webhook without path and query, which often contain its secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/…"


def _event_texts(events: Iterable[str]) -> list[str]:
    """One text per kind, such as "Leads: Created, Deleted"."""
    by_kind: dict[str, list[str]] = {}
    for event in events:
        kind, _dot, what = event.partition(".")
        by_kind.setdefault(kind, []).append(str(EVENTS.get(what, what)))
    return [f"{kind_label(kind)}: {', '.join(words)}" for kind, words in by_kind.items()]


def record_titles(session: Session, rows: Iterable[WebhookDelivery]) -> Titles:
    """(kind, id) -> number or title of the records that the viewer can see; at most one statement per kind."""
    found: Titles = {}
    for kind, (record, title) in _TITLES.items():
        ids = {row.record_id for row in rows if row.event.startswith(f"{kind}.") and row.record_id}
        if ids:
            rows_of_kind = session.execute(select(record.id, title).where(record.id.in_(ids)))
            found |= {(kind, key): name for key, name in rows_of_kind}
    return found


def is_due_soon(row: WebhookDelivery, now: datetime) -> bool:
    """Whether its state is about to change, so that the page should refresh itself."""
    if row.state == "queued":
        return row.next_try_on is not None and abs(row.next_try_on - now) < SOON
    return row.state == "sending" and now - (row.tried_on or row.at) < SOON


def delivery_row(row: WebhookDelivery, titles: Titles, viewer: Viewer, is_on: bool) -> dict[str, Any]:
    """A delivery as a row of the log; `is_on`: whether its webhook is on."""
    label, tone = _DELIVERY_CHIPS[row.state]
    kind, _dot, what = row.event.partition(".")
    return {
        "id": row.id,
        "key": row.key,
        "at": moment_cell(row.at, viewer),
        "tries": row.tries,
        "code": row.code,
        "event": _event_label(kind, what),
        "record": _record_cell(row, kind, titles),
        "state": {"kind": "status", "label": label, "color": tone},
        "error": row.error,
        "answer": row.answer,
        "next": _next_try_cell(row, viewer, is_on),
        "is_fine": row.state == "sent",
        "is_over": row.state in ("sent", "failed", "dropped"),
    }


def _next_try_cell(row: WebhookDelivery, viewer: Viewer, is_on: bool) -> dict[str, Any]:
    """The next attempt; now if overdue, none while the webhook is not on."""
    if row.state != "queued" or row.next_try_on is None:
        return {"kind": "missing"}
    if not is_on:
        return {"kind": "text", "text": _("when turned on")}
    return moment_cell(max(row.next_try_on, viewer.now), viewer)


def _record_cell(row: WebhookDelivery, kind: str, titles: Titles) -> dict[str, Any]:
    """The record as a cell; a link if the viewer can see it."""
    if row.record_id is None:
        return {"kind": "missing"}
    number = titles.get((kind, row.record_id))
    if number:
        page = f"{_BY_NUMBER[kind]}{number}" if kind in _BY_NUMBER else f"{_BY_ID[kind]}{row.record_id}"
        return {"kind": "record", "url": page, "number": number}
    url = f"{_BY_ID[kind]}{row.record_id}" if kind in _BY_ID and not row.event.endswith(".deleted") else None
    return {"kind": "record", "url": url, "number": row.number or f"{_KIND_LABELS.get(kind, kind)} {row.record_id}"}


def _event_label(kind: str, what: str) -> str:
    if kind not in change_events.EVENTS:
        return str(_("Test"))
    return f"{_KIND_LABELS.get(kind) or kind_label(kind)}: {EVENTS[what]}"
