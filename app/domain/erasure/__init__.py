"""Erasing a person: what goes, what duties keep and until when, and the work in chunks."""
