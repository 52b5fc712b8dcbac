"""The head and the side of a record's page as HTML, without a template, because a page has hundreds of pieces.

Every text is escaped. `record` comes from app/web/records/record_page.py; missing keys count as empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import starmap
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.core.localization.languages import language_key
from app.web.pages.cached_fragments import placeholder, render_cached
from app.web.pages.html_parts import cell_html, csrf, icon

Record = Mapping[str, Any]
#: Columns with numbers that are linked to WhatsApp.
_NUMBERS = ("mobile", "other_number")
_FEED_BAR = "records/_timeline_bar.html"
#: Menus of statuses that a process keeps; they are few, because many records have the same statuses ahead.
MAX_MENUS = 200
#: Stand for what differs from record to record in such a menu.
_URL, _VERSION = placeholder("url"), placeholder("version")


class _Words:
    """The texts of these parts in one language, escaped."""

    def __init__(self) -> None:
        self.reveal, self.call, self.whatsapp = escape(_("Reveal")), escape(_("Call")), escape(_("WhatsApp"))
        self.details, self.new = escape(_("Details")), escape(_("New"))


_words: dict[Any, _Words] = {}


def _page_words() -> _Words:
    language = language_key()
    if language not in _words:
        _words[language] = _Words()
    return _words[language]


def status_menu(record: Record) -> Markup:
    """The status of a record: a menu of the others for people who may change it."""
    status, moves = record.get("status"), record.get("moves")
    if not status:
        return Markup()
    now = f'tone-{escape(status.get("color") or "gray")}"><i class="dot"></i>'
    label = escape(status["label"])
    if not moves:
        return Markup(f'<span class="status-still state {now}{label}</span>')
    url, version = escape(record["move_url"]), escape(record.get("version"))
    kinds = tuple([(each["id"], str(each["label"]), each.get("color"), bool(each.get("needs"))) for each in moves])
    items = _moves(kinds).replace(_URL, url).replace(_VERSION, version)
    return Markup(
        f'<details class="menu" data-menu data-key="s"><summary class="btn status-button"><span class="state {now}'
        f'<span class="state-label">{label}</span></span>{icon("chevron-down")}</summary><div class="menu-body">'
        f'<form method="post" action="{url}">{csrf()}<input type="hidden" name="version" value="{version}">'
        f"{items}</form></div></details>"
    )


@lru_cache(MAX_MENUS)
def _moves(statuses: tuple[tuple[int, str, str | None, bool], ...]) -> str:
    """The entries for these statuses (id, label, color, whether it has requirements), with placeholders."""
    return "".join(starmap(_move, statuses))


def _move(status_id: int, label: str, color: str | None, has_needs: bool) -> str:
    """One of the other statuses: a button, or a link to the dialog of one with requirements."""
    key, look = escape(status_id), f"state tone-{escape(color or 'gray')}"
    state = f'<span class="{look}"><i class="dot"></i>{escape(label)}</span>'
    if not has_needs:
        return f'<button type="submit" class="menu-item" name="status" value="{key}">{state}</button>'
    asking = f"{_URL}?status={key}&amp;version={_VERSION}"
    return (
        f'<a class="menu-item" href="{asking}" data-dialog="move-{key}" data-dialog-url="{asking}">{state}'
        f'<span class="menu-tick quiet">…</span></a>'
    )


def summary_strip(record: Record) -> Markup:
    """The values that stay visible below the head, with buttons to call, write and reveal."""
    items = record.get("strip")
    if not items:
        return Markup()
    words = _page_words()
    return Markup(f'<dl class="strip" data-strip>{"".join(_strip_item(each, record, words) for each in items)}</dl>')


def _strip_item(item: Mapping[str, Any], record: Record, words: _Words) -> str:
    name, label, shown = escape(item["name"]), escape(item["label"]), item.get("cell") or {}
    return (
        f'<div class="strip-item" data-strip-item="{name}"><dt>{label}</dt><dd><span class="strip-value">'
        f"{cell_html(shown)}</span>{''.join(_strip_tools(item, shown, record, words))}</dd></div>"
    )


def _strip_tools(item: Mapping[str, Any], shown: Mapping[str, Any], record: Record, words: _Words) -> Iterable[str]:
    """The buttons after a value; none for an empty one."""
    text, is_number = escape(shown.get("text") or ""), item["name"] in _NUMBERS and shown.get("kind") != "missing"
    if url := shown.get("reveal_url"):
        yield _tool(url, "eye", words.reveal, f"{words.reveal}: {escape(item['label'])}", " data-reveal")
    call, other = shown.get("call_url"), record.get("call_url")
    tel = shown.get("tel") if shown.get("kind") == "phone" else None
    if call:
        key = ' data-key="c"' if item["name"] == "mobile" else ""
        yield _tool(call, "phone", words.call, f"{words.call} {text}", f"{key} data-dial")
    elif other and item["name"] == "other_number" and is_number:
        yield _tool(other, "phone", words.call, f"{words.call} {text}", ' data-key="c" data-dial')
    if tel and not other:
        yield _tool(f"tel:{tel}", "phone", words.call, f"{words.call} {text}", ' data-key="c"')
    if record.get("whatsapp_url"):
        if is_number:
            url = record["whatsapp_url"]
            yield _tool(url, "brand-whatsapp", words.whatsapp, f"{words.whatsapp} {text}", ' data-key="w"')
    elif tel:
        url, more = f"https://wa.me/{str(tel).replace('+', '')}", ' data-key="w" target="_blank" rel="noopener"'
        yield _tool(url, "brand-whatsapp", words.whatsapp, f"{words.whatsapp} {text}", more)


def _tool(url: Any, sign: str, title: str, label: str, more: str = "") -> str:
    """A small button after a value; title and label are escaped already."""
    return (
        f'<a class="btn-bare btn-tiny"{more} href="{escape(url)}" title="{title}" aria-label="{label}">{icon(sign)}</a>'
    )


def record_tabs(tabs: Iterable[Mapping[str, Any]]) -> Markup:
    """The tabs of a record: on a phone its details first, then those of the timeline."""
    first = f'<button type="button" class="tab narrow-only" data-pane-open="details">{_page_words().details}</button>'
    return Markup(first + "".join(map(_tab, tabs or ())))


def _tab(tab: Mapping[str, Any]) -> str:
    url, count = escape(tab["url"]), escape(tab.get("count") or "")
    now = f"{' aria-current=true' if tab.get('active') else ''}{' hidden' if tab.get('is_hidden') else ''}"
    return (
        f'<a class="tab" href="{url}" data-tab="{escape(tab["name"])}" data-fits="{escape(tab["composes"])}" '
        f'data-pane-open="timeline" hx-get="{escape(tab["part_url"])}" hx-push-url="{url}"{now}>{escape(tab["label"])}'
        f'<span class="count" data-count{"" if count else " hidden"}>{count}</span></a>'
    )


def feed_bar(record: Record) -> Markup:
    """The bar above a tab of the timeline: its parts and filters. Without a filter it is the same for all."""
    shown, parts = record.get("filters"), record.get("parts")
    if not shown and not parts:
        return Markup()
    if not shown or parts or shown["count"]:
        return Markup(current_app.jinja_env.get_template(_FEED_BAR).render(record=record))

    def values() -> dict[str, Any]:
        opened = {
            "action": placeholder("action"),
            "part_url": placeholder("part"),
            "options": Markup(placeholder("options")),
        }
        return {"record": {"filters": {**shown, **opened}}}

    key = (tuple(shown["hidden"]), tuple(shown["kinds"]))
    urls = {"action": shown["action"], "part": shown["part_url"]}
    return render_cached(_FEED_BAR, key, values, options=shown["options"], **urls)


def related_list(part: Mapping[str, Any]) -> Markup:
    """A list beside a record: rows of other records that belong to it."""
    title, url, add = escape(part["title"]), part.get("url"), part.get("add_url")
    head = f'<a href="{escape(url)}">{title}</a>' if url else title
    new = _page_words().new
    more = (
        f'<a class="btn-bare" href="{escape(add)}" aria-label="{new}: {title}" title="{new}">{icon("plus")}</a>'
        if add
        else ""
    )
    rows = "".join(map(_related_row, part.get("rows") or ()))
    shown = f'<ul class="related">{rows}</ul>' if rows else ""
    return Markup(
        f'<section class="side-part" data-related><header><h2>{head}</h2><span class="count">{escape(part["count"])}'
        f"</span>{more}</header>{shown}</section>"
    )


def _related_row(row: Mapping[str, Any]) -> str:
    """A row is a single link, so its cells have none of their own; one without a URL is not a link."""
    first, *others = (
        cell_html({**each, "url": None, "tel": None} if each else None) for each in row["cells"] or [None]
    )
    about = f'<span class="related-about">{escape(row["about"])}</span>' if row.get("about") else ""
    cells = f'<span class="related-what">{first}{about}</span>' + "".join(f"<span>{each}</span>" for each in others)
    if not row["url"]:
        return f'<li class="related-row">{cells}</li>'
    return f'<li><a href="{escape(row["url"])}" class="related-row">{cells}</a></li>'


def record_facts(record: Record) -> dict[str, Any]:
    """What the page needs to know about its record: the open tab, a number to dial, whether there is a tab of files."""
    tabs, strip = record.get("tabs") or (), record.get("strip") or ()
    cells = (item.get("cell") or {} for item in strip)
    number = next((each for each in cells if each.get("kind") == "phone" and each.get("tel")), None)
    return {
        "tab": next((tab["label"] for tab in tabs if tab.get("active")), None),
        "dial": record.get("phone") or number,
        "has_files_tab": any(tab.get("name") == "files" for tab in tabs),
    }


#: Global in all templates.
GLOBALS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (status_menu, summary_strip, record_tabs, feed_bar, related_list, record_facts)
}
