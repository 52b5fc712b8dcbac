"""Joining complaints about one grievance, and parting them: pages of a complaint."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import RuleBroken
from app.domain.complaints import joining
from app.domain.complaints.complaint import Complaint
from app.extensions import db
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, refusal
from app.web.core.fields.base import TextField
from app.web.core.repeated_writes import again_if_overtaken
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records.complaint_entries import form_of
from app.web.records.complaint_fields import stamp_for


class ComplaintJoins:
    """The endpoints of the screen of complaints for joining."""

    JOIN_VERBS = {"joining": "write", "join": "write", "part": "write"}
    row_for: Any
    url_of: Any

    @page_route("/join/<pk>", methods=["GET"])
    def joining(self, pk: str) -> Any:
        """The form that asks which complaint is joined to this one; ?other= is its number."""
        row = self.row_for(pk, "write")
        return self._join_form(row, request.args.get("other", "")[:40])

    @page_route("/join/<pk>", methods=["POST"])
    def join(self, pk: str) -> Any:
        """Join the complaint of the posted number to this one."""
        row, viewer, typed = self.row_for(pk, "write"), current_viewer(), request.form.get("other", "")[:40]
        key = row.id
        try:
            again_if_overtaken(lambda: self._join(key, typed, viewer))
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return self._join_form(self.row_for(str(key), "write"), typed, refused), refused.status
        flash(_("%(other)s is joined to %(number)s.", other=typed.upper(), number=row.number), "success")
        return redirect(self.url_of(row))

    def _join(self, key: int, typed: str, viewer: Viewer) -> None:
        other = self._other(typed, viewer)
        with access.as_system(db.session()) as session:  # the tickets of both follow
            joining.join(session, key, other, stamp_for(viewer))
            session.commit()

    def _other(self, typed: str, viewer: Viewer) -> int:
        """The id of the complaint of this number that the person may change. Raises RuleBroken, Denied."""
        query = select(Complaint.id).where(Complaint.number == typed.strip().upper())
        key = db.session.execute(query).scalar()
        if key is None:
            raise RuleBroken("There is no such complaint that you can see. Please enter its number.", "other")
        return int(self.row_for(str(key), "write").id)

    @page_route("/part/<pk>", methods=["POST"])
    def part(self, pk: str) -> Any:
        """Part a joined complaint from the one that it was joined to."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        _refuse_foreign(row, viewer)
        key = row.id

        def part() -> None:
            with access.as_system(db.session()) as session:  # the tickets of both follow
                joining.part(session, key, stamp_for(viewer))
                session.commit()

        again_if_overtaken(part)
        flash(_("%(number)s is a complaint of its own again.", number=row.number), "success")
        return redirect(self.url_of(row))

    # --- forms

    def _join_form(self, row: Complaint, typed: str, refused: Refusal = NOT_REFUSED) -> str:
        note = _("Its entries then count for %(number)s, which is counted once.", number=row.number)
        other = TextField("other", _("Number of the other complaint"), max_length=40, required=True, help=note)
        inputs = [other.form_input(typed, refused.errors.get("other", []), current_viewer())]
        title = _("Join a complaint to %(number)s", number=row.number)
        form = {"title": title, "action": f"/complaints/join/{row.id}", "submit_label": _("Join")}
        return form_of(row, self.url_of(row), form | {"inputs": inputs}, refused)


def _refuse_foreign(row: Complaint, viewer: Viewer) -> None:
    """Raise Denied if the complaint to which this one is joined, and which is counted anew, isn't theirs to change."""
    kept, session = row.joined_to_id, db.session()
    if kept is None:
        return
    if not (
        access.sees_id(session, Complaint, kept) and access.reaches_id(session, viewer.person, Complaint, kept, "write")
    ):
        raise access.Denied(_("This complaint was joined to one that you can't change. Ask your manager to part them."))
