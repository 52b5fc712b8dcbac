"""A crawler that follows the links of pages as one person, so that tests reach pages that no list names."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from werkzeug.exceptions import HTTPException

from tests.app_fixtures import Crm

#: Attributes by which pages fetch their parts.
_FETCHED = ("hx-get", "data-lookup", "data-url", "data-bell-url", "data-board-url", "data-part-url")
#: Pages of one rule that are opened; places that end or change the sign-in.
MOST_OF_A_RULE, _LEFT_OUT = 3, ("/logout", "/lang/", "/static", "/api/")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("href",) if tag == "a" else ()
        self.found += [value for name, value in attrs if value and name in (*names, *_FETCHED)]


def crawl(crm: Crm, who: str, most: int) -> dict[str, Any]:
    """Up to so many addresses that the person can open, beginning with all that take no arguments -> the answer."""
    client, adapter = crm.client(who), crm.app.url_map.bind("localhost")
    rules = [rule for rule in crm.app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments]
    todo, seen, opened, per_rule = sorted(rule.rule for rule in rules), set[str](), dict[str, Any](), Counter[str]()
    while todo and len(opened) < most:
        address = todo.pop(0).partition("#")[0]
        rule = _rule_of(adapter, address)
        if address in seen or not rule or per_rule[rule] >= MOST_OF_A_RULE:
            continue
        seen.add(address)
        answer = client.screen(address)
        assert answer.status_code < 500, address
        if answer.status_code != 200 or answer.mimetype != "text/html":
            continue
        opened[address] = answer
        per_rule[rule] += 1
        links = _Links()
        links.feed(answer.text)
        todo += [urljoin(address, each) for each in links.found]
    return opened


def _rule_of(adapter: Any, address: str) -> str:
    """The rule of an address of ours; "" for any other, and for those that are left out."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or parts.path.startswith(_LEFT_OUT):
        return ""
    try:
        return str(adapter.match(parts.path, method="GET", return_rule=True)[0].rule)
    except HTTPException:
        return ""
