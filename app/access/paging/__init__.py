"""Pages and counts of the rows that a person reaches, in forms for which the database reads few more than it shows."""
