"""Uploads of the predecessor's clients: files are stored until a message that refers to them is sent."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from flask import request
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from app.domain.base import RuleBroken
from app.models import Attachment
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.core.viewer import Viewer
from app.web.records.attachments import message_uploads, record_files
from app.web.records.attachments.message_uploads import Upload

#: Prefix of the URLs of uploaded files.
BASE = "/private/files/"
#: DocType -> our name of it.
_KINDS = {"CRM Lead": "lead", "CRM Ticket": "ticket", "CRM Customer": "customer", "CRM Task": "task"}


def upload(arguments: Arguments) -> dict[str, Any]:
    """One file -> {name, file_name, file_url, file_size}; `attach` of a message takes the file_url.

    It is sent as `file` of a form (multipart/form-data), or as `filedata` in base64 with its `filename`. With `doctype`
    and `docname` it is attached to that lead, ticket, customer or task.
    """
    viewer = current_viewer()
    if arguments.text("doctype", "") or arguments.text("docname", ""):
        return _attached(arguments)
    viewer.person.refuse_unless("Messages", "create")
    kept = message_uploads.store_upload(_sent(arguments), viewer)
    url = BASE + message_uploads.token_of(kept, viewer)
    return {"name": kept.digest[:10], "file_name": kept.name, "file_url": url, "is_private": 1, "file_size": kept.size}


def _attached(arguments: Arguments) -> dict[str, Any]:
    """The file attached to a record; its file_url is permanent."""
    viewer, doctype, name = current_viewer(), arguments.text("doctype", ""), arguments.text("docname", "")
    kind = _KINDS.get(doctype)
    if kind is None:
        text = _("Files can be attached to: %(names)s.", names=", ".join(_KINDS))
        raise RuleBroken(text, "doctype")
    row = client.get_record(DOCTYPES[doctype], name, "read")
    made, _is_new = record_files.attach(record_files.place_of(kind, row.id, viewer), _sent(arguments), viewer)
    return attachment_document(made, viewer) | {"attached_to_doctype": doctype, "attached_to_name": name}


def attachment_document(row: Attachment, viewer: Viewer) -> dict[str, Any]:
    """A file of a record in the predecessor's format."""
    return {
        "name": str(row.id),
        "file_name": row.name,
        "file_type": row.name.rpartition(".")[2].upper(),
        "file_url": f"/api/v1/file/{row.id}/content",
        "file_size": row.size,
        "is_private": 1,
        "creation": local_timestamp(row.created_on, viewer),
        "owner": name_of(row.created_by_id, viewer),
    }


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
    """The file with this URL. Raises RuleBroken."""
    if not url.startswith(BASE):
        raise RuleBroken(_("“attach” must be the file_url that upload_file has returned."), "attach")
    return message_uploads.of_token(url.removeprefix(BASE), current_viewer())
