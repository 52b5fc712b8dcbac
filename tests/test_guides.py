"""The guides compared with the product: jobs, shortcuts, folders."""

from __future__ import annotations

import re

from app import jobs
from app.job_runner import Every, every_minute
from tests.servers import ROOT


def when_of(job: jobs.Job) -> str:
    """When a job runs, in the words of the admin guide."""
    if job.when == every_minute:
        return "every minute"
    if isinstance(job.when, Every):
        return f"every {job.when.minutes} minutes"
    return ", ".join(f"{moment:%H:%M}" for moment in job.when.times)


def test_the_job_table_of_the_admin_guide_is_the_schedule() -> None:
    guide = (ROOT / "docs" / "admin.md").read_text()
    table = guide[guide.index("| Job | When |") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    told = {name: when.removesuffix(", during office hours") for name, when, _what in rows}
    assert told == {job.name: when_of(job) for job in jobs.SCHEDULE}


def test_the_map_of_the_readme_has_every_folder() -> None:
    readme = (ROOT / "README.md").read_text()
    chart = readme[readme.index("```text") :].partition("```\n")[0]
    told = set(re.findall(r"^[│ ]*(?:[├└]── )?(\w+)/", chart, re.M))
    hidden = {"__pycache__", "vendor", "node_modules", "instance", "mutants"}
    shown = [ROOT, ROOT / "app", ROOT / "app" / "web"]
    folders = {
        part.name
        for folder in shown
        for part in folder.iterdir()
        if part.is_dir() and not part.name.startswith(".") and part.name not in hidden
    }
    assert folders - told == set()


def test_the_readme_stays_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 3200  # details belong into the code map


def missing_files(row: str) -> list[str]:
    """The files and folders that a row of a map names and that don't exist.

    A name without folders stands for a file in the folder of the one before it.
    """
    missing, folder = [], ROOT
    for name in re.findall(r"`([\w./-]+(?:/|\.(?:py|html|js|css|md|sh|toml|conf|json|txt|svg|po)))`", row):
        path = next((base / name for base in (ROOT, folder, folder.parent) if (base / name).exists()), None)
        if path is None and "CODE" not in name:
            missing.append(name)
        elif path is not None and "/" in name:
            folder = path if path.is_dir() else path.parent
    return missing


def test_every_file_of_the_code_map_exists() -> None:
    short = (ROOT / "README.md").read_text().partition("## Where do I change")[2].partition("```text")[0]
    rows = [line for line in (ROOT / "docs" / "code-map.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 200
    rows += short.splitlines()
    assert {row[:60]: names for row in rows if (names := missing_files(row))} == {}


def missing_names(row: str) -> list[str]:
    """The names that a row gives after a file, as in `FILE`: `NAME`, and that the file doesn't contain."""
    missing = []
    for file, names in re.findall(r"`([\w/]+\.(?:py|js))`: ((?:`[\w.…]+`(?:, | and )?)+)", row):
        if not (ROOT / file).exists():
            continue  # in the folder of the file before it: the test above
        source = (ROOT / file).read_text()
        wanted = (name.rpartition(".")[2].strip("…") for name in re.findall(r"`([^`]+)`", names))
        missing += [f"{file}: {name}" for name in wanted if name and "." not in name and name not in source]
    return missing


def test_every_name_of_the_code_map_exists() -> None:
    text = (ROOT / "docs" / "code-map.md").read_text() + (ROOT / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [name for row in rows for name in missing_names(row)] == []


def test_every_topic_of_the_code_map_is_linked_at_its_head() -> None:
    head, _sep, rest = (ROOT / "docs" / "code-map.md").read_text().partition("\n## ")
    topics = re.findall(r"^## (.+)$", f"## {rest}", re.M)
    assert re.findall(r"^- \[(.+)\]\(#", head, re.M) == topics


def test_the_keys_of_the_guide_are_those_of_the_dialog() -> None:
    guide = (ROOT / "docs" / "user.md").read_text().partition("## Keyboard shortcuts")[2]
    dialog = (ROOT / "app" / "templates" / "shell" / "shortcuts.html").read_text()
    told = set(re.findall(r"\*\*(\S)\*\*", guide)) | set(re.findall(r"^\| (\w)(?:, (\w))? \|", guide, re.M)[0])
    shown = set(re.findall(r"<kbd>([A-Z?/])</kbd>", dialog))
    assert told <= shown, told - shown


def test_every_attack_of_the_threat_model_names_tests_that_exist() -> None:
    guide = (ROOT / "docs" / "threat-model.md").read_text().partition("## Attacks that are tried in tests")[2]
    table = guide.partition("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "| Tests |" not in line]
    named = [re.findall(r"`([\w/.]+): (test_\w+)`", row) for row in rows]
    assert len(rows) > 25 and all(named)
    missing = [
        f"{file}: {name}"
        for pairs in named
        for file, name in pairs
        if not re.search(rf"^(async )?def {name}\(", (ROOT / "tests" / file).read_text(), re.M)
    ]
    assert missing == []
