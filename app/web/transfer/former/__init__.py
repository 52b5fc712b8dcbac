"""The move from the former system: a folder of its exports becomes records with their history."""
