"""Tests of the model edgemon carries."""
