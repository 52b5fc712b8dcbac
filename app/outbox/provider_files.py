"""Files of WhatsApp messages in the form for their provider: uploaded, or at a temporary URL of ours."""

from __future__ import annotations

from dataclasses import replace

from flask import current_app
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy.orm import Session

from app.channels.base import ChannelError
from app.channels.provider import Media, OutgoingMessage
from app.domain.messaging import message_files, message_sending
from app.lib import file_kinds
from app.models import ChannelAccount, Message
from app.ops.storage.file_store import FileStore

#: How long after accepting the message a provider can fetch a file.
ADDRESS_SECONDS = 1800
#: The path from which providers fetch files.
ADDRESS_PATH = "/hooks/file/{token}"
FILE_GONE = "A file of this message no longer exists. Nothing was sent."
STORAGE_AWAY = "The storage of files can't be reached. Nothing was sent."


def text_of(row: Message) -> str:
    """The text to send: with a file its caption, because the body of a message without one is the file's name."""
    if row.media and row.channel != "email" and row.template_id is None:
        return str(row.media[0].get("caption") or "")
    return row.body


def complete(session: Session, row: Message, account: ChannelAccount, message: OutgoingMessage) -> OutgoingMessage:
    """The message with its files. Raises ChannelError."""
    if not row.media:
        return message
    if message_sending.ability_of(account, row.channel).fetches_files:
        media = tuple(
            replace(each, address=address_of(row.id, place)) if is_ours else each
            for place, (each, is_ours) in enumerate(_files(row))
        )
        return replace(message, media=media)
    ours = [(place, each) for place, (each, is_ours) in enumerate(_files(row)) if is_ours]
    others = tuple(each for each, is_ours in _files(row) if not is_ours)
    return replace(message, media=others, attachments=tuple(_content(row, place, each) for place, each in ours))


def _files(row: Message) -> list[tuple[Media, bool]]:
    names = ("address", "mime_type", "name", "caption")
    listed = [Media(**{name: str(each.get(name) or "") for name in names}) for each in row.media or ()]
    return [(each, message_files.digest_of({"address": each.address}) is not None) for each in listed]


def _content(row: Message, place: int, file: Media) -> tuple[str, str, bytes]:
    store: FileStore = current_app.extensions["crm_files"]
    try:
        with store.open(message_files.digest_of((row.media or [])[place]) or "") as content:
            return file.name or "file", file.mime_type, content.read()
    except FileNotFoundError as missing:
        raise ChannelError(FILE_GONE, permanent=True) from missing
    except OSError as away:
        raise ChannelError(STORAGE_AWAY) from away


# --- our URLs


def address_of(message_id: int, place: int) -> str:
    """The URL from which the provider fetches a file of a message, valid for ADDRESS_SECONDS."""
    token = _serializer().dumps([message_id, place])
    return str(current_app.config["CRM"].public_url) + ADDRESS_PATH.format(token=token)


def read_token(token: str) -> tuple[int, int] | None:
    """(message id, index) of a valid, unexpired token."""
    try:
        message_id, place = _serializer().loads(token, max_age=ADDRESS_SECONDS)
    except (BadSignature, ValueError, TypeError):
        return None
    is_right = type(message_id) is int and type(place) is int
    return (message_id, place) if is_right else None


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["CRM"].secret_key, salt="file address")


def served_type(mime_type: str) -> str:
    """The Content-Type of a file: its own if browsers only show or play it, else the generic one for bytes."""
    is_harmless = mime_type in file_kinds.SHOWN | file_kinds.PLAYED
    return mime_type if is_harmless else file_kinds.UNKNOWN
