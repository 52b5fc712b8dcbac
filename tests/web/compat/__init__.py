"""Tests of the predecessor's API, as its phone apps and scripts use it."""
