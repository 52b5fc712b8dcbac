"""Fetches recordings from the provider into our storage: the same engine, in the other direction."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.channels.provider import Media, Provider
from app.domain.persistence.transaction_state import pop_committed
from app.domain.telephony import recordings
from app.extensions import db
from app.inbound import inbound_virus_scans, storage_waits
from app.lib.file_kinds import kind_of
from app.models import CallLog, CallRecording
from app.ops.storage.file_store import MAX_BYTES, FileStore, TooLarge
from app.outbox import delivery_engine, provider_clients
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult

#: Seconds before the second, third … attempt: providers report a recording before its file can be fetched.
WAITS = (15, 60, 300, 1800, 7200)
#: MIME types that browsers play, by the content of the file.
KINDS = ("audio/mpeg", "audio/wav", "audio/ogg", "audio/mp4")
NO_SOUND = "What the provider sent is no sound recording that can be played."
TOO_LARGE = "The recording is larger than 25 MB."
INTERRUPTED = "Fetching the recording was interrupted."

log = logging.getLogger("crm.recordings")


@dataclass(frozen=True)
class StoredRecording(DeliveryResult):
    """The recording is stored."""

    digest: str | None = None
    mime_type: str | None = None
    size: int | None = None


def send(recording_id: int) -> None:
    """Fetch one recording that is due. The function's path is stored in queues."""
    delivery_engine.deliver(RECORDINGS, recording_id)


def _prepare(row: CallRecording) -> Provider:
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        call = session.get_one(CallLog, row.call_id)
        return provider_clients.client_of(session, call.account_id, "The phone account no longer exists.")


def _transmit(row: CallRecording, provider: Provider) -> DeliveryResult:
    with provider_clients.repeatable():
        _said, content = provider.fetch(Media(row.address, "audio/mpeg"), MAX_BYTES)
    if kind_of(content) not in KINDS:
        return DeliveryResult("failed", NO_SOUND)
    inbound_virus_scans.refuse_infected(content, f"recording {row.id}")
    store: FileStore = current_app.extensions["crm_files"]
    try:
        stored = store.put(content)
    except TooLarge:
        return DeliveryResult("failed", TOO_LARGE)
    except OSError as error:
        return storage_waits.waiting(error, f"recording {row.id}", log)
    return StoredRecording("sent", digest=stored.digest, mime_type=stored.mime_type, size=stored.size)


def _columns(row: CallRecording, result: DeliveryResult, now: datetime) -> dict[str, Any]:
    if not isinstance(result, StoredRecording):
        return {}
    return {"digest": result.digest, "mime_type": result.mime_type, "size": result.size}


def _on_settled(session: Session, row: CallRecording, result: DeliveryResult, now: datetime) -> None:
    recordings.mark_changed(session, row)


RECORDINGS = DeliveryKind(
    label="recording",
    log=log,
    model=CallRecording,
    key=CallRecording.id,
    began_on=CallRecording.began_on,
    due_on=CallRecording.due_on,
    queue="default",
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=_transmit,
    interrupted=DeliveryResult("queued", INTERRUPTED),
    columns=_columns,
    on_settled=_on_settled,
)


# --- after the commit


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its recordings."""
    for key in pop_committed(session, "recordings"):
        delivery_engine.enqueue(RECORDINGS, key)
