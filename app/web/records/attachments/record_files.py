"""Files of records: uploading, finding and showing them, for pages and REST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage

from app import access
from app.domain.base import NotFound, RuleBroken, translatable
from app.domain.files import attachments
from app.domain.files.attachments import NewFile
from app.domain.files.file_quotas import Quotas, UploadStamp
from app.extensions import db
from app.file_store_and_vault import file_store
from app.lib import file_kinds
from app.lib.ids import parse_id
from app.lib.mail_attachment_rules import LOOKED_AT, is_program
from app.models import Activity, Attachment, Customer, Lead, Task, Ticket
from app.ops.storage import image_previews
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.viewer import Viewer
from app.web.records import message_files, notes
from app.web.records.attachments import message_uploads

#: Records with files: name in a URL -> (record, its column in Attachment, its page).
PLACES: dict[str, tuple[Any, str, str]] = {
    "lead": (Lead, "lead_id", "/leads/show/"),
    "ticket": (Ticket, "ticket_id", "/tickets/show/"),
    "customer": (Customer, "customer_id", "/customers/show/"),
    "task": (Task, "task_id", "/tasks/show/"),
}
#: Files per page; deleted ones that are listed.
MOST, MOST_DELETED = 100, 50
#: The type that browsers show in a frame of ours; all others are downloaded.
PDF = "application/pdf"


@dataclass(frozen=True)
class FileOwner:
    """A record, or a note of one, and its files."""

    #: A name in PLACES, or note.
    kind: str
    #: The id of the record or note.
    key: int
    #: The lead, ticket, customer or task.
    about: Any
    note: Activity | None = None

    @property
    def url(self) -> str:
        """The page of its files."""
        return f"/files/of/{self.kind}/{self.key}"

    @property
    def column(self) -> str:
        """The column of Attachment that refers to it."""
        return "activity_id" if self.note is not None else PLACES[self.kind][1]

    @property
    def record_url(self) -> str:
        """The page of the record."""
        page = next(page for record, _column, page in PLACES.values() if isinstance(self.about, record))
        return f"{page}{self.about.id}"


def place_of(kind: str, pk: Any, viewer: Viewer) -> FileOwner:
    """The record of this kind and id that the viewer sees. Raises NotFound, Denied."""
    viewer.person.refuse_unless("Notes", "read")
    key, session = parse_id(pk), db.session()
    if kind == "note":
        note = access.get_visible(session, Activity, key)
        if note is not None and note.kind == "note":
            return FileOwner("note", note.id, notes.about_of(session, note), note)
    elif kind in PLACES and (row := access.get_visible(session, PLACES[kind][0], key)) is not None:
        return FileOwner(kind, row.id, row)
    raise NotFound(_("This record doesn't exist, or you don't have access to it."))


def place_of_file(row: Attachment, viewer: Viewer) -> FileOwner:
    """The record or note of a file, the first that the viewer sees. Raises NotFound."""
    for kind, (record, column, _page) in PLACES.items():
        key = getattr(row, column)
        if key is not None and access.sees_id(db.session(), record, key):
            return place_of(kind, key, viewer)
    raise NotFound(_("This file doesn't exist, or you don't have access to its record."))


def find(pk: Any, viewer: Viewer) -> Attachment:
    """The file with this id, if the viewer sees its record. Raises NotFound."""
    row: Attachment | None = access.get_visible(db.session(), Attachment, parse_id(pk))
    if row is None:
        raise NotFound(_("This file doesn't exist, or you don't have access to its record."))
    return row


def refuse_unreached(row: Attachment, viewer: Viewer) -> None:
    """Raise Denied for a file that the viewer sees but may not delete: all of its versions are deleted with it."""
    viewer.person.refuse_unless("Notes", "delete")
    session, within = db.session(), access.visible(viewer.person, Attachment, "delete")
    versions = select(Attachment.id).where(Attachment.series == row.series)
    if set(session.scalars(versions)) - set(session.scalars(versions.where(within))):
        raise access.Denied(_("You can see this file but not delete it. Ask who attached it, or a manager."))


def quotas_of(viewer: Viewer) -> Quotas:
    """The quotas in the settings."""
    business = viewer.lookups.business
    return Quotas(business["file_person_mb"] * 1_000_000, business["file_total_mb"] * 1_000_000)


# --- upload


def attach(
    owner: FileOwner, file: FileStorage, viewer: Viewer, replaces: Attachment | None = None
) -> tuple[Attachment, bool]:
    """Attach one file and commit. Returns (the file, whether it is new, i.e. the record didn't have it already).

    Raises RuleBroken with a sentence that names it, TooManyRequests.
    """
    viewer.person.refuse_unless("Notes", "create")
    replaced, session = replaces.id if replaces is not None else None, db.session()
    session.commit()  # no transaction waits while the content is scanned and stored
    _refuse_program(file)
    kept = message_uploads.store_upload(file, viewer)
    preview = _preview(file)  # afterwards: while the storage is unavailable, nobody waits for it twice
    owner = place_of(owner.kind, owner.key, viewer)
    replaces = find(replaced, viewer) if replaced is not None else None
    new = NewFile(kept.name, kept.mime_type, kept.size, kept.digest, preview, kept.scan, replaces, owner.note)
    same = attachments.same_content(session, owner.about, new) if replaces is None else None
    if same is not None:
        return same, False
    stamp = UploadStamp(viewer.person.id, viewer.now, quotas_of(viewer))
    row = attachments.attach(session, owner.about, new, stamp)
    session.commit()
    return row, True


def _refuse_program(file: FileStorage) -> None:
    name = message_uploads.clean_name(file.filename or "")
    file.stream.seek(0)
    if is_program(name, file.stream.read(LOOKED_AT)):
        text = "“%(name)s” is a program, which can harm computers. It was not taken. Please send a link to it."
        raise RuleBroken(translatable(text, name=name[:80]), "files")


def _preview(file: FileStorage) -> str | None:
    """The preview of a picture, in the store; None for other files, and while the storage is unavailable."""
    if file_kinds.kind_of_file(file.stream) not in file_kinds.SHOWN:  # type: ignore[arg-type]
        return None
    content = image_previews.thumbnail(file.stream)  # type: ignore[arg-type]
    try:
        return file_store().put(content).digest if content is not None else None
    except OSError:
        return None  # it has just become unavailable; the file itself is stored


# --- display


def page_of(session: Session, owner: FileOwner, before: int | None, viewer: Viewer) -> dict[str, Any]:
    """The files of a record for the template; in a fixed number of statements."""
    rows = attachments.newest(session, (owner.column, owner.key), before, MOST)
    versions = attachments.versions(session, [row.series for row in rows])
    deleted = _in_trash(session, owner, viewer) if before is None else []
    names = _first_of_names(rows)
    person = viewer.person
    return {
        "url": owner.url,
        "title": title_of(owner, viewer),
        "record_url": owner.record_url,
        "files": [_shown(row, versions[row.series], names, viewer) for row in rows],
        "deleted": [_deleted(row, viewer) for row in deleted],
        "older_url": f"{owner.url}?before={rows[-1].id}" if len(rows) == MOST else None,
        "may_add": person.may("Notes", "create"),
        "may_delete": person.may("Notes", "delete"),
        "most_mb": 25,
        "most_files": message_uploads.MAX_FILES,
    }


def _in_trash(session: Session, owner: FileOwner, viewer: Viewer) -> list[Attachment]:
    """The deleted files of a record, for people who may restore them."""
    if not viewer.person.may("Notes", "delete"):
        return []
    within = access.visible(viewer.person, Attachment, "delete")
    return attachments.trash(session, (owner.column, owner.key), within, MOST_DELETED)


def title_of(owner: FileOwner, viewer: Viewer) -> str:
    """The name of the record: its number, else its title."""
    return str(getattr(owner.about, "number", None) or getattr(owner.about, "title", "") or owner.about.id)


def _first_of_names(rows: list[Attachment]) -> dict[str, Attachment]:
    """Name, ignoring case -> the first file with it."""
    found: dict[str, Attachment] = {}
    for row in reversed(rows):
        found.setdefault(row.name.casefold(), row)
    return found


def _shown(row: Attachment, versions: list[Attachment], names: dict[str, Attachment], viewer: Viewer) -> dict[str, Any]:
    first = names[row.name.casefold()]
    is_same_entry = first is not row and first.activity_id == row.activity_id
    former = [each for each in versions if each.number < row.number]
    return version_json(row, viewer) | {
        "former": [version_json(each, viewer) for each in former],
        "number": row.number,
        "join_url": f"/files/{row.id}/join/{first.id}" if is_same_entry else None,
        "is_of_note": row.activity_id is not None,
    }


def version_json(row: Attachment, viewer: Viewer) -> dict[str, Any]:
    """One version of a file: its type, who attached it and when, and its URLs."""
    card, base = viewer.lookups.person(row.created_by_id), f"/files/{row.id}"
    is_infected = row.scan == "infected"
    return {
        "id": row.id,
        "name": row.name,
        "type": row.mime_type,
        "kind": kind_word(row.mime_type, row.name),
        "icon": message_files.icon_of(row.mime_type),
        "size": message_uploads.shown_size(row.size),
        "number": row.number,
        "who": person_card(card) if card else None,
        "at": moment_cell(row.created_on, viewer),
        "url": None if is_infected else base,
        "preview_url": f"{base}/preview" if row.preview and not is_infected else None,
        "view_url": f"{base}/view" if row.mime_type == PDF and not is_infected else None,
        "scan": row.scan,
        "threat": row.threat,
    }


def _deleted(row: Attachment, viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.person(row.deleted_by_id)
    return {
        "id": row.id,
        "name": row.name,
        "icon": message_files.icon_of(row.mime_type),
        "size": message_uploads.shown_size(row.size),
        "who": person_card(card) if card else None,
        "at": moment_cell(row.deleted_on, viewer),
    }


_KIND_WORDS = {
    file_kinds.WORD: "Word",
    file_kinds.EXCEL: "Excel",
    file_kinds.POWERPOINT: "PowerPoint",
    PDF: "PDF",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/heic": "HEIC",
    "application/zip": "ZIP",
}


def kind_word(mime_type: str, name: str) -> str:
    """The label of a kind of file: PDF, Word, else its extension."""
    ending = name.rpartition(".")[2].upper() if "." in name else ""
    return _KIND_WORDS.get(mime_type) or ending[:8] or _("File")
