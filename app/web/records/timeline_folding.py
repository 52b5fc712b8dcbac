"""One line for one act: what a person did in one save reads as one entry, and a run of their changes as one, too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

Entry = dict[str, Any]


def fold(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, newest first, with those of one act as one; `act`: who did it and when, equal within one save."""
    folded: list[Entry] = []
    for _act, group in groupby(entries, key=lambda entry: entry["act"]):
        folded += _fold_act(list(group))
    return folded


def fold_runs(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with consecutive field changes of one person as one, which opens to show each: `folded`."""
    made: list[Entry] = []
    for run, group in groupby(entries, key=_run_of):
        found = list(group)
        made += [_fold_run(found)] if run is not None and len(found) > 1 else found
    return made


def _run_of(entry: Entry) -> Any:
    """Who changed fields of which record; None for what is no such change, which joins nothing."""
    if entry["kind"] != "field_change":
        return None
    return (entry["act"][1], entry.get("of"))


def _fold_run(run: list[Entry]) -> Entry:
    return run[0] | {"headline": changes_headline(run), "folded": run, "changes": []}


def changes_headline(run: list[Entry]) -> str:
    """“changed Source”, “changed 4 fields” of field changes, a field that was changed twice counted once."""
    labels = list(dict.fromkeys(str(change["label"]) for entry in run for change in entry["changes"]))
    if len(labels) == 1:
        return _("changed %(names)s", names=labels[0])
    return ngettext("changed %(num)s field", "changed %(num)s fields", len(labels))


def _fold_act(group: list[Entry]) -> list[Entry]:
    """A creation takes in the first assignment and task; a new status takes in the fields and tasks of its form."""
    lead = next((entry for entry in group if entry["kind"] == "system" and entry["what"] == "created"), None)
    kinds = {"assignment", "task"}
    if lead is None:
        lead = next((entry for entry in group if entry["kind"] == "status_change"), None)
        kinds = {"field_change", "task"}
    if lead is None:
        return group
    joined = [entry for entry in reversed(group) if entry is not lead and entry["kind"] in kinds]
    if not joined:
        return group
    return [_join(lead, joined) if entry is lead else entry for entry in group if entry not in joined]


#: With which a headline begins in Hindi, Gujarati and Marathi.
_PARTICLE = re.compile("^(?:ने|એ|यांनी) ")


def _join(lead: Entry, joined: list[Entry]) -> Entry:
    """The leading entry with the headlines of the others, and their changes below."""
    said = [str(lead["headline"])]
    said += [str(entry["headline"]) for entry in joined if entry["kind"] != "field_change" and not entry["is_silent"]]
    changes = [change for entry in joined for change in entry["changes"]] if lead["kind"] == "status_change" else []
    texts = {str(lead["body"] or "")}
    kept = [change for change in changes if str(change.get("new")) not in texts]
    return lead | {"headline": _sentence(said), "changes": [*lead["changes"], *kept]}


def _sentence(parts: list[str]) -> str:
    """“a”, “a and b”, “a, b and c”. The particle after the person's name stands once."""
    if len(parts) == 1:
        return parts[0]
    parts = [parts[0], *(_PARTICLE.sub("", part) for part in parts[1:])]
    return _("%(first)s and %(last)s", first=", ".join(parts[:-1]), last=parts[-1])
