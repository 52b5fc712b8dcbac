"""The settings page of channels: accounts, their health, test messages, and hook addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy import func, select

from app import access
from app.channels.base import ChannelError
from app.channels.provider import ProviderKind, StatusUnavailable
from app.channels.provider_registry import KINDS
from app.domain.base import NotFound, RuleBroken, Stamp
from app.domain.messaging import channel_accounts, message_sending, message_templates
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.message_sending import OutgoingRequest
from app.extensions import db
from app.file_store_and_vault import vault
from app.lib.digit_grouping import GroupedInt
from app.models import ChannelAccount, InboundEvent, Message
from app.outbox import provider_clients
from app.outbox.provider_clients import NoProvider
from app.web.core.fab_access import current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.messaging.account_checks import try_account
from app.web.messaging.account_form import channel_words, form_of, posted_settings, settings_of
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage

BASE = "/settings/channels/"


class ChannelsView(SettingsPage):
    """/settings/channels/"""

    route_base = "/settings/channels"
    VERBS = {
        "index": "read",
        "show": "read",
        "add": "write",
        "create": "write",
        "edit": "write",
        "update": "write",
        "run_action": "write",
        "send_test": "write",
    }

    @page_route("/")
    def index(self) -> Any:
        """The list, with the health of each account."""
        viewer = current_viewer()
        rows = db.session.scalars(select(ChannelAccount).order_by(ChannelAccount.name, ChannelAccount.id)).all()
        failed = _failures(viewer.now)
        return self.render_template(
            "channels/accounts.html",
            accounts=[account_card(each, failed.get(each.id, 0), viewer) for each in rows],
            kinds=[(each.name, translate_text(each.label)) for each in KINDS.values()],
            acts=viewer.person.is_admin,
        )

    @page_route("/<int:key>/")
    def show(self, key: int) -> Any:
        """One account: its hook addresses, its health, and the actions of an admin."""
        viewer, account = current_viewer(), find_account(key)
        is_admin = viewer.person.is_admin
        words = [(each, word) for each, word in channel_words().items() if each in account.channels]
        kind = KINDS.get(account.kind)
        return self.render_template(
            "channels/account.html",
            account=account_card(account, _failures(viewer.now).get(account.id, 0), viewer),
            settings=[
                (translate_text(each.label), account.settings.get(each.key, ""))
                for each in kind.settings
                if not each.is_secret
            ]
            if kind
            else [],
            hooks=[(word, provider_clients.hook_url(account, each)) for each, word in words]
            if is_admin and kind is not None and kind.has_hooks
            else [],
            channels=[(each, word) for each, word in words if each != "voice"],
            is_console=account.kind == "console",
            acts=is_admin,
        )

    @page_route("/add/<name>")
    def add(self, name: str) -> Any:
        """The form of a new account of this kind."""
        refuse_non_admin()
        kind = _kind(name)
        return self._form(None, kind, AccountSettings("", {}, kind.channels), {})

    @page_route("/add/<name>", methods=["POST"])
    def create(self, name: str) -> Any:
        """Add an account of this kind."""
        refuse_non_admin()
        kind, by = _kind(name), current_viewer().person.id
        settings = posted_settings(kind)
        try:
            with request_transaction() as session:
                account = channel_accounts.create(session, kind, settings, Stamp(by, _now()), vault())
                key = account.id
        except RuleBroken as broken:
            return self._refused(None, kind, settings, broken)
        flash(_added(kind), "success")
        return redirect(f"{BASE}{key}/")

    @page_route("/<int:key>/edit")
    def edit(self, key: int) -> Any:
        """The form of an existing account, without its secrets."""
        refuse_non_admin()
        account = find_account(key)
        return self._form(account, _kind(account.kind), settings_of(account), {})

    @page_route("/<int:key>/edit", methods=["POST"])
    def update(self, key: int) -> Any:
        """Save the form of an account."""
        refuse_non_admin()
        account, by = find_account(key), current_viewer().person.id
        kind = _kind(account.kind)
        settings = posted_settings(kind)
        try:
            with request_transaction() as session:
                channel_accounts.change(session, account, kind, settings, Stamp(by, _now()), vault())
        except RuleBroken as broken:
            return self._refused(find_account(key), kind, settings, broken)
        flash(_("Account saved."), "success")
        return redirect(f"{BASE}{key}/")

    @page_route("/<int:key>/<any(check, on, off, token, templates):what>", methods=["POST"])
    def run_action(self, key: int, what: str) -> Any:
        """Try the connection, turn it on or off, replace its hook addresses, or read the provider's templates."""
        refuse_non_admin()
        account, by = find_account(key), current_viewer().person.id
        try:
            flash(_ACTIONS[what](account, by), "success")
        except RuleBroken as broken:
            flash(translate_text(broken.message), "danger")
        return redirect(f"{BASE}{key}/")

    @page_route("/<int:key>/test", methods=["POST"])
    def send_test(self, key: int) -> Any:
        """Send a test message through this account; the result appears in its conversation."""
        refuse_non_admin()
        account, viewer, form = find_account(key), current_viewer(), request.form
        text = _("This is a test of %(name)s.", name=account.name)
        outgoing = OutgoingRequest(
            form.get("channel", "")[:20], form.get("to", "")[:300], text, account.id, purpose="service"
        )
        try:
            with request_transaction() as session:
                message = message_sending.send(session, outgoing, Stamp(viewer.person.id, _now()))
                number = message.id
        except RuleBroken as broken:
            flash(translate_text(broken.message), "danger")
            return redirect(f"{BASE}{key}/")
        flash(_("Test message queued. Its page shows the result."), "success")
        return redirect(f"/messages/show/{number}")

    def _form(self, account: Any, kind: ProviderKind, settings: AccountSettings, errors: dict[str, list[str]]) -> Any:
        return self.render_template("channels/form.html", form=form_of(account, kind, settings, errors))

    def _refused(self, account: Any, kind: ProviderKind, settings: AccountSettings, broken: RuleBroken) -> Any:
        status, sentence, errors = refusal(broken)
        return self._form(account, kind, settings, errors or {"": [sentence]}), status


# --- actions


def refuse_non_admin() -> None:
    """Raise Denied for anyone but an admin: an account sends in the company's name."""
    if not current_viewer().person.is_admin:
        raise access.Denied(_("Only an admin can manage channel accounts."))


def find_account(key: int) -> ChannelAccount:
    """The account. Raises NotFound."""
    row: ChannelAccount | None = access.get_visible(db.session(), ChannelAccount, key)
    if row is None:
        raise NotFound(_("There is no such channel account."))
    return row


def _added(kind: ProviderKind) -> str:
    """What to do next with a new account."""
    if kind.has_hooks:
        return _("Account added. Enter the addresses below at the provider, then send a test.")
    if kind.channels:
        return _("Account added. Check the connection, then send a test.")
    return _("Account added. Check the connection.")


def _kind(name: str) -> ProviderKind:
    kind = KINDS.get(name)
    if kind is None:
        raise NotFound(_("There is no such kind of account."))
    return kind


def _check(account: ChannelAccount, by: int) -> str:
    return translate_text(try_account(account.name, _now()))


def _turn_on(account: ChannelAccount, by: int) -> str:
    with request_transaction() as session:
        channel_accounts.set_active(session, account, True, Stamp(by, _now()))
    return _("Account turned on. Waiting messages are sent within minutes.")


def _turn_off(account: ChannelAccount, by: int) -> str:
    with request_transaction() as session:
        channel_accounts.set_active(session, account, False, Stamp(by, _now()))
    return _("Account turned off. Messages wait until it is on again.")


def _rotate(account: ChannelAccount, by: int) -> str:
    with request_transaction() as session:
        channel_accounts.rotate_token(session, account, Stamp(by, _now()), vault())
    return _("New addresses made. Enter them at the provider: the old ones are refused from now on.")


def _read_templates(account: ChannelAccount, by: int) -> str:
    try:
        listed = provider_clients.provider_of(account).templates()
    except StatusUnavailable as error:
        raise RuleBroken("This provider keeps no list of templates. Add them under Message templates.") from error
    except (NoProvider, ChannelError) as error:
        raise RuleBroken(provider_clients.impersonal(error)) from error
    with request_transaction() as session:
        count = message_templates.sync(session, account, listed, _now())
    return _n("%(num)s template read.", "%(num)s templates read.", GroupedInt(count))


_ACTIONS = {"check": _check, "on": _turn_on, "off": _turn_off, "token": _rotate, "templates": _read_templates}


# --- display


def account_card(account: ChannelAccount, failures: int, viewer: Viewer) -> dict[str, Any]:
    """An account for the templates."""
    words, kind = channel_words(), KINDS.get(account.kind)
    is_bad = failures > 0 or (account.last_error_on or datetime.min.replace(tzinfo=UTC)) > (
        account.last_success_on or datetime.min.replace(tzinfo=UTC)
    )
    chip = (_("On"), "amber" if is_bad else "green") if account.is_active else (_("Off"), "gray")
    return {
        "id": account.id,
        "name": account.name,
        "kind": translate_text(kind.label) if kind else account.kind,
        "channels": ", ".join(words[each] for each in account.channels),
        "chip": {"kind": "status", "label": chip[0], "color": chip[1]},
        "is_active": account.is_active,
        "success": moment_cell(account.last_success_on, viewer),
        "error": translate_text(account.last_error or ""),
        "error_on": moment_cell(account.last_error_on, viewer),
        "failures": failures,
        "per_second": account.per_second,
        "per_minute": account.per_minute,
        "caller_ids": account.caller_ids,
    }


def _failures(now: datetime) -> dict[int, int]:
    """Account -> number of messages and requests that failed within the last hour."""
    since, found = now - timedelta(hours=1), dict[int, int]()
    with access.as_system(db.session()) as session:
        dead = (Message.state.in_(("failed", "unknown")), Message.changed_on > since)
        wrong = (InboundEvent.state == "failed", InboundEvent.received_on > since)
        for model, rules in ((Message, dead), (InboundEvent, wrong)):
            query = select(model.account_id, func.count()).where(*rules).group_by(model.account_id)
            for key, count in session.execute(query):
                found[key or 0] = found.get(key or 0, 0) + count
    return found


def _now() -> datetime:
    return datetime.now(UTC)
