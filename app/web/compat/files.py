"""Files as the predecessor's clients upload them: kept until the message is sent that names them."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from flask import request
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from app.domain.base import RuleBroken
from app.web.compat.arguments import Arguments
from app.web.core.gate import current_viewer
from app.web.records import uploads
from app.web.records.uploads import Upload

#: How the addresses of uploaded files begin.
BASE = "/private/files/"


def upload(arguments: Arguments) -> dict[str, Any]:
    """One file -> {name, file_name, file_url, file_size}; `attach` of a message takes the file_url.

    It comes as `file` of a form (multipart/form-data), or as `filedata` in base64 with its `filename`.
    """
    viewer = current_viewer()
    viewer.person.refuse_unless("Messages", "create")
    if arguments.text("doctype", "") or arguments.text("docname", ""):
        text = _("Files can be sent with WhatsApp messages here, but not attached to records. Leave out the doctype.")
        raise RuleBroken(text, "doctype")
    kept = uploads.take(_sent(arguments), viewer)
    url = BASE + uploads.token_of(kept, viewer)
    return {"name": kept.digest[:10], "file_name": kept.name, "file_url": url, "is_private": 1, "file_size": kept.size}


def _sent(arguments: Arguments) -> FileStorage:
    sent = [each for each in request.files.getlist("file") if each.filename]
    if len(sent) == 1:
        return sent[0]
    if sent or "filedata" not in arguments:
        raise RuleBroken(_("Please send one file: as “file” of a form, or as “filedata” in base64."), "file")
    try:
        content = base64.b64decode(arguments.text("filedata"), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise RuleBroken(_("“filedata” must be the content of the file in base64."), "filedata") from wrong
    return FileStorage(io.BytesIO(content), arguments.first_text("filename", "file_name"))


def uploaded(url: str) -> Upload:
    """The file of such an address. Raises RuleBroken."""
    if not url.startswith(BASE):
        raise RuleBroken(_("“attach” must be the file_url that upload_file has returned."), "attach")
    return uploads.of_token(url.removeprefix(BASE), current_viewer())
