"""Limits on the rows that MariaDB reads for pages of compliance: complaints, disclosure, orders, registers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from sqlalchemy import func, select, text

from app import access
from app.models import Complaint
from tests.generated_data import Dataset, dataset

__all__ = ["dataset"]

JSON = {"Accept": "application/json"}
#: Rows of each register; the admin who reads all of them.
ROWS, ADMIN = 3000, "bench_support_manager"
_REGISTERS = (
    """INSERT INTO complaint (version, number, ticket_id, title, source, reference, received_on, category_id,
         officer_id, is_impersonation, acknowledge_due_on, acknowledged_on, report_due_on, outcome,
         disposed_on, review_stage, created_on, changed_on)
       SELECT 1, concat('CRM-COMPLAINT-2026-', id), id, concat('Pay-out ', id), 'SEBI SCORES', concat('SEBIE/', id),
         '2026-10-01' - INTERVAL id % 900 DAY, 1, assignee_id, 0, '2026-10-02', '2026-10-02', '2026-10-22',
         if(id % 10, 'Resolved', NULL), if(id % 10, '2026-10-01' - INTERVAL id % 900 - 5 DAY, NULL), 'None',
         created_on, created_on FROM ticket ORDER BY id DESC LIMIT :most""",
    "UPDATE ticket JOIN complaint ON complaint.ticket_id = ticket.id SET complaint_state = 'pending'",
    """INSERT INTO complaint_entry (complaint_id, origin_id, source, reference, received_on, way, created_on,
         changed_on)
       SELECT id, id, source, reference, received_on, 'Portal', created_on, created_on FROM complaint""",
    """INSERT INTO data_request (person, kind, received_on, due_on, state, created_on, changed_on, version)
       SELECT concat('Person ', id), 'access', '2026-10-01', '2026-12-30', 'open', created_on, created_on, 1
       FROM complaint""",
    """INSERT INTO data_breach (title, noticed_on, cert_in_due_on, board_due_on, state, created_on, changed_on, version)
       SELECT concat('Breach ', id), created_on, created_on, created_on, 'open', created_on, created_on, 1
       FROM complaint""",
    """INSERT IGNORE INTO ab_user_role (user_id, role_id)
       SELECT ab_user.id, ab_role.id FROM ab_user, ab_role WHERE username = :admin AND name = 'Admin'""",
)


@pytest.fixture(scope="module")
def registers(dataset: Dataset) -> Iterator[Dataset]:
    """The dataset with ROWS complaints, requests about personal data and breaches, and somebody who reads them all."""
    with dataset.crm.engine.begin() as connection:
        for statement in _REGISTERS:
            given = {"most": ROWS, "admin": ADMIN}
            connection.execute(text(statement), {key: value for key, value in given.items() if f":{key}" in statement})
    with dataset.crm.app.app_context(), dataset.crm.new_session() as session:
        access.bump_version(session)
        session.commit()
    yield dataset


@pytest.mark.parametrize(
    "who, path, most",
    [
        (ADMIN, "/complaints/?tab=all", 3_500),
        (ADMIN, "/complaints/?tab=pending", 2_000),
        # Of the tickets of complaints, each complaint's is read, and none besides.
        ("support", "/complaints/?tab=all", 4 * ROWS),
        ("support", "/complaints/?tab=pending", ROWS),
        (ADMIN, "/api/v1/complaint/?q=(page_size:20)", 3_500),
        (ADMIN, "/data-requests/?tab=all", 1_500),
        (ADMIN, "/breaches/", 1_500),
        (ADMIN, "/calls/?tab=orders", 500),
        # Of each register, the first twelve and a count up to a hundred; of complaints, those that are pending.
        (ADMIN, "/", 4_000),
        # The page suggests complaints of the same investor.
        (ADMIN, "/complaints/show/{newest}", 300),
        ("support", "/complaints/?q=unheard", 300),
    ],
)
def test_lists_of_compliance_read_little_more_than_they_show(
    registers: Dataset, who: str, path: str, most: int
) -> None:
    with registers.crm.engine.connect() as connection:
        newest = connection.scalar(select(func.max(Complaint.id)))
    found = registers.cost(who, path.format(newest=newest))
    assert found.total <= most, found.dearest


def test_the_disclosure_reads_the_complaints_of_its_years_once(registers: Dataset) -> None:
    """Each is read, and looked up among the groups; the return reads those of its month and pending ones."""
    found = registers.cost(ADMIN, "/complaints-disclosure/?month=2026-09")
    assert found.total <= 3 * ROWS, found.dearest


@pytest.mark.parametrize("who", [ADMIN, "support"])
@pytest.mark.parametrize("typed, most", [("SEBIE/12", 12_000), ("Patel", 20_000), ("9820012345", 4_000)])
def test_a_search_of_complaints_reads_at_most_the_complaints(
    registers: Dataset, who: str, typed: str, most: int
) -> None:
    for path in ("/search", "/complaints/"):
        found = registers.cost(who, f"{path}?q={quote(typed)}", headers=JSON)
        assert found.total <= most, found.dearest
