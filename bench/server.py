"""The servers of the benchmark: a private MariaDB with a cached data folder, the product, and the baseline."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import create_engine

from bench import generate
from tests.servers import ROOT, LiveServer, MariaDB, Server, ServerFailed

DATABASE = "crm"
#: CRM_FIELD_KEY of everything that is measured, so that each run can read the data that an earlier one has made.
FIELD_KEY = "A" * 43 + "="
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eshin-crm-bench"
_BOTH = ("--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--local-infile=1", "--tmp-table-size=64M")
#: While filling, a crash does not matter, and indexes are sorted in large pieces; while measuring, every commit is
#: written to disk, as in production.
FILLING = (
    *(*_BOTH, "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-buffer-pool-size=2G"),
    *("--innodb-sort-buffer-size=32M", "--innodb-io-capacity=4000", "--innodb-io-capacity-max=8000"),
    "--innodb-fill-factor=80",  # as in deploy/mariadb/crm.cnf
)
MEASURING = (*_BOTH, "--innodb-flush-log-at-trx-commit=1")


class Database(MariaDB):
    """A MariaDB that keeps its data folder when it stops."""

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._socket_folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """CRM_DATABASE_URL of its database."""
        return self.url(DATABASE)


class Product(LiveServer):
    """The product as an operator starts it, with this number of processes and threads."""

    #: It starts as an operator's does, and `source` may be an earlier version.
    is_preloaded = False

    def __init__(self, folder: Path, database: str, workers: int, threads: int, counting: bool = False) -> None:
        super().__init__(
            folder,
            CRM_DATABASE_URL=database,
            CRM_FIELD_KEY=FIELD_KEY,
            CRM_WORKERS=str(workers),
            CRM_THREADS=str(threads),
            CRM_COUNT_SQL="1" if counting else "0",
            CRM_API_LIMIT="off",
            CRM_API_WRITE_LIMIT="off",
        )


class Baseline(Server):
    """bench/baseline.py under the same gunicorn settings."""

    def __init__(self, folder: Path, database: Database, workers: int, threads: int) -> None:
        super().__init__(folder)
        self.database, self.workers, self.threads = database, workers, threads
        #: The recordings that it replays, see bench/statement_recording.py.
        self.replay = folder.parent / "replay.json"

    def command(self) -> Sequence[str]:
        return (
            *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--bind", f"127.0.0.1:{self.port}"),
            *("--workers", str(self.workers), "--threads", str(self.threads), "--keep-alive", "5", "--preload"),
            "bench.baseline:app",
        )

    def environment(self) -> Mapping[str, str]:
        return (
            os.environ
            | {"FLOOR_PORT": str(self.database.port), "FLOOR_DATABASE": DATABASE}
            | {"FLOOR_REPLAY": str(self.replay)}
        )

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def filled_data_folder(sizes: generate.Sizes) -> tuple[Path, dict[str, float]]:
    """A data folder filled to these sizes, and the time it took ({} when it was cached).

    A cached one of an older schema is migrated, which takes minutes where filling it again would take an hour.
    """
    ready = CACHE / _key(sizes)
    if (ready / "data").exists() and _is_migrated(ready):
        return ready / "data", {}
    partial = ready.with_suffix(".half")
    for old in CACHE.glob(f"filled-{_shape(sizes)}-*"):  # of another generator or schema, or incomplete; a GB each
        shutil.rmtree(old, ignore_errors=True)
    refuse_full_disk(sizes)
    with Database(partial, CACHE / "empty", *FILLING) as server:
        server.create_database(DATABASE)
        start = time.monotonic()
        migrate(server.address, partial / "instance")
        migrated = time.monotonic()
        counts = generate.fill(create_engine(server.address), sizes)
        took = {"migrate": migrated - start, "fill": time.monotonic() - migrated, "rows": sum(counts.values())}
    (partial / _MIGRATIONS).write_text(json.dumps(_migrations()))
    partial.rename(ready)
    return ready / "data", took


#: The file in a data folder that lists the migrations of its schema.
_MIGRATIONS = "migrations.json"


def _is_migrated(folder: Path) -> bool:
    """Whether a filled data folder has this version's schema; it gets the migrations that it lacks.

    False if it has others, such as those of another branch.
    """
    listed, wanted = folder / _MIGRATIONS, _migrations()
    known = json.loads(listed.read_text()) if listed.exists() else {"": ""}
    if known == wanted:
        return True
    if not known.items() <= wanted.items():
        return False
    listed.unlink()  # so that one that is cut off here is filled again
    print(f"  migrating {shown(folder)}", flush=True)
    with Database(folder, CACHE / "empty", *FILLING) as server:
        command = (sys.executable, "-m", "flask", "--app", "run", "db", "upgrade", "heads")
        subprocess.run(command, cwd=ROOT, env=os.environ | _settings(server.address, folder / "instance"), check=True)
    listed.write_text(json.dumps(wanted))
    return True


def _migrations() -> dict[str, str]:
    """File of each migration -> what identifies its content."""
    files = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest()[:16] for each in files}


def shown(path: Path) -> str:
    """A path to be printed: output is quoted in pages, which name nobody's folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def copy_data(data: Path, folder: Path) -> None:
    """Copy the data folder, because a run changes its rows."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(data, folder / "data")


def migrate(url: str, instance: Path) -> None:
    """Create schema, lists and roles by the migrations."""
    import config
    from run import fit_schema

    fit_schema(config.load(_settings(url, instance)))


def _settings(url: str, instance: Path) -> dict[str, str]:
    return {
        "CRM_DATABASE_URL": url,
        "CRM_FIELD_KEY": FIELD_KEY,
        "CRM_INSTANCE_DIR": str(instance),
        "CRM_SCHEDULER": "off",
    }


def _key(sizes: generate.Sizes) -> str:
    """Identifies the rows of a data folder: sizes and generator."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(sizes)).encode())
    for name in ("generate.py", "rows.py", "data_sizes.py", "columns.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return f"filled-{_shape(sizes)}-{digest.hexdigest()[:12]}"


def _shape(sizes: generate.Sizes) -> str:
    """The part of a folder's name by which an older one of the same sizes is found."""
    return str(sizes.leads) if sizes == generate.Sizes.of(sizes.leads) else f"years-{sizes.leads}"


def refuse_full_disk(sizes: generate.Sizes) -> None:
    """State the disk space for the data: the cached folder, and the copy that a run changes. Raises ServerFailed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept, copied = shutil.disk_usage(CACHE).free, shutil.disk_usage(tempfile.gettempdir()).free
    need = sizes.disk
    place = shown(CACHE)
    print(f"  the data takes about {need / 1e9:.1f} GB in {place}, and as much again while it is measured", flush=True)
    is_same = os.stat(CACHE).st_dev == os.stat(tempfile.gettempdir()).st_dev
    if kept < need * (2 if is_same else 1) or copied < need:
        raise ServerFailed(
            f"The data needs {need / 1e9:.1f} GB twice, and {min(kept, copied) / 1e9:.1f} GB are free. "
            "Nothing was made. Free some space, point XDG_CACHE_HOME and TMPDIR to a larger disk, or take a smaller "
            "--scale or --leads."
        )


def memory(pid: int) -> list[int]:
    """Resident memory in MB of a process and all its descendants, itself first."""
    pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid)]
    return [count * os.sysconf("SC_PAGE_SIZE") // 1_048_576 for count in pages]


def proportional_memory(pid: int) -> float:
    """Memory in MB of a process and its descendants, shared pages divided among those that share them (PSS)."""
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in family(pid)]
    lines = [line for text in rollups for line in text.splitlines() if line.startswith("Pss:")]
    return sum(int(line.split()[1]) for line in lines) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its living descendants have used."""
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all its descendants, itself first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop(0)
        found.append(each)
        waiting += parents.get(each, [])
    return found


def scratch() -> Path:
    """A temporary folder for one run."""
    return Path(tempfile.mkdtemp(prefix="crm-bench-"))
