"""Packages that are imported with their first use, by several threads at once."""

from __future__ import annotations

import os

from tests import forked_programs

#: Files are read and written by twelve threads before the process has loaded what that takes.
PROGRAM = """
import io, sys, threading, zipfile
from app.domain.files import spreadsheet_files
from app.domain.base import RuleBroken
from app.web.dashboards import call_export

sys.setswitchinterval(1e-5)
assert "openpyxl" not in sys.modules
target = io.BytesIO()
with zipfile.ZipFile(target, "w") as made:
    made.writestr("xl/workbook.xml", "<workbook/>")
gate, faults = threading.Barrier(12), []


def use(number):
    gate.wait()
    try:
        if number < 10:
            spreadsheet_files.headers(io.BytesIO(target.getvalue()), spreadsheet_files.Dialect("xlsx"))
        else:
            call_export.as_xlsx([["a", 1]])
    except RuleBroken:
        pass
    except Exception as error:
        faults.append(repr(error))


threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(faults)
"""


def test_threads_that_load_a_package_at_once_do_not_wait_for_each_other() -> None:
    for _number in range(6):
        done = forked_programs.run(["-c", PROGRAM], dict(os.environ))
        assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
