"""Random faults for a real daemon, and what must hold meanwhile: `python -m tests.soak --minutes 10`, `make soak`.

A `Device` is `edgemon run` with probes, rules, a webhook, sensors that can hang and a `Receiver` that keeps what it
took. `faults` happen to them in rounds of one to three at once; `checks` say what must be true after each round.
"""
