"""Databases: connections, errors, locks and limits, replicas, migrations, and what only SQLite needs."""
