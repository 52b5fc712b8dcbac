"""Files of records, sheets of exports and imports, and how much room they may take."""
