"""What templates of all pages can use: functions, the frame, the brand, the person."""

from __future__ import annotations

from typing import Any

from flask import Flask, g
from flask_babel import get_locale

from app.csrf import token_of_request
from app.domain.timeline import MAX_NOTE_LENGTH
from app.lib.digit_grouping import grouped
from app.web.core.fab_access import request_time
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_in_template
from app.web.pages import (
    brand,
    field_values_html,
    html_parts,
    probes_and_metrics,
    public_disclosure,
    record_html,
    script_texts,
    static_files,
    timeline_html,
)
from app.web.pages.page_frame import MENU, Menu, frame_of, languages
from app.web.pages.static_files import static_url


def install(app: Flask, menu: Menu) -> None:
    """Register globals and variables of templates. `menu`: returns the entries of the sidebar and of the "New" menu."""
    pages: Any = app.jinja_env
    pages.globals.update(html_parts.GLOBALS | timeline_html.GLOBALS | field_values_html.GLOBALS | record_html.GLOBALS)
    pages.globals.update(
        static_url=static_url, parts_url=script_texts.parts_url, csrf_token=token_of_request, get_locale=get_locale
    )
    pages.globals.update(grouped=grouped, written=format_local_date, MAX_NOTE_LENGTH=MAX_NOTE_LENGTH)
    pages.constants |= {"_": translate_in_template, "static_url": static_url, "icon": html_parts.icon}
    app.extensions[MENU] = menu
    app.context_processor(_context)
    probes_and_metrics.install(app)
    brand.install(app)
    script_texts.install(app)
    static_files.install(app)
    public_disclosure.install(app)


def _context() -> dict[str, Any]:
    """Variables of every template."""
    person = g.get("person")
    base: dict[str, Any] = {"brand": brand.for_pages(), "languages": languages(), "person": None}
    if person is None:
        return base
    frame = frame_of(person)
    return base | {
        "rendered_at": request_time().isoformat(timespec="seconds"),
        "frame": frame,
        "person": frame.person,
    }
