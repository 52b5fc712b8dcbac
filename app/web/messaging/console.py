"""The page of a console account: what would have been sent, and a form to play the customer."""

from __future__ import annotations

import secrets
from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.datastructures import FileStorage

from app import access
from app.channels import console_provider
from app.channels.provider import Inbound
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import file_checks, messages
from app.extensions import db
from app.file_store_and_vault import file_store
from app.inbound import inbound_processing
from app.models import ChannelAccount, Message
from app.ops.storage.file_store import TooLarge
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.messaging import console_calls
from app.web.messaging.channel_accounts import find_account, refuse_non_admin
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage
from app.web.records.attachments.message_uploads import clean_name
from app.web.records.conversation_list import shown_peer
from app.web.records.message_words import CHANNEL_WORDS, STATE_WORDS
from app.web.records.messages import COLORS

#: Messages that are shown.
MOST = 50
MAX_TEXT = 4000
_WHY = "The customer's phone is switched off."


class ConsoleView(SettingsPage):
    """/settings/channels/console/<account>/"""

    route_base = "/settings/channels/console"
    default_view = "show"
    VERBS = {"show": "read"} | dict.fromkeys(("play", "write", "react", "play_call", "ring"), "write")

    @page_route("/<int:key>/")
    def show(self, key: int) -> Any:
        """The newest messages of the account, in both directions."""
        refuse_non_admin()
        viewer, account = current_viewer(), _console(key)
        query = select(Message).where(Message.account_id == account.id).order_by(Message.id.desc()).limit(MOST)
        rows = [_row(each, viewer) for each in db.session.scalars(query)]
        channels = [(each, str(word)) for each, word in CHANNEL_WORDS.items() if each in account.channels]
        calls = console_calls.rows(account, viewer) if "voice" in account.channels else None
        return self.render_template(
            "channels/console.html", account=account, messages=rows, channels=channels, calls=calls
        )

    @page_route("/<int:key>/<int:message>/<any(delivered, read, failed):state>", methods=["POST"])
    def play(self, key: int, message: int, state: str) -> Any:
        """Set the state of a message on the customer's side."""
        refuse_non_admin()
        account, row = _console(key), access.get_visible(db.session(), Message, message)
        if row is None or row.account_id != account.id or not row.provider_id:
            raise NotFound(_("This message hasn't been sent by this account."))
        event = {"type": "status", "provider_id": row.provider_id, "state": state}
        _report(account, event | ({"reason": _WHY, "code": "30003"} if state == "failed" else {}))
        flash(_("Reported. The message shows it in a moment."), "success")
        return redirect(f"/settings/channels/console/{key}/")

    @page_route("/<int:key>/<int:message>/react", methods=["POST"])
    def react(self, key: int, message: int) -> Any:
        """React to a message as the customer; without an emoji, withdraw the reaction."""
        refuse_non_admin()
        account, row = _console(key), access.get_visible(db.session(), Message, message)
        if row is None or row.account_id != account.id or not row.provider_id:
            raise NotFound(_("This message hasn't been sent by this account."))
        event = {"type": "message", "channel": row.channel, "peer": row.peer, "in_reply_to": row.provider_id}
        _report(account, event | {"reaction": request.form.get("emoji", "👍")[:16], "is_reaction": True})
        flash(_("Reported. The message shows it in a moment."), "success")
        return redirect(f"/settings/channels/console/{key}/")

    @page_route("/<int:key>/write", methods=["POST"])
    def write(self, key: int) -> Any:
        """Receive a message as if the customer had written it."""
        refuse_non_admin()
        account, form = _console(key), request.form
        channel, text = form.get("channel", ""), form.get("text", "").strip()[:MAX_TEXT]
        peer = messages.clean_peer(channel, form.get("peer", "")[:300])
        file = next((each for each in request.files.getlist("files") if each.filename), None)
        if channel not in account.channels or not peer or not (text or file):
            flash(_("Please enter a number or address, and a text or a file."), "danger")
            return redirect(f"/settings/channels/console/{key}/")
        event: dict[str, Any] = {
            "type": "message",
            "provider_id": f"in-{secrets.token_hex(8)}",
            "channel": channel,
            "peer": peer,
        }
        event |= {"in_reply_to": form.get("in_reply_to", "")[:120], "media": _media_of(file) if file else []}
        _report(account, event | {"text": text, "peer_name": form.get("name", "")[:140]})
        flash(_("The customer's message has arrived."), "success")
        return redirect(f"/settings/channels/console/{key}/")

    @page_route("/<int:key>/call/<int:call>/<any(ring, answer, hangup, busy, ignore, record):step>", methods=["POST"])
    def play_call(self, key: int, call: int, step: str) -> Any:
        """Continue a call on the customer's side, or add its recording."""
        refuse_non_admin()
        account = _console(key)
        _report(account, console_calls.event_of(account, call, step, current_viewer().now))
        flash(_("Reported. The call shows it in a moment."), "success")
        return redirect(f"/settings/channels/console/{key}/#calls")

    @page_route("/<int:key>/ring", methods=["POST"])
    def ring(self, key: int) -> Any:
        """Play an incoming call from a customer."""
        refuse_non_admin()
        account, form = _console(key), request.form
        if "voice" not in account.channels:
            raise RuleBroken(_("This account has no phone."))
        _report(account, console_calls.incoming_event(form.get("peer", "")[:60], form.get("own", "")[:60]))
        flash(_("Ringing. Whoever answers the call sees it on their pages."), "success")
        return redirect(f"/settings/channels/console/{key}/#calls")


def _console(key: int) -> ChannelAccount:
    account = find_account(key)
    if account.kind != console_provider.KIND.name:
        raise NotFound(_("There is no such console account."))
    return account


def _media_of(file: FileStorage) -> list[dict[str, str]]:
    """A file from the customer, stored until the queue fetches it as from a provider.

    Any type is accepted, as from customers.
    """
    try:
        kept = file_store().put(file.stream)  # type: ignore[arg-type]
    except TooLarge as error:
        raise file_checks.too_large(clean_name(file.filename or "")) from error
    name = clean_name(file.filename or "")
    return [{"address": console_provider.FILE_MARK + kept.digest, "mime_type": kept.mime_type, "name": name}]


def _report(account: ChannelAccount, event: dict[str, Any]) -> None:
    """Report as a provider does at the hook: the event is stored, then processed by the queue."""
    viewer = current_viewer()
    # A different key for each report distinguishes equal ones: a person has pressed the button twice.
    body = console_provider.body_of([event | {"happened_on": viewer.now.isoformat(), "nonce": secrets.token_hex(8)}])
    with request_transaction() as session:
        inbound_processing.store(session, account, Inbound("POST", "", {}, body), viewer.now)


def _row(row: Message, viewer: Viewer) -> dict[str, Any]:
    return {
        "id": row.id,
        "is_out": row.direction == "out",
        "peer": shown_peer(row.channel, row.peer, viewer) or "••••••",
        "channel": str(CHANNEL_WORDS.get(row.channel, row.channel)),
        "subject": row.subject,
        "body": row.body,
        "state": {"kind": "status", "label": str(STATE_WORDS[row.state]), "color": COLORS[row.state]},
        "reason": row.reason,
        "files": [str(each.get("name") or each.get("mime_type") or "") for each in row.media or ()],
        "reactions": " ".join((row.reactions or {}).values()),
        "provider_id": row.provider_id or "",
        "at": moment_cell(row.happened_on or row.created_on, viewer),
        "may_play": row.direction == "out" and bool(row.provider_id),
    }
