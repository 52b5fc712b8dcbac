"""How fast messages may be sent through each channel account."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Flask, current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.extensions import db
from app.models import ChannelAccount, Message
from app.ops.redis.rate_counter import Rate, RateCounter

#: The application's counter of messages by account.
_RATES = "crm_channel_rates"


def install(app: Flask, rate_counter: RateCounter) -> None:
    """Count the messages of all accounts by this counter."""
    app.extensions[_RATES] = rate_counter


def counter() -> RateCounter:
    """The counter of this application, shared by all processes if there is Redis."""
    found: RateCounter = current_app.extensions[_RATES]
    return found


def accounts_of(message_ids: Sequence[int]) -> dict[int, Any]:
    """Message -> (id, is_active, per_second, per_minute) of its account, and its due time, for queued messages.

    Read without a lock.
    """
    columns = (ChannelAccount.id, ChannelAccount.is_active, ChannelAccount.per_second, ChannelAccount.per_minute)
    query = select(*columns, Message.due_on, Message.id.label("key")).join(
        Message, Message.account_id == ChannelAccount.id
    )
    with Session(db.engine) as session, access.as_system(session):
        rows = session.execute(query.where(Message.id.in_(message_ids), Message.state == "queued"))
        return {row.key: row for row in rows}


def wait_for_turn(account: Any, now: datetime) -> float:
    """Seconds until the account may send another message; 0 = now."""
    rates = [Rate(limit, each) for limit, each in ((account.per_second, 1), (account.per_minute, 60)) if limit]
    return max((_wait(f"channel:{account.id}:{rate.seconds}", rate, now.timestamp()) for rate in rates), default=0.0)


def _wait(name: str, rate: Rate, now: float) -> float:
    """Those above the limit of this window are distributed over as many later windows as they fill."""
    count = counter().add(name, rate, now)
    if not count.is_exceeded:
        return 0.0
    windows = min(60.0, (count.used - count.limit) / count.limit)
    return max(0.05, count.ends - now) + random.uniform(0, windows) * rate.seconds  # noqa: S311  # no secret
