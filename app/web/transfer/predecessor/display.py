"""A move on its page and in the command: figures per kind, files that were left out, people who aren't users."""

from __future__ import annotations

from typing import Any

from app.domain.files.export_and_import_runs import ImportRun
from app.lib.digit_grouping import grouped
from app.web.transfer.predecessor.worker import RESULTS, people_of


def page(run: ImportRun) -> dict[str, Any]:
    """Figures by kind, files, people."""
    payload = run.payload
    is_trial = run.outcome in ("checking", "checked")
    kinds = payload.get("checked" if run.outcome == "checked" else "kinds") or {}
    people = (payload.get("strangers") if run.outcome == "checked" else None) or people_of(payload)
    return {
        "kinds": [
            {"name": name, "figures": [grouped(figures.get(each, 0)) for each in RESULTS]}
            for name, figures in kinds.items()
        ],
        "left": [each for each in payload.get("files") or () if each["why"]],
        "people": [(email, grouped(number)) for email, number in list(people.items())[:200]],
        "is_trial": is_trial,
    }


def lines(run: ImportRun) -> list[str]:
    """The figures of `page` as lines of text."""
    shown = page(run)
    found = [f"{'':24}{'new':>10}{'skipped':>10}{'wrong':>10}{'remarks':>10}"]
    found += [f"{each['name']:24}" + "".join(f"{text:>10}" for text in each["figures"]) for each in shown["kinds"]]
    found += [f"left out: {each['name']}: {each['why']}" for each in shown["left"]]
    found += [f"no user has the address {email} ({number} times)" for email, number in shown["people"]]
    return found
