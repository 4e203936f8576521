"""One probe run: what is asked and answered, the worker that measures, the supervisor that bounds it."""
