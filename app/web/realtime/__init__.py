"""Push: sockets, and what they are told."""
