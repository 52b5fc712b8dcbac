"""The recipients of a campaign: selected records, all records of a filtered list, or the numbers of an uploaded
file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from app import access
from app.domain.base import RuleBroken
from app.domain.messaging.campaigns import MAX_RECIPIENTS, RecipientSource
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.lib.ids import parse_id
from app.models import Customer, Lead
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.records.lists.list_page import list_query_from

MODELS: dict[str, Any] = {"leads": Lead, "customers": Customer}
#: Bytes of an uploaded file, columns of it, and characters of a name or value.
MAX_BYTES, MAX_COLUMNS, MAX_CELL = 2_000_000, 20, 300


def selected(kind: str, keys: Iterable[Any]) -> RecipientSource:
    """Recipients by the ids of records; whether the person sees them is decided later."""
    return RecipientSource(kind, [key for each in keys if (key := parse_id(each))])


def of_list(kind: str, address: str, viewer: Viewer) -> RecipientSource:
    """All records that the person sees in the list at this URL, newest first. Raises RuleBroken."""
    screen = registered("screens")[MODELS[kind]]
    try:
        query_part = urlsplit(address).query
    except ValueError as wrong:  # “//[”
        raise RuleBroken(_("This address is not complete. Please open the list again.")) from wrong
    given = [(name, value) for name, value in parse_qsl(query_part) if name not in ("page", "psize")]
    list_query = list_query_from(screen, MultiDict(given), viewer)
    query = screen.record_table.ids(list_query).order_by(MODELS[kind].id.desc()).limit(MAX_RECIPIENTS + 1)
    return RecipientSource(kind, list(db.session.scalars(query)))


def count_of_list(kind: str, address: str, viewer: Viewer) -> int:
    """The number of records in the list, up to one more than a campaign accepts."""
    return len(of_list(kind, address, viewer).items)


def refuse_masked(viewer: Viewer) -> None:
    """Raise Denied if the person sees numbers masked: the response to an uploaded number would confirm a guess."""
    if viewer.person.mask("mobile") != "full" or viewer.person.mask("email") != "full":
        text = _("You see numbers and addresses masked, so you can't upload a list of them. Select records instead.")
        raise access.Denied(text)


def of_file(content: bytes) -> RecipientSource:
    """The rows of a CSV file: a number or address first, named values in the other columns. Raises RuleBroken."""
    if len(content) > MAX_BYTES:
        raise RuleBroken(_("This file is too large: at most 2 MB are read."), "file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise RuleBroken(_("This file isn't text in UTF-8. Please save it as CSV (UTF-8)."), "file") from wrong
    if "\0" in text:
        raise RuleBroken(_("This file isn't text in UTF-8. Please save it as CSV (UTF-8)."), "file")
    rows = _rows(text)
    return of_rows(rows)


def _rows(text: str) -> list[list[str]]:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        return [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)
        ]
    except csv.Error as wrong:
        raise RuleBroken(_("This file can't be read as CSV. Please check its quotation marks."), "file") from wrong


def of_rows(rows: list[list[str]]) -> RecipientSource:
    """The same for rows; the first one names the columns, or is a recipient itself. Raises RuleBroken."""
    if not rows:
        raise RuleBroken(_("This file is empty."), "file")
    has_heading = not any(char.isdigit() for char in rows[0][0]) and "@" not in rows[0][0]
    names = [each[:40] for each in rows[0][1:MAX_COLUMNS]] if has_heading else []
    if len(set(names)) != len(names) or not all(names):
        raise RuleBroken(_("Each column of the file needs a name of its own in the first row."), "file")
    body = rows[1:] if has_heading else rows
    items = [[row[0][:MAX_CELL], _values(names, row)] for row in body]
    if len(items) > MAX_RECIPIENTS:
        most = grouped(MAX_RECIPIENTS)
        raise RuleBroken(_("This file has more than %(most)s rows. Please split it.", most=most), "file")
    return RecipientSource("numbers", items)


def _values(names: list[str], row: list[str]) -> dict[str, str]:
    cells = [*row[1:], *[""] * len(names)]
    return {name: cell[:MAX_CELL] for name, cell in zip(names, cells, strict=False)}
