"""Sending support pages by WhatsApp from a ticket, lead or customer, in two clicks. Routes of `InboxView`."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from app import access
from app.domain import support_pages
from app.domain.base import RuleBroken
from app.domain.messaging import message_sending
from app.domain.messaging.message_sending import OutgoingRequest
from app.extensions import db
from app.lib.ids import parse_id
from app.models import SupportPage
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal
from app.web.core.fields.base import clean_text
from app.web.core.urls.record_references import PAGES, links_of, named_record
from app.web.pages.routes import page_route
from app.web.records.messages import peer_of_record, seen_by

VERBS = {"pages": "create", "send_pages": "create"}


class SupportPageRoutes:
    """/inbox/pages/<kind of record>/<id>"""

    @page_route("/pages/<kind>/<pk>")
    def pages(self, kind: str, pk: str) -> Any:
        """The support pages, each with a button that sends it."""
        return self._choose(kind, named_record(kind, pk))

    @page_route("/pages/<kind>/<pk>", methods=["POST"])
    def send_pages(self, kind: str, pk: str) -> Any:
        """Send the page of the button, or the selected ones."""
        row, viewer, form = named_record(kind, pk), current_viewer(), request.form
        key = clean_text(form.get("key"), "key", 64)
        try:
            chosen = _chosen([form["only"]] if form.get("only") else form.getlist("page"))
            with access.as_system(db.session()) as session:
                records = links_of(kind, row)
                outgoing = OutgoingRequest(
                    "whatsapp",
                    peer_of_record(session, "whatsapp", row) or _no_number(),
                    support_pages.text_of(chosen),
                    purpose="service",
                    cause=f"pages:{viewer.person.id}:{key}" if key else None,
                    records=records,
                    sees=seen_by(session, viewer),
                )
                message_sending.send(session, outgoing, viewer.stamp)
                session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            if not (isinstance(broken, IntegrityError) and "cause" in str(broken.orig)):
                status, sentence, _errors = refusal(broken)
                return self._choose(kind, named_record(kind, pk), status, sentence)
        flash(_("The support pages are on their way by WhatsApp."), "success")
        return redirect(f"{PAGES[kind]}{row.id}")

    def _choose(self, kind: str, row: Any, status: int = 200, error: str = "") -> Any:
        ticked = {parse_id(each) for each in request.form.getlist("page")}
        viewer = current_viewer()
        viewer.person.refuse_unless("Support Pages", "read")
        pages = db.session.scalars(support_pages.offered()).all()
        context = {
            "title": row.number,
            "back_url": f"{PAGES[kind]}{row.id}",
            "url": f"/inbox/pages/{kind}/{row.id}",
            "key": request.form.get("key") or support_pages.new_key(),
            "error": error,
            "pages": [(each.id, each.label, each.url, each.description or "", each.id in ticked) for each in pages],
            "settings_url": "/settings/support-pages/" if viewer.person.may("Support Pages", "create") else None,
        }
        return self.render_template("inbox/support_pages.html", choice=context), status  # type: ignore[attr-defined]


def _chosen(given: list[str]) -> list[SupportPage]:
    """The offered pages with these ids, in the order of the list. Raises RuleBroken."""
    keys = {parse_id(each) for each in given}
    rows = db.session.scalars(support_pages.offered().where(SupportPage.id.in_(sorted(keys - {None})))).all()
    if not keys or len(rows) < len(keys):
        raise RuleBroken(_("Please choose at least one support page from the list."), "page")
    return list(rows)


def _no_number() -> str:
    raise RuleBroken(_("This record has no mobile number to send to. Please add one first."), "peer")
