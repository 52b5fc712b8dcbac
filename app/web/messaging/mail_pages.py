"""Pages of emails: writing one, undoing it, and reading one with its formatting and pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, flash, make_response, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import access
from app.domain.base import NotFound
from app.domain.messaging import messages
from app.extensions import db
from app.lib import html_cleaning
from app.models import Conversation, Mail, Message
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, json_answer, refusal, wants_json
from app.web.messaging import mail_composer, mail_context, mail_display, mail_files
from app.web.messaging.mail_composer import ComposerRefusal
from app.web.pages.routes import page_route


class MailView(ModulePermissions, BaseView):
    """/mail/"""

    route_base = "/mail"
    default_view = "compose"
    module = "Messages"
    VERBS = {
        **dict.fromkeys(("compose", "send", "file", "undo"), "create"),
        **dict.fromkeys(("show", "frame"), "read"),
    }

    # --- writing ---

    @page_route("/compose")
    def compose(self) -> Any:
        """The form of an email: a page, or just the form for a page that embeds it."""
        session, viewer = db.session(), current_viewer()
        about = mail_context.find(session, request.args)
        made = mail_composer.context(session, about, mail_composer.begin(session, about, viewer), viewer)
        if request.headers.get("HX-Request") or "part" in request.args:
            return render_template("mail/_composer.html", mail=made)
        return self.render_template("mail/compose.html", mail=made)

    @page_route("/send", methods=["POST"])
    def send(self) -> Any:
        """Put the email into the outbox; on an error all input is kept."""
        session, viewer = db.session(), current_viewer()
        about = mail_context.find(session, request.form)
        typed = mail_composer.from_form(request.form, [])
        try:
            typed = mail_composer.posted(request.form, request.files.getlist("files"), viewer)
            message = mail_composer.send(session, about, typed, viewer)
            session.commit()
        except REFUSABLE as broken:
            session.rollback()
            if isinstance(broken, IntegrityError) and "cause" in str(broken.orig):
                return _sent_before(viewer, typed.key)
            return self._refused(typed, broken)
        return _sent(message, about.url)

    def _refused(self, typed: Any, broken: BaseException) -> Any:
        status, sentence, errors = refusal(broken)
        if wants_json():
            return json_answer(status, {"message": sentence, "errors": errors})
        session, viewer = db.session(), current_viewer()
        about = mail_context.find(session, request.form)
        typed = replace(typed, refused=ComposerRefusal(sentence, errors))
        made = mail_composer.context(session, about, typed, viewer)
        return self.render_template("mail/compose.html", mail=made), status

    @page_route("/file", methods=["POST"])
    def file(self) -> Any:
        """Store a file of an email that is being written; returns the token that identifies it in the form."""
        try:
            uploads = request.files.getlist("files")
            stored = [mail_files.store(each, current_viewer()) for each in uploads[:1]]
        except REFUSABLE as broken:
            status, sentence, errors = refusal(broken)
            return json_answer(status, {"message": sentence, "errors": errors})
        if not stored:
            return json_answer(422, {"message": _("Please choose a file."), "errors": {}})
        return json_answer(200, {name: stored[0][name] for name in ("token", "name", "size", "mime_type")})

    @page_route("/<int:pk>/undo", methods=["POST"])
    def undo(self, pk: int) -> Any:
        """Undo the person's own email before it is sent."""
        session, viewer = db.session(), current_viewer()
        row = access.get_visible(session, Message, pk)
        if row is None or row.created_by_id != viewer.person.id:
            raise NotFound(_("This email doesn't exist, or you don't have access to it."))
        try:
            with access.as_system(session):
                messages.cancel(session, row, viewer.stamp)
            session.commit()
        except REFUSABLE as broken:
            session.rollback()
            status, sentence, errors = refusal(broken)
            if wants_json():
                return json_answer(status, {"message": sentence, "errors": errors})
            flash(sentence, "danger")
            return redirect(f"/mail/{pk}")
        text = _("Canceled: the email will not be sent.")
        if wants_json():
            return json_answer(200, {"message": text})
        flash(text, "success")
        return redirect(f"/mail/{pk}")

    # --- reading ---

    @page_route("/<int:pk>")
    def show(self, pk: int) -> Any:
        """An email with its headers, formatting and files."""
        message, mail = _email(pk)
        viewer = current_viewer()
        conversation = access.get_visible(db.session(), Conversation, message.conversation_id)
        pictures = request.args.get("pictures") == "1"
        shown = mail_display.context(message, mail, conversation, viewer) | {"pictures": pictures}
        return self.render_template("mail/message.html", mail=shown)

    @page_route("/<int:pk>/frame")
    def frame(self, pk: int) -> Any:
        """The formatted text as a document of its own that runs no scripts; `pictures=1` loads remote ones."""
        message, mail = _email(pk)
        html = mail.html if mail is not None else ""
        wanted = request.args.get("pictures") == "1"
        shown = html_cleaning.with_remote_pictures(html or "") if wanted else html or ""
        page = render_template("mail/frame.html", html=mail_display.with_own_pictures(shown, message))
        return _as_frame(make_response(page), wanted)


def _email(pk: int) -> tuple[Any, Any]:
    """The message and its email. Raises NotFound."""
    session = db.session()
    message = access.get_visible(session, Message, pk)
    if message is None or message.channel != "email":
        raise NotFound(_("This email doesn't exist, or you don't have access to it."))
    return message, session.scalars(select(Mail).where(Mail.message_id == message.id)).first()


def _as_frame(response: Response, with_pictures: bool) -> Response:
    """Headers for a frame in our own pages: no scripts, no forms, no requests except for pictures."""
    pictures = "'self' https: http:" if with_pictures else "'self'"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src {pictures}; style-src 'self'; font-src 'self'; frame-ancestors 'self'; "
        "base-uri 'none'; form-action 'none'; sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _sent(message: Any, back: str) -> Any:
    seconds = mail_composer.UNDO_SHOWN_SECONDS
    if wants_json():
        answer = {"id": message.id, "undo_url": f"/mail/{message.id}/undo", "seconds": seconds, "url": back}
        return json_answer(201, answer | {"message": _("The email leaves in a few seconds.")})
    flash(_("The email leaves in a few seconds. Until then you can cancel it."), "success")
    return redirect(f"{back}?sent=1" if back.startswith("/inbox/") and back != "/inbox/" else back)


def _sent_before(viewer: Any, key: str) -> Any:
    """The response for a form that was sent twice: that of the first time."""
    mine = select(Message).where(Message.cause == f"form:{viewer.person.id}:{key}")
    message = db.session.scalars(mine).first()
    if message is None:
        raise NotFound(_("This email doesn't exist, or you don't have access to it."))
    return _sent(message, mail_context.find(db.session(), request.form).url)
