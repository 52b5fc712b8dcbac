"""URLs of records and pages: links, references, redirects of merged records, and faster rules."""
