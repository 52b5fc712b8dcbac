"""Figures: what they count, and how they are counted by person and by day."""
