"""Office hours and holidays, and the SLA targets that are counted in them."""
