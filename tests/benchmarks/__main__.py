"""`python -m tests.benchmarks [PART]`: what edgemon costs and finds; exit status 1 when a target is missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from edgemon.config import WORKERS
from tests.benchmarks import (
    causes,
    crowd,
    daemon,
    delivery,
    detect,
    endurance,
    fidelity,
    interference,
    rules,
    spool,
    sweep,
    workers,
)  # fmt: skip
from tests.benchmarks.report import Bound, Target, machine, verdicts

LONG = ("causes", "detect", "interference", "endurance")
"""What takes hours on a machine that does nothing else, and is no part of `all`."""


def main() -> int:
    """Run what was chosen."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="edgemon beside its peers")
    parts = ["daemon", "fidelity", "sweep", "rules", "delivery", "workers", "spool", "crowd", *LONG, "all"]
    parser.add_argument("part", nargs="?", default="all", choices=parts, help=f"all is without {', '.join(LONG)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the daemons are watched")
    text = "rounds: of each trouble (40), trials of each slow-down (40), pairs (10), rounds of endurance (10000)"
    parser.add_argument("--rounds", type=int, default=0, help=text)
    parser.add_argument("--quiet", type=int, default=1000, help="quiet rounds (default: %(default)s)")
    parser.add_argument("--worker", choices=WORKERS, default="auto", help="of causes and detect (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=0.0, help="end with what there is after so long; 0 is never")
    parser.add_argument("--quick", action="store_true", help="a few rounds only, to see that it works")
    chosen = parser.parse_args()
    print(machine(), flush=True)
    return int(verdicts(_measured(chosen)) > 0)


def _measured(chosen: argparse.Namespace) -> list[Target]:
    seconds = min(chosen.seconds, 10.0) if chosen.quick else chosen.seconds
    parts: dict[str, Callable[[], list[Target]]] = {
        "daemon": lambda: daemon.run(seconds, chosen.quick),
        "fidelity": lambda: fidelity.run(_rounds(chosen, 20, 5), Bound(chosen.minutes)),
        "sweep": sweep.run,
        "workers": lambda: workers.run(_rounds(chosen, 40, 5)),
        "rules": lambda: rules.run(chosen.quick),
        "delivery": lambda: delivery.run(chosen.quick),
        "spool": lambda: spool.run(chosen.quick),
        "crowd": lambda: crowd.run(5.0 if chosen.quick else 20.0),
        **_long(chosen, Bound(chosen.minutes)),
    }
    named = [name for name in parts if name not in LONG] if chosen.part == "all" else [chosen.part]
    return [target for name in named for target in parts[name]()]


def _long(chosen: argparse.Namespace, bound: Bound) -> dict[str, Callable[[], list[Target]]]:
    quiet = 12 if chosen.quick else chosen.quiet
    return {
        "causes": lambda: causes.run(_rounds(chosen, 40, 5), quiet, chosen.worker, bound),
        "detect": lambda: detect.run(_rounds(chosen, 40, 2), chosen.worker, bound),
        "interference": lambda: interference.run(_rounds(chosen, 10, 2), chosen.quick, bound),
        "endurance": lambda: endurance.run(_rounds(chosen, 10_000, 300), bound),
    }


def _rounds(chosen: argparse.Namespace, usual: int, few: int) -> int:
    return int(chosen.rounds) or (few if chosen.quick else usual)


if __name__ == "__main__":
    sys.exit(main())
