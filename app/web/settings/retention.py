"""The page of retention: how long growing data is kept, and what was deleted for its age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, translatable
from app.domain.maintenance import retention
from app.domain.maintenance.retention_kinds import BY_NAME, KINDS, MAX_DAYS, RetentionKind
from app.domain.maintenance.retention_runs import RetentionRun
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.web.core import fab_access
from app.web.core.fab_access import NOT_REFUSED, Refusal, current_viewer
from app.web.core.fields.date_fields import moment_cell, relative
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage, refuse_all_but_admins, refuse_stale, settings_form

MAX_RUNS = 50
#: Kind -> (its label, further explanation).
LABELS = {
    "answers": (_l("Answers to repeated requests"), _l("Of requests with an Idempotency-Key.")),
    "failed sign-ins": (_l("Counts of failed sign-ins"), ""),
    "undo of actions": (
        _l("What can be undone"),
        _l("Values before bulk actions, and deleted notes; they can be undone for 30 minutes."),
    ),
    "job runs": (_l("Runs of jobs"), ""),
    "health": (_l("Health"), _l("Measurements by the minute, exceeded limits, slow statements and errors.")),
    "webhook deliveries": (_l("Deliveries of webhooks"), _l("Also those that still wait for a paused webhook.")),
    "provider requests": (
        _l("Requests of providers"),
        _l("Those that were worked off or dismissed; others stay until then."),
    ),
    "rejected calls": (_l("Rejected calls of phones"), _l("By the day on which the phone sent them last.")),
    "failed queue calls": (_l("Failed calls of the queue"), _l("Those that were tried again or dismissed.")),
    "call cards": (_l("Cards of calls"), _l("Cards with a note that was not taken over stay.")),
    "sent emails of notifications": (_l("Log of notifications by channel"), ""),
    "emails of reports": (_l("History of reports by email"), _l("Those that were sent, or never will be.")),
    "notifications": (_l("Notifications"), _l("Read or not.")),
    "sign-ins": (_l("Sign-ins"), _l("When and from where somebody signed in.")),
    "backup runs": (_l("Runs of backups"), _l("Checks, drills and deleted backups; not the backups themselves.")),
    "deletions": (_l("The list of deletions below"), _l("The audit has them, too.")),
    "deleted files": (_l("Deleted files of records"), _l("Until then they can be restored.")),
    "files of records": (_l("Files of records, with former versions"), _l("By the day on which they were attached.")),
    "recordings of orders": (
        _l("Recordings of orders by telephone"),
        _l("Of calls marked as orders, once no ticket of the call or its customer is open any more. The calls stay."),
    ),
    "recordings of calls": (
        _l("Recordings of other calls"),
        _l("By the day on which the provider reported them. The calls stay."),
    ),
    "timeline of leads": (
        _l("Timeline of leads, entries of the system"),
        _l("Changed fields, assignments and warnings of leads without a customer. Notes and statuses stay."),
    ),
    "timeline of customers and tickets": (
        _l("Timeline of customers and tickets, entries of the system"),
        _l("Changed fields, assignments and warnings. Notes, messages, calls and statuses stay."),
    ),
    "audit": (_l("Audit"), _l("From the beginning of the log; the seal of the rest stays whole.")),
}


class RetentionView(SettingsPage):
    """/settings/retention/"""

    route_base = "/settings/retention"
    VERBS = {"index": "read", "save": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The form with the days, and the last deletions."""
        _refuse_others()
        return self._page({})

    @page_route("/", methods=["POST"])
    def save(self) -> Any:
        """Store the days, or show the errors by field."""
        _refuse_others()
        try:
            with request_transaction() as session:
                refuse_stale(retention.days_of(session))
                changed = retention.set_days(session, _posted(), current_viewer().stamp)
        except RuleBroken as broken:
            refused = fab_access.refusal(broken)
            refused = refused._replace(errors={_field(name): texts for name, texts in refused.errors.items()})
            return self._page(request.form, refused), refused.status
        text = _("Settings saved. They apply from the next night on.") if changed else _("Nothing was changed.")
        flash(text, "success")
        return redirect("/settings/retention/")

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED) -> str:
        viewer, session = current_viewer(), db.session()
        days = retention.days_of(session)
        sections = _sections(session, days, posted, refused.errors)
        form = settings_form(_("Retention"), "/settings/retention/", sections, fab_access.content_hash(days))
        form["error"] = refused.sentence
        runs = [_run_row(run, viewer) for run in retention.recent(session, MAX_RUNS)]
        counts = _counts(session, viewer) if request.args.get("count") else None
        words = {"title": form["title"], "form": form, "runs": runs, "counts": counts}
        return self.render_template("settings/retention.html", **words)


def _counts(session: Session, viewer: Viewer) -> list[dict[str, str]]:
    """{kind, rows, held} of each kind with rows to delete now, or that only a legal hold keeps."""
    open_rows, old = retention.count(session, viewer.now), retention.count(session, viewer.now, with_held=True)
    return [
        {"kind": LABELS[name][0], "rows": grouped(open_rows[name]), "held": grouped(old[name] - open_rows[name])}
        for name in old
        if old[name]
    ]


def _refuse_others() -> None:
    refuse_all_but_admins(_("Only an admin can see and change how long things are kept."))


def _field(kind: str) -> str:
    return kind.replace(" ", "_")


def _posted() -> dict[str, int]:
    """The posted days; a kind missing in the form keeps its own. Raises RuleBroken."""
    wanted, errors = {}, {}
    for kind in KINDS:
        raw = request.form.get(_field(kind.name))
        if raw is None:
            continue
        text = raw.strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            wanted[kind.name] = int(text)
        else:
            errors[kind.name] = [
                translatable("Please enter a number of days from %(least)s to %(most)s.", **_ends(kind))
            ]
    if errors:
        raise RuleBroken("Not saved yet. Please check these fields:", errors=errors)  # type: ignore[arg-type]
    return wanted


def _ends(kind: RetentionKind) -> dict[str, str]:
    return {"least": grouped(kind.least), "most": grouped(MAX_DAYS)}


def _sections(
    session: Session, days: dict[str, int], posted: Mapping[str, str], errors: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """The kinds with a legal minimum, and the others."""
    oldest, deleted, viewer = retention.oldest(session), retention.deleted_in_all(session), current_viewer()
    fields = {
        name: {
            "name": _field(name),
            "label": _("%(what)s, days", what=LABELS[name][0]),
            "value": posted.get(_field(name), days[name]),
            "required": True,
            "kind": "number",
            "maxlength": 9,
            "help": _help(kind, (oldest.get(name), deleted.get(name, 0)), viewer),
            "errors": [translate_text(each) for each in errors.get(_field(name), ())],
        }
        for name, kind in BY_NAME.items()
    }
    titles = ((_("With a minimum by law"), True), (_("All others"), False))
    return [
        {"title": title, "fields": [fields[kind.name] for kind in KINDS if kind.is_by_law is by_law]}
        for title, by_law in titles
    ]


def _help(kind: RetentionKind, facts: tuple[Any, int], viewer: Viewer) -> str:
    """The kind, its minimum and the source of that, its oldest row, and how many were deleted."""
    first, deleted = facts
    parts = [
        str(LABELS[kind.name][1]),
        _("Minimum: %(least)s. %(why)s", least=kind.least, why=translate_text(kind.why)),
        _("The oldest is from %(when)s.", when=relative(first, viewer)) if first is not None else "",
        _("Deleted so far: %(count)s.", count=grouped(deleted)) if deleted else "",
    ]
    return " ".join(part for part in parts if part)


def _run_row(run: RetentionRun, viewer: Viewer) -> dict[str, Any]:
    label = LABELS.get(run.kind, (run.kind, ""))[0]
    return {
        "kind": label,
        "at": moment_cell(run.began_on, viewer),
        "days": grouped(run.days),
        "deleted": grouped(run.deleted),
        "goes_on": run.open_key is not None,
    }
