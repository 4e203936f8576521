"""Sinks: views of the snapshot; they read it and compute nothing."""
