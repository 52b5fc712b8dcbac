"""Duplicates of leads and customers, and merging records into one."""
