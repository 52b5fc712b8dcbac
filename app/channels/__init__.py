"""Channels: clients of outside services. Plain values in and out, no database."""
