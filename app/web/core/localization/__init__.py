"""The language of a response, and labels, dates and durations in it."""
