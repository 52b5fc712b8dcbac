"""Searches by index, under the access rules: how what was typed is looked up in the database."""
