"""Dashboards: figures as numbers, charts and tables, each of which opens the list behind it."""
