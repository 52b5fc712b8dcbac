"""Files of records over REST: listed by record, attached (multipart), downloaded, deleted and restored."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, false
from sqlalchemy.orm import Session

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.files import attachments
from app.domain.files.attachments import SCANS
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Attachment
from app.web.api.list_parameters import read_parameters
from app.web.api.operations import OperationSpec
from app.web.api.resource import Resource
from app.web.api.schemas import ID, STRING, ref, shape
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.base import ChoiceField, Field, NumberField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.records import message_files
from app.web.records.attachments import files, record_files
from app.web.records.attachments.record_files import PLACES, FileOwner

#: The documented type of all files, because client generators don't support picture types.
_MIME = "application/octet-stream"
_BINARY = {"type": "string", "format": "binary"}
_FORM = shape(
    {
        "file": {**_BINARY, "description": "The content, with its name."},
        "record": {**STRING, "description": "To what it is attached: lead:5, ticket:5, customer:5, task:5 or note:5."},
        "replaces": {**ID, "description": "ID of the file of which this is a new version, instead of a record."},
    },
    "file",
)


class PlaceField(Field):
    """The record that a file is attached to: {kind, id}; filtered as lead:5."""

    kind = "place"

    def __post_init__(self) -> None:
        super().__post_init__()
        columns = [getattr(Attachment, column) for _record, column, _page in PLACES.values()]
        self.columns, self.operators = tuple(columns), ("eq",)
        kinds = {"type": "string", "enum": [*PLACES]}
        self.schema = shape({"kind": kinds, "id": ID}, "kind", "id", nullable=True)

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The first of lead, ticket, customer and task; a file of a converted lead belongs to the lead."""
        return next(({"kind": kind, "id": key} for kind, key in zip(PLACES, values, strict=True) if key), None)

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """The files of one record. Raises RuleBroken for anything else."""
        if op != "eq":
            raise RuleBroken(_("“%(name)s” can't be filtered with “%(op)s”.", name=self.name, op=op), self.name)
        kind, key = parse_place(raw)
        column = Attachment.activity_id if kind == "note" else getattr(Attachment, PLACES[kind][1])
        return column == key if key is not None else false()


def parse_place(raw: Any) -> tuple[str, int | None]:
    """(kind, id) of “lead:5”. Raises RuleBroken."""
    kind, _sep, key = str(raw or "").partition(":")
    if kind not in (*PLACES, "note") or parse_id(key) is None:
        raise RuleBroken(_("“record” must name a lead, ticket, customer, task or note, such as lead:5."), "record")
    return kind, parse_id(key)


class AttachmentService(RecordService):
    """Files are attached with their content, and never changed."""

    record = Attachment
    module = "Notes"
    fields = (
        PlaceField("record"),
        NumberField("note", columns=(Attachment.activity_id,)),
        ChoiceField("scan", options=SCANS),
        PersonField("created_by", columns=(Attachment.created_by_id,)),
    )
    label_columns = {
        "name": _l("Name"),
        "mime_type": _l("Type"),
        "size": _l("Size"),
        "number": _l("Version"),
        "series": _l("File"),
        "record": _l("Record"),
        "note": _l("Note"),
        "scan": _l("Virus scan"),
        "created_by": _l("Attached by"),
        "created_on": _l("Attached on"),
    }

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Attachment:
        """Refuse: a file has content."""
        raise RuleBroken(_("Please send the file as a form (multipart/form-data)."), "file")

    def change(self, session: Session, row: Attachment, values: dict[str, Any], viewer: Viewer) -> None:
        """Refuse: there are new versions instead."""
        raise RuleBroken(_("A file isn't changed: attach a new version."))


class FileResource(Resource):
    """/api/v1/file/: every version is a row; those of one file have the same series."""

    resource_name = "file"
    datamodel = SQLAInterface(Attachment)
    module = "Notes"
    service = AttachmentService()
    exclude_route_methods = {"put"}
    show_columns = [
        *("name", "mime_type", "size", "series", "number", "record", "note", "scan", "created_by", "created_on"),
    ]
    add_columns: list[str] = []
    edit_columns: list[str] = []
    search_columns = ["name", "mime_type", "series", "record", "scan", "created_by", "created_on"]
    order_columns = ["created_on"]
    VERBS = Resource.VERBS | {"content": "read", "preview": "read", "restore": "delete"}
    documentation = {
        "post": OperationSpec(
            "Attach a file (multipart/form-data); 200 where the record has a file of this name and content",
            (404, 409, 413, 422),
            (),
            _FORM,
            good=(200, 201),
            body_type="multipart/form-data",
        ),
        "delete": OperationSpec(
            "Delete a file with all its versions; it can be restored for some days", (404,), ("pk",), answer=ref("Done")
        ),
        "content": OperationSpec("The content of a file", (404,), ("pk",), answer=_BINARY, mime_type=_MIME),
        "preview": OperationSpec(
            "The small picture (JPEG) of a picture", (404,), ("pk",), answer=_BINARY, mime_type=_MIME
        ),
        "restore": OperationSpec("Restore a deleted file", (404, 422), ("pk",)),
    }

    @expose("/", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("post")
    def post(self, **kwargs: Any) -> Response:
        """Attach one file."""
        viewer = current_viewer()
        sent = [each for each in request.files.getlist("file") if each.filename]
        if len(sent) != 1 or len(request.files) != 1:
            raise RuleBroken(_("Please send one file at a time, as “file” of a form (multipart/form-data)."), "file")
        place, replaces = self._place(viewer)
        row, is_new = record_files.attach(place, sent[0], viewer, replaces)
        return json_answer(201 if is_new else 200, {"id": row.id, "result": self._shown(row.id)})

    @staticmethod
    def _place(viewer: Viewer) -> tuple[FileOwner, Attachment | None]:
        """The record that it is attached to, and the file that it replaces. Raises RuleBroken, NotFound."""
        if request.form.get("replaces"):
            row = record_files.find(request.form["replaces"], viewer)
            return record_files.place_of_file(row, viewer), row
        kind, key = parse_place(request.form.get("record"))
        return record_files.place_of(kind, key, viewer), None

    def _list_query(self, query: dict[str, Any], viewer: Any) -> Any:
        """The list query, without the trash."""
        list_query = super()._list_query(query, viewer)
        list_query.conditions.append(Attachment.deleted_on.is_(None))
        return list_query

    def _shown(self, pk: int, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        row = access.get_visible(db.session(), Attachment, pk)
        if row is None or row.deleted_on is not None:
            raise NotFound(_("There is no such record."))
        return super()._shown(pk, names)

    @expose("/<int:pk>", methods=["DELETE"])
    @protect()
    @refuse_as_json
    @permission_name("delete")
    def delete(self, pk: Any, **kwargs: Any) -> Response:
        """Move a file with its versions to the trash."""
        viewer = current_viewer()
        row = record_files.find(pk, viewer)
        if row.deleted_on is not None:
            raise NotFound(_("There is no such record."))
        files.remove(row, viewer)
        return json_answer(200, {"message": _("Deleted.")})

    @expose("/<int:pk>/restore", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("restore")
    def restore(self, pk: Any) -> Response:
        """Restore a file from the trash."""
        viewer = current_viewer()
        row = record_files.find(pk, viewer)
        record_files.refuse_unreached(row, viewer)
        attachments.restore(db.session(), row, record_files.place_of_file(row, viewer).about, viewer.stamp)
        db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._shown(row.id)})

    @expose("/<int:pk>/content", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("content")
    def content(self, pk: Any) -> Response:
        """The content, always as a download."""
        read_parameters(frozenset())
        row = files.openable(pk)
        return _as_file(message_files.attachment_response(message_files.open_digest(row.digest), {"name": row.name}))

    @expose("/<int:pk>/preview", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("preview")
    def preview(self, pk: Any) -> Response:
        """The preview."""
        read_parameters(frozenset())
        return _as_file(files.preview_of(files.openable(pk)))


def _as_file(response: Response) -> Response:
    """The response with the type documented in the API."""
    response.headers["Content-Type"] = _MIME
    return response
