"""Webhooks on the screen: who outside is told of what, the log of the tellings, and the secret that is shown once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import current_app, flash, make_response, redirect, request
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import change_events, permissions, webhooks
from app.domain.base import NotFound, RuleBroken, Stamp
from app.domain.webhooks import WebhookSettings
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Customer, Lead, Task, Ticket, Webhook, WebhookDelivery
from app.outbox import engine
from app.outbox.webhook_delivery import WEBHOOKS
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer, refusal, whole
from app.web.records.screen import refuse_as_page
from app.web.security.sessions import own_transaction, without_cache

#: How many deliveries are shown.
MOST = 100
#: What is due within this time is watched.
SOON = timedelta(seconds=20)
KINDS = {
    "lead": _l("Leads"),
    "ticket": _l("Tickets"),
    "customer": _l("Customers"),
    "task": _l("Tasks"),
    "call_log": _l("Calls"),
}
EVENTS = {
    "created": _l("Created"),
    "changed": _l("Updated"),
    "status": _l("Status changed"),
    "assigned": _l("Assigned"),
    "deleted": _l("Deleted"),
}
_ONE = {
    "lead": _l("Lead"),
    "ticket": _l("Ticket"),
    "customer": _l("Customer"),
    "task": _l("Task"),
    "call_log": _l("Call"),
}
_STATES = {"on": (_l("On"), "green"), "paused": (_l("Paused"), "amber"), "off": (_l("Off"), "gray")}
_OUTCOMES = {
    "queued": (_l("Waiting"), "blue"),
    "sending": (_l("Sending"), "blue"),
    "sent": (_l("Delivered"), "green"),
    "failed": (_l("Failed"), "red"),
    "dropped": (_l("Not sent"), "gray"),
}
_WHY = {
    "failures": _l(
        "Paused because deliveries kept failing. Events are queued. Check the last responses, then turn it on."
    ),
    "gone": _l("Turned off because the receiver answered 410 Gone. No events are queued."),
    "user": _l("Paused because its user is no longer active. Choose another user, then turn it on."),
}
#: Parts of the log.
_SHOWN = {"waiting": ("queued", "sending"), "failed": ("failed",), "dropped": ("dropped",)}
#: Kind -> record, and what it is called.
_CALLED: dict[str, tuple[Any, Any]] = {
    "lead": (Lead, Lead.number),
    "ticket": (Ticket, Ticket.number),
    "customer": (Customer, Customer.number),
    "task": (Task, Task.title),
}
#: Kind -> root of its pages, before the number or the id.
_BY_NUMBER = {"lead": "/leads/", "ticket": "/tickets/", "customer": "/customers/"}
_BY_ID = {"task": "/tasks/show/", "call_log": "/calls/show/"}


class WebhooksView(BaseView):
    """/webhooks/"""

    route_base = "/webhooks"
    default_view = "index"
    class_permission_name = "Settings"
    method_permission_name = {
        "index": "read",
        "one": "read",
        "add": "write",
        "make": "write",
        "edit": "write",
        "change": "write",
        "turn": "write",
        "again": "write",
    }
    base_permissions = ["can_" + verb for verb in permissions.VERBS]

    @expose("/")
    @has_access
    @refuse_as_page
    @permission_name("index")
    def index(self) -> Any:
        """All of them."""
        viewer = current_viewer()
        rows = db.session.scalars(select(Webhook).order_by(Webhook.name, Webhook.id)).all()
        hooks = [_card(hook, viewer) for hook in rows]
        return self.render_template("webhooks/list.html", hooks=hooks, acts=viewer.person.is_admin)

    @expose("/<int:key>/")
    @has_access
    @refuse_as_page
    @permission_name("one")
    def one(self, key: int) -> Any:
        """One of them, and what became of its last tellings."""
        viewer, hook, shown = current_viewer(), _found(Webhook, key), request.args.get("show", "")
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == hook.id)
        if shown in _SHOWN:
            query = query.where(WebhookDelivery.state.in_(_SHOWN[shown]))
        rows = db.session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(MOST)).all()
        numbers = _numbers(db.session(), rows)
        return self.render_template(
            "webhooks/one.html",
            hook=_card(hook, viewer),
            why=_WHY.get(hook.why or ""),
            most=MOST,
            log=[_line(row, numbers, viewer, hook.state == "on") for row in rows],
            shown=shown if shown in _SHOWN else "",
            acts=viewer.person.is_admin,
            is_moving=hook.state == "on" and any(_is_moving(row, viewer.now) for row in rows),
        )

    @expose("/add")
    @has_access
    @refuse_as_page
    @permission_name("add")
    def add(self) -> Any:
        """The form for a new one, in one's own eyes."""
        _refuse_others()
        return self._form(None, WebhookSettings("", "", ("lead.created",), current_viewer().person.id), {})

    @expose("/add", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("make")
    def make(self) -> Any:
        """Make it; the answer shows the secret, and is not stored anywhere."""
        _refuse_others()
        wanted, by = _typed(), current_viewer().person.id
        try:
            with own_transaction() as session:
                hook, secret = webhooks.create(session, wanted, Stamp(by, _now()), _vault())
                shown = (hook.id, hook.name)
        except RuleBroken as broken:
            return self._refused(None, wanted, broken)
        return self._secret(*shown, secret)

    @expose("/<int:key>/edit")
    @has_access
    @refuse_as_page
    @permission_name("edit")
    def edit(self, key: int) -> Any:
        """The form."""
        _refuse_others()
        hook = _found(Webhook, key)
        wanted = WebhookSettings(hook.name, hook.url, tuple(hook.events), hook.user_id, hook.state != "off")
        return self._form(hook, wanted, {})

    @expose("/<int:key>/edit", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("change")
    def change(self, key: int) -> Any:
        """Store it."""
        _refuse_others()
        hook, wanted, by = _found(Webhook, key), _typed(), current_viewer().person.id
        try:
            with own_transaction() as session:
                webhooks.change(session, hook, wanted, Stamp(by, _now()))
        except RuleBroken as broken:
            return self._refused(_found(Webhook, key), wanted, broken)
        flash(_("Webhook saved."), "success")
        return redirect(f"/webhooks/{key}/")

    @expose("/<int:key>/<any(pause, resume, test, retry, secret, delete):what>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("turn")
    def turn(self, key: int, what: str) -> Any:
        """Pause it, switch it on, send a test, send all that failed again, give it a new secret, delete it."""
        _refuse_others()
        hook, by = _found(Webhook, key), current_viewer().person.id
        if what == "secret":
            with own_transaction() as session:
                name, secret = hook.name, webhooks.rotate_secret(session, hook, Stamp(by, _now()), _vault())
            return self._secret(key, name, secret)
        _TURNS[what](hook, by)
        return redirect("/webhooks/" if what == "delete" else f"/webhooks/{key}/")

    @expose("/again/<int:key>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("again")
    def again(self, key: int) -> Any:
        """Send one again."""
        _refuse_others()
        row = _found(WebhookDelivery, key)
        with own_transaction() as session:
            hook_id, name = row.webhook_id, webhooks.resend(session, row, _now())
        engine.enqueue(WEBHOOKS, name)
        flash(_("Resent with the same delivery ID."), "success")
        return redirect(f"/webhooks/{hook_id}/")

    def _form(
        self, hook: Webhook | None, wanted: WebhookSettings, errors: dict[str, list[str]], error: str = ""
    ) -> Any:
        form = {
            "title": _("Edit webhook") if hook else _("New webhook"),
            "back_label": _("Webhooks"),
            "error": error,
            "cancel_url": f"/webhooks/{hook.id}/" if hook else "/webhooks/",
            "version": hook.version if hook else None,
            "action": f"/webhooks/{hook.id}/edit" if hook else "/webhooks/add",
            "conflict": None,
            "submit_label": _("Save") if hook else _("Create webhook"),
            "sections": [{"title": "", "fields": _fields(wanted, errors)}],
        }
        grid = [(kind, KINDS[kind], change_events.EVENTS[kind]) for kind in KINDS]
        return self.render_template(
            "webhooks/form.html",
            form=form,
            grid=grid,
            words=EVENTS,
            chosen=wanted.events,
            wrong=errors.get("events", []),
        )

    def _refused(self, hook: Webhook | None, wanted: WebhookSettings, broken: RuleBroken) -> Any:
        status, sentence, errors = refusal(broken)
        return self._form(hook, wanted, errors, "" if errors else sentence), status

    def _secret(self, key: int, name: str, secret: str) -> Any:
        page = self.render_template("webhooks/secret.html", key=key, name=name, secret=secret)
        return without_cache(make_response(page))


# --- what is done


def _refuse_others() -> None:
    """Raise Denied for anybody but an admin: whoever sets up a webhook takes records out of the house."""
    if not current_viewer().person.is_admin:
        raise access.Denied(_("Only an admin can manage webhooks."))


def _found(record: Any, key: int) -> Any:
    row = access.get_visible(db.session(), record, key)
    if row is None:
        raise NotFound(_("There is no such webhook or delivery."))
    return row


def _pause(hook: Webhook, by: int) -> None:
    with own_transaction() as session:
        webhooks.pause(session, hook, Stamp(by, _now()))
    flash(_("Webhook paused. Events are queued."), "success")


def _resume(hook: Webhook, by: int) -> None:
    with own_transaction() as session:
        webhooks.resume(session, hook, Stamp(by, _now()))
    flash(_("Webhook turned on. Queued deliveries are sent within minutes."), "success")


def _test(hook: Webhook, by: int) -> None:
    with own_transaction() as session:
        key = webhooks.send_test(session, hook, _now())
    engine.enqueue(WEBHOOKS, key)
    flash(_("Test sent. The result appears below."), "success")


def _retry(hook: Webhook, by: int) -> None:
    with own_transaction() as session:
        count = webhooks.resend_failed(session, hook, Stamp(by, _now()))
    goes = (
        _("They are sent within minutes, oldest first.")
        if hook.state == "on"
        else _("They are sent once the webhook is on.")
    )
    told = _n("%(num)s delivery will be resent.", "%(num)s deliveries will be resent.", count)
    flash(f"{told} {goes}" if count else _("Nothing has failed in the last 30 days."), "success")


def _delete(hook: Webhook, by: int) -> None:
    with own_transaction() as session:
        webhooks.remove(session, hook, Stamp(by, _now()))
    flash(_("Webhook and log deleted."), "success")


_TURNS = {"pause": _pause, "resume": _resume, "test": _test, "retry": _retry, "delete": _delete}


def _typed() -> WebhookSettings:
    form = request.form
    name, url = (form.get(each, "")[:2000] for each in ("name", "url"))
    user_id = parse_id(form.get("user", ""))
    version = whole(form.get("version"), 0, 0, 2**31 - 1) or None
    return WebhookSettings(
        name, url, tuple(form.getlist("events")[:100]), user_id, "is_on" in form, version, allow_private=_private()
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _vault() -> Any:
    return current_app.extensions["vault"]


def _private() -> bool:
    return bool(current_app.config["CRM"].webhooks_private)


# --- what is shown


def _fields(wanted: WebhookSettings, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    card = current_viewer().lookups.person(wanted.user_id) or {}
    base = {
        "value": "",
        "errors": [],
        "required": True,
        "options": None,
        "lookup_url": None,
        "selected": [],
        "multiple": False,
        "autocomplete": "off",
        "kind": "text",
    }
    return [
        base
        | {
            "name": "name",
            "label": _("Name"),
            "value": wanted.name,
            "errors": errors.get("name"),
            "maxlength": webhooks.MAX_NAME_LENGTH,
            "placeholder": _("Accounts, website …"),
        },
        base
        | {
            "name": "user",
            "label": _("Sees records as"),
            "kind": "person",
            "lookup_url": "/people/lookup",
            "selected": [(wanted.user_id, card["full_name"])] if card else [],
            "errors": errors.get("user"),
            "help": _("Only records this user can see are sent, and masked fields stay masked."),
        },
        base
        | {
            "name": "url",
            "label": _("Address"),
            "value": wanted.url,
            "errors": errors.get("url"),
            "wide": True,
            "maxlength": 500,
            "placeholder": "https://example.com/crm",
        },
        base
        | {
            "name": "is_on",
            "label": _("On"),
            "kind": "flag",
            "value": wanted.is_on,
            "required": False,
            "help": _("While off, no events are queued. To hold events back for a while, pause the webhook instead."),
        },
    ]


def _card(hook: Webhook, viewer: Viewer) -> dict[str, Any]:
    """A webhook for the list and its own page; never its secret."""
    label, tone = _STATES[hook.state]
    return {
        "id": hook.id,
        "name": hook.name,
        "url": hook.url,
        "events": _heard(hook.events),
        "state": hook.state,
        "chip": {"kind": "status", "label": label, "color": tone},
        "failures": hook.failures,
        "user": (viewer.lookups.person(hook.user_id) or {}).get("full_name"),
        "tried": moment_cell(hook.tried_on, viewer),
        "result": hook.result,
        "is_bad": bool(hook.failures),
    }


def _heard(events: Iterable[str]) -> list[str]:
    """One line a kind: Leads: new, deleted."""
    by_kind: dict[str, list[str]] = {}
    for event in events:
        kind, _dot, what = event.partition(".")
        by_kind.setdefault(kind, []).append(str(EVENTS.get(what, what)))
    return [f"{KINDS.get(kind, kind)}: {', '.join(words)}" for kind, words in by_kind.items()]


def _numbers(session: Session, rows: Iterable[WebhookDelivery]) -> dict[tuple[str, int], str]:
    """(kind, id) -> number or title of the records that the reader sees; one statement a kind at most."""
    found: dict[tuple[str, int], str] = {}
    for kind, (record, called) in _CALLED.items():
        ids = {row.record_id for row in rows if row.event.startswith(f"{kind}.") and row.record_id}
        if ids:
            named = session.execute(select(record.id, called).where(record.id.in_(ids)))
            found |= {(kind, key): name for key, name in named}
    return found


def _is_moving(row: WebhookDelivery, now: datetime) -> bool:
    """Whether something comes of it any moment, so that the page asks again by itself."""
    if row.state == "queued":
        return row.next_try_on is not None and abs(row.next_try_on - now) < SOON
    return row.state == "sending" and now - (row.tried_on or row.at) < SOON


def _line(row: WebhookDelivery, numbers: dict[tuple[str, int], str], viewer: Viewer, is_on: bool) -> dict[str, Any]:
    label, tone = _OUTCOMES[row.state]
    kind, _dot, what = row.event.partition(".")
    return {
        "id": row.id,
        "key": row.key,
        "at": moment_cell(row.at, viewer),
        "tries": row.tries,
        "code": row.code,
        "event": f"{_ONE[kind]}: {EVENTS[what]}" if kind in _ONE else _("Test"),
        "record": _place(row, kind, numbers),
        "state": {"kind": "status", "label": label, "color": tone},
        "error": row.error,
        "answer": row.answer,
        "next": _next(row, viewer, is_on),
        "is_fine": row.state == "sent",
        "is_over": row.state in ("sent", "failed", "dropped"),
    }


def _next(row: WebhookDelivery, viewer: Viewer, is_on: bool) -> dict[str, Any]:
    """When it is tried next; what is due already goes out now, and nothing does while the webhook is not on."""
    if row.state != "queued" or row.next_try_on is None:
        return {"kind": "missing"}
    if not is_on:
        return {"kind": "text", "text": _("when turned on")}
    return moment_cell(max(row.next_try_on, viewer.now), viewer)


def _place(row: WebhookDelivery, kind: str, numbers: dict[tuple[str, int], str]) -> dict[str, Any]:
    """The record as a cell: a link where the reader sees it."""
    if row.record_id is None:
        return {"kind": "missing"}
    number = numbers.get((kind, row.record_id))
    if number:
        page = f"{_BY_NUMBER[kind]}{number}" if kind in _BY_NUMBER else f"{_BY_ID[kind]}{row.record_id}"
        return {"kind": "record", "url": page, "number": number}
    url = f"{_BY_ID[kind]}{row.record_id}" if kind in _BY_ID and not row.event.endswith(".deleted") else None
    return {"kind": "record", "url": url, "number": row.number or f"{_ONE.get(kind, kind)} {row.record_id}"}
