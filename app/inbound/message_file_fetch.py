"""Files of messages after the commit: fetched from the provider into our store, with previews of pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.channels.base import ChannelError
from app.channels.provider import Media, Provider
from app.domain.messaging import message_files, messages
from app.domain.persistence import file_references
from app.domain.persistence.transaction_state import pop_committed
from app.extensions import db
from app.inbound import inbound_virus_scans, storage_waits
from app.lib.file_kinds import BOMB, SHOWN, kind_of
from app.models import Message, MessageFile
from app.ops.storage import image_previews
from app.ops.storage.file_store import MAX_BYTES, PREFIX, FileStore, StoredFile, TooLarge
from app.outbox import delivery_engine, provider_clients
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotSent

#: Seconds before the second, third … attempt to fetch a file.
WAITS = (10, 60, 300, 1800, 7200)
#: Files of one commit that are queued at once; the sweep queues the others.
MAX_AT_ONCE = 100
DANGEROUS = "The file unpacks to far more than it says, which can harm computers. It was not kept."

log = logging.getLogger("crm.files")


@dataclass(frozen=True)
class FileResult(DeliveryResult):
    """The result for a file."""

    stored: StoredFile | None = None
    preview: str | None = None


@dataclass(frozen=True)
class _Source:
    """Where a file comes from."""

    media: Media
    #: None = it is in our store.
    provider: Provider | None
    store: FileStore


def work(file_id: int) -> None:
    """Process a file. The function's path is stored in queues."""
    delivery_engine.deliver(FILES, file_id)


def _prepare(row: MessageFile) -> _Source:
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        message = session.get(Message, row.message_id)
        files = message.media or [] if message is not None else []
        if message is None or row.place >= len(files):
            raise NotSent(DeliveryResult("failed", "The message no longer exists.", was_attempted=False))
        media = Media(**{name: str(files[row.place].get(name) or "") for name in ("address", "mime_type", "name")})
        store: FileStore = current_app.extensions["crm_files"]
        if row.digest is not None:
            return _Source(media, None, store)
        gone = "The account by which this file came no longer exists."
        return _Source(media, provider_clients.client_of(session, message.account_id, gone), store)


def _transmit(row: MessageFile, source: _Source) -> DeliveryResult:
    """Fetch the file unless it is stored, then make its preview. Raises ChannelError."""
    try:
        stored = _fetched(source.provider, source) if source.provider is not None else None
        kind = stored.mime_type if stored else source.media.mime_type
        digest = stored.digest if stored else row.digest
        preview = image_previews.preview_of(source.store, digest) if kind in SHOWN and digest else None
    except OSError as error:
        return storage_waits.waiting(error, f"file {row.id}", log)
    return FileResult("sent", stored=stored, preview=preview)


def _fetched(provider: Provider, source: _Source) -> StoredFile:
    """Fetch a file from the provider into our store. Raises ChannelError."""
    with provider_clients.repeatable():
        _said, content = provider.fetch(source.media, MAX_BYTES)
    if not content:
        raise ChannelError("The provider's file is empty.", permanent=True)
    if kind_of(content) == BOMB:
        raise ChannelError(DANGEROUS, permanent=True)
    inbound_virus_scans.refuse_infected(content, "file of a message")
    try:
        return source.store.put(content)
    except TooLarge as error:
        raise ChannelError("The file is too large.", permanent=True) from error


def _columns(row: MessageFile, result: DeliveryResult, now: datetime) -> dict[str, Any]:
    if not isinstance(result, FileResult):
        return {}
    values: dict[str, Any] = {"preview": result.preview}
    return values | ({"digest": result.stored.digest, "size": result.stored.size} if result.stored else {})


def _on_settled(session: Session, row: MessageFile, result: DeliveryResult, now: datetime) -> None:
    """Refer to the stored file in the message from now on; open pages update."""
    query = select(Message).where(Message.id == row.message_id).with_for_update()
    message = session.scalars(query).first()
    if message is None:
        return
    if isinstance(result, FileResult) and result.stored is not None:
        kept = {"address": PREFIX + result.stored.digest, "mime_type": result.stored.mime_type}
        message_files.set_fetched(session, message, row.place, kept)
    messages.mark_changed(session, message)


FILES = DeliveryKind(
    label="file",
    log=log,
    model=MessageFile,
    key=MessageFile.id,
    began_on=MessageFile.began_on,
    queue="default",
    send=work,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=_transmit,
    # Fetching a file twice does no harm.
    interrupted=DeliveryResult("queued"),
    columns=_columns,
    on_settled=_on_settled,
)


# --- after the commit


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its files."""
    committed = pop_committed(session, "message_files")
    for key in committed[:MAX_AT_ONCE]:
        delivery_engine.enqueue(FILES, key)


# --- unused files


def forgotten(session: Session, store: FileStore, before: datetime, limit: int) -> list[str]:
    """Digests of files that were last stored before this time (UTC) and to which no row refers. Raises OSError."""
    found: list[str] = []
    batch: list[str] = []

    def look() -> None:
        used = file_references.referenced(session, batch)
        found.extend(each for each in batch if each not in used)
        batch.clear()

    for digest, stored_on in store.list():
        if stored_on < before:
            batch.append(digest)
        if len(batch) == 500:
            look()
        if len(found) >= limit:
            break
    if batch:
        look()
    return found[:limit]


def remove_forgotten(session: Session, store: FileStore, digest: str, before: datetime) -> bool:
    """Remove a file if still no row refers to it and nobody has stored it again. Returns whether it was removed."""
    return not file_references.referenced(session, [digest]) and store.delete(digest, before)


def missing(session: Session, store: FileStore, report: Callable[[str, str], None]) -> int:
    """Call `report` with each (digest, column) of a file in use that is missing. Returns how many are."""
    here = {digest for digest, _stored_on in store.list()}
    count = 0
    for digest, column in file_references.used_digests(session):
        if digest in here:
            count += 1
        else:
            report(digest, column)
    return count
