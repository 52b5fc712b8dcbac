"""Files chosen for a message: stored at once, and identified by a token until the message is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.datastructures import FileStorage

from app.channels.provider import Abilities
from app.domain.base import RuleBroken
from app.domain.messaging import file_checks
from app.file_store_and_vault import file_store
from app.lib import file_kinds
from app.ops.database.database_errors import Cause, cause_of
from app.ops.storage.file_store import PREFIX, TooLarge
from app.web.core.viewer import Viewer
from app.web.records.attachments import upload_rates, upload_virus_scans
from app.web.records.message_files import FilesUnavailable, icon_of

#: Validity of a token; files that were not sent are removed after a day.
TOKEN_SECONDS = 20 * 3600
MAX_NAME = 120
#: Belong to the spelling of Indian languages.
_JOINERS = "\u200c\u200d"
#: Files of one form.
MAX_FILES = 10
#: MIME type -> extensions that its files may have, the usual one first.
_ENDINGS = {
    "image/jpeg": (".jpg", ".jpeg", ".jfif"),
    "image/png": (".png",),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "image/heic": (".heic", ".heif"),
    "application/pdf": (".pdf",),
    "application/rtf": (".rtf",),
    "application/zip": (".zip",),
    "application/msword": (".doc", ".xls", ".ppt", ".msg"),
    file_kinds.WORD: (".docx", ".dotx"),
    file_kinds.EXCEL: (".xlsx", ".xltx"),
    file_kinds.POWERPOINT: (".pptx", ".ppsx"),
    "text/plain": (".txt", ".csv", ".log", ".md", ".ics", ".vcf", ".json"),
    "audio/mpeg": (".mp3",),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "audio/aac": (".aac",),
    "audio/amr": (".amr",),
    "audio/mp4": (".m4a", ".mp4"),
    "audio/wav": (".wav",),
    "video/mp4": (".mp4", ".m4v", ".m4a"),
    "video/3gpp": (".3gp", ".3gpp"),
    "video/quicktime": (".mov",),
    "video/webm": (".webm", ".mkv"),
}


@dataclass(frozen=True)
class Upload:
    """A stored file that has not been sent yet."""

    digest: str
    name: str
    #: Detected from its content.
    mime_type: str
    #: In bytes.
    size: int
    #: The virus scanner's result when it was stored, see virus_checks.
    scan: str = "off"

    def as_media(self) -> dict[str, Any]:
        """The file in the format of `OutgoingRequest.media`."""
        return {"address": PREFIX + self.digest, "mime_type": self.mime_type, "name": self.name, "size": self.size}

    def as_field(self, viewer: Viewer) -> dict[str, Any]:
        """The file in the format of forms."""
        icon = icon_of(self.mime_type)
        return {"token": token_of(self, viewer), "name": self.name, "size": shown_size(self.size), "icon": icon}


@dataclass(frozen=True)
class UploadedFiles:
    """The files of a form: the stored ones, and the error of the first that was not."""

    kept: tuple[Upload, ...] = ()
    problem: RuleBroken | None = None

    def refuse_problem(self) -> None:
        """Raise RuleBroken if a file could not be stored."""
        if self.problem is not None:
            raise self.problem


def posted_files(viewer: Viewer, channel: str, ability: Abilities) -> UploadedFiles:
    """The files of this request's form: tokens in “file”, and contents in “files”.

    All acceptable files are kept; the others are dropped, so that a second click sends the rest.
    """
    kept: dict[str, Upload] = {}
    problem: RuleBroken | None = None
    contents = [each for each in request.files.getlist("files") if each.filename]
    chosen: list[str | FileStorage] = [*request.form.getlist("file"), *contents]
    for each in chosen:
        try:
            found = of_token(each, viewer) if isinstance(each, str) else store_upload(each, viewer)
            file_checks.refuse(found.as_media(), channel, ability)
            kept[found.digest] = found
        except RuleBroken as refused:
            problem = problem or refused
    if len(kept) > MAX_FILES:
        text = _("Please send at most %(most)s files at once.", most=MAX_FILES)
        return UploadedFiles(tuple(kept.values())[:MAX_FILES], RuleBroken(text, "files"))
    return UploadedFiles(tuple(kept.values()), problem)


def store_upload(file: FileStorage, viewer: Viewer) -> Upload:
    """Store a file. Raises RuleBroken with a sentence that names it, TooManyRequests."""
    name = clean_name(file.filename or "")
    try:
        kind = file_kinds.kind_of_file(file.stream)  # type: ignore[arg-type]
        size = file.stream.seek(0, os.SEEK_END)
        file_checks.refuse_bad_content(kind, name, size)
        upload_rates.count(size, viewer)
        scan = upload_virus_scans.state_of(file.stream, name, viewer)  # type: ignore[arg-type]
        stored = file_store().put(file.stream)  # type: ignore[arg-type]
    except TooLarge as error:
        raise file_checks.too_large(name) from error
    except OSError as away:
        raise FilesUnavailable(_not_kept(name, away), "files") from away
    return Upload(stored.digest, with_ending(name, stored.mime_type), stored.mime_type, stored.size, scan)


def _not_kept(name: str, away: OSError) -> str:
    if cause_of(away) == Cause.FULL:
        return _("“%(name)s” could not be kept: the server's disk is full. Please tell your admin.", name=name)
    return _("“%(name)s” could not be kept: the storage of files can't be reached. Please try again.", name=name)


def clean_name(name: str) -> str:
    """The display name of the file: no folder, no control characters, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(sign for sign in last if sign.isprintable() or sign in _JOINERS).strip(". ") or "file"
    stem, dot, ending = plain.rpartition(".")
    if len(plain) <= MAX_NAME or not stem or len(ending) > 10:
        return plain[:MAX_NAME]
    return stem[: MAX_NAME - len(ending) - 1] + dot + ending


def with_ending(name: str, kind: str) -> str:
    """The name with an extension that matches the content, so that nobody opens a picture as a program."""
    endings = _ENDINGS.get(kind)
    if endings is None or name.lower().endswith(endings):
        return name
    return name + endings[0]


def shown_size(size: int) -> str:
    """340 kB, 2.4 MB."""
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{max(1, round(size / 1000))} kB"


# --- tokens: a person can only send what they have uploaded themselves


def token_of(upload: Upload, viewer: Viewer) -> str:
    """A token that identifies the file until it is sent, for this person only."""
    return _serializer().dumps([viewer.person.id, upload.digest, upload.name, upload.mime_type, upload.size])


def of_token(token: str, viewer: Viewer) -> Upload:
    """The file of a token. Raises RuleBroken."""
    try:
        owner, digest, name, kind, size = _serializer().loads(token, max_age=TOKEN_SECONDS)
    except (BadSignature, ValueError, TypeError):
        owner = None
    if owner != viewer.person.id:
        raise RuleBroken(_("A file was chosen too long ago. Please choose it again."), "files")
    return Upload(digest, name, kind, size)


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["CRM"].secret_key, salt="uploaded file")
