"""When the next follow-up of a lead moves to the due time of a task: one rule, for a row in memory and an UPDATE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, bindparam, case, or_

from app.domain.base import UtcDateTime


@dataclass(frozen=True)
class PlannedTask:
    """A task that is planned, or planned anew, for a lead. All times are UTC."""

    due_on: datetime
    #: A follow-up until then is behind: usually the current time.
    before: datetime
    #: Due times of the tasks that this one replaces, and its own former one.
    replaced: Sequence[datetime] = ()

    def next_after(self, stored: datetime | None) -> datetime:
        """The next follow-up of a lead that has the `stored` one.

        The task becomes it unless another is ahead and earlier, which is not that of a replaced task.
        """
        is_ahead = stored is not None and self.before < stored <= self.due_on and stored not in self.replaced
        return stored if stored is not None and is_ahead else self.due_on

    @property
    def parameters(self) -> dict[str, datetime]:
        """The values for the parameters of `moved`."""
        replaced = {f"replaced_{place}": due_on for place, due_on in enumerate(self.replaced)}
        return {"due": self.due_on, "before": self.before, **replaced}


def moved(stored: SQLColumnExpression[Any], replaced: int) -> ColumnElement[Any]:
    """`PlannedTask.next_after` as SQL, of a column of leads; `replaced`: how many tasks are.

    A value rather than a condition of the UPDATE: so the lead is locked in any case, before what the caller adds about
    it (`record_locks`), and MariaDB doesn't lock the index of the column first.
    """
    due, before, *others = (
        bindparam(name, type_=UtcDateTime)
        for name in ("due", "before", *(f"replaced_{place}" for place in range(replaced)))
    )
    is_behind = or_(stored.is_(None), stored <= before, stored > due, *(stored == each for each in others))
    return case((is_behind, due), else_=stored)
