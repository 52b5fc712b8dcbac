"""The page of what failed for good: messages to send again, and requests of providers that nobody understood."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import inbound_events, messages, permissions
from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.models import ChannelAccount, InboundEvent, Message
from app.outbox import inbound_work
from app.web.channels.accounts import refuse_non_admin
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer, refuse_unreached
from app.web.core.languages import translate_text
from app.web.pages.refusals import refuse_as_page
from app.web.records.conversation_list import CHANNEL_WORDS, STATE_WORDS
from app.web.records.messages import COLORS
from app.web.security.sessions import own_transaction

#: Rows of each list.
MOST = 200
BASE = "/undelivered/"


class UndeliveredView(BaseView):
    """/undelivered/: those messages that the person sees; requests of providers for who reads settings."""

    route_base = "/undelivered"
    default_view = "index"
    class_permission_name = "Messages"
    method_permission_name = {"index": "read", "decide": "write", "decide_event": "write"}
    base_permissions = ["can_" + verb for verb in permissions.VERBS]

    @expose("/")
    @has_access
    @refuse_as_page
    @permission_name("index")
    def index(self) -> Any:
        """Failed messages, those of unknown fate, and requests that could not be read."""
        viewer, session = current_viewer(), db.session()
        dead = select(Message).where(Message.state.in_(messages.DEAD)).order_by(Message.id.desc()).limit(MOST)
        wrong = select(InboundEvent).where(InboundEvent.state == "failed").order_by(InboundEvent.id.desc()).limit(MOST)
        rows, events = session.scalars(dead).all(), session.scalars(wrong).all()
        with access.as_system(session):
            names = {row.id: row.name for row in session.execute(select(ChannelAccount.id, ChannelAccount.name))}
        return self.render_template(
            "channels/undelivered.html",
            messages=[_message_row(each, names, viewer) for each in rows],
            events=[_event_row(each, names, viewer) for each in events],
            may_write=viewer.person.may("Messages", "write"),
            acts=viewer.person.is_admin,
            most=MOST,
        )

    @expose("/<int:key>/<any(again, give_up):what>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("decide")
    def decide(self, key: int, what: str) -> Any:
        """Send a message again, or decide that it has failed."""
        viewer = current_viewer()
        row = access.get_visible(db.session(), Message, key)
        if row is None:
            raise NotFound(_("There is no such message."))
        refuse_unreached("Messages", row, "write")
        step = messages.send_again if what == "again" else messages.give_up
        try:
            with own_transaction() as session:
                step(session, session.get_one(Message, key), viewer.stamp)
            flash(_("The message is sent again.") if what == "again" else _("The message counts as failed."), "success")
        except RuleBroken as broken:
            flash(translate_text(broken.message), "danger")
        return redirect(BASE)

    @expose("/event/<int:key>/<any(again, dismiss):what>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("decide_event")
    def decide_event(self, key: int, what: str) -> Any:
        """Try a provider's request again, or dismiss it."""
        refuse_non_admin()
        row, viewer = access.get_visible(db.session(), InboundEvent, key), current_viewer()
        if row is None:
            raise NotFound(_("There is no such request."))
        step = inbound_events.try_again if what == "again" else inbound_events.dismiss
        with own_transaction() as session:
            step(session, session.get_one(InboundEvent, key), viewer.stamp)
        if what == "again":
            inbound_work.enqueue(key)
        flash(_("It is tried again.") if what == "again" else _("Dismissed."), "success")
        return redirect(BASE)


def _message_row(row: Message, names: dict[int, str], viewer: Viewer) -> dict[str, Any]:
    peer = viewer.person.mask_value("email" if row.channel == "email" else "mobile", row.peer)
    return {
        "id": row.id,
        "peer": peer or "••••••",
        "body": row.body[:120],
        "channel": str(CHANNEL_WORDS.get(row.channel, row.channel)),
        "account": names.get(row.account_id or 0, ""),
        "state": {"kind": "status", "label": str(STATE_WORDS[row.state]), "color": COLORS[row.state]},
        "is_unknown": row.state == "unknown",
        "reason": translate_text(row.reason or ""),
        "code": row.code or "",
        "tries": row.tries,
        "at": moment_cell(row.changed_on, viewer),
    }


def _event_row(row: InboundEvent, names: dict[int, str], viewer: Viewer) -> dict[str, Any]:
    return {
        "id": row.id,
        "account": names.get(row.account_id, ""),
        "error": translate_text(row.error or ""),
        "tries": row.tries,
        "at": moment_cell(row.received_on, viewer),
    }
