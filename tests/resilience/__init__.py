"""Proofs of the promises that only real servers and real deaths can show."""
