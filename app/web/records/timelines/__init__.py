"""The timeline of a record: entries, tabs, filters, and the composer above it."""
