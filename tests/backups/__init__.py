"""Backups: made while others write, checked, restored, drilled."""
