"""Folds entries: everything that a person did in one save becomes one entry, and so does a run of their changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

Entry = dict[str, Any]


def fold(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, newest first, with those of one save merged; `act`: author and time, equal within one save."""
    folded: list[Entry] = []
    for _act, group in groupby(entries, key=lambda entry: entry["act"]):
        folded += _fold_act(list(group))
    return folded


def fold_runs(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with consecutive field changes of one person merged into one expandable entry: `folded`."""
    made: list[Entry] = []
    for run, group in groupby(entries, key=_run_of):
        found = list(group)
        made += [_fold_run(found)] if run is not None and len(found) > 1 else found
    return made


def _run_of(entry: Entry) -> Any:
    """The key of a run: author and record of a field change; None for other entries."""
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
    """Merge the first assignment and task into a creation, and the fields and tasks of a form into its new status."""
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


#: The particle at the beginning of a headline in Hindi, Gujarati and Marathi.
_PARTICLE = re.compile("^(?:ने|એ|यांनी) ")


def _join(lead: Entry, joined: list[Entry]) -> Entry:
    """The leading entry with the headlines of the others, and their changes below."""
    headlines = [str(lead["headline"])]
    headlines += [
        str(entry["headline"]) for entry in joined if entry["kind"] != "field_change" and not entry["is_silent"]
    ]
    changes = [change for entry in joined for change in entry["changes"]] if lead["kind"] == "status_change" else []
    texts = {str(lead["body"] or "")}
    kept = [change for change in changes if str(change.get("new")) not in texts]
    return lead | {"headline": _sentence(headlines), "changes": [*lead["changes"], *kept]}


def _sentence(parts: list[str]) -> str:
    """“a”, “a and b”, “a, b and c”. The particle after the person's name appears once."""
    if len(parts) == 1:
        return parts[0]
    parts = [parts[0], *(_PARTICLE.sub("", part) for part in parts[1:])]
    return _("%(first)s and %(last)s", first=", ".join(parts[:-1]), last=parts[-1])
