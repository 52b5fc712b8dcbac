"""Files of messages on pages and over REST: display, download and upload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import FileWrapper

from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import message_files
from app.domain.messaging.messages import Message
from app.file_store_and_vault import file_store
from app.lib.file_kinds import PLAYED, SHOWN
from app.outbox.provider_files import served_type

#: Bytes read at a time during a download.
CHUNK = 65_536
ICONS = {"image": "photo", "audio": "microphone", "video": "player-play", "text": "file-text"}
_ICONS_OF = {"application/pdf": "file-text"}


class FilesUnavailable(RuleBroken):
    """The file storage is currently unavailable (503)."""

    http_status = 503


# --- display


def views_of(session: Session, rows: Iterable[Any]) -> dict[int, list[dict[str, Any]]]:
    """Message id -> its files for pages; one statement if there are any. `rows` have id and media."""
    rows = [each for each in rows if each.media]
    kept = message_files.of_messages(session, [each.id for each in rows])
    return {
        each.id: [view(each, place, file, kept.get((each.id, place))) for place, file in enumerate(each.media)]
        for each in rows
    }


def view(message: Any, place: int, file: Mapping[str, Any], row: Any) -> dict[str, Any]:
    """One file: its type, its URL, or why it can't be opened."""
    kind, base = str(file.get("mime_type") or ""), f"/inbox/message/{message.id}/file/{place}"
    is_here = message_files.digest_of(file) is not None
    is_failed = not is_here and (row is None or row.state == "failed")
    return {
        "label": file.get("name") or (str(file.get("caption") or "")[:80]) or word_of(kind),
        "kind": show_as(kind) if is_here else "file",
        "type": kind,
        "icon": icon_of(kind),
        "url": base if is_here else None,
        "preview_url": f"{base}/preview" if is_here and row is not None and row.preview else None,
        "is_waiting": not is_here and not is_failed,
        "error": (row.error if row is not None and row.error else _("It could not be fetched.")) if is_failed else "",
        "again_url": f"{base}/fetch" if is_failed and row is not None else None,
    }


def show_as(kind: str) -> str:
    """picture, audio, video or file."""
    if kind in SHOWN:
        return "picture"
    return kind.partition("/")[0] if kind in PLAYED else "file"


def icon_of(kind: str) -> str:
    """The icon of a MIME type."""
    return _ICONS_OF.get(kind) or ICONS.get(kind.partition("/")[0], "file")


def word_of(kind: str) -> str:
    """The label of a file without a name."""
    words = {"image": _("Picture"), "audio": _("Sound"), "video": _("Video")}
    return words.get(kind.partition("/")[0]) or _("File")


def text_beside(message: Any) -> str:
    """The text of a message, without file names that replace a missing text."""
    names = " ".join(str(each.get("name") or "File") for each in message.media or ())
    return "" if message.media and message.body in (names, "File") else message.body or ""


# --- download


def open_file(media: Any, place: int) -> BinaryIO:
    """The content of a file of a message that the viewer sees. Raises NotFound, FilesUnavailable."""
    files = media or []
    digest = message_files.digest_of(files[place]) if 0 <= place < len(files) else None
    if digest is None:
        raise NotFound(_("This message has no such file."))
    return open_digest(digest)


def open_digest(digest: str) -> BinaryIO:
    """The content of a file. Raises NotFound, FilesUnavailable."""
    try:
        return file_store().open(digest)
    except FileNotFoundError as missing:
        raise NotFound(_("This file no longer exists.")) from missing
    except OSError as away:
        raise FilesUnavailable(_("The storage of files can't be reached. Please try again in a few minutes.")) from away


def attachment_response(content: BinaryIO, file: Mapping[str, Any]) -> Response:
    """The content as an attachment that no browser runs; in parts if a player requests them.

    Only the few kinds of files that are harmless in a page get a type of their own.
    """
    name = str(file.get("name") or "file")
    plain = "".join(char if (char.isascii() and char.isalnum()) or char in "-_. " else "_" for char in name)
    size = content.seek(0, 2)
    content.seek(0)
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-store",
    }
    body = _Content(content, CHUNK)
    mime_type = served_type(str(file.get("mime_type") or ""))
    response = Response(body, headers=headers, mimetype=mime_type, direct_passthrough=True)
    response.content_length = size
    try:
        response.make_conditional(request.environ, accept_ranges=True, complete_length=size)
    except HTTPException:  # 416: nobody reads the content, so nobody else closes it
        content.close()
        raise
    return response


class _Content(FileWrapper):
    """A file that is closed after reading, whoever reads it."""

    def __next__(self) -> bytes:
        try:
            return super().__next__()
        except StopIteration:
            self.close()
            raise


def preview(session: Session, message: Message, place: int) -> Response:
    """The preview of a file: made by us, so it is safe to show. Raises NotFound, FilesUnavailable."""
    row = message_files.of_messages(session, [message.id]).get((message.id, place))
    if row is None or not row.preview:
        raise NotFound(_("This file has no preview."))
    return preview_response(row.preview)


def preview_response(digest: str) -> Response:
    """A small picture of a file. A browser may keep it, but asks each time whether its reader may still see it.

    Raises NotFound, FilesUnavailable.
    """
    if request.if_none_match.contains(digest):
        response = Response(status=304)
    else:
        response = attachment_response(open_digest(digest), {"name": "preview.jpg", "mime_type": "image/jpeg"})
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(digest)
    return response
