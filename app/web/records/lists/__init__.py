"""Lists of records: columns, conditions, saved views, and the layouts board, calendar and groups."""
