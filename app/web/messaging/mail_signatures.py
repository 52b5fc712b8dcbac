"""Signatures of emails: people's own, and those of accounts."""

from __future__ import annotations

from html import escape
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.base import NotFound
from app.domain.messaging import channel_accounts, mail_signatures
from app.domain.messaging.mail_signatures import MailSignature, SignatureInput
from app.extensions import db
from app.lib import html_cleaning, html_text
from app.models import ChannelAccount, User
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, parse_integer, refusal
from app.web.core.fields.base import clean_text
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.messaging.channel_accounts import refuse_non_admin
from app.web.pages.routes import page_route


def offered(session: Session, account_id: int | None, viewer: Viewer) -> list[dict[str, str]]:
    """{key, label, html, text} of the signatures for an email of this account; the default one comes first."""
    mine = mail_signatures.of_user(session, viewer.person.id)
    account_id = account_id or _first_account(session)
    of_account = mail_signatures.of_account(session, account_id) if account_id else None
    values = variables(session, mine, viewer)
    made = []
    for key, label, row in (("mine", _("My signature"), mine), ("account", _("Signature of the account"), of_account)):
        html = mail_signatures.fill_variables(row.html, values) if row is not None else ""
        if html:
            made.append({"key": key, "label": label, "html": html, "text": html_text.text_of(html)})
    return made


def _first_account(session: Session) -> int | None:
    with access.as_system(session):
        return next((each.id for each in channel_accounts.active(session, "email", "service")), None)


def variables(session: Session, mine: MailSignature | None, viewer: Viewer) -> dict[str, Any]:
    """The signature variables of the person who sends the email."""
    user = session.get_one(User, viewer.person.id)
    return {
        "name": viewer.person.full_name,
        "title": mine.title if mine is not None else "",
        "mobile": user.mobile,
        "email": user.email,
        "company": viewer.lookups.brand.name,
    }


class SignatureView(ModulePermissions, BaseView):
    """/signature/ and /signature/account/<id>"""

    route_base = "/signature"
    default_view = "mine"
    module = "Messages"
    VERBS = {"mine": "create", "save_mine": "create", "of_account": "create", "save_of_account": "create"}

    @page_route("/")
    def mine(self) -> Any:
        """The form of the person's own signature."""
        row = mail_signatures.of_user(db.session(), current_viewer().person.id)
        return self._page(row, None, _stored(row))

    @page_route("/", methods=["POST"])
    def save_mine(self) -> Any:
        """The signature of an account, for people without one of their own."""
        return self._save({"user_id": current_viewer().person.id}, None)

    @page_route("/account/<int:key>")
    def of_account(self, key: int) -> Any:
        """The signature of an account, for those who have none of their own."""
        account = _account(key)
        row = mail_signatures.of_account(db.session(), key)
        return self._page(row, account, _stored(row))

    @page_route("/account/<int:key>", methods=["POST"])
    def save_of_account(self, key: int) -> Any:
        """Save the signature of an account."""
        return self._save({"account_id": key}, _account(key))

    def _save(self, whose: dict[str, int], account: Any) -> Any:
        form, session, viewer = request.form, db.session(), current_viewer()
        typed = {"html": form.get("html") or _as_html(form.get("body", "")), "title": form.get("title", "")[:300]}
        try:
            title = clean_text(typed["title"], "title", 300) or ""
            version = parse_integer(form.get("version"), 0, 0, 2**31 - 1) or None
            mail_signatures.save(session, whose, SignatureInput(typed["html"][:100_000], title, version), viewer.stamp)
            session.commit()
        except REFUSABLE as broken:
            session.rollback()
            status, sentence, _errors = refusal(broken)
            row = session.query(MailSignature).filter_by(**whose).first()
            return self._page(row, account, typed, sentence), status
        flash(_("Signature saved."), "success")
        return redirect(request.path)

    def _page(self, row: MailSignature | None, account: Any, typed: dict[str, str], error: str = "") -> Any:
        viewer = current_viewer()
        mine = mail_signatures.of_user(db.session(), viewer.person.id)
        values = variables(db.session(), mine, viewer)
        shown = mail_signatures.fill_variables(row.html, values) if row is not None else ""
        # Posted HTML can come from anybody.
        html = html_cleaning.with_remote_pictures(html_cleaning.clean(typed["html"]).html)
        return self.render_template(
            "mail/signature.html",
            account=account,
            typed=typed | {"html": html, "body": html_text.text_of(html)},
            version=row.version if row is not None else None,
            preview=shown,
            variables=[("{{" + name + "}}", values[name] or "–") for name in mail_signatures.VARIABLES],
            error=translate_text(error),
        )


def _stored(row: MailSignature | None) -> dict[str, str]:
    return {"html": row.html if row is not None else "", "title": (row.title or "") if row is not None else ""}


def _account(key: int) -> ChannelAccount:
    """The account, for an admin. Raises Denied, NotFound."""
    refuse_non_admin()
    row: ChannelAccount | None = access.get_visible(db.session(), ChannelAccount, key)
    if row is None or "email" not in row.channels:
        raise NotFound(_("There is no such email account."))
    return row


def _as_html(text: str) -> str:
    """The HTML of text typed without the editor."""
    return "<br>".join(escape(line) for line in text.strip().splitlines())
