"""Emails and texts of alerts that no worker has sent: an alert may be about a long queue, or one without workers."""

from __future__ import annotations

import threading
import time

from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.notifications.notices import ALERT_KINDS
from app.extensions import db
from app.models import Delivery, Notification
from app.ops.queues import queue
from app.outbox import notice_delivery

#: How long the workers have for an alert before this process sends it.
WORKERS_SECONDS = 10.0


def watch(app: Flask, notified: list[tuple[int, str]]) -> None:
    """After a commit of a job: have its alerts sent from here if no worker does it soon."""
    # Without Redis, the queue is in this process and has its workers.
    if queue.backend_kind() == "redis" and any(kind in ALERT_KINDS for _user, kind in notified):
        threading.Thread(target=_send_later, args=(app,), name="crm-alerts", daemon=True).start()


def _send_later(app: Flask) -> None:
    time.sleep(WORKERS_SECONDS)
    with app.app_context():
        send_waiting()


def send_waiting() -> None:
    """Send the emails and texts of alerts that have not been attempted yet; nobody else sends the same ones."""
    query = select(Delivery.id).join(Notification, Notification.id == Delivery.notification_id)
    query = query.where(Delivery.state == "queued", Delivery.tries == 0, Notification.kind.in_(ALERT_KINDS))
    with Session(db.engine) as session, access.as_system(session):
        waiting = session.scalars(query.order_by(Delivery.id)).all()
    for key in waiting:
        notice_delivery.send(key)
