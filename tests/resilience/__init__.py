"""Tests of guarantees that need real servers and killed processes."""
