"""Data in and out: exports of lists, imports of files, and everything at once."""
