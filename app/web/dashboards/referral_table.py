"""The table of referral codes: their customers, and the leads that they brought."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.analytics.figure_counts import rate
from app.lib.digit_grouping import grouped
from app.web.core.viewer import Viewer
from app.web.dashboards.filters import Filters
from app.web.pages.brand import current_brand


def referral_table(referrals: list[dict[str, Any]], filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """{kind, columns, rows, is_empty}, the code with the most leads first.

    The code that the business settings call the company's own is named like the company, if no customer has it.
    """
    house = str(viewer.lookups.business["default_referral"]).strip().casefold()
    known = [
        each if each["name"] or each["code"].casefold() != house else each | {"name": current_brand().name}
        for each in referrals
    ]
    columns = [_("Referred by"), _("Code"), _("Leads"), _("Converted"), _("Rate")]
    return {
        "kind": "referrals",
        "columns": columns,
        "rows": [_row(each, filters) for each in known],
        "is_empty": not referrals,
    }


def _row(each: dict[str, Any], filters: Filters) -> dict[str, Any]:
    by = {"_flt_eq_referral": each["code"]}
    percent = rate(each["converted"], each["leads"])
    counts = [
        {
            "text": grouped(each[key]),
            "value": each[key],
            "url": filters.list_of(name, **by) if each[key] else "",
        }
        for key, name in (("leads", "leads_referred"), ("converted", "leads_referred_converted"))
    ]
    code = each["code"] if each["customer_id"] is None or each["is_account"] else _("%(code)s (own code)", **each)
    return {
        "label": each["name"] or _("Nobody you can see"),
        "url": f"/customers/{each['number']}" if each["number"] else "",
        "cells": [
            {"text": code, "value": None, "url": ""},
            *counts,
            {"text": f"{grouped(percent or 0)} %", "value": None, "url": ""},
        ],
    }
