"""Dashboards: figures as numbers, charts and tables, each linked to the list behind it."""
