"""Processes: forking them, the one beside the HTTP server, the elected leader, and the scheduler in it."""
