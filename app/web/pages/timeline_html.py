"""The entries of a timeline as HTML, without a template, because a record's page consists mostly of them.

Every text is escaped. An entry is a dictionary from app/web/records/timelines/entry_texts.py; missing keys count as
empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.pages.html_parts import avatar_html, behind_show_all, csrf, icon, moment, whole_html

Entry = Mapping[str, Any]
#: Kind of an entry -> its default icon.
_SIGNS = {
    "note": "note",
    "comment": "message-2",
    "status_change": "circle-dot",
    "assignment": "user-share",
    "call": "phone",
    "message": "brand-whatsapp",
    "task": "checkbox",
    "field_change": "pencil",
    "file": "paperclip",
    "email": "mail",
    "system": "settings-automation",
}
_SPEEDS = ("1", "1.25", "1.5", "2")
#: The parts of a note: {text}, of a mention also {person}.
_Parts = Sequence[Mapping[str, Any]]
#: Characters of a note's former text in the tooltip.
_MOST_FORMER = 200
#: Characters of a note that are shown before it is opened.
_MOST_OF_NOTE = 1200
#: A note is divided only if it has this many characters more.
_LEAST_REST = 200


def timeline_lines(entries: Iterable[Entry]) -> Markup:
    """The <li> elements of these entries; changes of several fields are one expandable entry."""
    return Markup("".join(_folded(each) if _is_folded(each) else _line(each) for each in entries))


def timeline_line(entry: Entry) -> Markup:
    """One event: who did what and when, and its texts, files and actions."""
    return Markup(_line(entry))


def _line(entry: Entry) -> str:
    tone = f" tone-{escape(entry['tone'])}" if entry.get("tone") else ""
    key = f' id="entry-{escape(entry["id"])}"' if entry.get("id") else ""
    kind = escape(entry["kind"])
    sign = icon(entry.get("icon") or _SIGNS.get(entry["kind"], "circle"))
    parts = [draw(entry) for names, draw in _PARTS if any(map(entry.get, names))]
    return (
        f'<li class="entry entry-{kind}{tone}"{key}><span class="entry-sign">{sign}</span>'
        f'<div class="entry-body">{_head(entry)}{_text(entry)}{"".join(parts)}</div></li>\n'
    )


def _folded(entry: Entry) -> str:
    folded: Sequence[Entry] = entry.get("folded") or ()
    changes = "".join(
        f'<p class="fold-when quiet small">{_at(each)}</p>{_changes(each)}' for each in folded
    ) or _changes(entry)
    summary = f"<span>{_actor(entry)}{whole_html(entry['headline'])} {icon('chevron-right')}</span>"
    return (
        f'<li class="entry entry-field_change"><span class="entry-sign">{icon("pencil")}</span>'
        f'<details class="entry-body entry-fold"><summary class="entry-head">{summary}{_owner(entry)}{_at(entry)}'
        f"</summary>{changes}</details></li>\n"
    )


def _is_folded(entry: Entry) -> bool:
    return bool(entry.get("folded")) or (entry["kind"] == "field_change" and len(entry.get("changes") or ()) > 1)


def _head(entry: Entry) -> str:
    actor = "" if entry.get("is_sentence") else _actor(entry)
    headline = whole_html(entry["headline"])
    if entry.get("open_url"):
        headline = f'<a class="entry-link" href="{escape(entry["open_url"])}">{headline}</a>'
    return f'<p class="entry-head"><span>{actor}{headline}</span>{_owner(entry)}{_at(entry)}</p>'


def _actor(entry: Entry) -> str:
    actor = entry.get("actor")
    if not actor:
        return f'<span class="quiet">{escape(_("The system"))}</span> '
    picture = f"{avatar_html(actor.get('initials'), '', actor['picture'])} " if actor.get("picture") else ""
    return f"{picture}<b>{escape(actor['full_name'])}</b> "


def _owner(entry: Entry) -> str:
    """The link to the record that it belongs to, unless that is the page's own."""
    owner = entry.get("owner")
    return f'<a class="entry-of" href="{escape(owner["url"])}">{escape(owner["number"])}</a>' if owner else ""


def _at(entry: Entry) -> str:
    at = entry.get("at")
    return moment(at) if at and at.get("kind") != "missing" else ""


def _text(entry: Entry) -> str:
    if entry.get("parts"):
        shown, rest = _shown_and_rest(entry["parts"])
        return _paragraph(shown) + (behind_show_all(_paragraph(rest)) if rest else "")
    subject, body = entry.get("subject"), entry.get("body")
    if not (subject or body):
        return ""
    head = f'<b class="entry-subject">{escape(subject)}</b>{chr(10) if body else ""}' if subject else ""
    return f'<p class="entry-text">{head}{escape(body or "")}</p>'


def _shown_and_rest(parts: _Parts) -> tuple[_Parts, _Parts]:
    """The parts of a note, divided where it is too long to be shown at once."""
    left = _MOST_OF_NOTE
    if sum(len(part["text"]) for part in parts) < left + _LEAST_REST:
        return parts, ()
    for at, part in enumerate(parts):
        text = part["text"]
        if len(text) > left:
            end = 0 if part.get("person") else max(text.rfind(" ", 0, left), text.rfind("\n", 0, left)) + 1 or left
            return [*parts[:at], {**part, "text": text[:end]}], [{**part, "text": text[end:]}, *parts[at + 1 :]]
        left -= len(text)
    return parts, ()


def _paragraph(parts: _Parts) -> str:
    return f'<p class="entry-text">{"".join(map(_part, parts))}</p>'


def _part(part: Mapping[str, Any]) -> str:
    """A part of a note; a mention with the name of the mentioned person."""
    text = escape(part["text"])
    person = part.get("person")
    return f'<span class="mention" title="{escape(person)}">{text}</span>' if person else text


def _rest(entry: Entry) -> str:
    return behind_show_all(f'<p class="entry-text">{escape(entry["rest"])}</p>')


def _reason(entry: Entry) -> str:
    text = escape(entry["reason"])
    return f'<p class="entry-reason tone-ink tone-red">{icon("alert-circle")}<span>{text}</span></p>'


def _foot_of_note(entry: Entry) -> str:
    """Below a note: its former texts, the link by which its author edits it, and the button that deletes it."""
    former, url = entry.get("former") or (), entry.get("edit_url")
    made = []
    if entry.get("edited"):
        first = str((former[0].get("text") if former else "") or "")
        title = first if len(first) <= _MOST_FORMER else first[: _MOST_FORMER - 3].rsplit(" ", 1)[0] + "..."
        items = "".join(
            f'<li><span class="quiet small">{escape(old["at"])}</span>'
            f'<p class="entry-text">{escape(old["text"])}</p></li>'
            for old in former
        )
        made.append(
            f'<details class="former"><summary title="{escape(title)}">{escape(_("edited"))} {moment(entry["edited"])}'
            f"</summary><ol>{items}</ol></details>"
        )
    if url:
        address = escape(url)
        made.append(
            f'<a class="note-edit" href="{address}" hx-get="{address}" hx-target="closest .entry-body" '
            f'hx-swap="innerHTML">{icon("pencil")}{escape(_("Edit"))}</a>'
        )
    if entry.get("delete_url"):
        label = escape(_("Delete note"))
        made.append(
            f'<form class="note-edit" method="post" action="{escape(entry["delete_url"])}">{csrf()}'
            f'<button class="btn-bare" title="{label}" aria-label="{label}">{icon("trash")}</button></form>'
        )
    return f'<div class="note-foot">{chr(10).join(made)}</div>'


def _changes(entry: Entry) -> str:
    arrow = icon("arrow-right")
    rows = "".join(
        f'<li><span class="quiet">{escape(each["label"])}</span> {_former(each)} {arrow} '
        f"<ins>{_value(each['new'])}</ins></li>"
        for each in entry.get("changes") or ()
    )
    return f'<ul class="changes">{rows}</ul>'


def _former(change: Mapping[str, Any]) -> str:
    """The value before a change; not struck out where the new one is only proposed."""
    tag = "span" if change.get("is_proposed") else "del"
    return f"<{tag}>{_value(change['old'])}</{tag}>"


def _value(value: Any) -> str:
    return escape("–" if value is None or value == "" else value)


def _player(entry: Entry) -> str:
    """The recordings of a call: playable ones, those being fetched, and those that failed."""
    made = [_sound(url) for url in entry.get("audio") or ()]
    if entry.get("audio_note"):
        made.append(f'<p class="quiet small">{icon("microphone")} {escape(entry["audio_note"])}</p>')
    lost, again = escape(_("A recording could not be fetched.")), escape(_("Try again"))
    made += [
        f'<form method="post" action="{escape(url)}" class="entry-acts">{csrf()}<span class="quiet small">'
        f'{icon("alert-circle")} {lost}</span><button class="btn btn-small">{again}</button></form>'
        for url in entry.get("audio_failed") or ()
    ]
    return "".join(made)


def _sound(url: str) -> str:
    buttons = "".join(
        f'<button type="button" class="btn-bare btn-tiny" data-speed="{speed}" '
        f'aria-pressed="{"true" if speed == _SPEEDS[0] else "false"}">{speed}×</button>'
        for speed in _SPEEDS
    )
    return (
        f'<div class="player" data-player><audio controls preload="none" src="{escape(url)}" '
        f'aria-label="{escape(_("Recording"))}"></audio><div class="player-speeds" role="group" '
        f'aria-label="{escape(_("Speed"))}">{buttons}</div></div>'
    )


def _files(entry: Entry) -> str:
    macros: Any = current_app.jinja_env.get_template("inbox/_files.html").module
    return f'<div class="entry-files">{macros.message_files(entry["files"])}</div>'


def _actions(entry: Entry) -> str:
    macros: Any = current_app.jinja_env.get_template("widgets/button.html").module
    return f'<div class="entry-acts">{"".join(macros.act(each, "btn btn-small") for each in entry["actions"])}</div>'


#: Keys of an entry that require a part -> the function that draws it, in display order.
_PARTS: tuple[tuple[tuple[str, ...], Callable[[Entry], str]], ...] = (
    (("rest",), _rest),
    (("reason",), _reason),
    (("edited", "edit_url", "delete_url"), _foot_of_note),
    (("changes",), _changes),
    (("audio", "audio_note", "audio_failed"), _player),
    (("files",), _files),
    (("actions",), _actions),
)
#: Global in all templates.
GLOBALS: dict[str, Callable[..., Markup]] = {each.__name__: each for each in (timeline_lines, timeline_line)}
