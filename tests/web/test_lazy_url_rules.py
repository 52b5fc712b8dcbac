"""URL rules that are compiled on first use build the same URLs as werkzeug's."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.routing import Map, Rule

from app.web.core.urls.lazy_url_rules import LazyRule, _undisturbed


def bound(rule: LazyRule, converters: Any) -> Rule:
    """An ordinary rule for the same addresses."""
    plain = Rule(rule.rule, endpoint=rule.endpoint, defaults=rule.defaults)
    Map([plain], converters=converters)
    return plain


def test_rules_share_equal_parts(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if isinstance(rule, LazyRule)]
    for rule in rules:
        plain = _undisturbed(lambda rule=rule: bound(rule, app.url_map.converters))
        assert rule._parts == plain._parts, rule
    parts = [part for rule in rules for part in rule._parts]
    assert len({id(part) for part in parts}) < len(parts) / 10


def test_every_address_is_built_as_by_an_ordinary_rule(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if isinstance(rule, LazyRule)]
    assert len(rules) > 300
    for rule in rules:
        plain = _undisturbed(lambda rule=rule: bound(rule, app.url_map.converters))
        sent = {name: next(iter(getattr(kind, "items", [7]))) for name, kind in rule._converters.items()} | {"q": "a b"}
        for append_unknown in (True, False):
            for _ in range(2):  # compiled, then used again
                assert rule.build(sent, append_unknown) == plain.build(sent, append_unknown) is not None, rule
