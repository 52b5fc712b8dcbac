"""The public address of the disclosures of complaints: the newest version of each of the last published months.

Anybody may read it, so it asks for nobody: no session, no cookie, and only what was published. Off by default.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Flask, Response, current_app, request
from flask_babel import force_locale
from flask_babel import gettext as _

import config
from app import access, shown_brand
from app.domain import business_settings
from app.domain.complaints import disclosure_periods, published_disclosures
from app.domain.complaints.published_disclosures import ComplaintDisclosure
from app.extensions import db
from app.ops.redis.rate_counter import Rate
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import ENGLISH
from app.web.pages import disclosure_html, disclosure_tables

URL = "/public/complaints"
#: Endpoints that load no person.
ENDPOINTS = ("public_disclosure",)
#: Published months that are shown; seconds for which caches may keep a page; requests of one address.
MONTHS, CACHE_SECONDS, RATE = 12, 300, Rate(60, 60)
_POLICY = (
    f"default-src 'none'; style-src '{disclosure_html.STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def install(app: Flask) -> None:
    """Register the route."""
    app.add_url_rule(URL, "public_disclosure", show)


def show() -> Response:
    """The newest published month, or that of ?month=2026-10, in ?lang=hi; 404 while the switch is off."""
    wait = _wait()
    if wait:
        return _plain("Too many requests.", 429, **{"Retry-After": str(wait), "Cache-Control": "no-store"})
    with access.as_system(db.session()) as session:
        is_on = business_settings.value_of(session, "disclosure_is_public")
        versions = published_disclosures.newest_versions(session, date.min, MONTHS) if is_on else []
    shown = _chosen(versions)
    if shown is None:
        return _plain("Not found.", 404, **{"Cache-Control": "no-store"})
    with force_locale(_language()):
        made = _page(shown, versions)
    response = Response(made, content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
    response.headers["Content-Security-Policy"] = _POLICY
    response.add_etag()
    response.make_conditional(request)
    return response


def _wait() -> int:
    """The seconds to wait if this address has asked too often; 0 otherwise."""
    counter, now = current_app.extensions["crm_limits"].counter, time.time()
    count = counter.add(f"public disclosure {request.remote_addr}", RATE, now)
    return max(1, count.ends - int(now)) if count.is_exceeded else 0


def _plain(text: str, status: int, **headers: str) -> Response:
    return Response(text, status, headers, content_type="text/plain; charset=utf-8")


def _chosen(versions: Sequence[ComplaintDisclosure]) -> ComplaintDisclosure | None:
    """The version of the month in the URL, else the newest month's; None if it isn't among them."""
    asked = request.args.get("month", "")
    if not asked:
        return versions[0] if versions else None
    return next((each for each in versions if disclosure_periods.month_name(each.span) == asked), None)


def _language() -> str:
    asked = request.args.get("lang", "")
    return asked if asked in config.LANGUAGE_NAMES else ENGLISH


def _page(shown: ComplaintDisclosure, versions: Sequence[ComplaintDisclosure]) -> str:
    name = shown_brand.current(current_app, db.session()).name
    return disclosure_html.render(
        "pages/public_disclosure.html",
        disclosure_tables.tables_of(shown.disclosure, shown.layout),
        title=_("Complaints of investors: %(name)s", name=name),
        choose=_("Published months"),
        published=_published_text(shown),
        months=[_month_link(each, each is shown) for each in versions],
    )


def _month_link(version: ComplaintDisclosure, is_shown: bool) -> tuple[str, str, bool]:
    given = {"month": disclosure_periods.month_name(version.span), "lang": _language()}
    return disclosure_tables.month_label(version.span), f"{URL}?{urlencode(given)}", is_shown


def _published_text(version: ComplaintDisclosure) -> str:
    """When this version was published, in the office's zone."""
    zone = ZoneInfo(current_app.config["CRM"].time_zone)
    day = format_local_date(version.published_on.astimezone(zone), "%-d %B %Y")
    if version.version_number == 1:
        return _("Published on %(day)s.", day=day)
    return _("Published on %(day)s, corrected version %(number)s.", day=day, number=version.version_number)
