"""The parts of an email besides its message, over REST: copies and HTML; and the files of any message."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import message_files as domain_files
from app.domain.messaging import message_reactions
from app.domain.messaging.mail_sending import MAX_HTML
from app.extensions import db
from app.lib import html_cleaning
from app.models import Mail, Message
from app.web.api.operations import OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.base import Field, LongTextField
from app.web.core.viewer import Viewer
from app.web.records import message_files
from app.web.records.attachments import message_uploads

_FILE = shape({"name": STRING, "mime_type": STRING, "number": {"type": "integer"}, "content_id": STRING})
_KEPT = shape({"token": STRING, "name": STRING, "size": STRING, "icon": STRING}, "token")
_EMOJI = shape({"emoji": STRING})
_MAIL = shape(
    {
        "to": {"type": "array", "items": STRING},
        "cc": {"type": "array", "items": STRING},
        "html": {"type": "string", "nullable": True},
        "quoted": {"type": "string", "nullable": True},
        "has_remote_pictures": {"type": "boolean"},
        "is_unverified": {"type": "boolean"},
        "note": {"type": "string", "nullable": True},
        "files": {"type": "array", "items": _FILE},
    }
)
VERBS = {"mail": "read", "file": "read", "upload": "create", "react": "create", "fetch": "write"}
DOCUMENTATION = {
    "mail": OperationSpec(
        "Formatted text, copies and files of an email",
        (404, 422),
        ("pk", "pictures"),
        answer=shape({"id": ID, "result": _MAIL}, "id", "result"),
    ),
    "file": OperationSpec(
        "A file of a message, as an attachment",
        (404,),
        ("pk", "number"),
        answer={"type": "string", "format": "binary"},
        mime_type="application/octet-stream",
    ),
    "upload": OperationSpec(
        "Keep a file until its message is sent; one file as “files” of a form (multipart/form-data)",
        (413, 422),
        body=shape({"files": {"type": "string", "format": "binary"}}, "files"),
        answer=_KEPT,
        good=(201,),
        body_type="multipart/form-data",
    ),
    "react": OperationSpec(
        "React to a message with an emoji; an empty one takes it back", (404, 413, 422), ("pk",), _EMOJI
    ),
    "fetch": OperationSpec("Fetch a file again that could not be fetched", (404, 422), ("pk", "number")),
}


class CopiesField(Field):
    """Addresses of further recipients or of copies: a list, or a comma-separated text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {"type": "array", "items": {"type": "string"}, "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The addresses as typed. Raises RuleBroken for anything but texts."""
        given = raw.split(",") if isinstance(raw, str) else raw or []
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise RuleBroken(_("“%(name)s” must be a list of email addresses.", name=self.name), self.name)
        return tuple(each.strip() for each in given if each.strip())


class UploadsField(Field):
    """Files of a message to be sent: the tokens returned by POST /api/v1/message/files."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {"type": "array", "items": {"type": "string"}, "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The files in the format of `OutgoingRequest.media`.

        Raises RuleBroken unless they are the viewer's own tokens.
        """
        if not isinstance(raw, list | None) or not all(isinstance(each, str) for each in raw or ()):
            raise RuleBroken(_("“files” must be a list of tokens of uploaded files."), "files")
        return tuple(message_uploads.of_token(each, viewer).as_media() for each in dict.fromkeys(raw or ()))


FIELDS: tuple[Field, ...] = (
    CopiesField("to"),
    CopiesField("cc"),
    LongTextField("html", max_length=MAX_HTML),
    UploadsField("files"),
)


class MailRoutes:
    """/api/v1/message/<id>/mail and /file/<number>: for everybody who sees the message."""

    @expose("/<int:pk>/mail", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("mail")
    def mail(self, pk: Any) -> Any:
        """The parts of an email besides its message."""
        if request.args.keys() - {"pictures"} or request.args.get("pictures", "0") not in ("0", "1"):
            raise RuleBroken(_("The only parameter is “pictures”, which is 0 or 1."), "pictures")
        row, viewer = self._row(pk, "read"), current_viewer()  # type: ignore[attr-defined]
        mail = db.session.scalars(select(Mail).where(Mail.message_id == row.id)).first()
        if mail is None and not row.media:
            raise NotFound(_("This message is no email."))
        return json_answer(200, {"id": row.id, "result": _shown(row, mail, viewer)})

    @expose("/<int:pk>/file/<int:number>", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("file")
    def file(self, pk: Any, number: int) -> Any:
        """A file, always as a download, never executed; the few kinds of pictures also for pages."""
        row = self._row(pk, "read")  # type: ignore[attr-defined]
        content = message_files.open_file(row.media, number)
        return message_files.attachment_response(content, row.media[number])

    @expose("/files", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("upload")
    def upload(self) -> Any:
        """Store a file. Its token stands for it in the “files” of a message, for 20 hours and for this person."""
        viewer = current_viewer()
        given = [each for each in request.files.getlist("files") if each.filename]
        if len(given) != 1:
            raise RuleBroken(_("Please send one file at a time."), "files")
        return json_answer(201, message_uploads.store_upload(given[0], viewer).as_field(viewer))

    @expose("/<int:pk>/react", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("react")
    def react(self, pk: Any) -> Any:
        """React for us, replacing any earlier reaction of ours."""
        row, viewer = self._row(pk, "read"), current_viewer()  # type: ignore[attr-defined]
        emoji = request_json().get("emoji", "")
        if not isinstance(emoji, str):
            raise RuleBroken(_("“emoji” must be a text."), "emoji")
        with access.as_system(db.session()):
            message_reactions.react(db.session(), row, emoji.strip(), viewer.stamp)
            db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})  # type: ignore[attr-defined]

    @expose("/<int:pk>/file/<int:number>/fetch", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("fetch")
    def fetch(self, pk: Any, number: int) -> Any:
        """Retry fetching a file from its provider."""
        row = self._row(pk, "write")  # type: ignore[attr-defined]
        domain_files.fetch_again(db.session(), row, number, current_viewer().now)
        db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})  # type: ignore[attr-defined]


def _shown(row: Message, mail: Mail | None, viewer: Viewer) -> dict[str, Any]:
    html = mail.html if mail is not None else None
    if html and request.args.get("pictures") == "1":
        html = html_cleaning.with_remote_pictures(html)
    content_ids = {number: name for name, number in row.native.get("inline", {}).items()}
    return {
        "to": [viewer.person.mask_value("email", each) for each in ((mail.also_to or ()) if mail is not None else ())],
        "cc": [viewer.person.mask_value("email", each) for each in (mail.cc if mail is not None else ())],
        "html": html,
        "quoted": mail.quoted if mail is not None else None,
        "has_remote_pictures": mail is not None and mail.has_remote_pictures,
        "is_unverified": mail is not None and mail.is_unverified,
        "note": mail.sentence if mail is not None else None,
        "files": [
            {"name": each["name"], "mime_type": each["mime_type"], "number": n, "content_id": content_ids.get(n, "")}
            for n, each in enumerate(row.media or [])
        ],
    }
