"""Refused pages and forms: a message and a way back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import abort, flash, g, redirect, render_template, request

from app.domain.merging.merged_records import MergedAway
from app.extensions import db
from app.web.core.fab_access import REFUSABLE, refusal, sentence_header
from app.web.core.urls.local_links import local_path
from app.web.core.view_registry import screen_of
from app.web.pages import errors


def refuse_as_page(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show an error page for a refused GET; redirect a refused POST back with a flashed message."""

    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs)
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            if isinstance(broken, MergedAway):
                return show_survivor(self, broken, sentence)
            return refused(status, sentence)

    return guarded


def show_survivor(view: Any, broken: MergedAway, sentence: str) -> Any:
    """Redirect a reader to the remaining record of a merge; show people who submit a form the link, and their input."""
    # The page that was asked for may be of something else, such as a merge.
    url = f"{screen_of(broken.record).route_base}/{broken.kept_number}"
    if request.headers.get("HX-Request"):
        return refused(410, sentence)
    if request.method == "GET":
        flash(sentence, "info")
        return redirect(url)
    table = getattr(view, "record_table", None)
    named = table.by_name if table is not None else {}
    typed = [
        (named[name].label if name in named else name, value)
        for name, value in request.form.items()
        if value and name not in _UNTOLD and (name not in named or named[name].kind not in _CHOSEN)
    ]
    return render_template(
        "errors/merged.html", sentence=sentence, url=url, url_label=broken.kept_number, typed=typed
    ), 410


#: Fields of a form that nobody typed.
_UNTOLD = ("csrf_token", "version", "before", "overwrite")
#: Kinds of fields for which a form sends an id.
_CHOSEN = ("picklist", "person", "record", "many", "choice")


def refused(status: int, sentence: str) -> Any:
    """The message as an error page, as an htmx response, or flashed on the page the person came from."""
    if status == 422 and request.method == "GET":
        status = 400  # an invalid URL, not a record that breaks a rule
    if request.headers.get("HX-Request"):
        return (
            errors.page(status, sentence),
            status,
            sentence_header(sentence),
        )
    if request.method == "GET" or status in (403, 404, 503):
        g.sentence = sentence
        abort(status)
    flash(sentence, "danger")
    return redirect(previous_page())


def previous_page() -> str:
    """The page of this site that the person came from, else the start page."""
    return local_path(request.referrer) or "/"
