"""Tests of the runtimes, with their real engines."""
