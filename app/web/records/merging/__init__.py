"""Pages and REST for duplicates and for merging records."""
