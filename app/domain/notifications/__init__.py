"""Notifications: their kinds, who wants them and how, and one for many records."""
