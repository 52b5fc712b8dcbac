"""Merges beside merges, edits and call syncs on MariaDB: nothing is lost or moved twice, nobody gets a 500."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from app import access
from app.domain.change_context import ChangeContext
from app.domain.merging import record_merge
from app.domain.merging.record_merge import MergeRequest
from app.models import CallLog, Customer, CustomerKey, Lead, MergedRecord, RecordMerge, Task
from tests.app_fixtures import Crm
from tests.factories import DAY, NOW


def at_once(*acts: Any) -> list[Any]:
    with ThreadPoolExecutor(len(acts)) as pool:
        return [each.result() for each in [pool.submit(act) for act in acts]]


def test_two_merges_of_the_same_leads_in_both_directions(maria: Crm) -> None:
    for _round in range(4):
        one, two = maria.make.lead("ana"), maria.make.lead("ana")
        clients = [maria.client("mia") for _ in range(4)]
        pairs = [(one, two), (two, one)] * 2
        answers = at_once(
            *(
                lambda client=client, a=a, b=b: client.rest("POST", f"lead/{a.id}/merge", {"with": [b.id]})
                for client, (a, b) in zip(clients, pairs, strict=True)
            )
        )
        told = Counter(each.status_code for each in answers)
        assert told[200] == 1 and set(told) <= {200, 404, 409, 410}, [each.text for each in answers]
        left = maria.rows(select(Lead.id).where(Lead.id.in_([one.id, two.id])))
        assert len(left) == 1 and maria.count(Task, Task.lead_id == left[0]) == 2
    assert maria.count(RecordMerge) == maria.count(MergedRecord, MergedRecord.gone_key.is_not(None)) == 4


def test_a_merge_beside_edits_and_call_syncs_loses_no_call(maria: Crm) -> None:
    rows = [maria.make.lead("ana", NOW - 20 * DAY, mobile=f"98201{n:05d}", task={}) for n in range(6)]
    kept, others = rows[0], rows[1:]

    def sync(n: int) -> list[int]:
        client, codes = maria.client("ana"), []
        for part in range(6):
            calls = [
                {
                    "device_call_id": f"{n}-{part}-{row.id}",
                    "direction": "Incoming",
                    "status": "Completed",
                    "from_number": row.mobile,
                    "to_number": "9811100000",
                    "started_on": f"2026-11-{10 + n} 11:{part:02d}:{row.id % 60:02d}",
                    "duration_seconds": 30,
                }
                for row in rows
            ]
            codes.append(client.rest("POST", "call_log/bulk", {"call_logs": calls}).status_code)
        return codes

    def edit() -> list[int]:
        client = maria.client("ana")
        return [
            client.rest("PUT", f"lead/{row.id}", {"description": f"seen {n}"}).status_code
            for n in range(3)
            for row in rows
        ]

    def merge() -> list[int]:
        client = maria.client("mia")
        return [client.rest("POST", f"lead/{kept.id}/merge", {"with": [row.id]}).status_code for row in others]

    merges, edits, *syncs = at_once(merge, edit, lambda: sync(0), lambda: sync(1))
    assert set(merges) <= {200, 409, 503} and set(edits) <= {200, 404, 409, 410, 503}, (merges, edits)
    assert all(set(codes) == {200} for codes in syncs), syncs
    assert maria.count(CallLog) == 2 * 6 * len(rows)
    with maria.new_session() as session:
        loose = session.scalar(select(func.count()).where(CallLog.lead_id.is_(None)).select_from(CallLog))
        ids = set(session.scalars(select(CallLog.lead_id).distinct()))
        alive = set(session.scalars(select(Lead.id)))
    assert loose <= 2 * 6 * merges.count(200), "a call that came after the merge belongs to no other number's lead"
    assert ids - {None} <= alive, "no call points to a lead that is gone"


def test_customers_keep_one_holder_for_each_number(maria: Crm) -> None:
    one, two, three = (maria.make.customer("mia") for _ in range(3))
    clients = [maria.client("mia") for _ in range(2)]
    answers = at_once(
        lambda: clients[0].rest("POST", f"customer/{one.id}/merge", {"with": [two.id]}),
        lambda: clients[1].rest("PUT", f"customer/{three.id}", {"alternative_mobile": two.mobile}),
    )
    assert answers[0].status_code == 200 and answers[1].status_code == 422, [each.text for each in answers]
    held = maria.rows(select(CustomerKey.value, CustomerKey.customer_id).where(CustomerKey.kind == "mobile"))
    assert len({value for value, _who in held}) == len(held)
    assert {who for _value, who in held} <= set(maria.rows(select(Customer.id)))


def test_a_process_that_is_killed_leaves_whole_merges_only(maria: Crm) -> None:
    pairs = [(maria.make.lead("ana"), maria.make.lead("ana")) for _ in range(12)]
    for _kept, gone in pairs:
        maria.make.task(gone)
    address = maria.engine.url
    maria.engine.dispose()
    child = os.fork()
    if child == 0:  # merges on and on, until it is killed
        try:
            with Session(create_engine(address, isolation_level="READ COMMITTED")) as session:
                access.act_as(session, access.SYSTEM)
                for kept, gone in pairs:
                    record_merge.merge(session, MergeRequest(Lead, (kept.id, gone.id)), ChangeContext(None, NOW))
                    session.commit()
        finally:
            os._exit(0)
    with maria.new_session() as session:
        ends = time.monotonic() + 60
        while session.scalars(select(func.count()).select_from(MergedRecord)).one() < 4 and time.monotonic() < ends:
            session.rollback()  # the next look sees what was committed since
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    alive, done = set(maria.rows(select(Lead.id))), set(maria.rows(select(MergedRecord.gone_key)))
    merged = [gone.id not in alive for _kept, gone in pairs]
    assert sum(merged) >= 2
    for (kept, gone), is_merged in zip(pairs, merged, strict=True):
        assert (f"leads:{gone.id}" in done) == is_merged
        assert maria.count(Task, Task.lead_id == kept.id) == (3 if is_merged else 1)
        assert maria.count(Task, Task.lead_id == gone.id) == (0 if is_merged else 2)
    left = next((pair for pair, is_merged in zip(pairs, merged, strict=True) if not is_merged), None)
    if left is not None:  # what was cut off can be done again
        answer = maria.client("mia").rest("POST", f"lead/{left[0].id}/merge", {"with": [left[1].id]})
        assert answer.status_code == 200, answer.text
