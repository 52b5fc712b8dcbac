"""Computes the data of a dashboard's widgets, in few grouped statements, and caches it for a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from app import access
from app.access.row_rules import has_own_rule
from app.domain.analytics import (
    call_rollup_counts,
    call_rollup_coverage,
    figure_counts,
    figure_tables,
    record_rollup_counts,
)
from app.domain.analytics.figure_counts import FigureCount
from app.domain.analytics.figures import BY_NUMBER, FIGURES, CountScope
from app.models import CallLog, Customer, Lead, Message, Task, Ticket
from app.ops.database.connections import address_of
from app.web.core.viewer import Viewer
from app.web.dashboards.widget_kinds import (
    Breakdown,
    HeatMap,
    PeopleBars,
    PeopleTable,
    ReferralTable,
    TrendWidget,
    Widget,
)

#: Seconds for which figures are cached, and the number of cached dashboards.
KEEP_SECONDS, MAX_KEPT = 60.0, 500


@dataclass
class WidgetData:
    """The computed data; shared by people with the same reach, so it contains nothing that a mask hides."""

    counts: dict[str, FigureCount] = field(default_factory=dict)
    groups: dict[str, list[tuple[Any, int]]] = field(default_factory=dict)
    series: dict[str, list[int]] = field(default_factory=dict)
    slots: dict[str, dict[int, int]] = field(default_factory=dict)
    people: figure_tables.ByPerson = field(default_factory=dict)
    referrals: list[dict[str, Any]] = field(default_factory=list)
    #: Widgets without data, because very many calls have to be counted by day first.
    waiting: frozenset[str] = frozenset()
    #: Widgets without data, because the period has too many calls to be compared with each other.
    too_many: frozenset[str] = frozenset()

    @property
    def left_out(self) -> frozenset[str]:
        """All widgets without data."""
        return self.waiting | self.too_many

    def measure_charts(self, session: Session, widgets: Widgets, scope: CountScope, viewer: Viewer) -> None:
        """One statement per trend and table, and per breakdown that the daily sums don't have."""
        groups = [(each.name, each.column) for each in widgets.values() if isinstance(each, Breakdown)]
        figure_counts.preload_groups(session, groups, scope)
        for name, each in widgets.items():
            if isinstance(each, Breakdown):
                self.groups[name] = figure_counts.count_by(session, each.name, each.column, scope)
            elif isinstance(each, TrendWidget):
                self.series |= figure_counts.series(session, trend_names(each, viewer), scope)
            elif isinstance(each, HeatMap):
                self.slots[name] = figure_counts.by_slot(session, each.name, scope)
            elif isinstance(each, ReferralTable):
                self.referrals = figure_tables.referrals(session, scope)


#: Records on which figures are based.
RECORDS = (Lead, Ticket, Task, CallLog, Message, Customer)
Widgets = dict[str, Widget]


def may_see(record: Any, viewer: Viewer) -> bool:
    """Whether the viewer reads this kind of record."""
    return viewer.person.may(access.MODULE_OF[record], "read")


def visible_widgets(catalog: Widgets, names: Iterable[str], viewer: Viewer) -> Widgets:
    """Those that the viewer may see: they read the records, and see numbers unmasked if numbers are compared."""
    chosen = {name: catalog[name] for name in names}
    return {
        name: each
        for name, each in chosen.items()
        if all(may_see(record, viewer) for record in each.records) and not is_masked(each, viewer)
    }


def is_masked(widget: Widget, viewer: Viewer) -> bool:
    """Whether it is based on numbers that the viewer sees masked."""
    return viewer.person.mask("mobile") != "full" and any(name in BY_NUMBER for name in widget.figures)


def trend_names(widget: TrendWidget, viewer: Viewer) -> list[str]:
    """The figures of a trend that the viewer may see."""
    return [name for name in widget.names if may_see(FIGURES[name].record, viewer)]


def measure(session: Session, widgets: Widgets, scope: CountScope, viewer: Viewer) -> WidgetData:
    """Everything that these widgets show: one statement per record, and one per breakdown, trend and table."""
    found = WidgetData()
    scope = _with_sums(session, widgets, _with_rollups(session, widgets, scope, viewer), viewer)
    if _must_wait(session, widgets, scope, viewer):
        found.waiting = frozenset(name for name, each in widgets.items() if CallLog in each.counted)
        widgets = {name: each for name, each in widgets.items() if name not in found.waiting}
    found.counts = figure_counts.count_all(session, _counted(widgets), scope)
    found.too_many = frozenset(name for name, each in widgets.items() if not set(each.figures) <= found.counts.keys())
    found.measure_charts(session, widgets, scope, viewer)
    kinds = _kinds_counted(widgets, viewer)
    if kinds:
        within = _within_reach(scope, viewer)
        if within is not scope:
            within = _with_rollups(session, widgets, within, viewer)
        found.people = figure_tables.by_person(session, within, kinds)
    return found


def _kinds_counted(widgets: Widgets, viewer: Viewer) -> list[Any]:
    """The records counted by person: those of the table, or of the bars."""
    kinds = kinds_of_people(viewer)
    if any(isinstance(each, PeopleTable) for each in widgets.values()):
        return kinds
    return [kind for kind in kinds if any(isinstance(w, PeopleBars) and w.record is kind for w in widgets.values())]


def _with_rollups(session: Session, widgets: Widgets, scope: CountScope, viewer: Viewer) -> CountScope:
    """The scope with the daily roll-ups of calls, if they contain exactly the calls that the viewer sees.

    That is so for all calls, if the viewer sees all, and for the calls of people within the viewer's reach of calls.
    """
    if not _may_use_rollups(widgets, scope, viewer):
        return scope
    return replace(scope, rolled=call_rollup_coverage.coverage_of(session, scope, scope.people))


def _with_sums(session: Session, widgets: Widgets, scope: CountScope, viewer: Viewer) -> CountScope:
    """The scope with the daily sums: for figures of everybody, of one person, or by person.

    The viewer sees all rows of the records, or at least all that this one person holds.
    """
    counted = {record for each in widgets.values() for record in each.counted}
    seen = {record: _how_seen(record, scope, viewer) for record in (Lead, Ticket, Task) if record in counted}
    usable = {record: how for record, how in seen.items() if how}
    is_alone = scope.people is None or len(scope.people) == 1
    has_people = any(isinstance(each, PeopleTable | PeopleBars) for each in widgets.values())
    if not usable or scope.leads or scope.slot is not None or not (is_alone or has_people):
        return scope
    return replace(scope, counted=record_rollup_counts.coverage_of(session, scope, usable))


def _how_seen(record: Any, scope: CountScope, viewer: Viewer) -> str:
    """Which rows of a record the viewer sees, as far as sums depend on it; "" = none that they could use."""
    if not may_see(record, viewer) or not has_own_rule(record):
        return ""
    reach, people = viewer.person.reach(access.MODULE_OF[record]), scope.people
    if reach is None:
        return record_rollup_counts.ALL
    if people is None or len(people) != 1 or not people <= reach:
        return ""
    is_all = people == reach and record is Lead
    return record_rollup_counts.ONLY_HELD if is_all else record_rollup_counts.HELD


def _may_use_rollups(widgets: Widgets, scope: CountScope, viewer: Viewer) -> bool:
    reach, people = viewer.person.reach("Call Logs"), scope.people
    is_within = reach is None or (people is not None and people <= reach)
    return is_within and may_see(CallLog, viewer) and has_own_rule(CallLog) and _needs_calls(widgets)


def _must_wait(session: Session, widgets: Widgets, scope: CountScope, viewer: Viewer) -> bool:
    """Whether the figures of calls have to wait until the job has counted more days."""
    is_rolled = _may_use_rollups(widgets, scope, viewer)
    return is_rolled and call_rollup_counts.is_far_behind(session, scope, scope.people)


def _needs_calls(widgets: Widgets) -> bool:
    return any(CallLog in each.counted for each in widgets.values())


def _counted(widgets: Widgets) -> list[str]:
    return list(dict.fromkeys(name for each in widgets.values() for name in each.figures))


def _within_reach(scope: CountScope, viewer: Viewer) -> CountScope:
    """The scope for a table of people, limited to the viewer's reach of dashboards."""
    reach = viewer.person.reach("Dashboard")
    return scope if scope.people is not None or reach is None else replace(scope, people=reach)


def kinds_of_people(viewer: Viewer) -> list[Any]:
    """The records that the table of people has columns for."""
    return [record for record in (Lead, Ticket, Task, CallLog) if may_see(record, viewer)]


# --- the cache

_kept: dict[Any, tuple[float, WidgetData]] = {}
_lock = threading.Lock()


def cached(session: Session, widgets: Widgets, scope: CountScope, viewer: Viewer) -> WidgetData:
    """Like `measure`, but uses data computed within the last minute for the same reach, widgets and filters."""
    key = (address_of(session), tuple(widgets), _filters_of(scope), _reach_of(viewer))
    found = _kept.get(key)
    if found is not None and found[0] > time.monotonic():
        return found[1]
    fresh = measure(session, widgets, scope, viewer)
    with _lock:
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        _kept[key] = (time.monotonic() + KEEP_SECONDS, fresh)
    return fresh


def forget() -> None:
    """Empty the cache."""
    with _lock:
        _kept.clear()


def _filters_of(scope: CountScope) -> Any:
    return (scope.period, scope.people, scope.slot, scope.leads)


def _reach_of(viewer: Viewer) -> Any:
    """The key of what a person sees: people with the same key see the same figures.

    The version counts changes of rights, people and picklists. A rule of an add-on may depend on more than the reach.
    """
    person = viewer.person
    modules = sorted({*access.MODULE_OF.values(), "Dashboard"})
    reaches = tuple(person.reach(module) for module in modules)
    has_own_rules = all(has_own_rule(record) for record in RECORDS)
    return (person.version, reaches, person.mask("mobile") == "full", None if has_own_rules else person.id)
