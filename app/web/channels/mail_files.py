"""Files of an email that is being written: stored when they are chosen, and named in the form by a sealed token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.domain.base import RuleBroken
from app.domain.outgoing import MAX_MEDIA
from app.lib import attachment_rules
from app.ops.file_store import PREFIX, FileStore, TooLarge
from app.web.core.fields import Viewer

#: Bytes of all files of an email: in base64 they are a third larger, and mail servers refuse more than 25 MB.
MAX_TOTAL = 18_000_000
#: Left of a request for what isn't the file.
_REST = 100_000
#: Seconds for which a file that was chosen can be sent.
KEPT_FOR = 20 * 3600
#: A file in the form: {token, name, size, mime_type, address}.
File = dict[str, Any]


def max_bytes() -> int:
    """The largest file that one request can bring."""
    return min(int(current_app.config["MAX_CONTENT_LENGTH"]) - _REST, MAX_TOTAL)


def store(upload: Any, viewer: Viewer) -> File:
    """Store a file of the request. Raises RuleBroken."""
    content, name = upload.stream.read(max_bytes() + 1), upload.filename or ""
    if not content:
        raise RuleBroken(_("“%(name)s” is empty. Please choose another file.", name=name[:80]), "files")
    if len(content) > max_bytes():
        raise _too_large(name)
    if attachment_rules.is_program(name, content):
        text = _(
            "“%(name)s” is a program. Mail servers refuse programs; please send it in another way.", name=name[:80]
        )
        raise RuleBroken(text, "files")
    files: FileStore = current_app.extensions["crm_files"]
    try:
        kept = files.put(content)
    except TooLarge as error:
        raise _too_large(name) from error
    return named(kept.address, attachment_rules.fitting_name(name, content), kept.mime_type, kept.size, viewer)


def named(address: str, name: str, mime_type: str, size: int, viewer: Viewer) -> File:
    """A stored file as the form has it. Only who was given the token can send the file."""
    said = [viewer.person.id, address, name, mime_type, size]
    return {"token": _seal().dumps(said), "name": name, "size": size, "mime_type": mime_type, "address": address}


def kept(tokens: Iterable[str], viewer: Viewer) -> list[File]:
    """The files of these tokens, each once. Raises RuleBroken."""
    found = []
    for token in dict.fromkeys(tokens):
        try:
            owner, address, name, mime_type, size = _seal().loads(token, max_age=KEPT_FOR)
        except (BadSignature, ValueError, TypeError) as error:
            raise RuleBroken(_("One of the files can't be found any more. Please attach it again."), "files") from error
        if owner != viewer.person.id:
            raise RuleBroken(_("One of the files can't be found any more. Please attach it again."), "files")
        found.append({"token": token, "name": name, "size": size, "mime_type": mime_type, "address": address})
    return found


def refuse_too_many(files: list[File]) -> None:
    """Raise RuleBroken for more files than an email takes."""
    if len(files) > MAX_MEDIA:
        raise RuleBroken(_("An email can have up to %(most)s files. Please remove some.", most=MAX_MEDIA), "files")
    if sum(each["size"] for each in files) > MAX_TOTAL:
        text = _("The files are larger than %(most)s MB together. Please remove some.", most=MAX_TOTAL // 1_000_000)
        raise RuleBroken(text, "files")


def of_message(message: Any, viewer: Viewer) -> list[File]:
    """The files of a mail that is forwarded; those that are gone are left out."""
    files: FileStore = current_app.extensions["crm_files"]
    found = []
    for each in message.media or ():
        if not str(each.get("address") or "").startswith(PREFIX):
            continue
        try:
            with files.open(each["address"].removeprefix(PREFIX)) as content:
                size = content.seek(0, 2)
        except OSError:
            continue
        found.append(named(each["address"], each.get("name") or "file", each["mime_type"], size, viewer))
    return found[:MAX_MEDIA]


def media_of(files: list[File]) -> tuple[dict[str, str], ...]:
    """The files as a message keeps them."""
    return tuple(
        {"address": f["address"], "mime_type": f["mime_type"], "name": f["name"], "caption": ""} for f in files
    )


def _too_large(name: str) -> RuleBroken:
    most = max_bytes() // 1_000_000
    text = _("“%(name)s” is too large: a file can have up to %(most)s MB.", name=name[:80], most=most)
    return RuleBroken(text, "files")


def _seal() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="file of an email")
