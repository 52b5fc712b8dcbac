"""The inbox: all conversations with customers, whichever record they belong to; replying, claiming, handing over."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import conversations, messages
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Conversation, Message
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, parse_integer, refusal
from app.web.core.fields.base import clean_text
from app.web.core.localization.default_labels import shown_label
from app.web.core.request_transaction import request_transaction
from app.web.core.urls.record_references import PAGES
from app.web.core.viewer import Viewer
from app.web.messaging import (
    conversation_page,
    inbox_file_routes,
    record_composer,
    record_from_conversation,
    reply_form,
    support_page_routes,
)
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route
from app.web.records import conversation_list
from app.web.records.attachments import message_uploads
from app.web.records.notes import unnotified_people

#: Resending a message from a record's timeline returns to that page.
_PAGES_OF_RECORDS = ("/leads/", "/tickets/", "/customers/")


class InboxView(
    inbox_file_routes.FileRoutes,
    support_page_routes.SupportPageRoutes,
    record_composer.WriteRoutes,
    ModulePermissions,
    BaseView,
):
    """/inbox/"""

    route_base = "/inbox"
    default_view = "index"
    module = "Messages"
    VERBS = {
        **dict.fromkeys(("index", "list", "show", "messages"), "read"),
        **dict.fromkeys(("send", "to", "start"), "create"),
        **dict.fromkeys(("claim", "release", "hand", "close", "reopen", "make"), "write"),
        **dict.fromkeys(("cancel", "again", "arrived", "give_up"), "write"),
        **inbox_file_routes.VERBS,
        **support_page_routes.VERBS,
        **record_composer.VERBS,
    }

    # --- showing ---

    @page_route("/")
    def index(self) -> Any:
        """The conversations of a folder: `folder`, `channel`, `before`."""
        return self.render_template("inbox/inbox.html", inbox=_list(None), thread=None)

    @page_route("/list")
    def list(self) -> Any:
        """The list alone, as an HTML fragment; `here` is the conversation that is open."""
        here = access.get_visible(db.session(), Conversation, parse_id(request.args.get("here")))
        return render_template("inbox/_list.html", inbox=_list(here))

    @page_route("/<pk>")
    def show(self, pk: str) -> Any:
        """A conversation; it counts as read if its own assignee opens it."""
        return self._page(_opened(pk))

    @page_route("/<pk>/messages")
    def messages(self, pk: str) -> Any:
        """The messages alone, as an HTML fragment, for a page that is notified of a change."""
        part = conversation_page.messages_part(db.session(), _opened(pk), current_viewer())
        return render_template("inbox/_messages.html", thread=part)

    def _page(self, row: Any, status: int = 200, **more: Any) -> Any:
        more |= {"before": request.args.get("before"), "is_handed": request.args.get("hand")}
        more.setdefault("reply_to", request.args.get("reply"))
        made = request.args.get("make") or more.pop("make", None)
        context = conversation_page.thread(db.session(), row, current_viewer(), **more)
        if made in ("lead", "ticket"):
            context["make"] = _make_form(row, made, more.get("typed") or {}, more.get("error") or "")
            context["composer"] = None
        inbox = _list(row)
        context["actions"] = [each | {"url": each["url"] + "?" + inbox["query"]} for each in context["actions"]]
        return self.render_template("inbox/inbox.html", inbox=inbox, thread=context), status

    # --- sending ---

    @page_route("/<pk>/send", methods=["POST"])
    def send(self, pk: str) -> Any:
        """Put a reply into the outbox; on an error the form keeps the input."""
        row, viewer = conversation_page.find(db.session(), pk), current_viewer()
        ability = reply_form.ability_of_account(db.session(), row.account_id, row.channel)
        files = message_uploads.posted_files(viewer, row.channel, ability)
        again: dict[str, Any] = {"typed": request.form, "files": files.kept, "reply_to": request.form.get("reply_to")}
        if request.form.get("pick") and files.problem is None:
            return self._page(row, **again)
        records = {name: getattr(row, name) for name in conversations.RECORDS}
        target = {"channel": row.channel, "peer": row.peer, "account_id": row.account_id, "records": records}
        try:
            record_composer.send(target, files, viewer)
            if row.claimed_by_id is None and viewer.person.may("Messages", "write"):
                conversations.claim(db.session(), row, viewer.stamp)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            if not record_composer.was_sent(broken):
                status, sentence, _errors = refusal(broken)
                return self._page(conversation_page.find(db.session(), pk), status, error=sentence, **again)
        return redirect(f"/inbox/{row.id}?sent=1")

    @page_route("/to/<kind>/<pk>")
    def to(self, kind: str, pk: str) -> Any:
        """Write to the person of a lead, ticket, customer or call: their conversation, or the form to start one."""
        channel = request.args.get("channel") or "whatsapp"
        if channel == "email":
            return redirect(f"/mail/compose?record={kind}:{parse_id(pk)}")
        row = record_composer.record(kind, pk)
        found = record_composer.conversation_with(kind, row, channel, current_viewer())
        return redirect(f"/inbox/{found.id}") if found is not None else self._begin(kind, row, channel)

    @page_route("/start", methods=["POST"])
    def start(self) -> Any:
        """Send the first message of a conversation; on an error the form keeps the input."""
        kind, channel = request.form.get("kind", ""), request.form.get("channel", "")
        row, viewer = record_composer.record(kind, request.form.get("record", "")), current_viewer()
        target = {
            "channel": channel,
            "peer": record_composer.peer_of(row, channel),
            "records": record_composer.records_of(kind, row),
        }
        files = message_uploads.posted_files(viewer, channel, reply_form.ability_of_channel(db.session(), channel))
        again: dict[str, Any] = {"typed": request.form, "files": files.kept}
        if request.form.get("pick") and files.problem is None:
            return self._begin(kind, row, channel, **again)
        try:
            message = record_composer.send(target, files, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            if record_composer.was_sent(broken):
                return redirect(f"/inbox/to/{kind}/{row.id}?channel={channel}")
            status, sentence, _errors = refusal(broken)
            return self._begin(
                kind, record_composer.record(kind, str(row.id)), channel, status, error=sentence, **again
            )
        return redirect(f"/inbox/{message.conversation_id}?sent=1")

    def _begin(self, kind: str, row: Any, channel: str, status: int = 200, **more: Any) -> Any:
        context = conversation_page.empty_thread(kind, row, channel, current_viewer(), **more)
        return self.render_template("inbox/inbox.html", inbox=_list(None), thread=context), status

    # --- claiming ---

    @page_route("/<pk>/claim", methods=["POST"])
    def claim(self, pk: str) -> Any:
        """Claim an unclaimed conversation."""
        return self._changed(pk, conversations.claim, _("You answer this conversation now."))

    @page_route("/<pk>/release", methods=["POST"])
    def release(self, pk: str) -> Any:
        """Release a conversation for everybody."""
        row, viewer = self._writable(pk), current_viewer()
        conversations.hand_over(db.session(), row, None, viewer.stamp)
        db.session.commit()
        flash(_("Nobody is answering this conversation now. Any colleague can take it."), "success")
        return redirect("/inbox/?folder=unassigned")

    @page_route("/<pk>/hand", methods=["POST"])
    def hand(self, pk: str) -> Any:
        """Hand a conversation over to a colleague."""
        row, viewer = self._writable(pk), current_viewer()
        key = parse_integer(request.form.get("user"), 0, 0, 2**31)
        if key not in viewer.lookups.active:
            raise RuleBroken(_("Please choose a colleague from the list."), "user")
        conversations.hand_over(db.session(), row, key, viewer.stamp)
        db.session.commit()
        flash(_("%(name)s answers this conversation now.", name=viewer.lookups.people[key]["full_name"]), "success")
        seen = access.get_visible(db.session(), Conversation, row.id) is not None
        return redirect(f"/inbox/{row.id}" if seen else "/inbox/")

    @page_route("/<pk>/close", methods=["POST"])
    def close(self, pk: str) -> Any:
        """Close a conversation until the customer writes again."""
        return self._changed(pk, conversations.close, _("Closed. It opens again when the customer writes."))

    @page_route("/<pk>/reopen", methods=["POST"])
    def reopen(self, pk: str) -> Any:
        """Reopen a closed conversation."""
        return self._changed(pk, conversations.reopen, _("Open again."))

    def _changed(self, pk: str, step: Any, sentence: str) -> Any:
        row = self._writable(pk)
        step(db.session(), row, current_viewer().stamp)
        db.session.commit()
        flash(sentence, "success")
        return redirect(f"/inbox/{row.id}")

    def _writable(self, pk: str) -> Any:
        """The conversation, if the viewer may change it. Raises NotFound, Denied."""
        row = conversation_page.find(db.session(), pk)
        if not access.reaches_row(db.session(), current_viewer().person, row, "write"):
            raise access.Denied(_("You can read this conversation but not change it. Please ask a manager."))
        return row

    # --- creating a record ---

    @page_route("/<pk>/make", methods=["POST"])
    def make(self, pk: str) -> Any:
        """Create a lead or ticket for the person who wrote; on an error the form keeps the input."""
        row, viewer, kind = self._writable(pk), current_viewer(), request.form.get("make", "")
        if kind not in ("lead", "ticket"):
            raise RuleBroken(_("A conversation can become a lead or a ticket."))
        try:
            made = record_from_conversation.create(row, kind, _values_of(kind, viewer), viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            again = conversation_page.find(db.session(), pk)
            return self._page(again, status, make=kind, typed=request.form, error=sentence)
        for sentence in unnotified_people():
            flash(sentence, "warning")
        label = _("Lead") if kind == "lead" else _("Ticket")
        flash(_("%(label)s %(number)s was created from this conversation.", label=label, number=made.number), "success")
        return redirect(f"{PAGES[kind]}{made.id}")

    # --- one message ---

    @page_route("/message/<pk>/cancel", methods=["POST"])
    def cancel(self, pk: str) -> Any:
        """Cancel a message that is still waiting."""
        return self._message_changed(pk, messages.cancel, _("Canceled: the message will not be sent."))

    @page_route("/message/<pk>/again", methods=["POST"])
    def again(self, pk: str) -> Any:
        """Resend a message that failed or may have been lost."""
        return self._message_changed(pk, messages.send_again, _("The message waits to be sent again."))

    @page_route("/message/<pk>/arrived", methods=["POST"])
    def arrived(self, pk: str) -> Any:
        """Say that a message of which nobody knew has arrived."""
        return self._message_changed(pk, messages.mark_arrived, _("The message counts as sent."))

    @page_route("/message/<pk>/give_up", methods=["POST"])
    def give_up(self, pk: str) -> Any:
        """Decide that such a message has failed."""
        return self._message_changed(pk, messages.mark_not_delivered, _("The message counts as failed."))

    def _message_changed(self, pk: str, step: Any, sentence: str) -> Any:
        session, viewer = db.session(), current_viewer()
        row = access.get_visible(session, Message, parse_id(pk))
        if row is None:
            raise NotFound(_("This message doesn't exist, or you don't have access to it."))
        if not access.reaches_row(session, viewer.person, row, "write"):
            raise access.Denied(_("You can read this message but not change it. Ask who sent it, or a manager."))
        with access.as_system(session):  # an opt-out counts whoever may see the customer
            step(session, row, viewer.stamp)
        session.commit()
        flash(sentence, "success")
        came_from = previous_page()
        if came_from.startswith(_PAGES_OF_RECORDS):
            return redirect(came_from)
        return redirect(f"/inbox/{row.conversation_id}#message-{row.id}" if row.conversation_id else "/messages/")


# --- parts


def _opened(pk: str) -> Any:
    """The conversation, marked as read if its assignee opens it."""
    row, viewer = conversation_page.find(db.session(), pk), current_viewer()
    if row.unread and row.claimed_by_id == viewer.person.id and not viewer.person.read_only:
        # On SQLite, a page that began by reading can't always write: while the outbox sends, it would be refused.
        with request_transaction() as session:
            conversations.mark_read(session, row, viewer.stamp)
        return conversation_page.find(db.session(), pk)
    return row


def _list(here: Any) -> dict[str, Any]:
    args = {} if request.path.startswith(("/inbox/to/", "/inbox/start")) else request.args
    made = conversation_list.inbox(db.session(), args, current_viewer(), here)
    return made | {"query": made["url"].partition("?")[2]}


def _make_form(row: Any, kind: str, typed: Any, error: str) -> dict[str, Any]:
    viewer = current_viewer()
    cards = viewer.lookups.cards["ticket_subject"]
    own = conversation_list.own_name(row, viewer)
    return {
        "kind": kind,
        "url": f"/inbox/{row.id}/make",
        "error": error,
        "first_name": typed.get("first_name", own.partition(" ")[0]),
        "last_name": typed.get("last_name", own.partition(" ")[2]),
        "title": typed.get("title", ""),
        "subject": typed.get("subject", ""),
        "subjects": [(key, shown_label(cards[key]["label"])) for key in viewer.lookups.offered["ticket_subject"]],
    }


def _values_of(kind: str, viewer: Viewer) -> dict[str, Any]:
    """The posted values of the lead or ticket to be created."""
    form = request.form
    names = {each: clean_text(form.get(each), each, 80) for each in ("first_name", "last_name")}
    values: dict[str, Any] = {name: text for name, text in names.items() if text}
    if kind == "ticket":
        subject = parse_id(form.get("subject"))
        if subject not in viewer.lookups.offered["ticket_subject"]:
            raise RuleBroken(_("Please choose a subject."), "subject")
        values |= {"subject_ids": [subject], "summary": clean_text(form.get("title"), "title", 140) or None}
    return values
