"""Rules of rows that belong to no record: whoever has a right sees all of them, or their own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, exists, false, true

from app.access.person import Person
from app.access.rule_conditions import inside
from app.models import Delivery, Notification


def auditors(person: Person) -> ColumnElement[bool]:
    """Everything for who may read the audit log."""
    return true() if person.may("Audit Log", "read") else false()


def of_own_run(person: Person, run: Any, column: Any) -> ColumnElement[bool]:
    """Rows that belong to the person's own imports or exports."""
    mine = inside(column.class_, run)
    return exists().where(mine.id == column, mine.created_by_id == person.id)


def own_or_reader_of_sign_ins(column: Any, person: Person) -> ColumnElement[bool]:
    """Rows of the person's own, all for who may read sign-ins."""
    return true() if person.may("Sign-ins", "read") else column == person.id


def settings_readers(person: Person) -> ColumnElement[bool]:
    """Everything for who may read the settings."""
    return true() if person.may("Settings", "read") else false()


def readers_of(module: str, person: Person) -> ColumnElement[bool]:
    """Everything for who may read the module."""
    return true() if person.may(module, "read") else false()


def admins(person: Person) -> ColumnElement[bool]:
    """Everything for admins."""
    return true() if person.is_admin else false()


def own_deliveries(person: Person) -> ColumnElement[bool]:
    """Deliveries of the person's own notifications."""
    notification = inside(Delivery, Notification)
    return exists().where(notification.id == Delivery.notification_id, notification.user_id == person.id)
