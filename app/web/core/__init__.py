"""What all pages and REST resources share: viewer, record tables, field types, translations."""
