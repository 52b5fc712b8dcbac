"""What of a list is read: its conditions, its order and one of its pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement


@dataclass
class ListQuery:
    """The parsed parameters of a list request."""

    conditions: list[ColumnElement[bool]]
    order: list[Any]
    size: int
    page: int = 0
    #: Keyset cursor: only rows with a smaller id; only with the default order.
    before: int | None = None
    exact: bool = False
    #: The default order, newest first.
    newest: bool = False
    #: The offset, if it is not a multiple of the size.
    start: int | None = None
    #: The cap to which rows will be counted, too: the count may then come first, see `ways`.
    counted_to: int | None = None
    #: The count made before the page was read: (rows that people in reach hold, rows through others only or None).
    ways: tuple[int, int | None] | None = None

    #: After reading a page that isn't full: rows with smaller ids weren't looked through; None = there are no more.
    rest: int | None = None

    @property
    def offset(self) -> int:
        """The number of rows before the page."""
        return self.page * self.size if self.start is None else self.start

    @property
    def least(self) -> int | None:
        """The minimum number of rows, if only those were counted that people in reach hold."""
        return self.ways[0] if self.ways is not None and self.ways[1] is None else None
