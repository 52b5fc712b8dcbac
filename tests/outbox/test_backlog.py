"""The backlog of the outbox after an outage: queued in batches, each kind and account in turn, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.channels import provider_registry
from app.domain.notifications import notices
from app.models import Delivery, Message, User
from app.ops.queues import queue
from app.outbox import account_rate_limits, backlog, delivery_engine, message_delivery
from tests.app_fixtures import Crm
from tests.outbox.fake_provider import CARRIER, KIND
from tests.outbox.test_message_delivery import add_account, now, run_calls, run_job, send

JOB = "send messages that wait"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SHARE", 2), ("MAX_QUEUED", 4), ("FEW_WAITING", 1)):
        monkeypatch.setattr(delivery_engine, name, value)


@pytest.fixture
def account(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(provider_registry.KINDS, "carrier", KIND)
    CARRIER.__init__()  # type: ignore[misc]
    with crm.app.app_context():
        yield add_account(crm)


def leave(crm: Crm, count: int, **more: Any) -> list[int]:
    """Messages that wait while no queue takes them."""
    with queue.discard_calls():
        keys = [send(crm, body=f"Namaste {n}", **more) for n in range(count)]
    crm.session.execute(update(Message).where(Message.id.in_(keys)).values(due_on=now() - timedelta(minutes=9)))
    crm.session.commit()
    return keys


def waiting(name: str) -> list[Any]:
    """What waits in a queue."""
    return queue._backend._waiting[name]  # type: ignore[union-attr]


def run_all() -> list[int]:
    """Run the queue until it is empty. Returns how many calls ran each time."""
    counts = []
    while ran := run_calls():
        counts.append(ran)
    return counts


def test_one_pass_of_the_minute_drains_the_whole_outbox(crm: Crm, account: Any) -> None:
    keys = leave(crm, 11)
    run_job(crm, JOB)
    assert max(run_all()) <= 5  # a batch and the call behind it
    assert sorted(CARRIER.keys()) == sorted(f"m{key}" for key in keys)


def test_where_workers_come_back_nothing_waits_for_the_minute(crm: Crm, account: Any) -> None:
    keys = leave(crm, 6)
    assert backlog.begin("short") and backlog.begin("default") and backlog.begin("short")
    run_all()
    assert sorted(CARRIER.keys()) == sorted(f"m{key}" for key in keys)


def test_accounts_and_kinds_take_turns(crm: Crm, account: Any) -> None:
    other = add_account(crm, "Other")
    first, second = leave(crm, 5, account_id=account.id), leave(crm, 1, account_id=other.id)
    with queue.discard_calls():
        choices = {"assigned": {"email": True}}
        crm.session.execute(update(User).where(User.username == "ana").values(notice_choices=choices))
        event = notices.NoticeEvent("assigned", "k", [crm.people["ana"].id], {"number": "CRM-LEAD-2026-00001"})
        notices.notify(crm.session, event, now())
        crm.session.commit()
    crm.session.execute(update(Delivery).values(next_try_on=now() - timedelta(minutes=1)))
    crm.session.commit()
    backlog.begin("short")
    run_calls()
    queued = [(each.call.function.rpartition(".")[2], each.call.arguments) for each in sorted(waiting("short"))]
    names, arguments = zip(*queued, strict=True)
    assert set(names[:2]) == {"message_delivery:send_several", "notice_delivery:send"}
    assert arguments[names.index("message_delivery:send_several")][:2] == (first[0], second[0])


def test_a_row_that_stays_where_it_is_does_not_keep_the_queue_busy(
    crm: Crm, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(crm, 9)
    monkeypatch.setattr(account_rate_limits, "accounts_of", lambda _keys: {})  # its calls do nothing
    backlog.begin("short")
    assert len(run_all()) <= 3


def test_a_busy_queue_is_waited_for_and_given_up_after_a_while(crm: Crm, account: Any) -> None:
    leave(crm, 3)
    for _n in range(3):
        queue.enqueue("short", message_delivery.send, 0)
    backlog.go_on("short", int(now().timestamp()) + 60, "{}")
    assert sorted(waiting("short")).pop().call.function.endswith(":go_on")
    waiting("short").pop()
    backlog.go_on("short", int(now().timestamp()) - 1, "{}")
    assert run_calls() == 3 and CARRIER.keys() == []


def test_calls_to_go_on_do_not_wait_for_each_other(crm: Crm, account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = leave(crm, 2)
    monkeypatch.setattr(backlog, "ASKS_AGAIN_SECONDS", 30.0)
    for _worker in range(4):  # more than FEW_WAITING
        backlog.begin("short")
    calls, waiting("short")[:] = sorted(waiting("short")), []
    for place, each in enumerate(calls):  # as a worker takes them, one after the other
        waiting("short")[:] = [*calls[place + 1 :], *(one for one in waiting("short") if one not in calls)]
        queue._backend._run(each)  # type: ignore[union-attr]
    assert any(sorted(each.call.arguments) == keys for each in waiting("short"))


@pytest.mark.parametrize(("seconds", "calls"), [(60.0, 1), (-1.0, 4)])
def test_messages_share_a_call_and_a_slow_one_holds_up_no_other(
    crm: Crm, account: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, calls: int
) -> None:
    monkeypatch.setattr(delivery_engine, "TOGETHER_SECONDS", seconds)
    keys = leave(crm, 4)
    backlog.begin("short")
    run_calls()
    (several,) = [each.call for each in waiting("short") if each.call.function.endswith(":send_several")]
    assert sorted(several.arguments) == keys
    ran = run_all()
    assert sorted(CARRIER.keys()) == sorted(f"m{key}" for key in keys) and sum(ran) >= calls


def test_a_message_that_breaks_its_call_holds_up_no_other(
    crm: Crm, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, claim = leave(crm, 4), delivery_engine.claim

    def broken(kind: Any, key: Any, at: Any) -> Any:
        if key == keys[1]:
            raise ValueError("unreadable")
        return claim(kind, key, at)

    monkeypatch.setattr(delivery_engine, "claim", broken)
    with crm.app.app_context(), pytest.raises(ValueError, match="unreadable"):
        message_delivery.send_several(*keys)
    run_all()
    assert sorted(CARRIER.keys()) == sorted(f"m{key}" for key in keys if key != keys[1])


def test_what_was_in_the_last_call_of_a_killed_worker_is_queued_again(crm: Crm, account: Any) -> None:
    keys = leave(crm, 3)
    backlog.begin("short")
    run_calls()
    assert delivery_engine.claim(message_delivery.MESSAGES, keys[0], now())  # and it was killed
    waiting("short")[:] = [each for each in waiting("short") if not each.call.function.endswith(":send_several")]
    run_all()
    assert sorted(CARRIER.keys()) == sorted(f"m{key}" for key in keys[1:])


def test_what_was_due_a_moment_ago_is_lost_only_if_nothing_waits() -> None:
    moment = now()
    assert moment - delivery_engine.lost_before(1, moment) == delivery_engine.LOST_AFTER
    assert moment - delivery_engine.lost_before(2, moment) == delivery_engine.STUCK_AFTER
