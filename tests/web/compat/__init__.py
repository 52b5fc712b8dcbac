"""Tests of the predecessor's API, as its telephone apps and scripts use it."""
