"""Records that a house adds beside ours: what they are declared with, and that all of it works."""
