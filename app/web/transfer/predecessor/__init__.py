"""The migration of data from the predecessor, called “the former system” on pages: exports become records with history.

bundle.py: the files. row_documents.py: the rows of a file. source_rows.py: all rows, file by file. doctypes.py: the
imported DocTypes, and their fields. values.py: dates, HTML, lists. import_context.py: what all rows share. records.py,
contacts.py, calls.py, history.py, status_log.py: converting rows. worker.py: the worker, some rows per transaction.
import_kind.py: permissions. pages.py: matching people. display.py: the figures. The command:
app/commands/predecessor_import.py.
"""
