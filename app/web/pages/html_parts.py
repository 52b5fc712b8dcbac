"""The small pieces of pages: icons, avatars, and values by kind. Global in all templates.

They are functions instead of Jinja macros because a list draws hundreds of them. All texts passed to them are escaped;
our own texts come from the catalog. `avatar_html` and `cell_html` return `avatar` and `cell` as plain strings, for
HTML that is built without a template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.csrf import token_of_request
from app.lib.html_escape import escape
from app.web.core.localization.languages import language_key
from app.web.pages.static_files import SPRITE, static_url

Cell = Mapping[str, Any]
_TONES = ("slate", "blue", "teal", "violet", "orange", "pink", "green", "indigo")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Faces in a stack, tags in a cell.
_MOST_FACES, _MOST_TAGS = 3, 3
#: Cached icons; we have 238 names.
MAX_ICONS = 1000


#: The number of a record in a text; toasts.js has the same.
_NUMBER = re.compile(r"\b[A-Z]+(?:-[A-Z]+)?-\d{4}-\d{4,}\b")

#: (URL of the sprite, name, more classes) -> an icon.
_icons: dict[tuple[str, str, str], Markup] = {}


def icon(name: str, extra: str = "") -> Markup:
    """An icon from the sprite: decorative, so hidden from screen readers. `extra`: more classes."""
    key = (static_url(SPRITE), name, extra)
    found = _icons.get(key)
    if found is None:
        look = f'"icon {escape(extra)}"' if extra else "icon"
        # Without the quotes that HTML doesn't need: a page has a hundred icons.
        found = Markup(f'<svg class={look} aria-hidden=true><use href="{key[0]}#{escape(name)}"/></svg>')
        if len(_icons) < MAX_ICONS:
            _icons[key] = found
    return found


def whole_html(text: Any) -> str:
    """The text, escaped, with the numbers of records in it kept on one line each: they would break at their hyphens."""
    escaped = escape(text)
    if "-" not in escaped or isinstance(text, Markup):
        return escaped
    return _NUMBER.sub(r'<span class="whole">\g<0></span>', escaped)


def whole(text: Any) -> Markup:
    """`whole_html` for templates."""
    return Markup(whole_html(text))


def csrf() -> Markup:
    """The hidden CSRF field of every form that changes something."""
    return Markup(f'<input type="hidden" name="csrf_token" value="{token_of_request()}">')


def avatar(initials: str | None, size: str = "", picture: str | None = None) -> Markup:
    """A picture, else initials, in a circle; the tone follows from the initials, so a person keeps their color.

    If a picture can't be loaded, shell.js shows the initials instead.
    """
    return Markup(avatar_html(initials, size, picture))


def avatar_html(initials: str | None, size: str = "", picture: str | None = None) -> str:
    """The HTML of `avatar` as a plain string."""
    text, tone = initials or "?", tone_of(initials)
    more = f" avatar-{size}" if size else ""
    if picture:
        look = f'class="avatar-round tone-{tone}{more}" data-initials="{escape(text)}"'
        return f'<img {look} src="{escape(picture)}" alt="" loading="lazy" decoding="async">'
    return f'<span class="avatar-round tone-{tone}{more}" aria-hidden="true">{escape(text)}</span>'


def tone_of(initials: str | None) -> str:
    """The tone of a person's avatar."""
    return _TONES[(_LETTERS.find((initials or "?")[:1].upper()) + 1) % len(_TONES)]


def avatar_stack(people: Sequence[Cell], maximum: int = _MOST_FACES) -> Markup:
    """The avatars of several people, with their names as tooltip and for screen readers."""
    names = escape(", ".join(str(each["full_name"]) for each in people))
    faces = "".join(avatar_html(each["initials"], "", each.get("picture")) for each in people[:maximum])
    rest = f'<span class="avatar-round tone-slate">+{len(people) - maximum}</span>' if len(people) > maximum else ""
    return Markup(
        f'<span class="avatar-stack" title="{names}">{faces}{rest}<span class="visually-hidden">{names}</span></span>'
    )


_missing: dict[Any, Markup] = {}


def empty_value() -> Markup:
    """The dash of an empty value."""
    language = language_key()
    if language not in _missing:
        _missing[language] = Markup(f'<span class="missing" aria-label="{escape(_("empty"))}">–</span>')
    return _missing[language]


def status(value: Cell) -> Markup:
    """A status: dot and label."""
    return Markup(_status(value))


def moment(value: Cell) -> Markup:
    """A time, with the exact time in its tooltip."""
    return Markup(_time(value))


def cell(value: Cell | None) -> Markup:
    """A value as HTML, by its kind; a dash for a missing one, text for an unknown kind."""
    return Markup(cell_html(value))


def cell_html(value: Cell | None) -> str:
    """The HTML of `cell` as a plain string."""
    return _KINDS.get(value.get("kind", ""), _text)(value) if value else empty_value()


def _status(value: Cell) -> str:
    title = f' title="{escape(value["title"])}"' if value.get("title") else ""
    label = _clip(value["label"], "state-label")
    return f'<span class="state tone-{_tone(value)}"{title}><i class="dot"></i>{label}</span>'


def _time(value: Cell) -> str:
    tone = value.get("tone")
    look = f"moment is-{tone}" if tone else "moment"
    title, text = escape(value["title"]), escape(value["text"])
    return f'<time class="{look}" datetime="{value["iso"]}" title="{title}">{text}</time>'


def _tone(value: Cell) -> Any:
    return escape(value.get("color") or "gray")


def _clip(text: Any, look: str = "clip") -> str:
    """A text that a narrow column may cut off; shell.js adds a tooltip if it does."""
    return f'<span class="{look}">{escape(text)}</span>'


def behind_show_all(rest: str) -> str:
    """The rest of a long text, as HTML, which *Show all* opens."""
    return (
        f'<details class="entry-rest"><summary class="btn btn-quiet btn-small">{icon("chevron-down")}'
        f"{escape(_('Show all'))}</summary>{rest}</details>"
    )


# --- kinds: each draws a cell that is not empty


def _text(value: Cell) -> str:
    return _clip(value["text"]) if value.get("text") else empty_value()


def _name(value: Cell) -> str:
    text, url = value.get("text", ""), value.get("url")
    link = f'<a class="clip strong" href="{escape(url)}">{escape(text)}</a>' if url else ""
    head = avatar_html(value.get("initials"), "", value.get("picture"))
    return f'<span class="person">{head}{link or _clip(text, "clip strong")}</span>'


def _person(value: Cell) -> str:
    head = avatar_html(value.get("initials"), "", value.get("picture"))
    return f'<span class="person">{head}{_clip(value["full_name"])}</span>'


def _people(value: Cell) -> str:
    people = value.get("people")
    if not people:
        return empty_value()
    return _person(people[0]) if len(people) == 1 else avatar_stack(people)


def _choice(value: Cell) -> str:
    label = value.get("label")
    return f'<span class="chip tone-{_tone(value)}">{escape(label)}</span>' if label else empty_value()


def _phone(value: Cell) -> str:
    text, tel = value.get("text"), value.get("tel")
    if not text:
        return empty_value()
    if url := value.get("call_url"):
        return f'<a class="phone" href="{escape(url)}" data-dial>{escape(text)}</a>'
    if not tel:
        return f'<span class="phone">{escape(text)}</span>'
    return f'<a class="phone" href="tel:{escape(tel)}">{escape(text)}</a>'


def _email(value: Cell) -> str:
    text = value.get("text")
    if not text:
        return empty_value()
    shown = str(escape(text)).replace("@", "@<wbr>")  # if there is no room, it breaks there and not within a word
    return f'<a class="clip" href="mailto:{escape(text)}">{shown}</a>'


def _moment(value: Cell) -> str:
    return _time(value) if value.get("text") else empty_value()


def _clock(value: Cell) -> str:
    """An SLA clock: sla_clock.js continues counting, with the texts from script_texts.py."""
    runs = ""
    if value.get("due"):
        words = f' data-words="{escape(value["words"])}"' if value.get("words") else ""
        runs = f' data-clock="{escape(value["due"])}" data-warn="{escape(value.get("warn"))}"{words}'
    sign = icon(value["icon"]) if value.get("icon") else ""
    look, title = f"chip clock tone-{value.get('tone')}", escape(value.get("title", ""))
    return f'<span class="{look}" title="{title}"{runs}>{sign}{escape(value.get("text", ""))}</span>'


def _figure(value: Cell) -> str:
    text, title = value.get("text"), value.get("title")
    if text is None or text == "":
        return empty_value()
    return f'<span class="figure"{f""" title="{escape(title)}" """.rstrip() if title else ""}>{escape(text)}</span>'


def _flag(value: Cell) -> str:
    is_on = value["on"] if "on" in value else value.get("value")
    return (
        f'{icon("check", "flag-on")}<span class="visually-hidden">{escape(_("Yes"))}</span>' if is_on else empty_value()
    )


def _record(value: Cell) -> str:
    url, number, label = value.get("url"), value.get("number"), value.get("label")
    name = number or label
    title = f' title="{escape(value["title"])}"' if value.get("title") else ""
    link = f'<a class="clip" href="{escape(url)}"{title}>{escape(name)}</a>' if url else ""
    more = f" {_clip(label, 'clip quiet')}" if number and label else ""
    return f'<span class="record-link">{link or escape(name)}{more}</span>'


def _tags(value: Cell) -> str:
    tags = value.get("tags")
    if not tags:
        return empty_value()
    shown = "".join(f'<span class="chip tone-gray">{escape(tag)}</span>' for tag in tags[:_MOST_TAGS])
    rest = f'<span class="quiet">+{len(tags) - _MOST_TAGS}</span>' if len(tags) > _MOST_TAGS else ""
    return f'<span class="tags">{shown}{rest}</span>'


def _call(value: Cell) -> str:
    sign = f'<span class="call-sign tone-{value.get("tone")}">{icon(value["icon"])}</span>'
    hint = f' <span class="quiet">{escape(value["hint"])}</span>' if value.get("hint") else ""
    text = f'<span class="clip"><span class="strong">{escape(value["text"])}</span>{hint}</span>'
    return f'<span class="person" title="{escape(value.get("title", ""))}">{sign}{text}</span>'


def _picture(value: Cell) -> str:
    """A picture with a link to the page for changing it."""
    head = avatar_html(None, "lg", value["url"]) if value.get("url") else ""
    change = value.get("change_url")
    link = f'<a class="cell-link" href="{escape(change)}">{escape(value["text"])}</a>' if change else ""
    return f'<span class="person">{head}{link}</span>' if head or link else empty_value()


_KINDS: dict[str, Callable[[Cell], str]] = {
    "missing": lambda value: empty_value(),
    "text": _text,
    "name": _name,
    "person": _person,
    "people": _people,
    "status": _status,
    "choice": _choice,
    "phone": _phone,
    "email": _email,
    "moment": _moment,
    "clock": _clock,
    **dict.fromkeys(("date", "number", "duration"), _figure),
    "flag": _flag,
    "record": _record,
    "tags": _tags,
    "html": lambda value: f'<span class="clip">{escape(value["html"])}</span>',
    "link": lambda value: f'<a class="cell-link" href="{escape(value["url"])}">{escape(value["text"])}</a>',
    "web": lambda value: (
        f'<a class="cell-link clip" href="{escape(value["url"])}" target="_blank" rel="noopener noreferrer nofollow">'
        f"{escape(value['text'])}</a>"
    ),
    "call": _call,
    "picture": _picture,
}
#: Global in all templates.
GLOBALS: dict[str, Callable[..., Markup]] = {
    each.__name__: each for each in (icon, csrf, whole, avatar, avatar_stack, empty_value, status, moment, cell)
}
