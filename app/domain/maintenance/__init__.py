"""What operators watch: job runs, failed calls of the queue, health, backups, retention, replacing the field key."""
