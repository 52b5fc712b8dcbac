"""The first steps of a new installation, on its admins' home pages; each is ticked off by the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import current_app, g, redirect, request
from flask_appbuilder import BaseView, expose
from flask_babel import lazy_gettext as _
from sqlalchemy import and_, exists, func, or_, select

import config
from app import access
from app.extensions import db
from app.models import BackupRun, ChannelAccount, Customer, Holiday, Lead, PhoneSync, User
from app.shown_brand import ShownBrand
from app.web.core.fab_access import signed_in
from app.web.pages import brand
from app.web.pages.refusals import previous_page

#: Records that this browser does not want to see the card.
COOKIE, COOKIE_SECONDS = "first_steps", 31_536_000
#: The pages on which admins land.
_HOMES = ("/", "/dashboard/")
_BACKED_UP = and_(BackupRun.kind == "backup", BackupRun.outcome.in_(("done", "partly")))
#: One row; each part stops at the first row found.
_STATE: Any = select(
    (select(func.count()).select_from(select(User.id).where(User.active).limit(2).subquery()).scalar_subquery() > 1),
    exists(select(Holiday.id)),
    exists(select(ChannelAccount.id).where(ChannelAccount.is_active, ChannelAccount.kind != "console")),
    or_(exists(select(Lead.id)), exists(select(Customer.id))),
    exists(select(PhoneSync.id)),
    exists(select(BackupRun.id).where(_BACKED_UP)),
)
_STEPS = (
    ("brand", _("Give the CRM your company's name, logo and color"), "palette", "/settings/brand/"),
    ("people", _("Add your people and their roles"), "users", "/users/list/"),
    ("hours", _("Set the office hours and enter the holidays"), "clock", "/settings/hours/"),
    ("channels", _("Connect WhatsApp, SMS, email or a phone line"), "plug", "/settings/channels/"),
    ("import", _("Bring in your leads and customers"), "file-import", "/imports/new"),
    ("telephones", _("Let the phones send their calls"), "device-mobile", "/phone/"),
    ("backups", _("Make the first backup"), "database", "/backups/"),
)


class Step(NamedTuple):
    """One line of the card."""

    name: str
    label: Any
    icon: str
    url: str
    is_done: bool


def open_steps() -> list[Step]:
    """The steps, for an admin while some are left; else none. At most one statement."""
    person = g.get("person")
    if person is None or not person.is_admin or COOKIE in request.cookies or request.headers.get("HX-Request"):
        return []
    if request.path not in _HOMES or current_app.extensions.get("crm_first_steps_done"):
        return []
    people, hours, channels, records, phones, backups = access.answer_as_system(db.session(), _STATE, {})[0]
    states = (
        brand.current_brand() != ShownBrand(config.DEFAULT_BRAND),
        people,
        hours,
        channels,
        records,
        phones,
        backups,
    )
    steps = [Step(*step, is_done=bool(is_done)) for step, is_done in zip(_STEPS, states, strict=True)]
    if all(step.is_done for step in steps):
        current_app.extensions["crm_first_steps_done"] = True
        return []
    return steps


class FirstStepsView(BaseView):
    """/first-steps"""

    route_base = "/first-steps"
    default_view = "dismiss"

    @expose("/dismiss", methods=["POST"])
    @signed_in
    def dismiss(self) -> Any:
        """Hide the card in this browser."""
        response = redirect(previous_page())
        is_https = current_app.config["CRM"].is_https
        response.set_cookie(COOKIE, "no", COOKIE_SECONDS, secure=is_https, httponly=True, samesite="Lax")
        return response


#: For the templates of the home pages.
GLOBALS: dict[str, Callable[..., Any]] = {"first_steps": open_steps}
