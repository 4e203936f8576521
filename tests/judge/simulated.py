"""Simulated: rounds of workers that stay, on a device whose processes differ, and the verdicts on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edgemon.judge.baseline import Round, fingerprint
from edgemon.judge.epoch import gathered
from edgemon.judge.verdict import Verdict, doubtful, judge
from edgemon.probe.result import Outcome, Result

KEY = {"runtime": "onnx 1.32"}
OK = Result("p", Outcome.OK, at=1e6)
RECYCLE = 10
"""Rounds of a worker that stays."""
Slower = Callable[[int], float]
"""How much slower the device is, by the number of the round."""


def ran(value: float, at: float, process: float = 0.0, delay: float = 0.0) -> Round:
    """A round beside a compute kernel that does not move."""
    mark, kernels = fingerprint(KEY), {"compute": "k"}
    return Round(value, mark, at, delay, references={"compute": 1.0}, kernels=kernels, process=process)


@dataclass(frozen=True)
class Device:
    """Deviation between processes and within one, and how many of the latest rounds the judge is given."""

    luck: float
    noise: float
    window: int

    def rounds(self, chance: random.Random, slower: Slower, doubts: Callable[[], bool]) -> Iterator[Round]:
        """Rounds of workers that stay for ten, and for none while there is doubt."""
        process, luck, left = 0.0, 1.0, 0
        for at in range(1, 10**9):
            if not left or doubts():
                process, luck, left = process + 1, chance.gauss(1.0, self.luck), RECYCLE
            left -= 1
            yield ran(chance.gauss(luck * slower(at), self.noise), 1000.0 + at, process)

    def followed(self, seed: int, count: int, slower: Slower, known: bool = True) -> list[Verdict]:
        """The verdicts on so many rounds; where processes are not `known` every round is taken for a process."""
        chance, found, history = random.Random(seed), list[Verdict](), list[Round]()
        start = [chance.gauss(chance.gauss(1.0, self.luck), self.noise) for _ in range(10)]
        baseline = gathered("p", KEY, [ran(value, float(n), float(-n)) for n, value in enumerate(start, 1)])
        for one in self.rounds(chance, slower, lambda: known and bool(found) and doubtful(found[-1])):
            history.append(one if known else replace(one, process=0.0))
            found.append(judge(OK, history[-self.window :], baseline, KEY))
            if len(found) == count:
                return found
        raise AssertionError
