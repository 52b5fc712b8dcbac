"""How to import a file: the field for each column, the treatment of duplicates, the assignee."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken, join_texts
from app.domain.files import spreadsheet_files
from app.domain.files.export_and_import_runs import DUPLICATES, ImportRun
from app.domain.files.spreadsheet_files import kind_of
from app.web.core.viewer import Viewer
from app.web.transfer import column_guesses, import_kinds, import_values
from app.web.transfer.import_kind import ImportKind, refuse_masked_keys
from app.web.transfer.import_options import ImportOptions

#: Rows of the file that the page of the mapping shows, and among how many they are looked for.
SAMPLE, SEARCHED = 5, 20_000
_ASSIGNED_BY = ("me", "column", "person", "role")
#: Columns of these names hold whole names.
_FIRST_ONLY = {"first name", "given name", "पहला नाम", "first_name"}


@dataclass
class ImportPlan:
    """The mapping and the options of one file, checked."""

    kind: ImportKind
    headers: list[str]
    #: Header → field.
    mapping: dict[str, str]
    options: ImportOptions
    #: (position of the column, field), in the order of the columns.
    columns: list[tuple[int, str]] = field(default_factory=list)
    #: The fields of the kind, by name.
    fields: dict[str, Any] = field(default_factory=dict)
    #: Rows above the first one, as people count them.
    heading_rows: int = 1

    @classmethod
    def of(cls, run: ImportRun) -> ImportPlan:
        """The plan of an import. Raises RuleBroken if it no longer fits."""
        kind = import_kinds.kinds().get(run.kind)
        if kind is None:
            raise RuleBroken("This kind of record can't be imported any more.")
        options = ImportOptions.from_json(run.payload["options"])
        plan = cls(kind, run.payload["headers"], run.payload["mapping"], options).checked()
        plan.heading_rows = heading_rows(run)
        return plan

    def checked(self) -> ImportPlan:
        """The plan with its columns. Raises RuleBroken for unknown fields, and for one that is filled twice."""
        known = self.fields = self.kind.fields()
        for header, name in self.mapping.items():
            if name not in known:
                raise RuleBroken(_("There is no field “%(name)s” here.", name=name[:60]), "mapping")
            if header not in self.headers:
                raise RuleBroken(_("The file has no column “%(name)s”.", name=header[:60]), "mapping")
        twice = [name for name in set(self.mapping.values()) if [*self.mapping.values()].count(name) > 1]
        if twice:
            label = str(known[twice[0]].label)
            raise RuleBroken(_("Two columns fill “%(name)s”. Please choose one of them.", name=label), "mapping")
        if not self.mapping:
            raise RuleBroken(_("Please say for at least one column which field it fills."), "mapping")
        self.columns = [(n, self.mapping[name]) for n, name in enumerate(self.headers) if name in self.mapping]
        return self

    def raw(self, cells: list[str]) -> dict[str, str]:
        """Field → text of one row; empty cells are left out, so they change nothing. Raises RuleBroken."""
        made, errors = self.read(cells)
        if errors:
            raise RuleBroken(join_texts(text for list_ in errors.values() for text in list_), errors=errors)
        return made

    def read(self, cells: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Field → text of one row, and field → errors of the cells that can't be read. Raises RuleBroken."""
        fields, made, errors = self.fields, dict[str, str](), dict[str, list[str]]()
        if len(cells) > len(self.headers) and any(cells[len(self.headers) :]):
            raise RuleBroken(
                _("This row has more cells than the first row has names. Please check its quotation marks.")
            )
        for place, name in self.columns:
            cell = cells[place] if place < len(cells) else ""
            if cell == "":
                continue
            each = fields[name]
            try:
                made[name] = import_values.cleaned(name, each.kind, cell, self.options.dates)
            except RuleBroken as broken:
                errors[name] = [broken.message]
        return self._split(made), errors

    def _split(self, made: dict[str, str]) -> dict[str, str]:
        """Split a whole name in one column into first and last name."""
        header = next((name for name, field_ in self.mapping.items() if field_ == "first_name"), "")
        is_whole = "last_name" not in self.mapping.values() and column_guesses.normalize_name(header) not in _FIRST_ONLY
        if is_whole and " " in made.get("first_name", ""):
            made["first_name"], _blank, made["last_name"] = made["first_name"].partition(" ")
        return made


def heading_rows(run: ImportRun) -> int:
    """Rows of the file above its first row of data."""
    return 0 if run.payload["dialect"]["kind"] == "json" else 1


def guessed(kind: ImportKind, headers: list[str]) -> dict[str, str]:
    """Header → field, by the names of the columns."""
    return column_guesses.guess(headers, [(name, str(each.label)) for name, each in kind.fields().items()])


def default_options(kind: ImportKind, headers: list[str], rows: list[list[str]], viewer: Viewer) -> ImportOptions:
    """The initial options on the page."""
    mapping = guessed(kind, headers)
    days = [
        cell
        for n, name in enumerate(headers)
        if mapping.get(name) and kind.fields()[mapping[name]].kind in ("date", "moment")
        for row in rows
        if n < len(row) and kind_of(cell := row[n]) == "text"
    ]
    keys = tuple(key for key in kind.keys if viewer.person.mask(key) == "full")
    column = "column" if kind.assignee and kind.assignee in mapping.values() else "me"
    return ImportOptions(keys=keys, assign=column, dates=import_values.guessed_order(days))


def refuse_options(options: ImportOptions, kind: ImportKind, viewer: Viewer) -> None:
    """Raise RuleBroken or Denied for options that don't exist, or that the person may not choose."""
    if options.duplicates not in DUPLICATES:
        raise RuleBroken(_("Please choose what happens with duplicates."), "duplicates")
    if options.assign not in _ASSIGNED_BY or options.dates not in import_values.DATE_ORDERS:
        raise RuleBroken(_("Please choose one of the list."), "assign")
    unknown = [key for key in options.keys if key not in kind.keys]
    if unknown:
        raise RuleBroken(_("There is no field “%(name)s” here.", name=str(unknown[0])[:60]), "keys")
    refuse_unallowed(options, kind, viewer)
    if options.assign == "person" and options.assignee_id not in viewer.lookups.active:
        raise RuleBroken(_("Please choose who gets the records."), "assignee_id")
    if options.assign == "role" and options.role not in viewer.lookups.roles:
        raise RuleBroken(_("Please choose the role whose members get the records in turn."), "role")


def refuse_unallowed(options: ImportOptions, kind: ImportKind, viewer: Viewer) -> None:
    """Raise Denied for what the person may not do by now, whatever they might when they chose it."""
    kind.refuse_others(viewer)
    if options.duplicates != "create":
        refuse_masked_keys(options.keys, viewer)
    if options.duplicates == "update":
        viewer.person.refuse_unless(kind.module, "write")


def fitting(mapping: dict[str, str], headers: Iterable[str], kind: ImportKind) -> dict[str, str]:
    """The part of another file's mapping that fits these columns."""
    there, known = set(headers), kind.fields()
    return {header: name for header, name in mapping.items() if header in there and name in known}


def sample(file: Any, dialect: spreadsheet_files.Dialect) -> list[list[str]]:
    """The first rows of the file, as texts. The person waits meanwhile: not those below very many empty ones."""
    found: list[list[str]] = []
    for row in islice(spreadsheet_files.rows(file, dialect), SEARCHED):
        if any(row):
            found.append(row)
        if len(found) == SAMPLE:
            break
    return found
