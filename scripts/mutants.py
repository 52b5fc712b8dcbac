"""Mutation testing of app/domain and app/access, for developers: changes one thing at a time, expects a test to fail.

`make mutants ARGS="app/domain/working_time/sla.py --sample 40"`: files or folders; without any, all of both packages.
With `--sample`, so many random mutants of each file, always the same ones for a `--seed`. Prints figures per file and
the survivors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("app/domain", "app/access")
#: mutmut's exit codes of tests that detected the mutant: failed, ended with an error, or timed out. A killed process
#: isn't one of them, because it may have been interrupted.
KILLED = {1, 3, 24, -24, 36, 152, 255}
MUTMUT = str(Path(sys.executable).with_name("mutmut"))


def main() -> int:
    """Run the chosen mutants. Returns 1 if some survive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=PACKAGES, help="files or folders of app/domain and app/access")
    parser.add_argument("--sample", type=int, metavar="N", help="so many random mutants of each file")
    parser.add_argument("--seed", type=int, default=7, help="another seed chooses another sample")
    parser.add_argument("--diffs", action="store_true", help="show the change of each survivor")
    options = parser.parse_args()
    os.chdir(ROOT)
    found = {path: names for path in files(options.paths) if (names := names_in(path))}
    if options.sample is not None:
        found = {path: sample(names, options.sample, options.seed) for path, names in found.items()}
    names = [name for of_file in found.values() for name in of_file]
    if not names or subprocess.run([MUTMUT, "run", "--max-children", "1", *names]).returncode:  # noqa: S603
        print("No mutants were tested.", file=sys.stderr)
        return 2
    survivors = report(found)
    if options.diffs:
        for name in survivors:
            subprocess.run([MUTMUT, "show", name])  # noqa: S603
    return bool(survivors)


def files(paths: Iterable[str]) -> Iterator[Path]:
    """The Python files of these paths, relative to the checkout."""
    for path in map(Path, paths):
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def names_in(path: Path) -> list[str]:
    """The names of the mutants of this file, as mutmut numbers them, without those of user-visible texts."""
    from mutmut.mutation.file_mutation import create_mutations, mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    source = path.read_text("utf-8")
    names = mutate_file_contents(str(path), source).mutant_names
    changed = [each.original_node for each in create_mutations(str(path), source)[1] if _is_in_function(each)]
    logic = [name for name, node in zip(names, changed, strict=True) if not is_text(node)]
    return [get_mutant_name(path, name).replace("__init__.", "") for name in logic]


def _is_in_function(mutation: Any) -> bool:
    return type(mutation.contained_by_top_level_function).__name__ == "FunctionDef"


def is_text(node: Any) -> bool:
    """Whether the node is a user-visible string: four words or more."""
    value = getattr(node, "value", "")
    return isinstance(value, str) and value[:1] in ("'", '"') and len(value.split()) >= 4


def sample(names: list[str], size: int, seed: int) -> list[str]:
    """`size` of these names, or all if there are fewer; the same ones for the same seed."""
    return names if size >= len(names) else random.Random(seed).sample(names, size)  # noqa: S311


def report(found: dict[Path, list[str]]) -> list[str]:
    """Print figures per file and the names of the survivors, which are returned."""
    survivors: list[str] = []
    print(f"\n{'file':40}{'tested':>8}{'killed':>8}{'share':>7}")
    for path, names in found.items():
        codes = json.loads((Path("mutants") / f"{path}.meta").read_text("utf-8"))["exit_code_by_key"]
        alive = [name for name in names if codes.get(name) not in KILLED]
        killed = len(names) - len(alive)
        print(f"{path!s:40}{len(names):8}{killed:8}{killed / len(names):7.0%}")
        survivors += alive
    for name in survivors:
        print(f"  survives: {name}")
    return survivors


if __name__ == "__main__":
    sys.exit(main())
