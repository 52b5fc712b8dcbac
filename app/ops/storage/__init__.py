"""Files: where they are stored, how they are scanned, and the file with the heads of the audit log."""
