"""The migration of data from the predecessor, called “the former system” on pages: exports become records with history.

bundle.py: the files. row_documents.py: the rows of a file. source.py: all rows, file by file. shapes.py: which
DocTypes come in, and their fields. values.py: dates, HTML, lists. import_context.py: what all rows share. records.py,
contacts.py, calls.py, history.py, status_log.py: what a row becomes. work.py: the worker, some rows in each
transaction. kind.py, pages.py, shown.py: who may, matching people, the figures. The command:
app/commands/predecessor_import.py.
"""
