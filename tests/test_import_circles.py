"""No modules of app/ need each other in a circle, not even by imports inside functions or for types alone.

`make check` finds circles between layers and folders; this finds those within a layer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from tests.servers import ROOT

Imports = Mapping[str, set[str]]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(tree: ast.AST) -> Iterator[str]:
    """What a module imports of app, wherever the import stands: `app.lib.phone`, `app.lib.phone.normalize`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{each.name}" for each in node.names)


def imports_of(folder: Path) -> Imports:
    """Module -> the modules that it imports."""
    sources = {name_of(path): path.read_text() for path in folder.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, source in sources.items():
        wanted = set(imported_names(ast.parse(source)))
        # `from app.lib import phone` names a module, `from app.lib.phone import normalize` something in one.
        modules = {each if each in sources else each.rpartition(".")[0] for each in wanted}
        found[name] = modules & sources.keys() - {name}
    return found


def a_circle(imports: Imports) -> list[str]:
    """The modules of a circle, each imported by the one before it, the first again at the end; empty = none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return [*reversed(error.args[1])]
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = imports_of(ROOT / "app")
    assert len(imports) > 900 and "app.lib.phone" in imports["app.domain.customers"]
    assert a_circle(imports) == []


def test_a_circle_is_found_in_functions_and_in_imports_for_types() -> None:
    tree = ast.parse("if TYPE_CHECKING:\n    from app.a import A\ndef f():\n    from app import b\n    import app.c")
    assert {*imported_names(tree)} == {"app.a.A", "app.b", "app.c"}
    imports = {"app.a": {"app.b"}, "app.b": {"app.c"}, "app.c": {"app.a", "app.d"}, "app.d": set()}
    circle = a_circle(imports)
    assert {*circle} == {"app.a", "app.b", "app.c"}
    assert all(second in imports[first] for first, second in pairwise(circle))
