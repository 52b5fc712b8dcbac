"""Files of an email that is being written: rules for emails beyond `web/records/attachments/message_uploads.py`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from app.domain.base import RuleBroken
from app.domain.messaging.message_sending import MAX_MEDIA
from app.file_store_and_vault import file_store
from app.lib import mail_attachment_rules
from app.ops.storage.file_store import PREFIX
from app.web.core.viewer import Viewer
from app.web.records.attachments import message_uploads
from app.web.records.attachments.message_uploads import Upload

#: Bytes of all files of an email: base64 makes them a third larger, and mail servers refuse more than 25 MB.
MAX_TOTAL = 18_000_000
#: A file in the form: {token, name, size, mime_type, address}.
File = dict[str, Any]


def store(file: FileStorage, viewer: Viewer) -> File:
    """Store a file of the request. Raises RuleBroken."""
    name = message_uploads.clean_name(file.filename or "")
    size = file.stream.seek(0, os.SEEK_END)
    file.stream.seek(0)
    if size > MAX_TOTAL:
        text = _("“%(name)s” is too large: a file can have up to %(most)s MB.", name=name, most=MAX_TOTAL // 1_000_000)
        raise RuleBroken(text, "files")
    if mail_attachment_rules.is_program(name, file.stream.read(mail_attachment_rules.LOOKED_AT)):
        text = _("“%(name)s” is a program. Mail servers refuse programs; please send it in another way.", name=name)
        raise RuleBroken(text, "files")
    return _as_field(message_uploads.store_upload(file, viewer), viewer)


def _as_field(upload: Upload, viewer: Viewer) -> File:
    """A stored file in the form's format. The file can be sent only by the person who got the token."""
    return upload.as_media() | {"token": message_uploads.token_of(upload, viewer)}


def files_of(tokens: Iterable[str], viewer: Viewer) -> list[File]:
    """The files of these tokens, each once. Raises RuleBroken."""
    return [_as_field(message_uploads.of_token(token, viewer), viewer) for token in dict.fromkeys(tokens)]


def refuse_too_many(files: list[File]) -> None:
    """Raise RuleBroken for more files than an email accepts."""
    if len(files) > MAX_MEDIA:
        raise RuleBroken(_("An email can have up to %(most)s files. Please remove some.", most=MAX_MEDIA), "files")
    if sum(each["size"] for each in files) > MAX_TOTAL:
        text = _("The files are larger than %(most)s MB together. Please remove some.", most=MAX_TOTAL // 1_000_000)
        raise RuleBroken(text, "files")


def of_message(message: Any, viewer: Viewer) -> list[File]:
    """The files of a forwarded email, without missing ones."""
    found = []
    for each in message.media or ():
        if not str(each.get("address") or "").startswith(PREFIX):
            continue
        digest = each["address"].removeprefix(PREFIX)
        try:
            with file_store().open(digest) as content:
                size = content.seek(0, os.SEEK_END)
        except OSError:
            continue
        upload = Upload(digest, each.get("name") or "file", each["mime_type"], size)
        found.append(_as_field(upload, viewer))
    return found[:MAX_MEDIA]


def media_of(files: list[File]) -> tuple[dict[str, str], ...]:
    """The files in the format of a message."""
    return tuple(
        {"address": f["address"], "mime_type": f["mime_type"], "name": f["name"], "caption": ""} for f in files
    )
