"""Backups: created during writes, verified, restored, drilled."""
