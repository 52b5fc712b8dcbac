"""Authentication, rate limits and FAB's permissions."""
