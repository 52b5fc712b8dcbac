"""One tab of a timeline, as `timeline_tabs` declares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.web.core.viewer import Viewer
from app.web.records.timelines.timeline_filters import Records, TimelineQuery
from app.web.records.timelines.timeline_rows import TimelinePage


@dataclass(frozen=True)
class Tab:
    """One tab; see the docstring of `timeline_tabs`."""

    label: Any
    page: Callable[[TimelineQuery, Viewer], TimelinePage]
    #: The text while it is empty.
    empty: Any
    #: The text while it is empty for people who may create what it shows; None = the same.
    invitation: Any = None
    #: The module whose readers see it; "" = everybody who sees the record.
    module: str = ""
    rows: Any = None
    counted: Callable[[Records], Any] | None = None
    #: For entries of the timeline: the kinds that are counted, among `rows` with a column `kind`.
    among: tuple[str, ...] = ()
    tables: tuple[Any, ...] = ()
    template: str = "records/_entries.html"
    #: The part of the composer that it opens.
    composes: str = "note"
    #: Its parts, the first one by default: value of `part` in the URL -> label.
    parts: tuple[tuple[str, Any], ...] = ()
    #: Whether it is only shown if it is not empty.
    is_optional: bool = False
