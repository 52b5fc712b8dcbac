"""The move as a kind of import: permissions, and how it begins."""

from __future__ import annotations

from typing import Any, BinaryIO

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import predecessor_names
from app.domain.base import Conflict, hold_name
from app.domain.files.export_and_import_runs import OPEN_IMPORTS, ImportRun
from app.lib.operator_command import operator_command
from app.models import User
from app.ops.storage.file_store import FileStore, TooLarge
from app.web.core.viewer import Viewer
from app.web.transfer.import_kind import ImportKind
from app.web.transfer.import_options import ImportOptions
from app.web.transfer.predecessor import bundle, source_rows
from app.web.transfer.predecessor.worker import KIND

_MODULES = ("Settings", "Leads", "Tickets", "Customers", "Tasks", "Call Logs")
_EMPTY = {"headers": [], "sample": [], "mapping": {}, "options": ImportOptions().as_json(), "check": {}}
#: The columns of the file of problems.
HEADERS = ("File", "Row in the file", "Kind", "Name")


class PredecessorKind(ImportKind):
    """A ZIP of the predecessor's exports."""

    name, module, label = KIND, "Settings", _l("Everything of the former system (ZIP)")

    def refuse_others(self, viewer: Viewer) -> None:
        """Raise Denied for people who may not import all of it: the records belong to everybody."""
        for module in _MODULES:
            viewer.person.refuse_unless(module, "import")
            viewer.person.refuse_unless(module, "create")
            if viewer.person.reach(module, "create") is not None:
                raise access.Denied(_("A move contains everybody's records. Please ask an admin."))

    def fields(self) -> dict[str, Any]:
        """Empty: which columns become what is fixed."""
        return {}


def begin(session: Session, file: BinaryIO, name: str, viewer: Viewer) -> ImportRun:
    """Store an uploaded ZIP, to be checked at once. Raises RuleBroken."""
    refuse_second(session)
    source_rows.recognized(bundle.of_zip(file))
    file.seek(0)
    store: FileStore = current_app.extensions["crm_files"]
    try:
        stored = store.put(file)
    except TooLarge as error:
        command = operator_command("import-predecessor")
        text = _("This ZIP file is too large for an upload. Please use the command %(command)s.", command=command)
        raise Conflict(text, "file") from error
    run = _run(name, viewer, {})
    run.digest, run.size = stored.digest, stored.size
    session.add(run)
    session.flush()
    return run


def begin_folder(session: Session, folder: str, print_: str, viewer: Viewer) -> ImportRun:
    """Start the move of a folder on this server, or continue an interrupted one. Raises RuleBroken."""
    hold_name(session, KIND)
    mine = (ImportRun.kind == KIND, ImportRun.outcome.in_((*OPEN_IMPORTS, "checked")))
    for run in session.scalars(select(ImportRun).where(*mine).with_for_update()):
        if run.payload.get("folder") == folder and run.payload.get("print") == print_:
            return run
        if run.payload.get("folder") == folder:  # its files have changed; imported rows are recognized by name
            run.outcome, run.finished_on = "cancelled", viewer.now
    session.flush()
    refuse_second(session)
    run = _run(folder.rpartition("/")[2], viewer, {"folder": folder, "print": print_})
    session.add(run)
    session.flush()
    return run


def _run(name: str, viewer: Viewer, more: dict[str, str]) -> ImportRun:
    run = ImportRun(kind=KIND, outcome="checking", name=name[:140] or "folder", shape="", size=0)
    run.position = run.created = run.updated = run.skipped = run.wrong = 0
    json_ = {"dialect": {"kind": "json", "encoding": "", "separator": ""}}
    run.payload = _EMPTY | json_ | {"headers": list(HEADERS)} | more
    run.stamp(viewer.stamp)
    return run


def refuse_second(session: Session) -> None:
    """Raise Conflict while another move is running: both would need the same numbers."""
    hold_name(session, KIND)
    mine = (ImportRun.kind == KIND, ImportRun.outcome.in_(OPEN_IMPORTS))
    if session.scalar(select(ImportRun.id).where(*mine).limit(1)) is not None:
        raise Conflict(_("Another move from the former system is running. Please wait until it ends, or cancel it."))


def match_people(session: Session) -> int:
    """Assign users who exist by now where their addresses wait. Returns the number of addresses."""
    emails = [email for email, _count in predecessor_names.waiting(session)]
    query = select(User.email, User.id).where(User.email.in_(emails))
    found = {str(email).lower(): key for email, key in session.execute(query)} if emails else {}
    for email, key in found.items():
        while predecessor_names.assign_user(session, email, key):
            session.commit()
    return len(found)
