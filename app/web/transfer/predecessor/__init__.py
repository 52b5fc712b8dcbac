"""The migration of data from the predecessor, called “the former system” on pages: exports become records with history.

bundle.py: the files. row_documents.py: the rows of a file. source_rows.py: all rows, file by file. doctypes.py: which
DocTypes come in, and their fields. values.py: dates, HTML, lists. import_context.py: what all rows share. records.py,
contacts.py, calls.py, history.py, status_log.py: what a row becomes. worker.py: the worker, some rows in each
transaction. import_kind.py: who may import. pages.py: matching people. display.py: the figures. The command:
app/commands/predecessor_import.py.
"""
