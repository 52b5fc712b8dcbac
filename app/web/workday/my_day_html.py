"""The rows of My day as HTML, without a template, because the page consists mostly of them.

Each action is a form of its own, so that it works without JavaScript too; htmx swaps `#day`: the forms inherit target
and swap style from it (workday/_my_day.html).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.core.localization.languages import language_key
from app.web.pages.widgets import cell_html, csrf, icon

Row = Mapping[str, Any]


def rows_html(rows: Sequence[Row]) -> Markup:
    """The <li> elements of a section's rows, see my_day_rows."""
    drawn = _Rows(_words(language_key()))
    return Markup("\n".join(map(drawn.row, rows)))


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
    offered = (("15m", _("15 minutes")), ("1h", _("1 hour")), ("tomorrow", _("Tomorrow, 9:00")))
    return _Words(
        call=escape(_("Call")),
        snooze=escape(_("Snooze")),
        done=escape(_("Done")),
        next=escape(_("Done and follow up")),
        follow_up=escape(_("Follow up")),
        times=tuple((value, escape(label)) for value, label in offered),
    )


class _Rows:
    """What all rows share."""

    def __init__(self, words: _Words) -> None:
        self.hidden = f'{csrf()}<input type="hidden" name="came_from" value="day">'
        self.words = words

    def row(self, row: Row) -> str:
        """One <li>: the title, the person, the due time; and its actions."""
        look = "day-row" if row["task"] or row["actions"] else "day-row is-plain"
        return (
            f'<li class="{look}" data-row="{escape(row["key"])}">{self._what(row)}{self._facts(row)}'
            f'<div class="day-acts">{self._steps(row)}</div></li>'
        )

    def _what(self, row: Row) -> str:
        title = escape(str(row["title"]))
        more = " · ".join(escape(str(row[name])) for name in ("number", "person", "note") if row.get(name))
        link = f'<a href="{escape(row["url"])}" title="{title}" data-act="open">{title}</a>'
        return f'<div class="day-what">{link}<span>{more}</span></div>'

    def _facts(self, row: Row) -> str:
        mark = f'<span class="chip tone-violet">{escape(row["mark"])}</span>' if row["mark"] else ""
        never = (row["call"] or {}).get("never")
        chip = f'<span class="chip tone-red">{icon("phone-off")}{escape(never)}</span>' if never else ""
        return f'<div class="day-facts">{mark}{chip}{cell_html(row.get("due"))}</div>'

    def _steps(self, row: Row) -> str:
        steps = self._call(row) + (self._task_steps(row) if row["task"] else "")
        return steps + "".join(map(self._action, row["actions"]))

    def _call(self, row: Row) -> str:
        if not (row["call"] or {}).get("url"):
            return "" if row["actions"] else '<span class="day-gap"></span>'
        words = f"{self.words.call} {escape(row['call']['text'] or row['title'])}"
        href = escape(row["call"]["url"])
        dial = "" if href.startswith("tel:") else " data-dial"
        look = f'class="btn btn-small btn-square" data-act="call"{dial}'
        return f'<a {look} href="{href}" title="{words}" aria-label="{words}">{icon("phone")}</a>'

    def _task_steps(self, row: Row) -> str:
        """One form for all actions of a task: it finishes the task; the buttons of its menu snooze it instead."""
        key, title = int(row["task"]), escape(str(row["title"]))
        summary = (
            f'<summary class="btn btn-small btn-square" data-act="snooze" title="{self.words.snooze}" '
            f'aria-label="{self.words.snooze}: {title}">{icon("clock")}</summary>'
        )
        times = "".join(
            f'<button class="menu-item" formaction="/tasks/snooze/{key}" name="until" value="{value}">{label}</button>'
            for value, label in self.words.times
        )
        menu = f'<p class="menu-head"><span>{self.words.snooze}</span></p>{times}'
        done = self._button("done", "check", self.words.done, f' aria-label="{self.words.done}: {title}"')
        inner = (
            f'<details class="menu" data-menu>{summary}<div class="menu-body menu-end">{menu}</div></details>'
            f"{self._follow_up(key, title) if row['next'] else ''}{done}"
        )
        return self._step(f"/tasks/done/{key}", inner)

    def _follow_up(self, key: int, title: str) -> str:
        url = f"/tasks/finish/{key}"
        swap = f'hx-get="{url}" hx-target="#day-form" hx-swap="innerHTML"'
        words = f'aria-label="{self.words.next}: {title}"'
        text = f"{icon('repeat')}<span>{self.words.follow_up}</span>"
        return f'<a class="btn btn-small" href="{url}" {swap} data-act="next" {words}>{text}</a>'

    def _action(self, action: Mapping[str, Any]) -> str:
        """A step of the section: a form if it changes something, else a link."""
        name, url, label = escape(action["icon"]), escape(action["url"]), escape(str(action["label"]))
        if action.get("method") == "post":
            return self._step(url, self._button(name, action["icon"], label))
        text = f"{icon(action['icon'])}<span>{label}</span>"
        return f'<a class="btn btn-small" href="{url}" data-act="{name}">{text}</a>'

    def _step(self, url: str, inner: str) -> str:
        return f'<form method="post" action="{url}" class="inline-form" hx-post="{url}">{self.hidden}{inner}</form>'

    @staticmethod
    def _button(name: str, sign: str, label: str, more: str = "") -> str:
        return f'<button class="btn btn-small" data-act="{name}"{more}>{icon(sign)}<span>{label}</span></button>'
