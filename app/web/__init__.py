"""Doors for people and machines; they decide nothing."""
