"""Page layout, error pages, refusals and the hardened FAB view; record screens are in `app.web.records`."""
