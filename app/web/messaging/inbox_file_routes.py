"""The inbox's files and reactions: uploading, opening, retrying, reacting. Routes of `InboxView`."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.channels.provider import Abilities
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import file_checks, message_files, message_reactions, messages
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Message
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.messaging import conversation_page, reply_form
from app.web.pages.routes import page_route
from app.web.records import message_files as file_views
from app.web.records.attachments import message_uploads

#: Route -> verb of the module Messages.
VERBS = {"upload": "create", "file": "read", "preview": "read", "fetch": "write", "react": "create"}


class FileRoutes:
    """/inbox/files and /inbox/message/<id>/…"""

    @expose("/files", methods=["POST"])
    @has_access
    @refuse_as_json
    @permission_name("upload")
    def upload(self) -> Any:
        """Store one file before its message is sent; `channel` and `conversation` determine the rules."""
        viewer, session = current_viewer(), db.session()
        sent = [each for each in request.files.getlist("files") if each.filename]
        if len(sent) != 1:
            raise RuleBroken(_("Please send one file at a time."), "files")
        kept = message_uploads.store_upload(sent[0], viewer)
        channel = request.args.get("channel", "")
        file_checks.refuse(kept.as_media(), channel, _ability(session, channel, request.args.get("conversation")))
        return json_answer(201, kept.as_field(viewer))

    @page_route("/message/<pk>/file/<place>")
    def file(self, pk: str, place: str) -> Any:
        """A file, to be downloaded or played."""
        row, number = visible_message(pk), _place(place)
        content = file_views.open_file(row.media, number)
        return file_views.attachment_response(content, (row.media or [])[number])

    @page_route("/message/<pk>/file/<place>/preview")
    def preview(self, pk: str, place: str) -> Any:
        """The preview of a file."""
        return file_views.preview(db.session(), visible_message(pk), _place(place))

    @page_route("/message/<pk>/file/<place>/fetch", methods=["POST"])
    def fetch(self, pk: str, place: str) -> Any:
        """Retry fetching a file that failed."""
        row, viewer = visible_message(pk), current_viewer()
        if not access.reaches_row(db.session(), viewer.person, row, "write"):
            raise access.Denied(_("You can read this message but not change it. Ask who sent it, or a manager."))
        message_files.fetch_again(db.session(), row, _place(place), viewer.now)
        messages.mark_changed(db.session(), row)
        db.session.commit()
        flash(_("The file is being fetched. It appears here in a moment."), "success")
        return redirect(_place_of(row))

    @page_route("/message/<pk>/react", methods=["POST"])
    def react(self, pk: str) -> Any:
        """React with `emoji`; the same one again withdraws it."""
        row, viewer = visible_message(pk), current_viewer()
        emoji = request.form.get("emoji", "").strip()
        if (row.reactions or {}).get(str(viewer.person.id)) == emoji:
            emoji = ""
        with access.as_system(db.session()):
            message_reactions.react(db.session(), row, emoji, viewer.stamp)
            db.session.commit()
        return redirect(_place_of(row))


def visible_message(pk: str) -> Message:
    """The message of this id that the viewer sees. Raises NotFound."""
    row: Message | None = access.get_visible(db.session(), Message, parse_id(pk))
    if row is None:
        raise NotFound(_("This message doesn't exist, or you don't have access to it."))
    return row


def _place(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 3):
        raise NotFound(_("This message has no such file."))
    return int(text)


def _place_of(row: Message) -> str:
    return f"/inbox/{row.conversation_id}#message-{row.id}" if row.conversation_id else "/messages/"


def _ability(session: Session, channel: str, conversation: str | None) -> Abilities:
    """The abilities of the conversation's account; for a new one, of the first account for the channel."""
    if channel not in messages.CHANNELS:
        raise RuleBroken(_("There is no such channel. Choose WhatsApp, SMS or Email."), "channel")
    if conversation and (row := conversation_page.find(session, conversation)).channel == channel:
        return reply_form.ability_of_account(session, row.account_id, channel)
    return reply_form.ability_of_channel(session, channel)
