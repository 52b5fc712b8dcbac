"""Records over REST: one resource each, its description, and HTTP for careful clients."""
