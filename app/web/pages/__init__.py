"""Pages: the screens of a record, their lists and forms, what all of them wear, and what is said when it goes wrong."""
