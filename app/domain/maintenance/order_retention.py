"""Calls that are orders can't be deleted before the days have passed for which recordings of orders are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, translatable
from app.domain.maintenance import retention
from app.domain.maintenance.retention_kinds import ORDERS
from app.domain.persistence.row_effects import Rows


def refuse_deletions(session: Session, rows: Rows) -> None:
    """Effect before a flush. Raises RuleBroken; sends no statement unless an order is deleted."""
    refuse_orders(session, rows.deleted, datetime.now(UTC))


def refuse_orders(session: Session, calls: Any, now: datetime) -> None:
    """Raise RuleBroken if one of these calls, about to be deleted, is or was just an order that is too young."""
    orders = [call for call in calls if call.is_order or True in inspect(call).attrs.is_order.history.deleted]
    if not orders:
        return
    days = retention.days_of(session)[ORDERS]
    if any(call.started_on > now - timedelta(days=days) for call in orders):
        text = "This call is an order, so it is kept with its recording for %(days)s days."
        raise RuleBroken(translatable(text, days=days))
