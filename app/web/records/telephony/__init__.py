"""Calls: pages, REST, cards, outcomes, and calls that were logged by hand."""
