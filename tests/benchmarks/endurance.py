"""Ten thousand rounds in workers that stay: `python -m tests.benchmarks endurance [--rounds N] [--minutes N]`.

A process does what the daemon's probing lane does, without its pace: a real probe of a tiny network in a worker that
stays and is started anew every ten rounds, the verdict, the archive on disk, the readings into the store and out as
Prometheus text. What it holds is told at the start (after WARM rounds, when every ring is full) and at the end; its
memory, which goes up and down by a megabyte as the allocator likes it, by the median of SOME reports there.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass

from tests.benchmarks.report import Bound, Conditions, Target, table

WARM, EVERY, SOME = 1100, 50, 10
"""Rounds after which nothing fills any more (the archive keeps 1,000 results), rounds between two reports, and reports
whose median is taken."""
GROWTH = 1.0
"""MB that the daemon's memory may differ by."""
LEFT = ("descriptors", "processes", "threads", "temporary")


@dataclass(frozen=True, slots=True)
class Held:
    """What the process held after so many rounds; memory in MB, temporary files and what the state directory has."""

    rounds: int
    memory: float
    descriptors: int
    processes: int
    threads: int
    temporary: int
    state: int


def run(rounds: int, bound: Bound) -> list[Target]:
    """Measure in a process of its own, print, and hold against the goals."""
    print(f"\nendurance: {rounds} rounds, a worker for every ten of them")
    conditions, taken = Conditions(), list[Held]()
    with tempfile.TemporaryDirectory(prefix="bench-endurance-") as directory:
        command = [sys.executable, "-m", "tests.benchmarks.endurance", directory, str(rounds)]
        environment = {**os.environ, "TMPDIR": os.path.join(directory, "tmp")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout
            for line in child.stdout:
                taken.append(Held(**json.loads(line)))
                bound.say(f"round {taken[-1].rounds} of {rounds}, {taken[-1].memory:.2f} MB")
                if bound.over():
                    child.terminate()
                    break
    if len(taken) < 2:
        raise RuntimeError("it ended before it began")
    counted = [one for one in taken if one.rounds >= min(WARM, rounds // 2)] or taken
    first, last, between = counted[0], counted[-1], [counted[len(counted) * part // 4] for part in (1, 2, 3)]
    shown = [first, *between, last]
    rows = [[f"{value:g}" for value in asdict(one).values()] for one in shown]
    table("what the process holds", list(asdict(first)), rows)
    print(f"  {conditions.tell()}")
    return _targets(counted)


def _targets(counted: list[Held]) -> list[Target]:
    first, last, memory = counted[0], counted[-1], [one.memory for one in counted]
    grown = statistics.median(memory[-SOME:]) - statistics.median(memory[:SOME])
    moved = {name: getattr(last, name) - getattr(first, name) for name in LEFT}
    said = ", ".join(f"{name} {count:+d}" for name, count in moved.items())
    flat = f"{grown:+.2f} MB from round {first.rounds} to {last.rounds} ({min(memory):.1f} to {max(memory):.1f} MB)"
    return [
        Target(f"memory flat, +-{GROWTH:g} MB", flat, abs(grown) <= GROWTH),
        Target(
            "no descriptor, process, thread or temporary file is left", said, not any(one > 0 for one in moved.values())
        ),
    ]


def main(directory: str, rounds: int) -> None:
    """The probing lane without its pace; a line of JSON now and then."""
    from edgemon.archive import Archive  # noqa: PLC0415 - only in the child, whose memory is measured
    from edgemon.config import Probe  # noqa: PLC0415
    from edgemon.prober import Prober  # noqa: PLC0415
    from edgemon.residence import Residence  # noqa: PLC0415
    from edgemon.sinks.prometheus import Exposition  # noqa: PLC0415
    from edgemon.store import Store  # noqa: PLC0415
    from edgemon.sysfs import Root  # noqa: PLC0415

    os.makedirs(os.environ["TMPDIR"], exist_ok=True)
    state = os.path.join(directory, "state")
    probe = Probe(model=os.path.join(directory, "mlp.onnx"), worker="resident", idle=0.0, samples=3, seconds=0.1)
    _write(directory)
    archive, store = Archive(state), Store()
    prober, home = Prober("fast", probe, archive, Root(), state), Residence("fast", probe, [])
    prober.ask, page = home.run, Exposition(store.commit)
    for number in range(1, rounds + 1):
        prober.run()
        store.put("probe.fast", prober.readings())
        store.put("edgemon.workers", home.readings())
        page.render(store.commit(), openmetrics=True)
        if number % EVERY == 0 or number == rounds:
            home.tend(short=True)  # the worker leaves: what is counted is what nobody needs any more
            home.tend(short=False)
            print(json.dumps(asdict(_held(number, state))), flush=True)
    home.close()
    archive.close()


def _write(directory: str) -> None:
    """The tiny network, written by a process of its own: what writes it is in nobody's memory."""
    code = (
        "import os, sys; from tests.benchmarks import models; os.rename(models.write(sys.argv[1])[NAME], sys.argv[2])"
    )
    code = code.replace("NAME", repr("tiny MLP, fp32"))
    command = [sys.executable, "-c", code, directory, os.path.join(directory, "mlp.onnx")]
    subprocess.run(command, check=True)


def _held(number: int, state: str) -> Held:
    with open("/proc/self/statm") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = len(file.read().split())
    descriptors = len(os.listdir("/proc/self/fd"))
    temporary = len(os.listdir(os.environ["TMPDIR"]))
    return Held(number, memory, descriptors, children, threading.active_count(), temporary, len(os.listdir(state)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
