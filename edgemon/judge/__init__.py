"""Judging results: pure functions from measurements to verdicts; nothing here reads, writes or waits."""
