"""The composer on a record's page: a note, the outcome of a call, a task, a message. One box with tabs.

Each part is a form of its own. Without JavaScript, Note and Task are below each other and the other tabs are links to
pages; with it, a part is fetched into the box when it is opened, and keeps its input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.web.core.urls.record_references import RECORDS
from app.web.core.viewer import Viewer
from app.web.pages.cached_fragments import placeholder, render_cached
from app.web.records.message_words import CHANNEL_ICONS, CHANNEL_WORDS

#: Records whose pages have a composer -> their name in URLs.
KINDS = {record: kind for kind, record in RECORDS.items()}


@dataclass(frozen=True)
class _Offer:
    """What a person may write on the records of a kind."""

    kind: str
    #: The root of the URLs of the record's pages.
    base: str
    notes: bool
    tasks: bool
    calls: bool
    messages: bool
    support_pages: bool

    @classmethod
    def of(cls, kind: str, screen: Any, viewer: Viewer) -> _Offer:
        may = viewer.person.may
        return cls(
            kind,
            screen.route_base,
            notes=may("Notes", "create"),
            tasks=kind != "customer" and may("Tasks", "create"),
            calls=may("Call Logs", "create") and may("Call Logs", "write"),
            messages=may("Messages", "create"),
            support_pages=may("Messages", "create") and may("Support Pages", "read"),
        )

    def page_keys(self, key: Any, person: tuple[Any, str]) -> dict[str, Any]:
        """What a record's page needs, for the record with this id and a person (id, name)."""
        return {
            "offer": self,
            "key": key,
            "note_url": f"{self.base}/note/{key}" if self.notes else None,
            "task_url": f"/tasks/add?{self.kind}={key}&back=1" if self.tasks else None,
            "me": [person],
        }

    def context(self, key: Any, person: tuple[Any, str]) -> dict[str, Any]:
        """The context of records/_composer.html, which is rendered once for many records."""
        kind = self.kind
        return self.page_keys(key, person) | {
            "note_about": f"{kind}:{key}",
            "parts": [
                *(_call_part(kind, key) if self.calls else ()),
                *(_message_parts(kind, key) if self.messages else ()),
            ],
            "links": _page_links(kind, key) if self.support_pages else [],
            "people_url": "/people/lookup",
        }


def context(screen: Any, serialized: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
    """What can be written on a record; None for records without notes, and for people who may write nothing."""
    kind = KINDS.get(screen.service.record)
    if kind is None:
        return None
    offer = _Offer.of(kind, screen, viewer)
    if not (offer.notes or offer.tasks or offer.calls or offer.messages):
        return None
    return offer.page_keys(serialized["id"], (viewer.person.id, viewer.person.full_name))


def composer_box(record: dict[str, Any]) -> Markup:
    """The box on a record's page, rendered once for all who may write the same on records of this kind."""
    made, composes = record["composer"], record.get("composes")
    offer: _Offer = made["offer"]
    ((person, name),) = made["me"]

    def values() -> dict[str, Any]:
        opened = offer.context(placeholder("key"), (placeholder("person"), placeholder("name")))
        return {"record": {"composer": opened, "composes": composes}}

    return render_cached("records/_composer.html", (offer, composes), values, key=made["key"], person=person, name=name)


#: For the template of record pages.
GLOBALS: dict[str, Callable[..., Markup]] = {"composer_box": composer_box}


def _call_part(kind: str, key: Any) -> list[dict[str, Any]]:
    """The part for a call that was made elsewhere, with its outcome and the next step."""
    start = _("The outcome of a call, and the next step …")
    url = f"/calls/log/{kind}/{key}"
    return [{"name": "call", "label": _("Call"), "icon": "phone", "key": "c", "url": url, "start": start}]


def _message_parts(kind: str, key: Any) -> list[dict[str, Any]]:
    base = f"/inbox/to/{kind}/{key}?channel="
    part = f"/inbox/write/{kind}/{key}?channel="
    mail = f"/mail/compose?record={kind}:{key}"
    return [
        {
            "name": "whatsapp",
            "label": CHANNEL_WORDS["whatsapp"],
            "icon": CHANNEL_ICONS["whatsapp"],
            "key": "w",
            "url": f"{base}whatsapp",
            "part_url": f"{part}whatsapp",
            "start": _("Write by WhatsApp …"),
        },
        {
            "name": "sms",
            "label": CHANNEL_WORDS["sms"],
            "icon": CHANNEL_ICONS["sms"],
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


def _page_links(kind: str, key: Any) -> list[dict[str, Any]]:
    """A link to the support pages, which a second click sends."""
    return [{"url": f"/inbox/pages/{kind}/{key}", "label": _("Support pages"), "icon": "link"}]
