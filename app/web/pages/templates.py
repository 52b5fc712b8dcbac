"""Jinja for the pages: a template is compiled once per language, with its texts, icons and URLs filled in.

`{{ _('Save') }}`, `{{ icon('plus') }}` and `{{ static_url('css/crm.css') }}` are the same in every response of a
language, so the compiled template contains their text. Only calls whose arguments are known at compile time are filled
in; everything else works as in any Jinja template. See docs/decisions/0043.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask.templating import Environment
from jinja2 import Template, nodes
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from jinja2.utils import LRUCache
from jinja2.visitor import NodeTransformer

from app.web.core.localization.languages import language_key

#: Compiled templates per language; we and FAB have about 200.
CACHE_SIZE = 400
_HANDED_ON = re.compile(r"^( *)yield from (.+)$", re.MULTILINE)
_RUNTIME = re.compile(r"^from jinja2\.runtime import .+$", re.MULTILINE)
_INDENT = re.compile(r"\n\s+")
#: In Jinja `{{ x.items }}` and so on mean the method, even if the dictionary has such a key.
_DICT_METHODS = frozenset(dir(dict))


class PageTemplate(Template):
    """A compiled template."""

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        """What a template finds that imports this one without its context.

        Jinja looks up each of the hundred globals in those of this template, by six calls each, with every import.
        """
        if ctx is not None and not ctx.globals_keys.difference(self.globals):
            ctx = None  # the importing template has no globals of its own
        return super()._get_default_module(ctx)


class PageEnvironment(Environment):
    """Flask's environment, with a cache of compiled templates for each language."""

    template_class = PageTemplate
    #: Name of a global function -> the function whose result replaces calls with constant arguments.
    constants: dict[str, Callable[..., Any]]

    def __init__(self, app: Any, **options: Any) -> None:
        self.constants = {}
        self._caches: dict[Any, LRUCache] = {}
        super().__init__(app, **options)

    @property  # type: ignore[override]
    def cache(self) -> LRUCache:
        """The compiled templates of the language of this response."""
        language = language_key()
        if language not in self._caches:
            self._caches[language] = LRUCache(CACHE_SIZE)
        return self._caches[language]

    @cache.setter
    def cache(self, _made: Any) -> None:
        self._caches = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`; for dictionaries the key is tried first, because most templates want it."""
        if type(obj) is dict and attribute not in _DICT_METHODS:
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def preprocess(self, source: str, name: str | None = None, filename: str | None = None) -> str:
        """The source of a page without its indentation; line breaks stay."""
        text = super().preprocess(source, name, filename)
        return _INDENT.sub("\n", text) if (name or "").endswith(".html") else text

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        """The Python code of a template, which passes on blocks, parents and includes in one piece.

        Otherwise each of a page's 800 pieces would pass through all the templates that extend each other. Values are
        escaped into plain strings: all pieces are joined at once.
        """
        made = _HANDED_ON.sub(r"\1yield concat(\2)", super()._generate(source, name, filename, defer_init))
        return _RUNTIME.sub(r"\g<0>; from app.lib.html_escape import escape", made, count=1)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if not (name or "").endswith(".html"):
            return super()._parse(source, name, filename)
        parsed = self.filled_in(source, name, filename)
        # In debug mode a changed file is compiled anew, which only the template that it belongs to notices.
        return parsed if self.auto_reload else _PutIn(self, frozenset((name,))).visit(parsed)

    def filled_in(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """A template's syntax tree, with the text of all calls that are known when it is compiled."""
        return _FillIn(self.constants).visit(super()._parse(source, name, filename))


class _FillIn(NodeTransformer):
    """Replaces calls with constant arguments by their text."""

    def __init__(self, constants: dict[str, Callable[..., Any]]) -> None:
        self.constants = constants

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        """Called by Jinja's visitor for each call in a template."""
        call = self.generic_visit(node)
        function = self.constants.get(getattr(node.node, "name", ""))
        if function is None or node.dyn_args or node.dyn_kwargs:
            return call
        try:
            given = [each.as_const() for each in node.args]
            named = {each.key: each.value.as_const() for each in node.kwargs}
        except nodes.Impossible:
            return call
        return nodes.TemplateData(str(function(*given, **named)), lineno=node.lineno)


class _PutIn(NodeTransformer):
    """Replaces includes of constant names by what they include, each in a scope of its own.

    Otherwise each would copy all variables into a new context. Templates with blocks stay apart.
    """

    def __init__(self, pages: PageEnvironment, within: frozenset[str | None]) -> None:
        #: `within`: the templates that this place belongs to, for one that includes itself.
        self.pages, self.within = pages, within

    def visit_Include(self, node: nodes.Include) -> nodes.Node:
        """Called by Jinja's visitor for each include in a template."""
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        is_usual = node.with_context and not node.ignore_missing and self.pages.loader is not None
        if not isinstance(name, str) or not name.endswith(".html") or not is_usual or name in self.within:
            return node
        source, filename, _is_current = self.pages.loader.get_source(self.pages, name)  # type: ignore[union-attr]
        parsed = self.pages.filled_in(source, name, filename)
        if parsed.find(nodes.Block) is not None or parsed.find(nodes.Extends) is not None:
            return node
        return nodes.Scope(_PutIn(self.pages, self.within | {name}).visit(parsed).body, lineno=node.lineno)
