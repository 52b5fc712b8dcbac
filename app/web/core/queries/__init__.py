"""How rows of records are read: columns, pages, counts, searches, and reads from a replica."""
