"""The rows of My day as HTML, without a template, because the page consists mostly of them.

Each action is a form of its own, so that it works without JavaScript too; htmx swaps `#day`: the forms inherit target
and swap style from it (workday/_my_day.html).

What a row shows besides its time stays the same for days, so its HTML is kept under all of that, as in ADR 0093: nobody
can be shown a row that differs from their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from flask_babel import gettext as _
from markupsafe import Markup

from app.csrf import token_of_request
from app.lib.html_escape import escape
from app.web.core.localization.languages import language_key
from app.web.pages.cached_fragments import placeholder
from app.web.pages.html_parts import cell_html, icon
from app.web.pages.static_files import SPRITE, static_url
from app.web.workday.my_day_rows import DayRow, RowAction, RowContent
from app.web.workday.snooze_choices import CHOICES

#: Rows whose HTML a process keeps, of about 2 kB each.
MAX_KEPT = 1_000
#: Stands for the CSRF token, which differs with each request.
_TOKEN = placeholder("token")
_HIDDEN = f'<input type="hidden" name="csrf_token" value="{_TOKEN}"><input type="hidden" name="came_from" value="day">'


def rows_html(rows: Sequence[DayRow]) -> Markup:
    """The <li> elements of a section's rows."""
    if not rows:
        return Markup("")
    language, sprite = language_key(), static_url(SPRITE)
    parts = []
    for content, due in rows:
        before, after = _kept(content, language, sprite)
        parts.append(f"{before}{cell_html(due)}{after}")
    return Markup("\n".join(parts).replace(_TOKEN, token_of_request()))


@lru_cache(MAX_KEPT)
def _kept(row: RowContent, language: tuple[str, str | None], _sprite: str) -> tuple[str, str]:
    """The HTML before and after the time of a row. The arguments are all that it depends on."""
    return _Row(row, _words(language)).parts()


class _Words(NamedTuple):
    """The texts of all rows in one language, escaped."""

    call: str
    snooze: str
    done: str
    next: str
    follow_up: str
    #: Value and label of each time to snooze until.
    times: tuple[tuple[str, str], ...]


@lru_cache
def _words(_language: tuple[str, str | None]) -> _Words:
    return _Words(
        call=escape(_("Call")),
        snooze=escape(_("Snooze")),
        done=escape(_("Done")),
        next=escape(_("Done and follow up")),
        follow_up=escape(_("Follow up")),
        times=tuple((value, escape(str(label))) for value, label in CHOICES.items()),
    )


class _Row:
    """Draws one row."""

    def __init__(self, row: RowContent, words: _Words) -> None:
        self.row, self.words = row, words
        self.title = escape(row.title)

    def parts(self) -> tuple[str, str]:
        """One <li>: the title, the person, and whatever stands before the due time; its actions."""
        row = self.row
        look = "day-row" if row.task or row.actions else "day-row is-plain"
        before = f'<li class="{look}" data-row="{escape(row.key)}">{self._what()}<div class="day-facts">{self._facts()}'
        return before, f'</div><div class="day-acts">{self._steps()}</div></li>'

    def _what(self) -> str:
        row = self.row
        more = " · ".join(escape(each) for each in (row.number, row.person, row.note) if each)
        link = f'<a href="{escape(row.url)}" title="{self.title}" data-act="open">{self.title}</a>'
        return f'<div class="day-what">{link}<span>{more}</span></div>'

    def _facts(self) -> str:
        row = self.row
        mark = f'<span class="chip tone-violet">{escape(row.mark)}</span>' if row.mark else ""
        chip = f'<span class="chip tone-red">{icon("phone-off")}{escape(row.never)}</span>' if row.never else ""
        return f"{mark}{chip}"

    def _steps(self) -> str:
        steps = self._call() + (self._task_steps(self.row.task) if self.row.task else "")
        return steps + "".join(map(self._action, self.row.actions))

    def _call(self) -> str:
        row = self.row
        if not row.call_url:
            return "" if row.actions else '<span class="day-gap"></span>'
        words = f"{self.words.call} {escape(row.call_text or row.title)}"
        href = escape(row.call_url)
        dial = "" if href.startswith("tel:") else " data-dial"
        look = f'class="btn btn-small btn-square" data-act="call"{dial}'
        return f'<a {look} href="{href}" title="{words}" aria-label="{words}">{icon("phone")}</a>'

    def _task_steps(self, key: int) -> str:
        """One form for all actions of a task: it finishes the task; the buttons of its menu snooze it instead."""
        summary = (
            f'<summary class="btn btn-small btn-square" data-act="snooze" title="{self.words.snooze}" '
            f'aria-label="{self.words.snooze}: {self.title}">{icon("clock")}</summary>'
        )
        times = "".join(
            f'<button class="menu-item" formaction="/tasks/snooze/{key}" name="until" value="{value}">{label}</button>'
            for value, label in self.words.times
        )
        menu = f'<p class="menu-head"><span>{self.words.snooze}</span></p>{times}'
        done = _button("done", "check", self.words.done, f' aria-label="{self.words.done}: {self.title}"')
        inner = (
            f'<details class="menu" data-menu>{summary}<div class="menu-body menu-end">{menu}</div></details>'
            f"{self._follow_up(key) if self.row.has_next else ''}{done}"
        )
        return _step(f"/tasks/done/{key}", inner)

    def _follow_up(self, key: int) -> str:
        url = f"/tasks/finish/{key}"
        swap = f'hx-get="{url}" hx-target="#day-form" hx-swap="innerHTML"'
        words = f'aria-label="{self.words.next}: {self.title}"'
        text = f"{icon('repeat')}<span>{self.words.follow_up}</span>"
        return f'<a class="btn btn-small" href="{url}" {swap} data-act="next" {words}>{text}</a>'

    def _action(self, action: RowAction) -> str:
        """A step of the section: a form if it changes something, else a link."""
        name, url, label = escape(action.icon), escape(action.url), escape(action.label)
        if action.is_post:
            return _step(url, _button(name, action.icon, label))
        text = f"{icon(action.icon)}<span>{label}</span>"
        return f'<a class="btn btn-small" href="{url}" data-act="{name}">{text}</a>'


def _step(url: str, inner: str) -> str:
    return f'<form method="post" action="{url}" class="inline-form" hx-post="{url}">{_HIDDEN}{inner}</form>'


def _button(name: str, sign: str, label: str, more: str = "") -> str:
    return f'<button class="btn btn-small" data-act="{name}"{more}>{icon(sign)}<span>{label}</span></button>'
