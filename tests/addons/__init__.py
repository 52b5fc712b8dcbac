"""Add-ons: their records beside the CRM's own, their declarations, and tests that all of it works."""
