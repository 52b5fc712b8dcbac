"""What can be written on a record's page: a note, the outcome of a call, a task, a message. One box with tabs.

Each part is a form of its own. Without JavaScript, Note and Task stand below each other and the other tabs are links to
pages; with it, a part is fetched into the box when it is opened, and stays there with what was typed.
"""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.web.core.fields import Viewer
from app.web.core.record_references import RECORDS

#: Records whose pages have a composer, by the name that addresses give them.
KINDS = {record: kind for kind, record in RECORDS.items()}


def context(screen: Any, wire: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
    """The context of crm/_composer.html; None for records without notes, and for who may write nothing at all."""
    kind = KINDS.get(screen.service.record)
    if kind is None:
        return None
    may, key = viewer.person.may, wire["id"]
    may_task = kind != "customer" and may("Tasks", "create")
    made = {
        "note_url": f"{screen.route_base}/note/{key}" if may("Notes", "create") else None,
        "note_about": f"{kind}:{key}",
        "task_url": f"/tasks/add?{kind}={key}&back=1" if may_task else None,
        "parts": [*_call_part(kind, key, viewer), *_message_parts(kind, key, viewer)],
        "links": _page_links(kind, key, viewer),
        "people_url": "/people/lookup",
        "me": [(viewer.person.id, viewer.person.full_name)],
    }
    return made if made["note_url"] or made["task_url"] or made["parts"] else None


def _call_part(kind: str, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """A call that was made elsewhere, with its outcome and the next step."""
    if not viewer.person.may("Call Logs", "create") or not viewer.person.may("Call Logs", "write"):
        return []
    start = _("What came of a call, and what comes next …")
    url = f"/calls/log/{kind}/{key}"
    return [{"name": "call", "label": _("Call"), "icon": "phone", "key": "c", "url": url, "start": start}]


def _message_parts(kind: str, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    if not viewer.person.may("Messages", "create"):
        return []
    base = f"/inbox/to/{kind}/{key}?channel="
    part = f"/inbox/write/{kind}/{key}?channel="
    mail = f"/mail/compose?record={kind}:{key}"
    return [
        {
            "name": "whatsapp",
            "label": "WhatsApp",
            "icon": "brand-whatsapp",
            "key": "w",
            "url": f"{base}whatsapp",
            "part_url": f"{part}whatsapp",
            "start": _("Write by WhatsApp …"),
        },
        {
            "name": "sms",
            "label": "SMS",
            "icon": "message-2",
            "url": f"{base}sms",
            "part_url": f"{part}sms",
            "start": _("Write an SMS …"),
        },
        {
            "name": "email",
            "label": _("Email"),
            "icon": "mail",
            "key": "e",
            "url": mail,
            "start": _("Write an email …"),
            "is_mail": True,
        },
    ]


def _page_links(kind: str, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """A link to the support pages, which a second click sends."""
    if not viewer.person.may("Messages", "create") or not viewer.person.may("Support Pages", "read"):
        return []
    return [{"url": f"/inbox/pages/{kind}/{key}", "label": _("Support pages"), "icon": "link"}]
