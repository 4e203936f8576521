"""`python -m tests.soak [--minutes N | --faults N] [--seed S]`: exit status 1 where anything did not hold."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import SubprocessError

import psutil

from tests import faketime
from tests.running import stop
from tests.soak.checks import MEMORY, Checks
from tests.soak.device import TIMEOUT, Device, ViolationError
from tests.soak.faults import Fault, all_of, disk, wait
from tests.soak.receiver import Receiver

ALONE = "EDGEMON_SOAK_ALONE"
CALM = 25
"""Rounds after which all that waits must be sent."""


class Soak:
    """A device, what happens to it, and how often."""

    def __init__(self, where: Path, seed: int, mounted: bool) -> None:
        self.receiver = Receiver(TIMEOUT)
        self.receiver.start()
        self.device = Device(where, self.receiver, faketime.found(), f"{os.getpid()}-{seed}")
        self.checks, self.chance, self.seed = Checks(self.device), random.Random(seed), seed
        self.faults, self.missing = all_of(self.device, mounted)
        self.counts: Counter[str] = Counter()

    def run(self, faults: int, seconds: float, most: int) -> None:
        """Rounds of at most so many at once, until there were so many faults, or so long."""
        self.device.prepare()
        self.device.start()
        self.checks.well()
        end, rounds, deck = time.monotonic() + seconds, 0, self.chance.sample(self.faults, len(self.faults))
        while self.counts.total() < faults and time.monotonic() < end:
            self.round(self.draw(deck, min(self.chance.randint(1, most), faults - self.counts.total())))
            rounds += 1
            if rounds % CALM == 0:
                self.checks.calm()
                print(self.line(), flush=True)
        self.finish()

    def draw(self, deck: list[Fault], count: int) -> list[Fault]:
        """Faults of different groups, from the top of a deck below which another is put where none is left."""
        drawn: list[Fault] = []
        while len(drawn) < min(count, len({one.group for one in self.faults})):
            one = next((one for one in deck if one.group not in {other.group for other in drawn}), None)
            if one is None:
                deck += self.chance.sample(self.faults, len(self.faults))
                continue
            deck.remove(one)
            drawn.append(one)
        return drawn

    def round(self, faults: list[Fault]) -> None:
        """Let faults happen together, end them, and see that it is well again."""
        with ExitStack() as stack:
            for one in faults:
                self.counts[one.name] += 1
                own = random.Random(f"{self.seed} {self.counts.total()}")
                stack.enter_context(one.act(self.device, own))
            wait(self.chance)
        self.checks.well()

    def finish(self) -> None:
        """All is calm: everything is accounted for, and a clean end leaves nothing behind."""
        self.checks.calm()
        self.checks.account()
        self.device.end()
        profiles = list((self.device.where / "tmp").glob("edgemon-*"))  # of workers killed amid their profile
        found = {*(self.device.where / "tmp").iterdir(), *(self.device.where / "state").rglob("*.new")}
        killed = sum(self.counts[name] for name in ("worker killed", "killed", "restarted", "stopped"))
        left = [*self.device.left(), *map(str, found - set(profiles[:killed]))]
        if left:
            raise ViolationError(f"left behind: {left}")

    def close(self) -> None:
        """Nothing of it goes on."""
        if self.device.daemon:
            self.device.daemon.process.send_signal(signal.SIGCONT)
            stop(self.device.daemon.process)
        self.receiver.turn("ok")
        self.receiver.stop()

    def line(self) -> str:
        """How it stands."""
        checks, receiver = self.checks, self.receiver
        dropped = ", ".join(f"{count:g} {reason}" for reason, count in checks.dropped.items() if count)
        return (
            f"{self.counts.total()} faults, {checks.scrapes} scrapes, {self.device.kills} kills -9 (in memory then: at "
            f"most {checks.lost:g} points), {len(receiver.points)} points taken, {receiver.resent} of them again after "
            f"a kill or a lost answer, dropped: {dropped or 'none'}, {checks.memory:.1f} of {MEMORY:g} MiB, "
            f"{checks.files:+d} descriptors"
        )


def alone() -> None:
    """Go on in a mount namespace of its own, where that is allowed: what is mounted is nobody else's."""
    if ALONE in os.environ or os.geteuid() or not shutil.which("unshare"):
        return
    again = [sys.executable, "-m", "tests.soak", *sys.argv[1:]]
    script = 'unshare -m true 2>/dev/null && exec unshare -m "$@" || exec "$@"'
    os.execvpe("sh", ["sh", "-c", script, "sh", *again], {**os.environ, ALONE: "1"})


def main() -> int:
    """Soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="random faults for a real daemon")
    parser.add_argument("--minutes", type=float, default=0.0, help="for so long")
    parser.add_argument("--faults", type=int, default=0, help="so many, if that is less")
    parser.add_argument("--at-once", type=int, default=4, metavar="MOST", help="up to so many; 4 if not given")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier soak, to meet the same faults")
    options = parser.parse_args()
    alone()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    minutes = options.minutes or (1e6 if options.faults else 10.0)
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgemon-soak-")))
        mounted = stack.enter_context(disk(where / "state", ALONE in os.environ))
        soak = Soak(where, seed, mounted)
        stack.callback(soak.close)
        print(f"seed {seed}: {len(soak.faults)} kinds of faults", *soak.missing, sep="\n", flush=True)
        return report(soak, seed, lambda: soak.run(options.faults or 10**9, minutes * 60, options.at_once))


def report(soak: Soak, seed: int, run: Callable[[], None]) -> int:
    """Run it and say how it went; the exit status."""
    began, wrong = time.monotonic(), ""
    try:
        run()
    except (ViolationError, AssertionError, OSError, LookupError, SubprocessError, psutil.Error) as error:
        wrong = f"{type(error).__name__}: {error}"
    for name, count in sorted(soak.counts.items()):
        print(f"{count:6} {name}")
    if wrong:
        print(f"the last of its log:\n{soak.device.tail()}")
    verdict = f"violated: {wrong}" if wrong else "0 unplanned exits, 0 points unaccounted for"
    print(f"seed {seed}: {soak.line()}; {time.monotonic() - began:.0f} s; {verdict}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
