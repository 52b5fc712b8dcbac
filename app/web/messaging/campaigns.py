"""The pages of campaigns: recipients, message, check before sending, and results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from flask import flash, make_response, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.access import Person
from app.domain.base import NotFound, RuleBroken, Stamp
from app.domain.messaging import campaigns
from app.domain.messaging.campaigns import MAX_RECIPIENTS, Campaign, RecipientSource
from app.extensions import db
from app.lib.digit_grouping import GroupedInt, grouped
from app.lib.iso_time import read_moment
from app.outbox import campaign_sending
from app.web.core.fab_access import NOT_REFUSED, ModulePermissions, Refusal, current_viewer, parse_integer, refusal
from app.web.core.fields.base import clean_text
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.messaging import campaign_display, campaign_source
from app.web.messaging.campaign_display import RecipientPage
from app.web.messaging.campaign_form import form_of, posted_values, stored_values
from app.web.pages.routes import page_route
from app.web.records.bulk_actions import MAX_ROWS

BASE = "/campaigns/"
#: Campaigns of one page.
PAGE = 50
Step = Callable[[Session, Campaign, Stamp], None]


class CampaignsView(ModulePermissions, BaseView):
    """/campaigns/"""

    route_base = "/campaigns"
    default_view = "index"
    module = "Messages"
    VERBS = {
        **dict.fromkeys(("index", "show", "live"), "read"),
        **dict.fromkeys(("new", "choose", "create", "edit", "act"), "bulk"),
    }

    @staticmethod
    def in_menu(person: Person) -> bool:
        """Whether the sidebar offers campaigns: to people who may send them."""
        return person.may("Messages", "bulk") and person.may("Messages", "create")

    @page_route("/")
    def index(self) -> Any:
        """The person's own campaigns and those of people within reach, newest first."""
        viewer, before = current_viewer(), parse_integer(request.args.get("before"), 0, 1, 2**31 - 1)
        query = select(Campaign).order_by(Campaign.id.desc()).limit(PAGE + 1)
        rows = db.session.scalars(query.where(Campaign.id < before) if before else query).all()
        return self.render_template(
            "campaigns/list.html",
            campaigns=[campaign_display.campaign_row(each, viewer) for each in rows[:PAGE]],
            older=f"{BASE}?before={rows[PAGE - 1].id}" if len(rows) > PAGE else "",
            may_send=self.in_menu(viewer.person),
        )

    # --- recipients

    @page_route("/new")
    def new(self) -> Any:
        """The ways to choose recipients, and the upload of a file."""
        return self._new("")

    def _new(self, error: str, status: int = 200) -> Any:
        campaign_sending.refuse_unless_allowed(current_viewer().person)
        page = self.render_template("campaigns/new.html", error=error, most=grouped(MAX_RECIPIENTS))
        return page, status

    @page_route("/choose/<any(leads, customers):kind>", methods=["POST"])
    def choose(self, kind: str) -> Any:
        """The selected rows of a list, or all of it."""
        viewer, keys = current_viewer(), request.form.getlist("rowid")
        campaign_sending.refuse_unless_allowed(viewer.person)
        if len(keys) > MAX_ROWS:
            raise RuleBroken(_("Please select at most %(most)s rows at once.", most=MAX_ROWS))
        address = (request.form.get("back") or "")[:4000]
        all_of_it = campaign_source.count_of_list(kind, address, viewer)
        return self.render_template(
            "campaigns/choose_recipients.html",
            kind=kind,
            keys=keys,
            address=address,
            selected_text=ngettext(
                "The %(num)s selected record", "The %(num)s selected records", GroupedInt(len(keys))
            ),
            all_text=_("All %(count)s records of the list", count=grouped(all_of_it)),
            is_too_long=all_of_it > MAX_RECIPIENTS,
            most=grouped(MAX_RECIPIENTS),
        )

    @page_route("/create/<any(leads, customers, numbers):kind>", methods=["POST"])
    def create(self, kind: str) -> Any:
        """Store the recipients as a draft; the message is entered next."""
        viewer = current_viewer()
        campaign_sending.refuse_unless_allowed(viewer.person)
        try:
            source = _posted_source(kind, viewer)
            name = clean_text(request.form.get("name"), "name", 140) or _default_name(viewer)
            campaign = campaigns.create(db.session(), name, source, viewer.stamp)
            db.session.commit()
        except RuleBroken as broken:
            if kind != "numbers":
                raise
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return self._new(sentence, status)
        return redirect(f"{BASE}{campaign.id}/edit")

    # --- message

    @page_route("/<int:key>/edit", methods=["GET", "POST"])
    def edit(self, key: int) -> Any:
        """The form of a draft; saving it starts the check of its recipients."""
        viewer, campaign = current_viewer(), self._found(key, "bulk")
        campaign_sending.refuse_unless_allowed(viewer.person)
        if campaign.state != "draft":
            raise RuleBroken(_("This campaign has been started. Only a draft can be edited."))
        session = db.session()
        if request.method == "GET":
            return self._form(campaign, stored_values(campaign))
        if request.form.get("pick"):
            return self._form(campaign, request.form)
        try:
            plan = posted_values(session, request.form)
            with access.as_system(session):
                campaigns.change(session, campaign, plan, viewer.stamp)
                session.commit()
        except RuleBroken as broken:
            session.rollback()
            refused = refusal(broken)
            return self._form(self._found(key, "bulk"), request.form, refused), refused.status
        return redirect(f"{BASE}{key}")

    def _form(self, campaign: Campaign, typed: Any, refused: Refusal = NOT_REFUSED) -> Any:
        with access.as_system(db.session()):
            form = form_of(db.session(), campaign, typed, refused)
        return self.render_template("campaigns/form.html", title=form["title"], form=form)

    # --- showing, starting, stopping

    @page_route("/<int:key>")
    def show(self, key: int) -> Any:
        """The check before sending, or the result, with each recipient. `state` filters, `page` from 0."""
        viewer, campaign = current_viewer(), self._found(key, "read")
        state = request.args.get("state", "")
        if state and state not in campaign_display.RECIPIENT_WORDS:
            raise RuleBroken(_("There is no such state. Please choose one of the list."), "state")
        page = RecipientPage(state, parse_integer(request.args.get("page"), 0, 0, MAX_RECIPIENTS))
        context = campaign_display.campaign_context(db.session(), campaign, viewer, page)
        return self.render_template("campaigns/campaign.html", page_of=context)

    @page_route("/<int:key>/live")
    def live(self, key: int) -> Any:
        """The part of the page that updates itself, as a fragment."""
        campaign = self._found(key, "read")
        context = campaign_display.progress(db.session(), campaign, current_viewer())
        answer = make_response(render_template("campaigns/_live.html", page_of=context))
        if (request.args.get("checking") and context["is_checked"]) or not context["is_live"]:
            answer.headers["HX-Refresh"] = "true"  # the recipients are outside of this part
        return answer

    @page_route("/<int:key>/<any(start, schedule, unschedule, pause, resume, stop, delete):what>", methods=["POST"])
    def act(self, key: int, what: str) -> Any:
        """Start now or at a time, pause, resume, stop, or delete a draft."""
        viewer, campaign = current_viewer(), self._found(key, "bulk")
        campaign_sending.refuse_unless_allowed(viewer.person)
        try:
            step = _step(what, viewer)
            with access.as_system(db.session()):
                step(db.session(), campaign, viewer.stamp)
                db.session.commit()
        except RuleBroken as broken:
            db.session.rollback()
            flash(translate_text(broken.message), "danger")
            return redirect(f"{BASE}{key}")
        flash(_done(what), "success")
        return redirect(BASE if what == "delete" else f"{BASE}{key}")

    def _found(self, key: int, verb: str) -> Campaign:
        """The campaign, if the person sees it and the verb reaches it. Raises NotFound, Denied."""
        row: Campaign | None = access.get_visible(db.session(), Campaign, key)
        if row is None:
            raise NotFound(_("This campaign doesn't exist, or you don't have access to it."))
        if verb != "read":
            self.refuse_unless_reached(row, verb)
        return row


def _posted_source(kind: str, viewer: Viewer) -> RecipientSource:
    form = request.form
    if kind == "numbers":
        campaign_source.refuse_masked(viewer)
        file = request.files.get("file")
        if file is None or not file.filename:
            raise RuleBroken(_("Please choose a file."), "file")
        with file.stream as content:
            return campaign_source.of_file(content.read(campaign_source.MAX_BYTES + 1))
    if form.get("scope") == "all":
        return campaign_source.of_list(kind, form.get("back") or "", viewer)
    return campaign_source.selected(kind, form.getlist("rowid")[:MAX_ROWS])


def _default_name(viewer: Viewer) -> str:
    return _("Message of %(day)s", day=format_local_date(viewer.now.astimezone(viewer.zone), "%-d %b %Y, %H:%M"))


def _step(what: str, viewer: Viewer) -> Step:
    """The action of a button. Raises RuleBroken for an invalid time."""
    if what == "schedule":
        try:
            moment = read_moment(request.form.get("start_on") or "")
        except (ValueError, OverflowError) as wrong:
            raise RuleBroken(_("Please choose when it is to start."), "start_on") from wrong
        start_on = (moment if moment.tzinfo else moment.replace(tzinfo=viewer.zone)).astimezone(UTC)
        return lambda session, campaign, stamp: campaigns.start(session, campaign, start_on, stamp)
    return {
        "start": lambda session, campaign, stamp: campaigns.start(session, campaign, None, stamp),
        "unschedule": campaigns.unschedule,
        "pause": campaigns.pause,
        "resume": campaigns.resume,
        "stop": campaigns.stop,
        "delete": campaigns.remove,
    }[what]


def _done(what: str) -> str:
    return {
        "start": _("The campaign is running."),
        "schedule": _("The campaign starts automatically at that time."),
        "unschedule": _("The campaign is a draft again."),
        "pause": _("Paused. Nothing more is sent until you resume it."),
        "resume": _("The campaign continues."),
        "stop": _("Stopped. Whatever was not sent yet is canceled."),
        "delete": _("The draft is deleted."),
    }[what]
