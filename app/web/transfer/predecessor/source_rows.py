"""All rows of a move, file by file, in the order of their dependencies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from flask import current_app
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.files.export_and_import_runs import ImportRun
from app.web.transfer.predecessor import bundle, doctypes, row_documents
from app.web.transfer.predecessor.bundle import BundlePart
from app.web.transfer.predecessor.row_documents import SourceLayout, SourceRow

#: Fields of a row that stands for the unreadable rest of a file.
BROKEN = "\0broken"


@dataclass
class SourceFile:
    """One file of a move."""

    part: BundlePart
    layout: SourceLayout | None
    #: "" = it is left out; `why` says why.
    doctype: str
    why: str = ""


def parts_of(run: ImportRun) -> tuple[list[BundlePart], BinaryIO | None]:
    """The files of a run, and what has to be closed afterwards. Raises RuleBroken."""
    folder = run.payload.get("folder")
    if folder:
        path = Path(folder)
        if not path.is_dir():
            raise RuleBroken("The folder of this move isn't there any more. Please begin anew.")
        return bundle.of_folder(path), None
    if run.digest is None:
        raise RuleBroken("The file of this import was deleted. Please upload it again.")
    try:
        held = current_app.extensions["crm_files"].open(run.digest)
    except FileNotFoundError as error:
        raise RuleBroken("The file of this import is missing. Please upload it again.") from error
    if not held.seekable():
        held = io.BytesIO(held.read())
    return bundle.of_zip(held), held


def recognized(parts: list[BundlePart]) -> list[SourceFile]:
    """The contents of each file, imported ones first, in order."""
    files = [_recognized(part) for part in parts]
    places = {name: place for place, name in enumerate(doctypes.ORDER)}
    return sorted(files, key=lambda each: places.get(each.doctype, len(places)))


def _recognized(part: BundlePart) -> SourceFile:
    try:
        layout = row_documents.detect_layout(part)
    except RuleBroken as broken:
        return SourceFile(part, None, "", str(broken.message))
    named = doctypes.doctype_of(layout.doctype) or layout.doctype
    doctype = named or doctypes.doctype_of_file(part.name) or doctypes.doctype_of_fields(layout.headers)
    if doctype in doctypes.ORDER:
        return SourceFile(part, layout, doctype)
    if doctype:
        why = doctypes.LEFT.get(doctype) or _("There is no such kind of record here.")
        return SourceFile(part, layout, "", f"{doctype}: {why}")
    why = _("Its kind of records can't be detected. Name it after its DocType, such as “CRM Lead.csv”.")
    return SourceFile(part, layout, "", str(why))


class PredecessorSource:
    """The rows of a move, read on from its position."""

    def __init__(self) -> None:
        self.position = -1
        #: What a dry run has read: (DocType, name), and holders of numbers and identities.
        self.seen: set[tuple[str, str]] = set()
        self.taken: dict[Any, int] = {}
        self.files: list[SourceFile] = []
        self._held: BinaryIO | None = None
        self._rows: Iterator[SourceRow] = iter(())
        #: A row that was read and belongs to the next transaction.
        self._ahead: SourceRow | None = None
        #: The rows of the next transaction, once they were read.
        self._next_rows: list[SourceRow] | None = None

    def ready(self, run: ImportRun, count: int) -> None:
        """Read the next rows before their transaction begins. Raises RuleBroken.

        Finding the position may take long in large files, and MariaDB ends idle transactions.
        """
        if self.position != run.position:
            self._open(run, 0 if run.outcome == "checking" else run.position)  # a dry run starts from the beginning
        if self._next_rows is None:
            self._next_rows = self._read(count)

    def take(self, run: ImportRun, count: int) -> list[SourceRow]:
        """The next rows after the run's position. Raises RuleBroken."""
        if self.position != run.position:
            self._open(run, run.position)
        taken = self._read(count) if self._next_rows is None else self._next_rows
        self._next_rows = None
        self.position += len(taken)
        return taken

    def _read(self, count: int) -> list[SourceRow]:
        taken: list[SourceRow] = []
        while len(taken) < count and (row := self._next()) is not None:
            if taken and taken[0].doctype != row.doctype:
                self._ahead = row
                break
            taken.append(row)
        return taken

    def _next(self) -> SourceRow | None:
        row, self._ahead = self._ahead, None
        return row or next(self._rows, None)

    def _open(self, run: ImportRun, position: int) -> None:
        self.close()
        parts, self._held = parts_of(run)
        self.files, self.seen, self.taken = recognized(parts), set(), {}
        self._rows, self._ahead, self._next_rows, self.position = self._all(), None, None, 0
        while self.position < position and next(self._rows, None) is not None:
            self.position += 1

    def _all(self) -> Iterator[SourceRow]:
        for file in self.files:
            if file.doctype and file.layout is not None:
                yield from _rows_of(file, file.layout)

    def close(self) -> None:
        """Close the file."""
        if self._held is not None:
            self._held.close()
            self._held = None


def _rows_of(file: SourceFile, layout: SourceLayout) -> Iterator[SourceRow]:
    """The rows of a file; if it becomes unreadable, a last one says so."""
    line = 0
    try:
        for line, found in row_documents.documents(file.part, layout):
            own = doctypes.doctype_of(str(found.get("doctype") or "")) or file.doctype
            doctype = own if own == file.doctype else file.doctype
            yield SourceRow(doctype, doctypes.with_field_names(doctype, found), line, file.part.name)
    except RuleBroken as broken:
        yield SourceRow(file.doctype, {BROKEN: str(broken.message)}, line + 1, file.part.name)
