"""Business rules: records and how they change. Nothing here knows the web, reads the clock or commits."""
