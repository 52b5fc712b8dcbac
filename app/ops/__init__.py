"""Running the house: queue, health, backups, files."""
