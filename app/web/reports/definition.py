"""What a report asks for, as it is stored and sent: a JSON object that is checked for its shape here.

{"kind": "lead", "columns": ["number", "customer.city"], "where": ["all", ["status", "eq", "3"]],
 "period": {"column": "created_on", "span": "last_month"}, "groups": [{"column": "created_on", "by": "month"}],
 "figures": [{"of": "count"}, {"of": "sum", "column": "duration_seconds"}], "sort": "figure:0", "descending": true,
 "limit": 200, "chart": "bar"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain.base import RuleBroken
from app.domain.date_buckets import UNITS
from app.lib.digit_grouping import grouped

#: Bytes of a definition; columns, groups and figures of one report.
MAX_BYTES, MAX_COLUMNS, MAX_GROUPS, MAX_FIGURES = 20_000, 30, 2, 6
#: Rows of a report, groups of a report, and the default for both.
MAX_LIMIT, MAX_GROUP_ROWS, DEFAULT_LIMIT = 1_000_000, 100_000, 200
#: Rows that are processed while somebody waits; larger files are written in the background.
AT_ONCE = 10_000
FIGURES = ("count", "sum", "average", "median", "min", "max")
CHARTS = ("none", "bar", "line", "pie")
#: Time spans relative to the day on which the report is read.
SPANS = {
    "today": _l("Today"),
    "yesterday": _l("Yesterday"),
    "last_7": _l("Last 7 days"),
    "last_30": _l("Last 30 days"),
    "week": _l("This week"),
    "last_week": _l("Last week"),
    "month": _l("This month"),
    "last_month": _l("Last month"),
    "quarter": _l("This quarter"),
    "last_quarter": _l("Last quarter"),
    "year": _l("This year"),
}
_NAMES = ("kind", "columns", "where", "period", "groups", "figures", "sort", "descending", "limit", "chart")


@dataclass(frozen=True)
class ReportGroup:
    """A column to group rows by; dates by one of UNITS."""

    column: str
    by: str = ""


@dataclass(frozen=True)
class ReportFigure:
    """An aggregation per group: one of FIGURES, of a column except for the count."""

    of: str
    column: str = ""


@dataclass(frozen=True)
class RelativeSpan:
    """A relative period for a time column, such as this month or the last 7 days: one of SPANS."""

    column: str
    span: str


@dataclass(frozen=True)
class ReportDefinition:
    """A report with a valid structure; the catalog checks whether its columns exist and may be used."""

    kind: str
    columns: tuple[str, ...] = ()
    #: Nested conditions as in a list's URL; None = all rows.
    where: list[Any] | None = field(default=None, hash=False)
    period: RelativeSpan | None = None
    groups: tuple[ReportGroup, ...] = ()
    figures: tuple[ReportFigure, ...] = (ReportFigure("count"),)
    #: "" = the default order, "group", "figure:0", or a column.
    sort: str = ""
    descending: bool = False
    limit: int = DEFAULT_LIMIT
    chart: str = "none"

    def as_json(self) -> dict[str, Any]:
        """The definition as JSON, in its stored form."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "where": self.where,
            "period": {"column": self.period.column, "span": self.period.span} if self.period else None,
            "groups": [{"column": each.column, "by": each.by} for each in self.groups],
            "figures": [{"of": each.of, "column": each.column} for each in self.figures],
            "sort": self.sort,
            "descending": self.descending,
            "limit": self.limit,
            "chart": self.chart,
        }


def read(raw: Any) -> ReportDefinition:
    """The definition in this JSON object. Raises RuleBroken."""
    if not isinstance(raw, dict) or _size(raw) > MAX_BYTES:
        raise RuleBroken(_("This report can't be read. Please build it again."), "definition")
    unknown = sorted(set(map(str, raw)) - set(_NAMES))
    if unknown:
        raise RuleBroken(_("A report has no part “%(name)s”.", name=unknown[0][:60]), "definition")
    made = ReportDefinition(
        kind=_text(raw, "kind", 24),
        columns=_columns(raw),
        where=_where(raw),
        period=_period(raw),
        groups=tuple(ReportGroup(_text(each, "column", 80), _text(each, "by", 8)) for each in _objects(raw, "groups")),
        figures=tuple(
            ReportFigure(_text(each, "of", 8), _text(each, "column", 80)) for each in _objects(raw, "figures")
        ),
        sort=_text(raw, "sort", 80),
        descending=raw.get("descending") is True,
        limit=_limit(raw.get("limit")),
        chart=_text(raw, "chart", 8) or "none",
    )
    _refuse_many(made)
    _refuse_unknown(made)
    return made


def _size(raw: Mapping[str, Any]) -> int:
    try:
        return len(orjson.dumps(raw))
    except (TypeError, ValueError, RecursionError):
        return MAX_BYTES + 1


def _text(raw: Mapping[str, Any], name: str, maximum: int) -> str:
    given = raw.get(name)
    if given is None:
        return ""
    if not isinstance(given, str) or len(given) > maximum:
        raise RuleBroken(_("“%(name)s” of the report must be a short text.", name=name), "definition")
    return given


def _columns(raw: Mapping[str, Any]) -> tuple[str, ...]:
    given = raw.get("columns") or []
    if not isinstance(given, list) or not all(isinstance(each, str) and len(each) <= 80 for each in given):
        raise RuleBroken(_("“columns” of the report must be a list of names."), "columns")
    return tuple(dict.fromkeys(given))


def _where(raw: Mapping[str, Any]) -> list[Any] | None:
    given = raw.get("where")
    if given is not None and not isinstance(given, list):
        raise RuleBroken(_("The conditions of this report can't be read. Please set the filter again."), "where")
    return None if not given or given in (["all"], ["any"]) else given


def _period(raw: Mapping[str, Any]) -> RelativeSpan | None:
    given = raw.get("period")
    if not given:
        return None
    if not isinstance(given, dict) or given.get("span") not in SPANS:
        raise RuleBroken(_("Please choose one of the periods in the list."), "period")
    return RelativeSpan(_text(given, "column", 80), given["span"])


def _objects(raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    given = raw.get(name) or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise RuleBroken(_("“%(name)s” of the report must be a list.", name=name), name)
    return given


def _limit(given: Any) -> int:
    if given is None or given == "":
        return DEFAULT_LIMIT
    number = int(given) if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 9 else given
    if type(number) is not int or not 1 <= number <= MAX_LIMIT:
        raise RuleBroken(_("A report shows 1 to %(most)s rows.", most=grouped(MAX_LIMIT)), "limit")
    return number


def _refuse_many(made: ReportDefinition) -> None:
    if len(made.columns) > MAX_COLUMNS:
        raise RuleBroken(_("A report shows at most %(most)s columns.", most=MAX_COLUMNS), "columns")
    if len(made.groups) > MAX_GROUPS:
        raise RuleBroken(_("A report is grouped by at most two columns."), "groups")
    if made.groups and made.limit > MAX_GROUP_ROWS:
        raise RuleBroken(_("A report of groups shows 1 to %(most)s groups.", most=grouped(MAX_GROUP_ROWS)), "limit")
    if len(made.figures) > MAX_FIGURES:
        raise RuleBroken(_("A report has at most %(most)s figures.", most=MAX_FIGURES), "figures")


def _refuse_unknown(made: ReportDefinition) -> None:
    if any(each.of not in FIGURES for each in made.figures):
        raise RuleBroken(_("A figure is one of: %(names)s.", names=", ".join(FIGURES)), "figures")
    if any(each.by not in ("", *UNITS) for each in made.groups):
        raise RuleBroken(_("Dates are grouped by one of: %(names)s.", names=", ".join(UNITS)), "groups")
    if made.chart not in CHARTS:
        raise RuleBroken(_("A chart is one of: %(names)s.", names=", ".join(CHARTS)), "chart")
