"""The audit log: its entries, and the chain and keys that prove that none is missing."""
