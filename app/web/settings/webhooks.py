"""The webhook pages: list, log, form, and the actions of an admin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import flash, make_response, redirect, request
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy import select

from app import access
from app.domain import webhooks
from app.domain.base import NotFound, RuleBroken, Stamp
from app.domain.webhooks import WebhookSettings
from app.extensions import db
from app.file_store_and_vault import vault
from app.lib.digit_grouping import GroupedInt
from app.models import Webhook, WebhookDelivery
from app.outbox import delivery_engine
from app.outbox.webhook_delivery import WEBHOOKS
from app.web.core.fab_access import current_viewer, refusal
from app.web.core.request_transaction import request_transaction
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage
from app.web.security.sessions import without_cache
from app.web.settings.webhook_form import EVENTS, event_grid, form_of, posted_settings
from app.web.settings.webhook_log import PAUSE_REASONS, delivery_row, is_due_soon, record_titles, webhook_card

#: How many deliveries are shown.
MAX_DELIVERIES = 100
#: Filters of the log: ?show= -> states.
_FILTERS = {"waiting": ("queued", "sending"), "failed": ("failed",), "dropped": ("dropped",)}


class WebhooksView(SettingsPage):
    """/webhooks/"""

    route_base = "/webhooks"
    VERBS = {
        "index": "read",
        "show": "read",
        "add": "write",
        "create": "write",
        "edit": "write",
        "update": "write",
        "run_action": "write",
        "resend": "write",
    }

    @page_route("/")
    def index(self) -> Any:
        """The list of webhooks."""
        viewer = current_viewer()
        rows = db.session.scalars(select(Webhook).order_by(Webhook.name, Webhook.id)).all()
        hooks = [webhook_card(hook, viewer) for hook in rows]
        return self.render_template("webhooks/list.html", hooks=hooks, acts=viewer.person.is_admin)

    @page_route("/<int:key>/")
    def show(self, key: int) -> Any:
        """One webhook and its last deliveries."""
        viewer, hook, shown = current_viewer(), _find(Webhook, key), request.args.get("show", "")
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == hook.id)
        if shown in _FILTERS:
            query = query.where(WebhookDelivery.state.in_(_FILTERS[shown]))
        rows = db.session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(MAX_DELIVERIES)).all()
        titles = record_titles(db.session(), rows)
        return self.render_template(
            "webhooks/webhook.html",
            hook=webhook_card(hook, viewer),
            why=PAUSE_REASONS.get(hook.why or ""),
            most=MAX_DELIVERIES,
            log=[delivery_row(row, titles, viewer, hook.state == "on") for row in rows],
            shown=shown if shown in _FILTERS else "",
            acts=viewer.person.is_admin,
            is_moving=hook.state == "on" and any(is_due_soon(row, viewer.now) for row in rows),
        )

    @page_route("/add")
    def add(self) -> Any:
        """The form of a new webhook, which by default sees records as the admin does."""
        _refuse_non_admin()
        return self._form(None, WebhookSettings("", "", ("lead.created",), current_viewer().person.id), {})

    @page_route("/add", methods=["POST"])
    def create(self) -> Any:
        """Create it; the response shows the secret and must not be cached."""
        _refuse_non_admin()
        settings, by = posted_settings(), current_viewer().person.id
        try:
            with request_transaction() as session:
                hook, secret = webhooks.create(session, settings, Stamp(by, _now()), vault())
                shown = (hook.id, hook.name)
        except RuleBroken as broken:
            return self._refused(None, settings, broken)
        return self._secret(*shown, secret)

    @page_route("/<int:key>/edit")
    def edit(self, key: int) -> Any:
        """The form of an existing webhook."""
        _refuse_non_admin()
        hook = _find(Webhook, key)
        settings = WebhookSettings(hook.name, hook.url, tuple(hook.events), hook.user_id, hook.state != "off")
        return self._form(hook, settings, {})

    @page_route("/<int:key>/edit", methods=["POST"])
    def update(self, key: int) -> Any:
        """Save the form of a webhook."""
        _refuse_non_admin()
        hook, settings, by = _find(Webhook, key), posted_settings(), current_viewer().person.id
        try:
            with request_transaction() as session:
                webhooks.change(session, hook, settings, Stamp(by, _now()))
        except RuleBroken as broken:
            return self._refused(_find(Webhook, key), settings, broken)
        flash(_("Webhook saved."), "success")
        return redirect(f"/webhooks/{key}/")

    @page_route("/<int:key>/<any(pause, resume, test, retry, secret, delete):what>", methods=["POST"])
    def run_action(self, key: int, what: str) -> Any:
        """Pause, resume, send a test, resend failed deliveries, rotate the secret, or delete."""
        _refuse_non_admin()
        hook, by = _find(Webhook, key), current_viewer().person.id
        if what == "secret":
            with request_transaction() as session:
                name, secret = hook.name, webhooks.rotate_secret(session, hook, Stamp(by, _now()), vault())
            return self._secret(key, name, secret)
        _ACTIONS[what](hook, by)
        return redirect("/webhooks/" if what == "delete" else f"/webhooks/{key}/")

    @page_route("/again/<int:key>", methods=["POST"])
    def resend(self, key: int) -> Any:
        """Resend one delivery."""
        _refuse_non_admin()
        row = _find(WebhookDelivery, key)
        with request_transaction() as session:
            hook_id, name = row.webhook_id, webhooks.resend(session, row, _now())
        delivery_engine.enqueue(WEBHOOKS, name)
        flash(_("Resent with the same delivery ID."), "success")
        return redirect(f"/webhooks/{hook_id}/")

    def _form(
        self, hook: Webhook | None, settings: WebhookSettings, errors: dict[str, list[str]], error: str = ""
    ) -> Any:
        return self.render_template(
            "webhooks/form.html",
            form=form_of(hook, settings, errors, error),
            grid=event_grid(),
            words=EVENTS,
            chosen=settings.events,
            wrong=errors.get("events", []),
        )

    def _refused(self, hook: Webhook | None, settings: WebhookSettings, broken: RuleBroken) -> Any:
        status, sentence, errors = refusal(broken)
        return self._form(hook, settings, errors, "" if errors else sentence), status

    def _secret(self, key: int, name: str, secret: str) -> Any:
        page = self.render_template("webhooks/secret.html", key=key, name=name, secret=secret)
        return without_cache(make_response(page))


# --- actions


def _refuse_non_admin() -> None:
    """Raise Denied for anyone but an admin: a webhook sends records out of the company."""
    if not current_viewer().person.is_admin:
        raise access.Denied(_("Only an admin can manage webhooks."))


def _find(record: Any, key: int) -> Any:
    row = access.get_visible(db.session(), record, key)
    if row is None:
        raise NotFound(_("There is no such webhook or delivery."))
    return row


def _pause(hook: Webhook, by: int) -> None:
    with request_transaction() as session:
        webhooks.pause(session, hook, Stamp(by, _now()))
    flash(_("Webhook paused. Events are queued."), "success")


def _resume(hook: Webhook, by: int) -> None:
    with request_transaction() as session:
        webhooks.resume(session, hook, Stamp(by, _now()))
    flash(_("Webhook turned on. Queued deliveries are sent within minutes."), "success")


def _test(hook: Webhook, by: int) -> None:
    with request_transaction() as session:
        key = webhooks.send_test(session, hook, _now())
    delivery_engine.enqueue(WEBHOOKS, key)
    flash(_("Test sent. The result appears below."), "success")


def _retry(hook: Webhook, by: int) -> None:
    with request_transaction() as session:
        count = webhooks.resend_failed(session, hook, Stamp(by, _now()))
    when = (
        _("They are sent within minutes, oldest first.")
        if hook.state == "on"
        else _("They are sent once the webhook is on.")
    )
    text = _n("%(num)s delivery will be resent.", "%(num)s deliveries will be resent.", GroupedInt(count))
    flash(f"{text} {when}" if count else _("No delivery that is still kept has failed."), "success")


def _delete(hook: Webhook, by: int) -> None:
    with request_transaction() as session:
        webhooks.remove(session, hook, Stamp(by, _now()))
    flash(_("Webhook and log deleted."), "success")


_ACTIONS = {"pause": _pause, "resume": _resume, "test": _test, "retry": _retry, "delete": _delete}


def _now() -> datetime:
    return datetime.now(UTC)
