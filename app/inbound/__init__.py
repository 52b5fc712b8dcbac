"""What comes in: fetched, or taken from the queue, scanned for viruses, and passed on to `app.domain.inbound`."""
