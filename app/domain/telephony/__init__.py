"""Calls: those that phones sync, those made through a provider, their outcomes, recordings and cards."""
