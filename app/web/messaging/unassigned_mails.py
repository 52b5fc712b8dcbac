"""The page of emails that wait for a person: the reason, the content, and the actions for each."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from flask import flash, redirect, request, send_file
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import NotFound, RuleBroken, kind_of_number
from app.domain.inbound import unassigned_mails
from app.extensions import db
from app.file_store_and_vault import file_store
from app.inbound import mail_fetch
from app.models import ChannelAccount, Customer, Lead, Mail, Ticket
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.urls.record_references import PAGES
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route

BASE = "/mails/"
MOST = 200
_LISTS = {"waiting": unassigned_mails.waiting, "reports": unassigned_mails.reports}
_MODELS: dict[str | None, tuple[str, Any]] = {
    "LEAD": ("lead", Lead),
    "TICKET": ("ticket", Ticket),
    "CUST": ("customer", Customer),
}


class UnassignedMailsView(ModulePermissions, BaseView):
    """/mails/: for readers of the settings, who set the accounts up."""

    route_base = "/mails"
    default_view = "index"
    module = "Settings"
    VERBS = {"index": "read", "show": "read", "original": "read", "decide": "write", "attach": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The waiting emails; with `show=reports` the bounces."""
        viewer, session = current_viewer(), db.session()
        shown = request.args.get("show") or "waiting"
        if shown not in _LISTS:
            raise RuleBroken(_("There is no such list. Choose Waiting or Reports."))
        rows = session.scalars(_LISTS[shown]().limit(MOST)).all()
        names = _account_names()
        return self.render_template(
            "mail/unassigned_mails.html",
            mails=[_row(each, names, viewer) for each in rows],
            shown=shown,
            acts=viewer.person.may("Settings", "write") and shown == "waiting",
            most=MOST,
        )

    @page_route("/<int:key>")
    def show(self, key: int) -> Any:
        """One email as plain text: nothing in it is run or loaded."""
        return self._page(_mail(key))

    def _page(self, row: Any, typed: str = "", error: str = "", status: int = 200) -> Any:
        viewer = current_viewer()
        parsed, problem = None, ""
        try:
            parsed = unassigned_mails.parsed_mail(unassigned_mails.original_of(file_store(), row))
        except RuleBroken as broken:
            problem = translate_text(broken.message)
        page = self.render_template(
            "mail/unassigned_mail.html",
            mail=_row(row, _account_names(), viewer) | _mail_part(parsed, viewer) | {"problem": problem},
            is_readable=parsed is not None,
            acts=viewer.person.may("Settings", "write") and row.state in unassigned_mails.WAITING,
            may_download=viewer.person.mask("email") == "full" and not problem,
            typed=typed,
            error=error,
        )
        return page, status

    @page_route("/<int:key>/original")
    def original(self, key: int) -> Any:
        """The original email, to be downloaded; for people who see addresses unmasked."""
        row = _mail(key)
        if current_viewer().person.mask("email") != "full":
            raise access.Denied(_("Your role sees email addresses masked, and the original has them. Ask an admin."))
        content = BytesIO(unassigned_mails.original_of(file_store(), row))
        answer = send_file(content, "application/octet-stream", as_attachment=True, download_name=f"email-{row.id}.eml")
        answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        answer.headers["Cache-Control"] = "private, no-store"
        return answer

    @page_route("/<int:key>/<any(again, dismiss):what>", methods=["POST"])
    def decide(self, key: int, what: str) -> Any:
        """Process it again, or dismiss it."""
        row, viewer = _mail(key), current_viewer()
        with request_transaction() as session:
            if what == "again":
                state = mail_fetch.take_again(session, row.id, viewer.now)
                text = _AGAIN.get(state, lambda: _("It can't be put into a conversation yet; see the list."))()
            else:
                unassigned_mails.dismiss(session, session.get_one(Mail, key), viewer.stamp)
                text = _("Dismissed.")
        flash(text, "success")
        return redirect(BASE)

    @page_route("/<int:key>/attach", methods=["POST"])
    def attach(self, key: int) -> Any:
        """Add it to the record whose number was entered."""
        row, viewer, typed = _mail(key), current_viewer(), request.form.get("number", "").strip()[:40]
        try:
            viewer.person.refuse_unless("Messages", "create")
            kind, record = _record(typed, viewer)
            with request_transaction() as session:
                intake = mail_fetch.intake_of(session, row.account_id, viewer.now)
                mail = session.get_one(Mail, key)
                unassigned_mails.attach(session, intake, mail, session.get_one(type(record), record.id), viewer.stamp)
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return self._page(_mail(key), typed, sentence, status)
        flash(_("The email is in %(number)s now.", number=typed.upper()), "success")
        return redirect(f"{PAGES[kind]}{record.id}")


_AGAIN = {
    "kept": lambda: _("The email is in its conversation now."),
    "known": lambda: _("This email is already here; the copy was removed."),
    "dropped": lambda: _("This email came from one of our own addresses, and was not put into a conversation."),
}


def _mail(key: int) -> Any:
    row = access.get_visible(db.session(), Mail, key)
    if row is None or row.message_id is not None or row.direction != "in":
        raise NotFound(_("This email isn't waiting any more, or you don't have access to it."))
    return row


def _record(number: str, viewer: Viewer) -> tuple[str, Any]:
    """Kind and row of the record with this number, which the viewer may change. Raises RuleBroken."""
    kind, model = _MODELS.get(kind_of_number(number), ("", None))
    session = db.session()
    found = session.scalars(select(model).where(model.number == number.upper())).first() if model else None
    if found is None:
        text = _("Please enter the number of a lead, ticket or customer that you see, such as CRM-TICKET-2026-00001.")
        raise RuleBroken(text, "number")
    if not access.reaches_row(session, viewer.person, found, "write"):
        raise access.Denied(_("You can read this record but not change it. Please ask who is responsible for it."))
    return kind, found


def _account_names() -> dict[int, str]:
    with access.as_system(db.session()) as session:
        return {row.id: row.name for row in session.execute(select(ChannelAccount.id, ChannelAccount.name))}


_WORDS = {
    "failed": (lambda: _("Could not be read"), "red"),
    "refused": (lambda: _("Left in the mailbox"), "amber"),
    "dropped": (lambda: _("Came back to us"), "gray"),
    "dismissed": (lambda: _("Dismissed"), "gray"),
    "kept": (lambda: _("Report"), "blue"),
}


def _row(row: Any, names: dict[int, str], viewer: Viewer) -> dict[str, Any]:
    label, color = _WORDS.get(row.state, (lambda: row.state, "gray"))
    return {
        "id": row.id,
        "account": names.get(row.account_id, ""),
        "peer": viewer.person.mask_value("email", row.peer) or _("Unknown sender"),
        "state": {"kind": "status", "label": label(), "color": color},
        "sentence": translate_text(row.sentence or ""),
        "at": moment_cell(row.received_on, viewer),
        "can_again": row.state == "failed",
        "has_original": bool(row.original),
    }


def _mail_part(mail: Any, viewer: Viewer) -> dict[str, Any]:
    if mail is None:
        return {"subject": "", "text": "", "files": [], "from": ""}
    sender = viewer.person.mask_value("email", mail.sender.address) or "••••••"
    return {
        "subject": mail.subject or _("(no subject)"),
        "text": mail.text[:20_000],
        "files": [each.name for each in mail.attachments[:50]],
        "from": f"{mail.sender.name} · {sender}" if mail.sender.name else sender,
    }
