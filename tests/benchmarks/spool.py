"""Push: bytes that reach a block device on line and off line, and what an hour's backlog costs once the link is back.

Flash is a loop device with ext4, mounted where nobody else sees it (root, unshare), counted by its line in
/proc/diskstats; elsewhere it is write_bytes of /proc/self/io, which has no journal in it. Time is simulated: 200 series
every 10 s as the real encoder makes them, the spool's lane after each. Nothing is written between two frames, so that a
simulated minute writes what a real one does, but for commits of the journal that the kernel would make by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgemon.buffer import Buffer
from edgemon.metric import Kind, Metric
from edgemon.push import Otlp
from edgemon.sinks.otlp.batch import PROBE, Batch
from edgemon.sinks.otlp.metrics import Metrics
from edgemon.spool import Spool
from edgemon.store import Snapshot
from tests.benchmarks.process import CACHE, HERE, Daemon, edgemon, free_port
from tests.benchmarks.report import Conditions, Target, table

SERIES, STEP, HOURS = 200, 10, 6
SECOND = 10**9
MOUNT = 'mkfs.ext4 -q -m 0 "$0/image" && mkdir "$0/flash" && mount -o loop,noatime "$0/image" "$0/flash" && exec "$@"'
RESOURCE = {"service.name": "edgemon", "service.instance.id": "a-board", "host.name": "board", "os.type": "linux"}
HOW = ("on line", "off line", "off line, a probe a minute")


def run(quick: bool) -> list[Target]:
    """Measure, print, and hold against the targets."""
    hours = 1 if quick else HOURS
    found = {how: flash(how, hours) for how in HOW}
    rows = [[how, *(f"{value:.2f}" for value in values), where] for how, (where, *values) in found.items()]
    heads = ["", "MB a day", "writes an hour", "MB a day by its own count", "counted at"]
    table(f"flash: {SERIES} series every {STEP} s, {hours} h simulated", heads, rows)
    targets = [
        Target("flash off line <= 20 MB a day", f"{found['off line'][1]:.2f} MB", found["off line"][1] <= 20),
        Target("flash on line ~ 0", f"{found['on line'][1]:.3f} MB", found["on line"][1] < 0.1),
    ]
    return targets + recovery(quick)


def flash(how: str, hours: int) -> tuple[str, float, float, float]:
    """Where it was counted, megabytes a day, writes an hour, and what the spool itself says it wrote, in MB a day."""
    with tempfile.TemporaryDirectory(prefix="edgemon-flash-") as directory:
        child = [sys.executable, "-m", "tests.benchmarks.spool", how, str(hours)]
        with open(f"{directory}/image", "wb") as image:
            image.truncate(256 << 20)
        mounted = ["unshare", "-m", "sh", "-c", MOUNT, directory, *child, f"{directory}/flash"]
        ran = subprocess.run(mounted, cwd=HERE, capture_output=True, text=True, check=False)
        if ran.returncode:
            os.mkdir(f"{directory}/plain")
            ran = subprocess.run([*child, f"{directory}/plain"], cwd=HERE, capture_output=True, text=True, check=True)
        where, written, writes, own = json.loads(ran.stdout)
    days = hours / 24
    return where, written / 1e6 / days, writes / hours, own / 1e6 / days


def device(path: str) -> str:
    """The name of the block device a path lies on, if it is one that only this process uses."""
    number = os.stat(path).st_dev
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"))
    return name if name.startswith("loop") else ""


def written(name: str) -> tuple[int, int]:
    """Bytes and writes that reached the device, or that this process has caused."""
    if not name:
        with open("/proc/self/io") as file:
            return int(dict(line.split(": ") for line in file)["write_bytes"]), 0
    with open("/proc/diskstats") as file:
        fields = next(line.split() for line in file if line.split()[2] == name)
    return int(fields[9]) * 512, int(fields[7])


def main(how: str, hours: int, path: str) -> None:
    """One way, on this directory: print where it was counted, bytes, writes, and the spool's own count."""
    name, now = device(path), 0.0
    spool = Spool(f"{path}/spool", Buffer(), lambda _boot, end: now - end / SECOND, lambda: now)
    os.sync()
    before = written(name)
    for number, batch in enumerate(batches(hours * 3600 // STEP)):
        now = float(number * STEP)
        spool.put(batch)
        if how.endswith("minute") and number % (60 // STEP) == 0:
            spool.put(Batch("metrics", PROBE, "b", batch.start, batch.end, 30, random.Random(number).randbytes(2000)))
        while how == "on line" and (entry := spool.live()):
            spool.sent(entry)
        spool.keep()
    os.sync()
    after = written(name)
    own = next(one.value for one in spool.readings() if one.metric.name == "edgemon.otlp.buffer.written")
    print(
        json.dumps(
            [f"/proc/diskstats {name}" if name else "/proc/self/io", after[0] - before[0], after[1] - before[1], own]
        )
    )


def batches(count: int, boot: str = "b", first: int = SECOND, series: int = SERIES) -> Iterator[Batch]:
    """So many batches of a device's series: temperatures, ratios and counters that move as such do."""
    chance, made = random.Random(1), Metrics(boot, 1)
    made.follow(Otlp(endpoint="http://127.0.0.1:1"), RESOURCE)
    gauges = [
        Metric(f"hw.sensor{number}", "Cel", Kind.GAUGE, "A temperature.", ("hw.id", "hw.name")) for number in range(10)
    ]
    counters = [
        Metric(f"system.counter{number}", "By", Kind.COUNTER, "Bytes.", ("system.device",)) for number in range(10)
    ]
    values: dict[tuple[Metric, tuple[str, ...]], float] = {}
    for number in range(series // 20):
        values |= {(one, (f"chip-{number}", f"chip {number}")): 40.0 for one in gauges}
        values |= {(one, (f"device{number}",)): 0.0 for one in counters}
    for number in range(count):
        for key in values:
            moved = chance.random()
            if key[0].kind is Kind.COUNTER:
                values[key] += float(int(moved * 1e5)) if moved > 0.4 else 0.0
            elif moved > 0.5:
                values[key] = round(40 + 10 * chance.random(), 1)
        yield from made.tell(Snapshot(number, (first + number * STEP * SECOND) / SECOND, dict(values))).batches


def recovery(quick: bool) -> list[Target]:
    """A daemon that finds an hour's backlog, before a VictoriaMetrics: its CPU until all of it has arrived."""
    binary = shutil.which("victoria-metrics", path=CACHE) or shutil.which("victoria-metrics")
    if binary is None:
        print("victoria-metrics is not here: nothing to recover to")
        return []
    conditions, count = Conditions(), 60 if quick else 3600 // STEP
    with tempfile.TemporaryDirectory(prefix="edgemon-recovery-") as directory:
        port = free_port()
        command = [binary, f"-storageDataPath={directory}/db", f"-httpListenAddr=127.0.0.1:{port}"]
        with open(f"{directory}/log", "wb") as log:
            receiver = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            found = _recover(f"{directory}/state", port, count)
        finally:
            receiver.terminate()
            receiver.wait(20)
    share, idle, seconds, points, memory = found
    rows = [
        [
            f"{count} batches of {SERIES}",
            f"{points:.0f}",
            f"{seconds:.1f}",
            f"{share:.1%}",
            f"{idle:.1%}",
            f"{memory / 1e6:.1f}",
        ]
    ]
    table(
        f"recovery from an hour off line; {conditions.tell()}",
        ["", "points", "seconds", "CPU meanwhile", "CPU after", "RSS MB"], rows,
    )  # fmt: skip
    return [
        Target("recovery at <= 10 % of a core", f"{share:.1%}", share <= 0.10),
        Target("RSS with OTLP <= 42 MB", f"{memory / 1e6:.1f} MB", memory <= 42e6),
    ]


def _recover(state: str, port: int, count: int) -> tuple[float, float, float, float, int]:
    boot, end = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    waiting = Spool(f"{state}/spool", Buffer(), lambda _boot, _end: None)
    for batch in batches(count, boot, max(SECOND, end - count * STEP * SECOND)):
        waiting.put(batch)
        waiting.keep()
    waiting.close()
    settings: dict[str, object] = {
        "state_dir": state,
        "probes": {},
        "sensors": {"interval": "1s"},
        "otlp": {"endpoint": f"http://127.0.0.1:{port}/opentelemetry"},
    }
    with edgemon("recovering", settings) as daemon:
        _until(lambda: _sent(daemon) > 2 * SERIES)
        began, used, before = time.monotonic(), daemon.cpu(), _sent(daemon)
        _until(lambda: _buffered(daemon) < SERIES)
        seconds, share = time.monotonic() - began, daemon.cpu() - used
        points, memory = _sent(daemon) - before, daemon.memory()[0]
        used = daemon.cpu()
        time.sleep(20)
        return share / seconds, (daemon.cpu() - used) / 20, seconds, points, memory


def _sent(daemon: Daemon) -> float:
    return _value(daemon, 'edgemon_otlp_sent_points_total{signal="metrics"}')


def _buffered(daemon: Daemon) -> float:
    return _value(daemon, 'edgemon_otlp_buffered_points{signal="metrics"}')


def _value(daemon: Daemon, name: str) -> float:
    from tests.running import fetch  # noqa: PLC0415

    _, text = fetch(f"http://127.0.0.1:{daemon.port}/metrics")
    return float(next((line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)), "0"))


def _until(condition: object, patience: float = 300.0) -> None:
    end = time.monotonic() + patience
    with contextlib.suppress(StopIteration):
        while not condition() and time.monotonic() < end:  # type: ignore[operator]
            time.sleep(0.25)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
