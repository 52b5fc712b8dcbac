"""The page of permanent failures: messages to resend, and providers' requests that could not be understood."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.inbound import inbound_queue
from app.domain.messaging import messages
from app.domain.people import permissions
from app.extensions import db
from app.inbound import inbound_processing
from app.lib.digit_grouping import GroupedInt, grouped
from app.lib.ids import parse_id
from app.models import ChannelAccount, InboundEvent, Message
from app.web.core.fab_access import current_viewer, parse_integer, refuse_unreached
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.messaging.channel_accounts import refuse_non_admin
from app.web.pages.routes import page_route
from app.web.records.conversation_list import shown_peer
from app.web.records.message_words import CHANNEL_WORDS, STATE_WORDS
from app.web.records.messages import COLORS

#: Rows of each list.
MOST = 100
BASE = "/undelivered/"


class UndeliveredView(BaseView):
    """/undelivered/: messages that the person sees; providers' requests for readers of the settings."""

    route_base = "/undelivered"
    default_view = "index"
    class_permission_name = "Messages"
    method_permission_name = {"index": "read", "decide": "write", "decide_event": "write", "send_many": "write"}
    base_permissions = ["can_" + verb for verb in permissions.VERBS]

    @page_route("/")
    def index(self) -> Any:
        """Failed messages, those with an unknown outcome, and requests that could not be read."""
        viewer, session = current_viewer(), db.session()
        before = parse_integer(request.args.get("before"), 0, 1, 2**31 - 1)
        chosen = _chosen(request.args)
        dead = select(Message).where(*_rules(chosen)).order_by(Message.id.desc()).limit(MOST + 1)
        rows = session.scalars(dead.where(Message.id < before) if before else dead).all()
        wrong = select(InboundEvent).where(InboundEvent.state == "failed").order_by(InboundEvent.id.desc()).limit(MOST)
        events = session.scalars(wrong).all() if not before else ()
        with access.as_system(session):
            names = {row.id: row.name for row in session.execute(select(ChannelAccount.id, ChannelAccount.name))}
        reasons, count = _reasons(session, chosen)
        return self.render_template(
            "channels/undelivered.html",
            messages=[_message_row(each, names, viewer) for each in rows[:MOST]],
            events=[_event_row(each, names, viewer) for each in events],
            in_settings=viewer.person.may("Settings", "read"),
            may_write=viewer.person.may("Messages", "write"),
            may_bulk=viewer.person.may("Messages", "write") and viewer.person.may("Messages", "bulk"),
            acts=viewer.person.is_admin,
            most=MOST,
            chosen=chosen,
            accounts=sorted(names.items(), key=lambda each: each[1]),
            reasons=[
                (reason, f"{translate_text(reason or '') or _('No reason')} ({grouped(n)})") for reason, n in reasons
            ],
            count=grouped(count),
            older=f"{BASE}?{urlencode({**chosen, 'before': rows[MOST - 1].id})}" if len(rows) > MOST else "",
        )

    @page_route("/again", methods=["POST"])
    def send_many(self) -> Any:
        """Resend the selected messages, or (`all`) all that match the filters, in steps of 500.

        Those with an unknown outcome only if they are selected or filtered for: they may have arrived.
        """
        viewer, form = current_viewer(), request.form
        viewer.person.refuse_unless("Messages", "bulk")
        chosen = _chosen(form)
        rules = [access.visible(viewer.person, Message, "write"), Message.account_id.is_not(None), *_rules(chosen)]
        if form.get("all"):
            rules += [] if chosen.get("state") else [Message.state == "failed"]
        else:
            keys = [key for each in form.getlist("rowid")[: MOST + 1] if (key := parse_id(each))]
            if not keys:
                raise RuleBroken(_("Please select at least one message."))
            rules.append(Message.id.in_(keys))
        done = _send_again(rules, viewer)
        flash(_n("%(num)s message is sent again.", "%(num)s messages are sent again.", GroupedInt(done)), "success")
        return redirect(f"{BASE}?{urlencode(chosen)}" if chosen else BASE)

    @page_route("/<int:key>/<any(again, give_up, arrived):what>", methods=["POST"])
    def decide(self, key: int, what: str) -> Any:
        """Resend a message, or say that it has failed or arrived."""
        viewer = current_viewer()
        row = access.get_visible(db.session(), Message, key)
        if row is None:
            raise NotFound(_("There is no such message."))
        refuse_unreached("Messages", row, "write")
        step, sentence = _DECISIONS[what]
        try:
            with request_transaction() as session, access.as_system(session):  # the first response of any record
                step(session, session.get_one(Message, key), viewer.stamp)
            flash(str(sentence), "success")
        except RuleBroken as broken:
            flash(translate_text(broken.message), "danger")
        return redirect(BASE)

    @page_route("/event/<int:key>/<any(again, dismiss):what>", methods=["POST"])
    def decide_event(self, key: int, what: str) -> Any:
        """Process a provider's request again, or dismiss it."""
        refuse_non_admin()
        row, viewer = access.get_visible(db.session(), InboundEvent, key), current_viewer()
        if row is None:
            raise NotFound(_("There is no such request."))
        step = inbound_queue.try_again if what == "again" else inbound_queue.dismiss
        with request_transaction() as session:
            step(session, session.get_one(InboundEvent, key), viewer.stamp)
        if what == "again":
            inbound_processing.enqueue(key)
        flash(_("It is tried again.") if what == "again" else _("Dismissed."), "success")
        return redirect(BASE)


#: Decision -> what it does, and what is said then.
_DECISIONS: dict[str, tuple[Any, Any]] = {
    "again": (messages.send_again, _l("The message is sent again.")),
    "give_up": (messages.mark_not_delivered, _l("The message counts as failed.")),
    "arrived": (messages.mark_arrived, _l("The message counts as sent.")),
}
#: Messages resent by one request, and in one transaction; reasons offered as filters.
MAX_AGAIN, CHUNK, MAX_REASONS = 10_000, 500, 30


def _send_again(rules: list[Any], viewer: Viewer) -> int:
    """Resend in transactions of their own, so that no lock is held for long. Returns how many."""
    done = last = 0
    while done < MAX_AGAIN:
        with request_transaction() as session, access.as_system(session):
            query = select(Message.id).where(*rules, Message.id > last).order_by(Message.id).limit(CHUNK)
            ids = list(session.scalars(query))
            if not ids:
                return done
            done, last = done + messages.send_many_again(session, ids, viewer.stamp), ids[-1]
    return done


def _chosen(given: Any) -> dict[str, str]:
    """The filters in the URL: account, state, reason. Raises RuleBroken for an invalid state or account."""
    chosen = {name: given.get(name, "")[:300] for name in ("account", "state", "reason") if given.get(name)}
    if chosen.get("state", "failed") not in messages.DEAD:
        raise RuleBroken(_("There is no such state. Please choose one of the list."), "state")
    if "account" in chosen and parse_id(chosen["account"]) is None:
        raise RuleBroken(_("There is no such channel account."), "account")
    return chosen


def _rules(chosen: dict[str, str]) -> list[Any]:
    rules: list[Any] = [Message.state == chosen["state"] if "state" in chosen else Message.state.in_(messages.DEAD)]
    if "account" in chosen:
        rules.append(Message.account_id == parse_id(chosen["account"]))
    if "reason" in chosen:
        rules.append(Message.reason == chosen["reason"])
    return rules


def _reasons(session: Session, chosen: dict[str, str]) -> tuple[list[tuple[str, int]], int]:
    """The most frequent reasons with their counts, and the number of messages that match the filters."""
    others = {name: value for name, value in chosen.items() if name != "reason"}
    query = select(Message.reason, func.count()).where(*_rules(others)).group_by(Message.reason)
    found = [(reason or "", n) for reason, n in session.execute(query.order_by(func.count().desc(), Message.reason))]
    count = sum(n for reason, n in found if chosen.get("reason", reason) == reason)
    return found[:MAX_REASONS], count


def _message_row(row: Message, names: dict[int, str], viewer: Viewer) -> dict[str, Any]:
    return {
        "id": row.id,
        "peer": shown_peer(row.channel, row.peer, viewer) or "••••••",
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
