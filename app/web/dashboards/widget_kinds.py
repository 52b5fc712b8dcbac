"""The kinds of widgets on dashboards: numbers, charts and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from app.domain.analytics import figures
from app.models import CallLog, Customer, Lead, Task, Ticket


@dataclass(frozen=True, kw_only=True)
class Widget:
    """One widget of a dashboard."""

    #: The fields with the names of figures that are counted for it in the period.
    FIGURES: ClassVar[tuple[str, ...]] = ()
    label: Any = None
    #: The meaning of its figure, in a sentence; the guide has the complete formula.
    help: Any = None
    size: int = 6

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that are counted for it in the period."""
        return tuple(getattr(self, name) for name in self.FIGURES)

    @property
    def shown(self) -> tuple[str, ...]:
        """All figures that it shows; those beyond `figures` are computed by statements of its own."""
        return self.figures

    @property
    def counted(self) -> set[Any]:
        """The records whose rows it counts."""
        return {figures.FIGURES[name].record for name in self.shown}

    @property
    def records(self) -> set[Any]:
        """The records that a person must be able to read to see it."""
        return self.counted


@dataclass(frozen=True, kw_only=True)
class SingleFigureWidget(Widget):
    """A widget that shows a single figure."""

    name: str

    @property
    def shown(self) -> tuple[str, ...]:
        """The name of its figure."""
        return (self.name,)


@dataclass(frozen=True, kw_only=True)
class NumberWidget(SingleFigureWidget):
    """One figure: a count, or a sum of seconds."""

    FIGURES: ClassVar[tuple[str, ...]] = ("name",)
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class RateWidget(Widget):
    """A part as a percentage of a whole."""

    FIGURES: ClassVar[tuple[str, ...]] = ("part", "whole")
    part: str
    whole: str
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class MeanWidget(Widget):
    """Seconds divided by the number of rows."""

    FIGURES: ClassVar[tuple[str, ...]] = ("seconds", "count")
    seconds: str
    count: str
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class StepsWidget(Widget):
    """Several figures beside each other: a funnel, or parts of a whole."""

    names: tuple[str, ...]
    #: Whether each is a part of the first.
    is_funnel: bool = False

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of its figures."""
        return self.names


@dataclass(frozen=True, kw_only=True)
class Breakdown(SingleFigureWidget):
    """The rows of a figure by the values of a column."""

    column: Any
    #: The filter of the list, and the source of its labels: a picklist, words, or the value itself.
    filter: str
    picklist: str = ""
    words: Any = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrendWidget(Widget):
    """Figures over the points of the period."""

    names: tuple[str, ...]
    size: int = 12

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of its figures."""
        return self.names

    @property
    def records(self) -> set[Any]:
        """None, because it shows only those of its figures that the person may read."""
        return set()


@dataclass(frozen=True, kw_only=True)
class HeatMap(SingleFigureWidget):
    """A figure by weekday and hour."""

    size: int = 12


@dataclass(frozen=True, kw_only=True)
class PeopleTable(Widget):
    """What each person has done."""

    size: int = 12

    @property
    def counted(self) -> set[Any]:
        """The names of the figures of its columns."""
        return {Lead, Ticket, Task, CallLog}

    @property
    def records(self) -> set[Any]:
        """None, because it shows only those of its columns that the person may read."""
        return set()


@dataclass(frozen=True, kw_only=True)
class PeopleBars(Widget):
    """Some columns of the table of people, as bars."""

    record: Any
    names: tuple[str, ...]

    @property
    def counted(self) -> set[Any]:
        """The names of the figures of its bars."""
        return {self.record}


@dataclass(frozen=True, kw_only=True)
class ReferralTable(Widget):
    """A table of referral codes and their leads."""

    size: int = 12

    @property
    def counted(self) -> set[Any]:
        """Leads, which have the code, and customers, to whom it belongs."""
        return {Lead, Customer}


#: Bars of people: as many as fit on a page.
MAX_BARS = 20
