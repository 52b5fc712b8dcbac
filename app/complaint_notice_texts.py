"""The texts of notices about complaints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext, pgettext

from app.lib.digit_grouping import GroupedInt, grouped

#: What a notice about a complaint tells -> its text.
_TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "officer": lambda payload: _("You are responsible for the complaint %(number)s.", number=payload.get("number")),
    "acknowledge": lambda payload: _(
        "The complaint %(number)s should have been acknowledged by now.", number=payload.get("number")
    ),
    "overdue": lambda payload: _(
        "The action taken report of the complaint %(number)s is overdue.", number=payload.get("number")
    ),
    "step desk": lambda payload: _(
        "The desk hasn't finished its step of the complaint %(number)s in time. Please take over.",
        number=payload.get("number"),
    ),
    "step officer": lambda payload: _(
        "The compliance officer's step of the complaint %(number)s isn't finished in time. Please take over.",
        number=payload.get("number"),
    ),
    "step director": lambda payload: _(
        "The days for the director's step of the complaint %(number)s are over.", number=payload.get("number")
    ),
    "review": lambda payload: _of_review(payload),
    "review over": lambda payload: _(
        "The last day of a review of the complaint %(number)s has passed: %(stage)s.",
        number=payload.get("number"),
        stage=_stage(payload),
    ),
}


def _stage(payload: dict[str, Any]) -> str:
    """The stage of review; the catalogs have those that ship."""
    return str(pgettext("label", str(payload.get("stage") or "None")))


def _of_review(payload: dict[str, Any]) -> str:
    days, told = int(payload.get("days", 0)), {"number": payload.get("number"), "stage": _stage(payload)}
    if days <= 0:
        return str(_("A review of the complaint %(number)s ends today: %(stage)s.", **told))
    return str(
        ngettext(
            "A review of the complaint %(number)s ends in %(num)s day: %(stage)s.",
            "A review of the complaint %(number)s ends in %(num)s days: %(stage)s.",
            GroupedInt(days),
            **told,
        )
    )


def of_complaint(payload: dict[str, Any]) -> str:
    """What somebody has to do about one complaint."""
    found = _TEXTS.get(str(payload.get("what")))
    if found is not None:
        return str(found(payload))
    return str(
        ngettext(
            "The action taken report of the complaint %(number)s is due in %(num)s day.",
            "The action taken report of the complaint %(number)s is due in %(num)s days.",
            GroupedInt(payload.get("days", 0)),
            number=payload.get("number"),
        )
    )


def of_list(payload: dict[str, Any]) -> str:
    """How many complaints wait, for the compliance officer."""
    return str(
        _(
            "Complaints today: %(pending)s without a report, %(soon)s of them due within 7 days, %(overdue)s overdue.",
            pending=grouped(payload.get("pending", 0)),
            soon=grouped(payload.get("soon", 0)),
            overdue=grouped(payload.get("overdue", 0)),
        )
    )
