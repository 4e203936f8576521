"""`python -m tests.benchmarks [PART]`: what edgemon costs and finds; exit status 1 when a target is missed."""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import causes, crowd, daemon, fidelity, rules, sweep, workers
from tests.benchmarks.report import machine, verdicts


def main() -> int:
    """Run what was chosen; `all` is without the causes, which take hours on a machine that does nothing else."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="edgemon beside its peers")
    parser.add_argument(
        "part",
        nargs="?",
        default="all",
        choices=["daemon", "fidelity", "sweep", "rules", "causes", "workers", "crowd", "all"],
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the daemons are watched")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each trouble (default: %(default)s)")
    parser.add_argument("--quiet", type=int, default=1000, help="quiet rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few rounds only, to see that it works")
    chosen = parser.parse_args()
    print(machine())
    targets = []
    if chosen.part in {"daemon", "all"}:
        targets += daemon.run(min(chosen.seconds, 10.0) if chosen.quick else chosen.seconds, chosen.quick)
    if chosen.part in {"fidelity", "all"}:
        targets += fidelity.run(chosen.quick)
    if chosen.part in {"sweep", "all"}:
        targets += sweep.run()
    if chosen.part in {"workers", "all"}:
        workers.run(5 if chosen.quick else chosen.rounds)
    if chosen.part == "causes":
        targets += causes.run(*(5, 12) if chosen.quick else (chosen.rounds, chosen.quiet))
    if chosen.part in {"crowd", "all"}:
        targets += crowd.run(5.0 if chosen.quick else 20.0)
    if chosen.part in {"rules", "all"}:
        targets += rules.run(chosen.quick)
    return int(verdicts(targets) > 0)


if __name__ == "__main__":
    sys.exit(main())
