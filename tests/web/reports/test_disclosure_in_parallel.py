"""A month of complaints that is published while somebody changes them, on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import event, select, text

from app.domain.complaints import exchange_return
from app.extensions import db
from app.models import ComplaintDisclosure
from tests.app_fixtures import Crm
from tests.web.reports.test_complaint_disclosure import MONTH, complaint, publish

#: What only the statement of the return counts.
RETURN = "pending_0"


@contextmanager
def changing_before_each_return(crm: Crm, key: int, times: int) -> Iterator[None]:
    """Somebody enters or takes back the outcome of a complaint between the disclosure and its return, so often."""
    left = [times]
    change = text("UPDATE complaint SET disposed_on = IF(disposed_on IS NULL, :day, NULL) WHERE id = :key")

    def act(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if RETURN in statement and left[0]:
            left[0] -= 1
            with crm.engine.begin() as connection:
                connection.execute(change, {"day": MONTH.first + timedelta(days=3), "key": key})

    with crm.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", act)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", act)


def test_a_published_month_and_its_return_count_the_same_complaints(maria: Crm) -> None:
    key = complaint(maria, MONTH.first).id
    with changing_before_each_return(maria, key, 1):
        assert publish(maria.client("rhea")).status_code == 302
    (row,) = maria.rows(select(ComplaintDisclosure))
    assert row.disclosure.total.resolved == 1
    assert exchange_return.agrees(exchange_return.from_json(row.exchange_return), row.disclosure)


def test_a_month_that_never_stands_still_is_not_published(maria: Crm) -> None:
    key = complaint(maria, MONTH.first).id
    with changing_before_each_return(maria, key, 100):
        answer = publish(maria.client("rhea"))
    assert answer.status_code == 409
    assert "Complaints were changed while they were counted. Please publish again." in answer.get_data(as_text=True)
    assert maria.count(ComplaintDisclosure) == 0
