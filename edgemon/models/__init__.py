"""The model edgemon carries, its golden outputs, and the script that makes both (developers only)."""
