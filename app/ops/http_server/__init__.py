"""The HTTP server: its workers, what they receive, and how it stops without failing a request."""
