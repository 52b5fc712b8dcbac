"""The form of a webhook: its fields, the grid of events, and parsing the posted form."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain import webhooks
from app.domain.persistence import change_events
from app.domain.webhooks import WebhookSettings
from app.lib.ids import parse_id
from app.models import Webhook
from app.web.core.fab_access import current_viewer, parse_integer
from app.web.core.fields.plain_inputs import PLAIN_INPUT

#: Kind of record -> its label in the grid.
KINDS = {
    "lead": _l("Leads"),
    "ticket": _l("Tickets"),
    "complaint": _l("Complaints"),
    "customer": _l("Customers"),
    "task": _l("Tasks"),
    "call_log": _l("Calls"),
}
EVENTS = {
    "created": _l("Created"),
    "changed": _l("Updated"),
    "status": _l("Status changed"),
    "assigned": _l("Assigned"),
    "merged": _l("Merged"),
    "deleted": _l("Deleted"),
}


def form_of(
    hook: Webhook | None, settings: WebhookSettings, errors: dict[str, list[str]], error: str
) -> dict[str, Any]:
    """The context of pages/form.html; without a webhook, for a new one."""
    return {
        "title": _("Edit webhook") if hook else _("New webhook"),
        "back_label": _("Webhooks"),
        "error": error,
        "cancel_url": f"/webhooks/{hook.id}/" if hook else "/webhooks/",
        "version": hook.version if hook else None,
        "action": f"/webhooks/{hook.id}/edit" if hook else "/webhooks/add",
        "conflict": None,
        "submit_label": _("Save") if hook else _("Create webhook"),
        "sections": [{"title": "", "fields": _fields(settings, errors)}],
    }


def event_grid() -> list[tuple[str, Any, Any]]:
    """(kind, label, events) for each row of checkboxes."""
    return [(kind, kind_label(kind), events) for kind, events in change_events.EVENTS.items()]


def posted_settings() -> WebhookSettings:
    """The settings of the posted form; the domain checks them."""
    form = request.form
    name, url = (form.get(each, "")[:2000] for each in ("name", "url"))
    user_id = parse_id(form.get("user", ""))
    version = parse_integer(form.get("version"), 0, 0, 2**31 - 1) or None
    return WebhookSettings(
        name,
        url,
        tuple(form.getlist("events")[:100]),
        user_id,
        "is_on" in form,
        version,
        allow_private=_allows_private(),
    )


def _fields(settings: WebhookSettings, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    card = current_viewer().lookups.person(settings.user_id) or {}
    inputs = [
        {
            "name": "name",
            "label": _("Name"),
            "value": settings.name,
            "maxlength": webhooks.MAX_NAME_LENGTH,
            "placeholder": _("Accounts, website …"),
        },
        {
            "name": "user",
            "label": _("Sees records as"),
            "kind": "person",
            "lookup_url": "/people/lookup",
            "selected": [(settings.user_id, card["full_name"])] if card else [],
            "help": _("Only records this user can see are sent, and masked fields stay masked."),
        },
        {
            "name": "url",
            "label": _("Address"),
            "value": settings.url,
            "wide": True,
            "maxlength": 500,
            "placeholder": "https://example.com/crm",
        },
        {
            "name": "is_on",
            "label": _("On"),
            "kind": "flag",
            "value": settings.is_on,
            "required": False,
            "help": _("While off, no events are queued. To hold events back for a while, pause the webhook instead."),
        },
    ]
    return [PLAIN_INPUT | {"required": True, "errors": errors.get(str(each["name"]))} | each for each in inputs]


def _allows_private() -> bool:
    return bool(current_app.config["CRM"].webhooks_private)


def kind_label(kind: str) -> str:
    """The label of a kind of record; for add-ons, the name of the resource."""
    return str(KINDS.get(kind) or kind.replace("_", " ").capitalize())
