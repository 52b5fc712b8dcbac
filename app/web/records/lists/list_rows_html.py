"""The rows of a list as HTML, without a template, because they are repeated most often.

Cells have no end tags, which HTML lets out before the next cell and at the end of a row: that is a kilobyte of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.pages.html_parts import Cell, cell_html, csrf, icon, tone_of

Row = Mapping[str, Any]
#: Kinds by which list.css, scripts and tests find the cells of rows; all heads have them. On a phone, list_rows.js puts
#: the name of the column before a time, a date, a flag and a number.
_MARKED = ("moment", "date", "flag", "number", "clock", "phone", "person")
#: Characters of a text that fit into one line of most columns.
_LINE = 20
#: Columns that list.css styles in the rows.
_NAMED = ("number", "status", "state", "created_on")


def rows_html(page: Mapping[str, Any]) -> Markup:
    """The <tr> elements of the page's rows."""
    return RowDrawing(page).html(page["rows"])


def tools_class(rows: Sequence[Row]) -> str:
    """The classes of the buttons column at the end of the rows, by the room it needs; "" = there is none."""
    has_buttons = any("buttons" in row for row in rows)
    if not (has_buttons or any(row.get("may_edit") for row in rows)):
        return ""
    has_call = any(row["cells"] and row["cells"][0].get("dial") for row in rows)
    return f"col-tools{' has-buttons' if has_buttons else ''}{' has-call' if has_call else ''}"


class RowDrawing:
    """What all rows of one page share: `page` has its actions, columns and rows."""

    def __init__(self, page: Mapping[str, Any]) -> None:
        self.has_bulk = bool(page["actions"] or page["export_url"])
        self.has_tools = bool(tools_class(page["rows"]))
        looks = [_look(each) for each in page["columns"]]
        ends = [" to-end" if each["align"] in ("end", "right") else "" for each in page["columns"]]
        self.first = _opened("th", f"first {looks[0]}".rstrip(), " scope=row") if looks else ""
        self.full = [_opened("td", f"{look}{end}".lstrip()) for look, end in zip(looks[1:], ends[1:], strict=True)]
        # The dash is drawn by list.css, so that empty cells need no class.
        self.empty = [_opened("td", end.lstrip()) for end in ends[1:]]
        self.select, self.edit, self.call = escape(_("Select")), escape(_("Edit")), escape(_("Call"))

    def html(self, rows: Sequence[Row]) -> Markup:
        """The <tr> elements of these rows."""
        drawn: list[dict[int, str]] = [{} for _each in self.full]
        return Markup("\n".join([self._row(row, drawn) for row in rows]))

    def _row(self, row: Row, drawn: list[dict[int, str]]) -> str:
        """One <tr>. `drawn`: for each column, id of a cell -> its HTML, because rows may share cells."""
        title, url = escape(str(row["title"])), escape(row["url"] or "")
        cells = row["cells"]
        # If the first cell is the link of the row, it contains the URL.
        away = f' data-href="{url}"' if url and not (cells and self._is_link(cells[0])) else ""
        head = f"<tr data-id={row['id']}{away}>"
        check = self._check(row, title) if self.has_bulk else ""
        first = f"{self.first}{self._first(row, cells[0], url)}" if cells else ""
        rest = "".join(map(self._cell, range(len(cells) - 1), cells[1:], drawn))
        tools = self._tools(row, title) if self.has_tools else ""
        return f"{head}{check}{first}{rest}{tools}</tr>"

    def _check(self, row: Row, title: str) -> str:
        return (
            f"<td class=col-check><input type=checkbox class=form-check-input name=rowid value={row['id']} "
            f'form=bulk aria-label="{self.select} {title}">'
        )

    def _first(self, row: Row, cell: Cell, url: str) -> str:
        """The cell that names the row: a link to its page, unless it has a link of its own."""
        kind = cell.get("kind") if cell else "missing"
        if not url or not self._is_link(cell):
            return _drawn(cell)
        if kind in ("phone", "email"):  # no link within the link
            cell = {"kind": "text", "text": cell.get("text")}
        elif kind == "missing":
            cell = {"kind": "text", "text": row["title"]}
        drawn = escape(cell["text"]) if cell.get("kind") == "text" and cell.get("text") else _drawn(cell)
        return f'<a class=row-link href="{url}">{drawn}</a>'

    @staticmethod
    def _is_link(cell: Cell) -> bool:
        """Whether the first cell is the link of the row: not if its value has a link of its own."""
        return not (cell and cell.get("kind") in ("name", "record") and cell.get("url"))

    def _cell(self, place: int, cell: Cell, drawn: dict[int, str]) -> str:
        if not cell or cell.get("kind") == "missing":
            return self.empty[place]
        found = drawn.get(id(cell))
        if found is None:
            found = drawn[id(cell)] = f"{self.full[place]}{_drawn(cell)}"
        return found

    def _tools(self, row: Row, title: str) -> str:
        """The buttons at the end: of the screen, call, edit. The icons of the last two are drawn by list.css."""
        parts = [_button(each) for each in row.get("buttons") or ()]
        first = row["cells"][0] if row["cells"] else {}
        dial, url = first.get("dial"), first.get("call_url")
        if dial or url:
            href, label = escape(url or f"tel:{dial}"), f"{self.call} {title}"
            look = f"class=row-call{' data-dial' if url else ''}"
            parts.append(f'<a {look} href="{href}" aria-label="{label}"></a>')
        if row.get("may_edit"):
            label, href = f"{self.edit} {title}", escape(row["edit_url"])
            parts.append(f'<a class=row-edit href="{href}" aria-label="{label}"></a>')
        return f"<td class=col-tools>{''.join(parts)}"


# --- cells of most rows: list.css finds their parts by the row, so that these need no classes


def _drawn(cell: Cell) -> str:
    """The value, drawn by `cell_html`."""
    draw = _DRAWN.get(cell.get("kind", "")) if cell else None
    return draw(cell) if draw is not None else cell_html(cell)


def _text(cell: Cell) -> str:
    """The text; a long one gets two lines, which cut off the rest."""
    text = cell.get("text")
    if not text:
        return cell_html(cell)
    return f"<span class=lines>{escape(text)}</span>" if len(text) > _LINE else escape(text)


def _status(cell: Cell) -> str:
    title = f' title="{escape(cell["title"])}"' if cell.get("title") else ""
    return f'<span class="state tone-{escape(cell.get("color") or "gray")}"{title}>{escape(cell["label"])}</span>'


def _face(cell: Cell) -> str:
    """The initials of a person without a picture; written by list.css, so that they are not read out."""
    initials = cell.get("initials")
    return f'<i class=tone-{tone_of(initials)} data-i="{escape(initials or "?")}"></i>'


def _person(cell: Cell) -> str:
    return cell_html(cell) if cell.get("picture") else f"{_face(cell)}{escape(cell['full_name'])}"


def _name(cell: Cell) -> str:
    if cell.get("picture") or cell.get("url"):
        return cell_html(cell)
    return f"{_face(cell)}{escape(cell.get('text', ''))}"


def _phone(cell: Cell) -> str:
    text, url = cell.get("text"), cell.get("call_url")
    if not text or not (url or cell.get("tel")):
        return cell_html(cell)
    href = f'"{escape(url)}" data-dial' if url else f'"tel:{escape(cell["tel"])}"'
    return f"<a href={href}>{escape(text)}</a>"


def _figure(cell: Cell) -> str:
    return cell_html(cell) if cell.get("title") or not cell.get("text") else escape(cell["text"])


def _call(cell: Cell) -> str:
    sign = icon(cell["icon"], f"tone-{cell.get('tone')}")
    hint = f' <span class="quiet">{escape(cell["hint"])}</span>' if cell.get("hint") else ""
    text = f"<span>{escape(cell['text'])}{hint}</span>"
    return f'<span class="person" title="{escape(cell.get("title", ""))}">{sign}{text}</span>'


def _moment(cell: Cell) -> str:
    if not cell.get("text"):
        return cell_html(cell)
    look = f' class="is-{cell["tone"]}"' if cell.get("tone") else ""
    title, text = escape(cell["title"]), escape(cell["text"])
    return f'<time{look} datetime={cell["iso"]} title="{title}">{text}</time>'


_DRAWN: dict[str, Callable[[Cell], str]] = {
    "text": _text,
    "name": _name,
    "status": _status,
    "person": _person,
    "phone": _phone,
    **dict.fromkeys(("date", "number", "duration"), _figure),
    "call": _call,
    "moment": _moment,
}


def _look(column: Mapping[str, Any]) -> str:
    """The classes of a column's cells."""
    name, kind = column["name"], column["kind"]
    looks = [f"col-{name}"] if name in _NAMED else []
    return " ".join([*looks, *([f"kind-{kind}"] if kind in _MARKED else [])])


def _opened(tag: str, look: str, more: str = "") -> str:
    """The opening tag; one class needs no quotes, which would be a hundred bytes and more of each list."""
    quoted = f'"{look}"' if " " in look else look
    return f"<{tag} class={quoted}{more}>" if look else f"<{tag}{more}>"


def _button(button: Mapping[str, Any]) -> str:
    """A link, or a form if it changes something."""
    url, label = escape(button["url"]), escape(str(button["label"]))
    if button.get("method") == "get":
        return f'<a class="btn btn-small" href="{url}">{label}</a>'
    look = "btn btn-small btn-primary" if button.get("primary") else "btn btn-small"
    confirm = f' data-confirm="{escape(str(button["confirm"]))}"' if button.get("confirm") else ""
    return (
        f'<form method="post" action="{url}" class="inline-form">{csrf()}'
        f'<button class="{look}"{confirm}>{label}</button></form>'
    )
