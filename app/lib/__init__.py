"""Things that are true anywhere and know no CRM."""
