"""Live updates of open pages over sockets."""
