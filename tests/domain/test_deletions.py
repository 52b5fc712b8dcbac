"""Of two who delete the same row at the same moment, the second is told that it doesn't exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.domain import reports, saved_views
from app.domain.base import NotFound, Stamp
from app.domain.reports import Report
from app.domain.saved_views import SavedView
from tests import factories
from tests.factories import NOW


@pytest.mark.parametrize(
    ("record", "values", "remove"),
    [(SavedView, {"module": "leads"}, saved_views.remove), (Report, {"kind": "lead"}, reports.remove)],
)
def test_what_somebody_else_has_deleted_is_not_deleted_again(
    db: Session, record: Any, values: dict[str, str], remove: Callable[[Session, Any], None]
) -> None:
    ana = factories.user(db, "ana")
    row = record(label="Mine", owner_id=ana.id, **values)
    row.stamp(Stamp(ana.id, NOW))
    db.add(row)
    db.commit()
    db.connection().execute(delete(record.__table__))
    with pytest.raises(NotFound):
        remove(db, row)
