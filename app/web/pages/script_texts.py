"""Dialogs and texts of every page that only its scripts need, as one script per language.

They are the same for everybody, so browsers cache them by content hash instead of getting them with each page. The
script runs before all others of the page. See docs/decisions/0100.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from flask import Flask, Response, abort, current_app, request
from flask_babel import force_locale, get_locale
from flask_babel import gettext as _

from app.web.core.localization.languages import language_key
from app.web.pages import offline_posts
from app.web.pages.static_files import static_url

#: Endpoints that load no person.
ENDPOINTS = ("script_texts",)
_KEY = "crm_script_texts"
_TEMPLATES = ("shell/parts.html", "shell/theme_menu.html")
#: A process of another version has other parts: its response is used, but not cached.
_NOT_THAT_VERSION = 203
_SCRIPT = """{
  const { html, looks, words } = %s;
  document.body.insertAdjacentHTML('beforeend', html);
  const place = document.querySelector('[data-looks]');
  if (place) place.outerHTML = looks;
  for (const [selector, attributes] of Object.entries(words)) {
    for (const each of document.querySelectorAll(selector)) Object.assign(each.dataset, attributes);
  }
  document.getElementById('palette').dataset.user = document.querySelector('.offline').dataset.user;
}
"""


def install(app: Flask) -> None:
    """Register the route of the scripts."""
    app.add_url_rule("/static/parts/<language>.js", "script_texts", _script)


def parts_url() -> str:
    """The URL of the script in the language of this response."""
    return f"{request.script_root}/static/parts/{get_locale()}.js?v={_made()[0]}"


def _script(language: str) -> Response:
    if language not in current_app.config["LANGUAGES"]:
        abort(404)
    with force_locale(language):
        version, source = _made()
    status = 200 if request.args.get("v") == version else _NOT_THAT_VERSION
    return Response(source, status, mimetype="text/javascript")


def _made() -> tuple[str, str]:
    """(hash, source) of the script in this language; made once per process."""
    kept: dict[Any, tuple[str, str]] = current_app.extensions.setdefault(_KEY, {})
    key = (language_key(), request.script_root)
    if key not in kept or current_app.debug:
        html, looks = (current_app.jinja_env.get_template(name).render() for name in _TEMPLATES)
        source = _SCRIPT % orjson.dumps({"html": html, "looks": looks, "words": _words()}).decode()
        kept[key] = hashlib.sha256(source.encode()).hexdigest()[:8], source
    return kept[key]


def _words() -> dict[str, dict[str, str]]:
    """Selector -> the data of its elements."""
    return {
        "html": {
            "pickJs": static_url("vendor/tom-select.js"),
            "pickCss": static_url("vendor/tom-select.css"),
            "pickNone": _("Nothing found."),
            "pickClear": _("Clear"),
            "pickRemove": _("Remove"),
            "socketJs": static_url("vendor/socket.io.js"),
        },
        "[data-toasts]": {
            "offline": _("No connection. Nothing was saved."),
            "unreached": _("The CRM could not be reached. Please check your connection and try again."),
            "cut": _(
                "%(num)s characters didn't fit and were left out: at most %(most)s are possible here.",
                num="{}",
                most="{most}",
            ),
            "again": _("Try again"),
        },
        "[data-calls]": {
            "css": static_url("css/call_cards.css"),
            "outcomeJs": static_url("js/call_outcome.js"),
            "outcomeCss": static_url("css/calls.css"),
        },
        ".offline": _offline_words(),
        "[data-clocks]": _clock_words(),
    }


def _offline_words() -> dict[str, str]:
    """The texts of offline.js."""
    return {
        "forms": offline_posts.PATHS,
        "field": offline_posts.FIELD,
        "away": _("You are offline. This page is as of %(moment)s.", moment="{}"),
        "back": _("You are online again. This page may be out of date."),
        "keeps": _("No connection. This is kept here and sent when you are online again."),
        "waiting": _("Waiting to be sent (%(count)s)", count="{}"),
        "sent": _("Sent: %(count)s", count="{}"),
        "refused": _("This could not be saved. Please check the record, then edit or discard it."),
        "unsure": _(
            "The connection was lost while this was being sent. Check whether it has arrived before you send it again."
        ),
        "files": _("Its files are not kept. Please attach them again on the record."),
    }


def _clock_words() -> dict[str, str]:
    """The texts of SLA clocks, see sla_fields.WORDS."""
    late = _("%(time)s overdue", time="{time}")
    return {
        "min": _("%(n)s min", n=0),
        "h": _("%(n)s h", n=0),
        "hm": _("%(h)s h %(m)s min", h=1, m=0),
        "d": _("%(n)s d", n=0),
        "ahead": _("in %(time)s", time="{time}"),
        "late": late,
        "replyAhead": _("respond in %(time)s", time="{time}"),
        "replyLate": _("response %(time)s overdue", time="{time}"),
        "resolveAhead": _("resolve in %(time)s", time="{time}"),
        "resolveLate": late,
    }
