"""Style sheets: a change of a page makes browsers look at few of its elements."""

from __future__ import annotations

import re
from pathlib import Path

from tests.servers import ROOT

STATIC = ROOT / "app" / "static"
SHEETS = [*sorted(STATIC.glob("css/*.css")), STATIC / "vendor" / "base.css"]


def parts(text: str, signs: str) -> list[str]:
    """The text, split at these signs where they aren't in parentheses or brackets."""
    found, depth = [""], 0
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if sign in signs and not depth:
            found.append("")
        else:
            found[-1] += sign
    return [each.strip() for each in found if each.strip()]


def selectors(sheet: Path) -> list[str]:
    """Of all rules, without what is in quotes."""
    text = re.sub(r'/\*.*?\*/|"[^"]*"', "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [each for prelude in re.findall(r"([^{};]+)\{", text) for each in parts(prelude, ",")]


def looks_at_everything(selector: str) -> bool:
    """Whether `:has()` decides of elements further down that are told by no tag, class, id or attribute.

    Whenever anything on a page changes, a browser then computes the styles of all its elements anew: 20 ms for a list.
    """
    *above, last = parts(selector, " >+~\n")
    own = re.sub(r":(?!is)[\w:-]+(\(.*?\))*", "", last)
    return any(":has(" in each for each in above) and own in ("", "*")


def test_what_the_test_finds() -> None:
    for found in (".a:has(.b) > *", ".a:not(:has(> .b))>:last-child", "body:has(.b) *:hover::before"):
        assert looks_at_everything(found), found
    for fine in (".a:has(.b) > td", ".a:has(> *) .b:hover", ".a > *", ".a > :not(:has(*))", ".a:has(b) > :is(td, th)"):
        assert not looks_at_everything(fine), fine


def test_no_rule_makes_a_browser_look_at_the_whole_page() -> None:
    told = {sheet.name: selectors(sheet) for sheet in SHEETS}
    assert sum(":has(" in each for every in told.values() for each in every) > 100
    assert [(name, each) for name, every in told.items() for each in every if looks_at_everything(each)] == []
