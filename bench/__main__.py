"""python -m bench [--leads 200000 | --scale full] [--seconds 5] [--rounds 2] [--only TEXT] [--keep]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import backups, compat, engine, keys, plans, run, sync
from bench.data_sizes import SCALES
from bench.measured_versions import Options


def main() -> int:
    """Read the command line and measure. Returns 1 when something failed."""
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the product. See bench/README.md.")
    parser.add_argument("--leads", type=int, default=defaults.leads, help="leads; everything else in proportion")
    parser.add_argument(
        "--scale",
        choices=sorted(SCALES),
        default=defaults.scale,
        help="years of work: full = 1 M leads, 5 M calls, 20 M timeline entries",
    )
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of each single measurement")
    parser.add_argument("--rounds", type=int, default=defaults.rounds, help="how often ours and baseline take turns")
    parser.add_argument("--workers", type=int, default=defaults.workers, help="gunicorn processes")
    parser.add_argument("--threads", type=int, default=defaults.threads, help="threads in each of them")
    parser.add_argument("--only", default=defaults.only, help="only operations with this in their name or person")
    parser.add_argument("--against", default=defaults.against, help="a commit to measure in turn with this version")
    parser.add_argument("--results", type=Path, default=defaults.results, help="where to write the page of results")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run: logs, written data")
    options = Options(**vars(parser.parse_args()))
    if options.only.startswith(engine.PREFIX.strip(" :")):
        return 1 if engine.measure(options) else 0
    if options.only == sync.PREFIX:
        return sync.measure(options)
    if options.only == compat.PREFIX:
        return compat.measure(options)
    if options.only == backups.PREFIX:
        return backups.measure(options)
    if options.only == keys.PREFIX:
        return keys.measure(options)
    if options.only == plans.PREFIX:
        return plans.measure(options)
    return 1 if run.run(options) else 0


if __name__ == "__main__":
    sys.exit(main())
